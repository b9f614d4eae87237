"""What is lent to code in a sandbox: fixed functions that run outside and trust no argument."""

import time
from collections.abc import Callable
from typing import Any

from rapidfuzz import fuzz

from app.graders.json_schema import BadSchema, fits
from app.graders.sandbox.cage import Cage
from app.graders.sandbox.session import Failed, HelperFailed, Helpers, Lost
from app.graders.sandbox.sums import CannotSay, Sums

LONGEST_TEXT = 64_000
CALLS_PER_ANSWER = 16
SECONDS_PER_ANSWER = 3.0

BY_SUMS = ("math_equal", "literal")
NAMES = ("similarity", "math_equal", "json_valid", "literal", "run")


class Lender:
    """Lends the helpers to one batch: so many calls for each of its answers, and no more."""

    def __init__(self, sums: Sums, candidates: Cage, answers: int) -> None:
        self._sums = sums
        self._candidates = candidates
        self._left = CALLS_PER_ANSWER * answers
        self._seconds_left = SECONDS_PER_ANSWER * answers
        self.seconds = 0.0
        """Spent in helpers so far, their own start included."""

    def helpers(self) -> Helpers:
        return {name: self._counted(getattr(self, name)) for name in NAMES}

    def similarity(self, a: str, b: str) -> float:
        """0 to 1: the share of characters that two texts have in common, in order."""
        return fuzz.ratio(_text(a), _text(b)) / 100

    def math_equal(self, a: str, b: str) -> bool:
        """Do two texts end in the same number or formula?"""
        try:
            return self._sums.equal(_text(b), _text(a))
        except CannotSay as error:
            raise HelperFailed(str(error)) from None

    def json_valid(self, text: str, schema: dict[str, Any]) -> bool:
        if not isinstance(schema, dict):
            raise HelperFailed("json_valid(text, schema) takes a schema as a mapping")
        try:
            return fits(_text(text), schema)
        except BadSchema as error:
            raise HelperFailed(str(error)) from None

    def literal(self, text: str) -> Any:
        """The plain value that a text writes out, as `[1, "a"]` does."""
        try:
            return self._sums.literal(_text(text))
        except CannotSay as error:
            raise HelperFailed(str(error)) from None

    def run(self, program: str, function: str, arguments: list[Any]) -> Any:
        """What an answer's program returns, run by itself in the cage: it never meets its grader.

        It knows these arguments and nothing else; what comes back is plain JSON, to be compared outside.
        """
        if not (isinstance(function, str) and function.isidentifier() and isinstance(arguments, list)):
            raise HelperFailed("run(program, function, arguments) takes a name and a list")
        try:
            with self._candidates.open(_text(program), 1, {}) as session:
                return session.call(function, arguments)
        except (Failed, Lost) as error:
            raise HelperFailed(f"the program failed: {error}") from None

    def _counted(self, helper: Callable[..., Any]) -> Callable[..., Any]:
        def lent(*arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise HelperFailed(f"more than {CALLS_PER_ANSWER} calls of helpers for each answer")
            if self._seconds_left < 0:
                raise HelperFailed(f"helpers took more than {SECONDS_PER_ANSWER:g} s for each answer")
            arrived = time.monotonic()
            if helper.__name__ in BY_SUMS:
                self._sums.warm_up()
            started = time.monotonic()
            try:
                return helper(*arguments)
            except TypeError:
                raise HelperFailed(f"{helper.__name__} does not take these arguments") from None
            finally:
                self._seconds_left -= time.monotonic() - started
                self.seconds += time.monotonic() - arrived

        return lent


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise HelperFailed("a helper was given something other than a text")
    if len(value) > LONGEST_TEXT:
        raise HelperFailed(f"a helper was given a text longer than {LONGEST_TEXT:,} characters")
    return value
