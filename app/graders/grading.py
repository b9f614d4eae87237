"""Grades one answer, and says what is wrong with a grader before it grades any."""

import keyword
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.errors import Problem
from app.graders.answer import Answer
from app.graders.expression import FUNCTIONS, BadExpression, Expression
from app.graders.json_schema import BadSchema, check_schema, grade_json
from app.graders.length import grade_length
from app.graders.outcomes import CannotGrade
from app.graders.parts import inner, parts
from app.graders.patterns import BadPattern, compiled
from app.graders.regex import grade_regex
from app.graders.string_check import grade_string
from app.graders.template import OUTPUT_TEXT, NothingToFill, is_known, names
from app.protocol import (
    Grader,
    GraderError,
    JsonSchema,
    Length,
    Multi,
    Outcome,
    Python,
    Regex,
    ScoreModel,
    Sql,
    StringCheck,
    TextSimilarity,
)

NO_JUDGE = "no judge is set up here; set TUNING_FORK_WORKER_JUDGE_URL on the worker"


def grade(grader: Grader, output_text: str, item: Mapping[str, Any]) -> Outcome:
    """By the graders that need nothing but the answer; `bench` grades by all."""
    answer = Answer(output_text, item)
    try:
        match grader:
            case StringCheck():
                return grade_string(grader, output_text, item)
            case Regex():
                return grade_regex(grader, output_text, item)
            case JsonSchema():
                return grade_json(grader, output_text, item)
            case Length():
                return grade_length(grader, answer)
            case TextSimilarity():
                from app.graders.text_similarity import grade_similarity  # its libraries take their time

                return grade_similarity(grader, answer)
            case _:
                return GraderError(why=f"{grader.type} graders need a bench")
    except (NothingToFill, BadPattern, BadSchema, CannotGrade) as error:
        return GraderError(why=str(error))


def check(grader: Grader, where: str = "grader") -> tuple[Problem, ...]:
    """Everything that would make this grader fail on every row; `where` is its place in what was sent."""
    return tuple(_all_problems(grader, where))


def item_fields(grader: Grader) -> frozenset[str]:
    """The fields a row must have for this grader to apply, as far as its templates say."""
    texts = (text for part in parts(grader) for text in _templates(part).values())
    known = (name.split(".") for text in texts for name in names(text))
    return frozenset(found[1] for found in known if found[0] == "item" and len(found) > 1)


def _all_problems(grader: Grader, where: str) -> Iterator[Problem]:
    yield from _unknown_names(grader, where)
    for field, what in _own_problems(grader):
        yield Problem(where=f"{where}.{field}", what=what)
    for place, each in inner(grader).items():
        yield from _all_problems(each, f"{where}.{place}")


def _unknown_names(grader: Grader, where: str) -> Iterator[Problem]:
    for field, text in _templates(grader).items():
        for name in sorted(names(text)):
            if not is_known(name):
                what = f"`{{{{ {name} }}}}` is unknown; templates may name item.<field> and {OUTPUT_TEXT}"
                yield Problem(where=f"{where}.{field}", what=what)


def _own_problems(grader: Grader) -> Iterator[tuple[str, str]]:
    """Field and what is wrong with it."""
    match grader:
        case Regex():
            yield from _failing(BadPattern, "pattern", lambda: compiled(grader.pattern))
        case JsonSchema():
            yield from _failing(BadSchema, "schema", lambda: check_schema(grader.json_schema))
        case Python():
            yield from _python_problems(grader)
        case Sql():
            yield from _sql_problems(grader)
        case Multi():
            yield from _expression_problems(grader)


def _failing(kind: type[Exception], field: str, attempt: Callable[[], object]) -> Iterator[tuple[str, str]]:
    try:
        attempt()
    except kind as error:
        yield field, str(error)


def _python_problems(grader: Python) -> Iterator[tuple[str, str]]:
    from app.graders.python import problems_with_source
    from app.graders.sandbox.availability import unavailable

    for what in problems_with_source(grader.source):
        yield "source", what
    if why := unavailable(grader.sandbox):
        yield "sandbox", f"this worker cannot run it ({why}); choose the other sandbox"


def _sql_problems(grader: Sql) -> Iterator[tuple[str, str]]:
    from app.graders.sql import BadFixture, check_fixture

    if grader.fixture is not None:
        fixture = grader.fixture
        yield from _failing(BadFixture, "fixture", lambda: check_fixture(fixture))
        if grader.reference is None:
            yield "reference", "with a fixture the grader needs the right query to compare with"


def _expression_problems(grader: Multi) -> Iterator[tuple[str, str]]:
    for name in grader.graders:
        if not name.isidentifier() or keyword.iskeyword(name) or name in FUNCTIONS:
            yield f"graders.{name}", "call it by one word of letters, digits and _, other than a function's"
    try:
        expression = Expression(grader.calculate_output)
    except BadExpression as error:
        yield "calculate_output", str(error)
        return
    for name in sorted(expression.names - grader.graders.keys()):
        yield (
            "calculate_output",
            f"it uses `{name}`, which is none of its graders: {', '.join(grader.graders)}",
        )
    if not expression.names:
        yield "calculate_output", "it uses none of its graders, so every answer would score the same"


def _templates(grader: Grader) -> dict[str, str]:
    if isinstance(grader, ScoreModel):
        return {f"input.{place}.content": message.content for place, message in enumerate(grader.input)}
    fields = {"input": getattr(grader, "input", None), "reference": getattr(grader, "reference", None)}
    return {field: text for field, text in fields.items() if isinstance(text, str)}
