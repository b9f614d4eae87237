"""Grades answers by the batch: what probe, reward, evaluation and try-it all use, so that they agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from uuid import UUID

from app.graders.answer import Answer
from app.graders.grading import grade
from app.protocol import Grader, JudgeEndpoint, Outcome, SandboxLimits

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

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        pass

    def grade(self, grader: Grader, answers: Sequence[Answer]) -> list[Outcome]:
        """One outcome per answer, in order. Never raises for what a grader or an answer does."""
        return [grade(grader, answer.text, answer.item) for answer in answers]
