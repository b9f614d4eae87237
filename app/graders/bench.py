"""Grades answers by the batch: what probe, reward, evaluation and try-it all use, so that they agree."""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from uuid import UUID

from app.graders.answer import Answer
from app.graders.composed import grade_multi, grade_self_correction
from app.graders.grading import NO_JUDGE, grade
from app.graders.outcomes import CannotGrade, judged
from app.protocol import (
    Grader,
    GraderError,
    JudgeEndpoint,
    Math,
    Multi,
    Outcome,
    Python,
    RewardModelGrader,
    SandboxLimits,
    ScoreModel,
    SelfCorrection,
    Sql,
)

__all__ = ["Answer", "Bench", "Resources", "RewardModels"]

RewardModels = Callable[[UUID, Sequence[Answer]], Sequence[float]]
"""Scores of answers, 0 to 1, by the reward model of a run. Raises LookupError where there is none."""


@dataclass(frozen=True)
class Resources:
    """What graders may use here. The key is kept apart, for it is written nowhere."""

    judge: JudgeEndpoint | None = None
    judge_key: str = ""
    sandbox: SandboxLimits = field(default_factory=SandboxLimits)
    reward_models: RewardModels | None = None


class Bench:
    """Holds what graders need while they work: sandboxes and a judge's connection, opened at first use.

    May be used from several threads; to be closed when all is graded.
    """

    def __init__(self, resources: Resources | None = None) -> None:
        self._resources = resources or Resources()
        self._lock = threading.RLock()
        self._open = ExitStack()
        self._tools: dict[str, Any] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._tools.clear()
            self._open.close()

    def grade(self, grader: Grader, answers: Sequence[Answer]) -> list[Outcome]:
        """One outcome per answer, in order. Never raises for what a grader or an answer does."""
        try:
            return self._graded(grader, answers)
        except CannotGrade as error:
            return _all_failed(str(error), answers)
        except Exception as error:
            return _all_failed(_unexpected(error), answers)

    def _graded(self, grader: Grader, answers: Sequence[Answer]) -> list[Outcome]:
        match grader:
            case Multi():
                return grade_multi(grader, answers, self.grade)
            case SelfCorrection():
                return grade_self_correction(grader, answers, self.grade)
            case RewardModelGrader():
                return self._rewarded(grader, answers)
            case ScoreModel() | Python() | Sql() | Math():
                return self._with_tools(grader, answers)
            case _:
                return [_one(grader, answer) for answer in answers]

    def _with_tools(
        self, grader: ScoreModel | Python | Sql | Math, answers: Sequence[Answer]
    ) -> list[Outcome]:
        """Imported when they are needed: most runs need none of these, and each takes its time."""
        if isinstance(grader, ScoreModel):
            return self._judged(grader, answers)
        if isinstance(grader, Python):
            return self._by_python(grader, answers)
        if isinstance(grader, Math):
            from app.graders.math import grade_math

            return grade_math(grader, answers, self._sums())
        from app.graders.sql import grade_sql

        return grade_sql(grader, answers)

    def _judged(self, grader: ScoreModel, answers: Sequence[Answer]) -> list[Outcome]:
        from app.graders.score_model import Judge

        endpoint = self._resources.judge
        if endpoint is None:
            raise CannotGrade(NO_JUDGE)
        judge: Judge = self._tool("judge", lambda: Judge(endpoint, self._resources.judge_key))
        return judge.grade(grader, answers)

    def _rewarded(self, grader: RewardModelGrader, answers: Sequence[Answer]) -> list[Outcome]:
        score = self._resources.reward_models
        if score is None:
            raise CannotGrade(
                "a reward model grades inside a run, where it is loaded; it cannot be tried here"
            )
        try:
            return [judged(value) for value in score(grader.run, answers)]
        except LookupError as error:
            raise CannotGrade(f"run {grader.run} left no reward model here: {error}") from None

    def _by_python(self, grader: Python, answers: Sequence[Answer]) -> list[Outcome]:
        from app.graders.helpers import Lender
        from app.graders.python import grade_python
        from app.graders.sandbox.cage import Cage, watchdog_seconds
        from app.graders.sandbox.monty import Little

        limits = self._resources.sandbox
        if grader.sandbox == "monty":
            sandbox: Little | Cage = self._tool("monty", lambda: Little(limits))
        else:
            sandbox = self._tool("cage", lambda: Cage(limits))
        candidates: Cage = self._tool("candidates", lambda: Cage(limits))
        sums = self._sums()
        return grade_python(
            grader,
            answers,
            sandbox,
            watchdog_seconds(limits),
            lambda count: Lender(sums, candidates, count),
        )

    def _sums(self) -> Any:
        from app.graders.sandbox.sums import Sums

        return self._tool("sums", Sums)

    def _tool(self, name: str, make: Callable[[], Any]) -> Any:
        """Made once, closed with the bench. Making starts no process yet."""
        with self._lock:
            if name not in self._tools:
                self._tools[name] = tool = make()
                self._open.callback(tool.close)
            return self._tools[name]


def _one(grader: Grader, answer: Answer) -> Outcome:
    try:
        return grade(grader, answer.text, answer.item)
    except Exception as error:
        return GraderError(why=_unexpected(error))


def _unexpected(error: Exception) -> str:
    return f"the grader failed here ({type(error).__name__}: {error})"[:400]


def _all_failed(why: str, answers: Sequence[Answer]) -> list[Outcome]:
    return [GraderError(why=why) for _ in answers]
