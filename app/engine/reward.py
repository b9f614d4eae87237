"""The reward is the grader's score. What the grader cannot score is left out, never counted as wrong."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from app.datasets.formats import Row
from app.engine.reporting import CannotTrain
from app.engine.rows import answers
from app.graders.bench import Bench
from app.protocol import Abstain, Grader, GraderError, Score

ERRORS = "grader/errors"
ABSTAINED = "grader/abstained"
"""Names of the metrics: shares of the step's completions."""


class Reward:
    def __init__(self, bench: Bench, grader: Grader, learned: Sequence[Row]) -> None:
        self._bench = bench
        self._grader = grader
        self._rows = learned

    def grader(
        self,
        completions: Sequence[Sequence[dict[str, str]]],
        row: Sequence[int],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        """The trainer's metrics carry this method's name: rewards/grader/mean."""
        texts = [completion[-1]["content"] for completion in completions]
        given = answers([self._rows[number] for number in row], texts)
        return scores(self._bench.grade(self._grader, given), log_metric)


def scores(
    outcomes: Sequence[Score | Abstain | GraderError], log_metric: Callable[[str, float], None]
) -> list[float | None]:
    kinds = Counter(outcome.kind for outcome in outcomes)
    log_metric(ERRORS, kinds["error"] / len(outcomes))
    log_metric(ABSTAINED, kinds["abstain"] / len(outcomes))
    if kinds["error"] == len(outcomes):
        why = next(outcome.why for outcome in outcomes if isinstance(outcome, GraderError))
        raise CannotTrain(f"The grader failed on every answer of a step: {why}. No answer counted as wrong.")
    return [outcome.value if isinstance(outcome, Score) else None for outcome in outcomes]
