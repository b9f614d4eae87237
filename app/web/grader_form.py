"""The grader form: how what was typed becomes a grader, or problems beside their fields, and back."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.errors import Problem, TuningForkError
from app.protocol import Grader
from app.strict_json import strict_loads
from app.web.grader_kinds import KINDS, Field
from app.web.grader_problems import AS_JSON, Form, message_rows, part_rows, problem_in_text, problem_of
from app.web.openai_graders import AnyGrader

Choice = tuple[str, str, Grader]
"""Value, label and spec of a stored grader."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)

GRADER: TypeAdapter[Grader] = TypeAdapter(AnyGrader)


@dataclass
class Reading:
    """What a form said: a grader, or what is wrong with it."""

    spec: Grader | None = None
    problems: list[Problem] = field(default_factory=list)


# From typed values to a grader


def read(kind: str, form: Form, choices: Sequence[Choice] = ()) -> Reading:
    """`kind` is one of KINDS, or `json` for the whole grader as text."""
    if kind == AS_JSON:
        return _read_whole(form)
    reading = Reading()
    draft: dict[str, Any] = {"type": kind, "name": form.get("name", "").strip()}
    if not draft["name"]:
        reading.problems.append(
            Problem(where="name", what="Enter a name, so that you find the grader again.")
        )
    for each in KINDS[kind].fields:
        _put(draft, each, _value(each, form, choices, reading.problems))
    if reading.problems:
        return reading
    try:
        reading.spec = GRADER.validate_python(draft)
    except ValidationError as error:
        complaints = error.errors(include_url=False)
        reading.problems = [problem_of(kind, form, each) for each in complaints]
    return reading


def _read_whole(form: Form) -> Reading:
    try:
        given = strict_loads(form.get(AS_JSON, "").strip().encode())
        return Reading(GRADER.validate_python(given))
    except TuningForkError as error:
        return Reading(problems=[Problem(where=AS_JSON, what=error.sentence)])
    except ValidationError as error:
        return Reading(problems=[problem_in_text(each) for each in error.errors(include_url=False)])


def _put(draft: dict[str, Any], spec: Field, value: Any) -> None:
    """`range.low` and `range.high` are one list in the schema."""
    if value is None:
        return
    name, _, part = spec.name.partition(".")
    if part:
        draft[name] = [*draft.get(name, []), value]
    else:
        draft[name] = value


def _value(spec: Field, form: Form, choices: Sequence[Choice], problems: list[Problem]) -> Any:
    """None leaves the field out."""
    match spec.kind:
        case "messages":
            return _messages(form)
        case "grader":
            return _part(spec.name, spec.label, form, choices, problems)
        case "graders":
            return _parts(form, choices, problems)
        case "yes_no":
            return bool(form.get(spec.name))
    return _typed(spec, form.get(spec.name, "").replace("\r\n", "\n"), problems)


def _typed(spec: Field, text: str, problems: list[Problem]) -> Any:
    if not text.strip():
        if not spec.optional:
            problems.append(Problem(where=spec.name, what=f"{spec.label} is missing."))
        return None
    if spec.kind == "json":
        return _json(text, spec.name, problems)
    return _number(spec, text.strip(), problems) if spec.kind in ("whole", "number") else text


def _number(spec: Field, text: str, problems: list[Problem]) -> Any:
    if spec.kind == "whole" and WHOLE.fullmatch(text):
        return int(text)
    if spec.kind == "number" and NUMBER.fullmatch(text):
        return float(text)
    kind = "a whole number, such as 20" if spec.kind == "whole" else "a number with a point, such as 0.8"
    problems.append(Problem(where=spec.name, what=f"{spec.label} must be {kind}."))
    return None


def _json(text: str, where: str, problems: list[Problem]) -> Any:
    try:
        found = strict_loads(text.encode())
    except TuningForkError as error:
        problems.append(Problem(where=where, what=error.sentence))
        return None
    if not isinstance(found, dict):
        problems.append(Problem(where=where, what="This must be a JSON object: { ... }."))
        return None
    return found


