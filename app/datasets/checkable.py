"""Which answers a program could check, and the grader that would, tried on the data before it is told."""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from app.datasets.rows import Row
from app.graders.grading import grade
from app.protocol import Checkable, Grader, JsonSchema, Math, Score, Sql, StringCheck

LOOKED_AT = 2_000
TRIED_ON = 40
SHARE = 0.9
"""Of the values that must be of a kind."""
MOST_LABELS = 20
LABEL_CHARACTERS = 40
SHORT_CHARACTERS = 60

NUMBER = re.compile(r"[-+−]?[$€£]?\d[\d,  ]*(\.\d+)?(/\d+)?\s*%?")
FINAL_NUMBER = re.compile(r"(####|\\boxed\{|[Aa]nswer( is)?:?)\s*\$?[-+]?\d")
SQL_START = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|CREATE)\b", re.IGNORECASE)
CODE = re.compile(r"```|^\s*(def|class|import|from|function|#include|public)\b", re.MULTILINE)

Kind = Literal["number", "label", "json", "sql", "code", "short_text"]


class Values:
    """Of every field that an answer could be compared with, from an even sample of rows."""

    def __init__(self, total: int) -> None:
        self._every = max(1, -(-total // LOOKED_AT))
        self._seen = 0
        self.looked_at = 0
        self.by_field: dict[str, list[str]] = {}

    def add(self, row: Row) -> None:
        self._seen += 1
        if row.is_pair or row.is_text or (self._seen - 1) % self._every:
            return
        self.looked_at += 1
        for field, value in row.item.items():
            if field.isidentifier() and field.isascii() and (text := _as_text(value)) is not None:
                self.by_field.setdefault(field, []).append(text)

    def checkable(self) -> list[Checkable]:
        found = (self._field(field, values) for field, values in sorted(self.by_field.items()))
        return [each for each in found if each]

    def _field(self, field: str, values: list[str]) -> Checkable | None:
        for kind, is_it in _KINDS.items():
            fitting = is_it(values)
            if fitting >= SHARE * len(values) and values:
                return self._told(field, kind, values, fitting)
        return None

    def _told(self, field: str, kind: Kind, values: list[str], fitting: int) -> Checkable:
        grader = suggestion(kind, field, values)
        if grader and not pays_for_the_right_answer(grader, field, values):
            grader = None
        where = "The answers" if field == "reference" else f"The values of `{field}`"
        return Checkable(
            field=field,
            kind=kind,
            rows=fitting,
            share=fitting / self.looked_at,
            sentence=f"{where} {_IN_WORDS[kind].format(n=len(set(values)))}",
            grader=grader,
            commonest=Counter(values).most_common(1)[0][1] / len(values),
        )


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None


# The kinds, from the surest to the vaguest


def _numbers(values: Sequence[str]) -> int:
    return sum(bool(NUMBER.fullmatch(value) or FINAL_NUMBER.search(value)) for value in values)


def _labels(values: Sequence[str]) -> int:
    counts = Counter(values)
    few = len(counts) <= MOST_LABELS and len(values) >= 5 * len(counts)
    return sum(len(value) <= LABEL_CHARACTERS for value in values) if few else 0


def _json(values: Sequence[str]) -> int:
    return sum(value[:1] in "{[" and _loads(value) is not None for value in values)


def _loads(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _sql(values: Sequence[str]) -> int:
    looks = [value for value in values if SQL_START.match(value)]
    if len(looks) < SHARE * len(values):
        return len(looks)
    import sqlglot

    tried = looks[:TRIED_ON]
    good = sum(_parses(sqlglot.parse_one, value, sqlglot.errors.SqlglotError) for value in tried)
    return len(looks) * good // len(tried)


def _parses(parse: Callable[[str], Any], text: str, error: type[Exception]) -> bool:
    try:
        parse(text)
    except (error, RecursionError):
        return False
    return True


def _code(values: Sequence[str]) -> int:
    return sum(
        bool(CODE.search(value)) and ("```" in value or _parses(ast.parse, value, SyntaxError))
        for value in values
    )


def _short(values: Sequence[str]) -> int:
    return sum(len(value) <= SHORT_CHARACTERS and "\n" not in value for value in values)


_KINDS: dict[Kind, Callable[[Sequence[str]], int]] = {
    "number": _numbers,
    "json": _json,
    "sql": _sql,
    "label": _labels,
    "code": _code,
    "short_text": _short,
}

_IN_WORDS: dict[Kind, str] = {
    "number": "are numbers, or end in one: a `math` grader compares them whatever way they are written.",
    "json": "are JSON: a `json_schema` grader checks that an answer has the same shape.",
    "sql": "are SQL: a `sql` grader checks that an answer parses and, with a fixture, returns the same rows.",
    "label": "are one of {n} labels: a `string_check` compares them.",
    "code": "are code: a `python` grader can run tests of yours on an answer.",
    "short_text": "are short texts: a `string_check` compares them, letter by letter.",
}


# The graders


def suggestion(kind: Kind, field: str, values: Sequence[str]) -> Grader | None:
    """Ready to use; None where only the user knows what to check."""
    reference = f"{{{{ item.{field} }}}}"
    if kind == "number":
        return Math(name="number", reference=reference)
    if kind in ("label", "short_text"):
        return StringCheck(name=kind, reference=reference, operation="eq")
    if kind == "sql":
        return Sql(name="sql")
    return JsonSchema(name="json", json_schema=schema_of(values)) if kind == "json" else None


def schema_of(values: Sequence[str]) -> dict[str, Any]:
    """What all values have in common: their type, and of objects the fields with their types."""
    loaded = [each for value in values if (each := _loads(value)) is not None]
    objects = [each for each in loaded if isinstance(each, dict)]
    if len(objects) < len(loaded) or not objects:
        return {"type": "array"} if not objects else {"type": ["object", "array"]}
    shared = sorted(set.intersection(*(set(each) for each in objects)))
    properties = {name: _type_of([each[name] for each in objects]) for name in shared}
    return {"type": "object", "required": shared, "properties": properties}


def _type_of(values: Sequence[Any]) -> dict[str, Any]:
    types = sorted({_json_type(value) for value in values})
    return {"type": types[0]} if len(types) == 1 else {"type": types}


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def pays_for_the_right_answer(grader: Grader, field: str, values: Sequence[str]) -> bool:
    outcomes = [grade(grader, value, {field: value}) for value in values[:TRIED_ON]]
    full = sum(isinstance(outcome, Score) and outcome.value == 1 for outcome in outcomes)
    return full >= SHARE * len(outcomes)
