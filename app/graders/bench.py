"""Grades answers by the batch: what probe, reward, evaluation and try-it all use, so that they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from app.graders.grading import grade
from app.protocol import Grader, Outcome


@dataclass(frozen=True)
class Answer:
    """What a model answered, to which prompt, and the row's fields that graders know as `item`."""

    text: str
    item: Mapping[str, Any]
    prompt: str = ""


class Bench:
    """Holds what graders need while they work: sandboxes, a judge's connection, a loaded reward model."""

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def grade(self, grader: Grader, answers: Sequence[Answer]) -> list[Outcome]:
        """One outcome per answer, in order. Never raises for what a grader or an answer does."""
        return [grade(grader, answer.text, answer.item) for answer in answers]
