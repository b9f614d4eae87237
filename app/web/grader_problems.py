"""What is wrong with a grader, beside the field of its form."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic_core import ErrorDetails

from app.errors import Problem
from app.web.grader_kinds import KINDS

Form = Mapping[str, str]

AS_JSON = "json"
"""A grader, or a part of one, written out instead of filled in or chosen."""

MOST_PARTS = 12
MOST_MESSAGES = 20


def message_rows(form: Form) -> list[int]:
    return [n for n in range(MOST_MESSAGES) if form.get(f"input.{n}.content", "").strip()]


def part_rows(form: Form) -> list[int]:
    """A row counts once anything but its first selection was made in it."""
    return [
        n
        for n in range(MOST_PARTS)
        if form.get(f"graders.{n}.name", "").strip()
        or form.get(f"graders.{n}.json", "").strip()
        or form.get(f"graders.{n}.choice", AS_JSON) != AS_JSON
    ]


def problems_beside(kind: str, form: Form, problems: Iterable[Problem]) -> list[Problem]:
    """The worker's problems name a place in the grader (`grader.pattern`); the form shows them at a field."""
    found = []
    for each in problems:
        place = each.where.split(".")[1:]
        sentence = f"{each.what[:1].upper()}{each.what[1:]}".rstrip(".")
        if kind == AS_JSON:
            found.append(Problem(where=AS_JSON, what=f"{'.'.join(place) or 'The grader'}: {each.what}"))
        else:
            found.append(Problem(where=_field_at(kind, form, place), what=f"{sentence}."))
    return found


def problem_of(kind: str, form: Form, error: ErrorDetails) -> Problem:
    place = [str(step) for step in _without_tags(error["loc"])]
    where = _field_at(kind, form, place)
    about = {where, *place[:1]} if len(place) < 2 or kind == "score_model" else {where}
    label = next((each.label for each in KINDS[kind].fields if each.name in about), "")
    inside = ".".join(place[1:]) if len(place) > 1 and not label else ""
    named = label or inside or place[0].replace("_", " ").capitalize() if place else "The grader"
    return Problem(where=where, what=f"{named}: {_said(error)}.")


def _without_tags(loc: Sequence[int | str]) -> list[int | str]:
    """The validator names before each grader's fields which of the twelve kinds it took it for."""
    match list(loc[1:]):
        case ["graders", name, *inside]:
            return ["graders", name, *_without_tags(inside)]
        case [("draft" | "final") as part, *inside]:
            return [part, *_without_tags(inside)]
        case steps:
            return steps


def _field_at(kind: str, form: Form, place: Sequence[str]) -> str:
    match list(place):
        case []:
            return _ABOUT_ALL.get(kind, "name")
        case ["input", *rest] if kind == "score_model":
            return _message_at(form, rest)
        case ["graders", *rest]:
            return _part_at(form, rest)
    return _FIRST_FIELDS.get(place[0], place[0])


_ABOUT_ALL = {"length": "low", "score_model": "range.low", "self_correction": "mended"}
"""Where fields contradict each other: the first of them."""

_FIRST_FIELDS = {
    "range": "range.low",
    "draft": "draft.choice",
    "final": "final.choice",
    "json_schema": "schema",
}


def _message_at(form: Form, place: Sequence[str]) -> str:
    rows = message_rows(form)
    n = int(place[0]) if place and place[0].isdecimal() else 0
    return f"input.{rows[n] if n < len(rows) else 0}.content"


def _part_at(form: Form, place: Sequence[str]) -> str:
    if not place:
        return "graders.0.name"
    rows = [n for n in part_rows(form) if form.get(f"graders.{n}.name", "").strip() == place[0]]
    return f"graders.{rows[0] if rows else 0}.choice"


_SAID = {
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "missing": "is missing",
    "extra_forbidden": "there is no such field; leave it out",
    "string_too_short": "is missing",
    "too_short": "is missing",
    "string_too_long": "must be at most {max_length:,} characters long",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "the type must be one of {expected_tags}",
    "union_tag_not_found": 'needs a “type”, such as "regex"',
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "uuid_parsing": "choose a finished reward-model run",
}


def _said(error: ErrorDetails) -> str:
    if error["type"] in _SAID:
        return _SAID[error["type"]].format(**error.get("ctx", {}))
    return str(error["msg"]).removeprefix("Value error, ").rstrip(".").replace("Input should be", "must be")


def problem_in_text(error: ErrorDetails) -> Problem:
    place = ".".join(str(step) for step in _without_tags(error["loc"]))
    return Problem(where=AS_JSON, what=f"{place or 'The grader'}: {_said(error)}.")
