"""Compares two texts: equal, different, or one within the other."""

from collections.abc import Mapping
from typing import Any

from app.graders.template import fill
from app.protocol import GraderError, Score, StringCheck


def grade_string(grader: StringCheck, output_text: str, item: Mapping[str, Any]) -> Score | GraderError:
    given = fill(grader.input, output_text, item)
    reference = fill(grader.reference, output_text, item)
    if grader.operation in ("like", "ilike") and not reference:
        return GraderError(why="the reference is empty, and every answer contains an empty text")
    return Score(value=float(_passes(grader.operation, given, reference)))


def _passes(operation: str, given: str, reference: str) -> bool:
    match operation:
        case "eq":
            return given == reference
        case "ne":
            return given != reference
        case "like":
            return reference in given
        case _:
            return reference.casefold() in given.casefold()