def _messages(form: Form) -> list[dict[str, str]]:
    return [
        {
            "role": form.get(f"input.{n}.role", "user"),
            "content": form[f"input.{n}.content"].replace("\r\n", "\n"),
        }
        for n in message_rows(form)
    ]


def _parts(form: Form, choices: Sequence[Choice], problems: list[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n in part_rows(form):
        name = form.get(f"graders.{n}.name", "").strip()
        if not name or name in found:
            what = f"“{name}” is there already; give each part a name of its own." if name else ""
            what = what or f"Part {n + 1} needs a name that the expression can use."
            problems.append(Problem(where=f"graders.{n}.name", what=what))
        part = _part(f"graders.{n}", f"Part {n + 1}", form, choices, problems)
        if part is not None:
            found[name] = part
    if not found and not problems:
        problems.append(Problem(where="graders.0.name", what="Add at least one part."))
    return found


def _part(where: str, label: str, form: Form, choices: Sequence[Choice], problems: list[Problem]) -> Any:
    chosen = form.get(f"{where}.choice", AS_JSON)
    if chosen != AS_JSON:
        spec = next((spec for value, _, spec in choices if value == chosen), None)
        if spec is None:
            what = f"{label}: the grader that was chosen is no longer there; choose another."
            problems.append(Problem(where=f"{where}.choice", what=what))
        return spec
    text = form.get(f"{where}.json", "")
    if not text.strip():
        problems.append(
            Problem(where=f"{where}.choice", what=f"{label}: choose a grader, or write it as JSON.")
        )
        return None
    return _json(text, f"{where}.json", problems)


# From a grader to the values a form starts with


def values(spec: Grader, choices: Sequence[Choice] = ()) -> dict[str, str]:
    fields: dict[str, Any] = GRADER.dump_python(spec, mode="json", by_alias=True)
    found = {"name": spec.name}
    for each in KINDS[spec.type].fields:
        name, _, part = each.name.partition(".")
        value = fields[name]
        match each.kind:
            case "messages":
                for n, message in enumerate(value):
                    found |= {f"input.{n}.role": message["role"], f"input.{n}.content": message["content"]}
            case "grader":
                found |= _part_values(name, getattr(spec, name), choices)
            case "graders":
                found |= _all_part_values(getattr(spec, name), choices)
            case "json":
                found[name] = as_json(value)
            case _ if part:
                found[each.name] = _text(value[0 if part == "low" else 1])
            case _:
                found[name] = _text(value)
    return found


def initial(kind: str) -> dict[str, str]:
    """An empty form of this kind, with its defaults."""
    if kind == AS_JSON:
        return {}
    return {each.name: each.default for each in KINDS[kind].fields if each.default} | (
        {"input.0.role": "system", "input.1.role": "user"} if kind == "score_model" else {}
    )


def whole_as_json(spec: Grader) -> str:
    return as_json(GRADER.dump_python(spec, mode="json", by_alias=True))


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _all_part_values(parts: Mapping[str, Grader], choices: Sequence[Choice]) -> dict[str, str]:
    found: dict[str, str] = {}
    for n, (name, part) in enumerate(parts.items()):
        found |= {f"graders.{n}.name": name} | _part_values(f"graders.{n}", part, choices)
    return found


def _part_values(where: str, part: Grader, choices: Sequence[Choice]) -> dict[str, str]:
    """A stored grader that equals the part is shown as chosen."""
    value = next((value for value, _, spec in choices if spec == part), AS_JSON)
    return {f"{where}.choice": value, f"{where}.json": "" if value != AS_JSON else whole_as_json(part)}


def _text(value: Any) -> str:
    match value:
        case None | False:
            return ""
        case True:
            return "yes"
        case float():
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)
