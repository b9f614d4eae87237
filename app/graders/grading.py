"""Grades one answer, and says what is wrong with a grader before it grades any."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import Problem
from app.graders.json_schema import BadSchema, check_schema, grade_json
from app.graders.patterns import BadPattern, compiled
from app.graders.regex import grade_regex
from app.graders.string_check import grade_string
from app.graders.template import OUTPUT_TEXT, NothingToFill, is_known, names
from app.protocol import (
    Abstain,
    Grader,
    GraderError,
    JsonSchema,
    Multi,
    Regex,
    Score,
    ScoreModel,
    SelfCorrection,
    StringCheck,
)


def grade(grader: Grader, output_text: str, item: Mapping[str, Any]) -> Score | Abstain | GraderError:
    try:
        match grader:
            case StringCheck():
                return grade_string(grader, output_text, item)
            case Regex():
                return grade_regex(grader, output_text, item)
            case JsonSchema():
                return grade_json(grader, output_text, item)
            case _:
                return GraderError(why=f"{grader.type} graders are not here yet")
    except (NothingToFill, BadPattern, BadSchema) as error:
        return GraderError(why=str(error))


def check(grader: Grader, where: str = "grader") -> tuple[Problem, ...]:
    """Everything that would make this grader fail on every row; `where` is its place in what was sent."""
    return tuple(_problems(grader, where))


def item_fields(grader: Grader) -> frozenset[str]:
    """The fields a row must have for this grader to apply."""
    known = (name.split(".") for text in _templates(grader).values() for name in names(text))
    return frozenset(parts[1] for parts in known if parts[0] == "item" and len(parts) > 1)


def parts(grader: Grader) -> Iterator[Grader]:
    """The grader itself and every grader inside it."""
    yield grader
    inner: tuple[Grader, ...] = ()
    if isinstance(grader, Multi):
        inner = tuple(grader.graders.values())
    elif isinstance(grader, SelfCorrection):
        inner = (grader.draft, grader.final)
    for each in inner:
        yield from parts(each)


def asks_judge(grader: Grader) -> bool:
    return any(isinstance(part, ScoreModel) for part in parts(grader))


def _problems(grader: Grader, where: str) -> Iterator[Problem]:
    for field, text in _templates(grader).items():
        for name in sorted(names(text)):
            if not is_known(name):
                yield Problem(
                    where=f"{where}.{field}",
                    what=f"`{{{{ {name} }}}}` is unknown; templates may name item.<field> and {OUTPUT_TEXT}",
                )
    try:
        if isinstance(grader, Regex):
            compiled(grader.pattern)
        elif isinstance(grader, JsonSchema):
            check_schema(grader.json_schema)
    except BadPattern as error:
        yield Problem(where=f"{where}.pattern", what=str(error))
    except BadSchema as error:
        yield Problem(where=f"{where}.schema", what=str(error))


def _templates(grader: Grader) -> dict[str, str]:
    fields = {"input": getattr(grader, "input", None), "reference": getattr(grader, "reference", None)}
    return {field: text for field, text in fields.items() if isinstance(text, str)}
