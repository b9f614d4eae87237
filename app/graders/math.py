"""Compares the number or formula in an answer with the reference, by math-verify."""

import time
from collections.abc import Sequence

from app.graders.answer import Answer
from app.graders.sandbox.sums import CannotSay, Sums
from app.graders.template import NothingToFill, fill
from app.protocol import GraderError, Math, Outcome, Score

BATCH_SECONDS = 60.0
"""A few answers that take all their time must not hold up a training step for the rest of it."""

TOO_LATE = "the answers before this one took too long to read"


def grade_math(grader: Math, answers: Sequence[Answer], sums: Sums) -> list[Outcome]:
    outcomes: list[Outcome] = []
    started = time.monotonic()
    for answer in answers:
        is_late = time.monotonic() - started > BATCH_SECONDS
        outcomes.append(GraderError(why=TOO_LATE) if is_late else _one(grader, answer, sums))
    return outcomes


def _one(grader: Math, answer: Answer, sums: Sums) -> Outcome:
    try:
        reference = fill(grader.reference, answer.text, answer.item)
        given = fill(grader.input, answer.text, answer.item)
        return Score(value=float(sums.equal(reference, given)))
    except (NothingToFill, CannotSay) as error:
        return GraderError(why=str(error))
