"""Asks whether the answer is JSON that fits a schema (JSON Schema, draft 2020-12)."""

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from app.errors import TuningForkError
from app.graders.patterns import BadPattern, compiled
from app.graders.template import fill
from app.protocol import JsonSchema, Score
from app.strict_json import strict_loads

MOST_REFERENCES = 20_000
"""Followed in one answer: `anyOf` over references can double the work with every level."""

_references_left: ContextVar[int] = ContextVar("_references_left")


class BadSchema(Exception):
    """The schema cannot be used."""


class _TooMuchWork(Exception):
    """The schema refers to itself without end."""


def grade_json(grader: JsonSchema, output_text: str, item: Mapping[str, Any]) -> Score:
    return Score(value=float(fits(fill(grader.input, output_text, item), grader.json_schema)))


def fits(text: str, schema: dict[str, Any]) -> bool:
    """Raises BadSchema."""
    validator = _validator(json.dumps(schema, sort_keys=True))
    try:
        answer = strict_loads(text.strip().encode("utf-8", "surrogatepass"))
    except TuningForkError:
        return False
    _references_left.set(MOST_REFERENCES)
    try:
        return bool(validator.is_valid(answer))
    except (_TooMuchWork, RecursionError):
        raise BadSchema("the schema refers to itself too often to be checked") from None
    except Unresolvable as error:
        raise BadSchema(f"the schema refers to {error.ref!r}, which it does not define") from None


def check_schema(schema: dict[str, Any]) -> None:
    """Raises BadSchema. References may only stay inside the schema: nothing is ever fetched."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise BadSchema(f"not a JSON Schema: {error.message[:200]} at {error.json_path}") from None
    except RecursionError:
        raise BadSchema("the schema is nested too deeply") from None
    for part in _parts(schema):
        _check_part(part)


def _check_part(part: dict[str, Any]) -> None:
    if "patternProperties" in part:
        raise BadSchema("patternProperties is not supported; name the properties instead")
    if isinstance(pattern := part.get("pattern"), str):
        try:
            compiled(pattern)
        except BadPattern as error:
            raise BadSchema(str(error)) from None
    for key in ("$ref", "$dynamicRef"):
        if isinstance(target := part.get(key), str) and not target.startswith("#"):
            raise BadSchema(
                f"{key} points to {target[:80]!r}; define it under $defs and point to '#/$defs/...'"
            )


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    unseen = [value]
    while unseen:
        each = unseen.pop()
        if isinstance(each, dict):
            yield each
            unseen.extend(each.values())
        elif isinstance(each, list):
            unseen.extend(each)


@lru_cache(maxsize=64)
def _validator(schema_json: str) -> Validator:
    schema = json.loads(schema_json)
    check_schema(schema)
    validator: Validator = _LinearValidator(schema, registry=EMPTY_REGISTRY)
    return validator


def _pattern(validator: Validator, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compiled(pattern).search(instance):
        yield ValidationError("does not match")


def _counted(keyword: str) -> Any:
    follow = Draft202012Validator.VALIDATORS[keyword]

    def counting(validator: Validator, target: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        left = _references_left.get() - 1
        if left < 0:
            raise _TooMuchWork
        _references_left.set(left)
        yield from follow(validator, target, instance, schema)

    return counting


_LinearValidator: Any = extend(  # type: ignore[no-untyped-call]  # the stubs leave it untyped
    Draft202012Validator,
    {"pattern": _pattern, "$ref": _counted("$ref"), "$dynamicRef": _counted("$dynamicRef")},
)
