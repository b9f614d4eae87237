"""From what a grader says to score, abstain or error. Only a finite number is a score."""

import math
from typing import Any

from app.protocol import Abstain, GraderError, Outcome, Score


class CannotGrade(Exception):
    """The grader failed, in a sentence: never the fault of the answer."""


def judged(value: Any, low: float = 0.0, high: float = 1.0) -> Outcome:
    """A number is clipped to the range and mapped onto 0 to 1; None abstains; all else is an error."""
    if value is None:
        return Abstain(why="the grader returned None")
    if type(value) not in (bool, int, float):
        return GraderError(why=f"the grader returned {_shown(value)}, which is no number")
    try:
        number = float(value)
    except OverflowError:
        return GraderError(why="the grader returned a number too large to be a score")
    if not math.isfinite(number):
        return GraderError(why=f"the grader returned {number}, which is no score")
    return Score(value=min(1.0, max(0.0, (min(high, max(low, number)) - low) / (high - low))))


def _shown(value: Any) -> str:
    kinds: dict[type, str] = {str: "a text", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), f"a {type(value).__name__}")
