"""The reward models that a run's graders ask, each loaded at its first answer. Light until then."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from app.graders.answer import Answer

Scorer = Callable[[Sequence[Answer]], list[float]]


class RewardModels:
    def __init__(self, folders: Mapping[str, str], device: str) -> None:
        self._folders = folders
        self._device = device
        self._loaded: dict[UUID, Scorer] = {}

    def __call__(self, run: UUID, answers: Sequence[Answer]) -> list[float]:
        """Scores from 0 to 1. Raises LookupError where that run's model is not at hand."""
        if run not in self._loaded:
            from app.engine.reward_scorer import scorer

            self._loaded[run] = scorer(Path(self._folders[str(run)]), self._device)
        return self._loaded[run](answers)
