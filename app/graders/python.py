"""`grade(sample, item)` by a user, in a sandbox: code here never runs in this process."""

import ast
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.errors import TuningForkError
from app.graders.answer import Answer
from app.graders.helpers import Lender
from app.graders.outcomes import judged
from app.graders.sandbox.session import Failed, Lost, Sandbox, Session
from app.protocol import GraderError, Outcome, Python
from app.strict_json import strict_loads

BATCH = 64
"""Answers that share a process."""

LONGEST_TEXT = 64_000
"""Characters of an answer, and of a row written as JSON."""


def grade_python(
    grader: Python, answers: Sequence[Answer], sandbox: Sandbox, seconds: float, lend: Callable[[int], Lender]
) -> list[Outcome]:
    """`seconds` of wall time for each batch, helpers apart."""
    outcomes: list[Outcome] = []
    for start in range(0, len(answers), BATCH):
        batch = answers[start : start + BATCH]
        outcomes += _Batch(grader, batch, sandbox, seconds, lend(len(batch))).grade()
    return outcomes


class _Batch:
    """An answer that the code does not survive is an error; the others are graded by a fresh process."""

    def __init__(
        self, grader: Python, answers: Sequence[Answer], sandbox: Sandbox, seconds: float, lender: Lender
    ) -> None:
        self._grader = grader
        self._answers = answers
        self._sandbox = sandbox
        self._seconds = seconds
        self._lender = lender
        self._outcomes: dict[int, Outcome] = {}
        self._started = time.monotonic()

    def grade(self) -> list[Outcome]:
        """In an order that says nothing about an answer, for code can remember what it saw before."""
        left = list(range(len(self._answers)))
        random.Random(len(left)).shuffle(left)
        while left and not self._is_late():
            try:
                with self._sandbox.open(self._grader.source, len(left), self._lender.helpers()) as session:
                    self._work(session, left)
            except (Failed, Lost) as error:
                self._give_up(left, f"the code did not load: {error}")
        self._give_up(left, "the batch took too long; this answer was not graded")
        return [self._outcomes[place] for place in range(len(self._answers))]

    def _work(self, session: Session, left: list[int]) -> None:
        while left and not self._is_late():
            place = left.pop()
            try:
                self._outcomes[place] = self._one(session, self._answers[place])
            except Lost as lost:
                self._outcomes[place] = GraderError(why=f"the code did not finish: {lost}")
                return

    def _one(self, session: Session, answer: Answer) -> Outcome:
        try:
            sample, item = _arguments(answer)
            value = session.call("grade", [sample, item])
        except Failed as error:
            return GraderError(why=f"the code failed: {error}")
        return judged(value, self._grader.low, self._grader.high)

    def _is_late(self) -> bool:
        """What helpers take is bounded by itself and not the code's."""
        return time.monotonic() - self._started - self._lender.seconds > self._seconds

    def _give_up(self, left: list[int], why: str) -> None:
        while left:
            self._outcomes[left.pop()] = GraderError(why=why)


def _arguments(answer: Answer) -> tuple[dict[str, Any], Any]:
    item = dict(answer.item)
    if len(answer.text) > LONGEST_TEXT or len(json.dumps(item, default=str)) > LONGEST_TEXT:
        raise Failed(f"the answer or its row is longer than {LONGEST_TEXT:,} characters")
    sample = {"output_text": _whole(answer.text), "prompt": _whole(answer.prompt)[:LONGEST_TEXT]}
    return {**sample, "output_json": _parsed(answer.text)}, item


def _whole(text: str) -> str:
    """Half of a surrogate pair cannot be sent anywhere."""
    return text.encode("utf-8", "replace").decode()


def _parsed(text: str) -> Any:
    """The answer as JSON, None where it is none."""
    try:
        return strict_loads(text.strip().encode("utf-8", "replace"))
    except TuningForkError:
        return None


def problems_with_source(source: str) -> Iterator[str]:
    """What would fail on every answer, found without running anything."""
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        yield f"line {error.lineno or 1} is not Python: {error.msg}"
        return
    except (ValueError, RecursionError, MemoryError):
        yield "this is not Python that can be read: it holds NUL characters or is nested too deeply"
        return
    found = [node for node in module.body if getattr(node, "name", None) == "grade"]
    named = {name.id for name in ast.walk(module) if isinstance(name, ast.Name)}
    if not found and "grade" not in named:
        yield "there is no function `grade(sample, item)`; add one at the outermost level"
    elif found and isinstance(found[-1], ast.AsyncFunctionDef):
        yield "`grade` is async, and nobody waits for it; write `def grade(sample, item)`"
    elif found and isinstance(found[-1], ast.FunctionDef) and not _takes_two(found[-1].args):
        yield "`grade` must take two arguments: `def grade(sample, item)`"


def _takes_two(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    least = positional - len(arguments.defaults)
    needed_by_name = sum(default is None for default in arguments.kw_defaults)
    return least <= 2 and (positional >= 2 or arguments.vararg is not None) and not needed_by_name
