"""The reward is the grader's score. What the grader cannot score is left out, never counted as wrong."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from app.datasets.formats import Row
from app.engine.measuring import mark
from app.engine.reporting import CannotTrain
from app.engine.rows import answers
from app.graders.bench import Bench
from app.protocol import Grader, GraderError, Outcome, Score, pass_threshold

ERRORS = "grader/errors"
ABSTAINED = "grader/abstained"
"""Names of the metrics: shares of the step's completions."""

PARTS = "rewards/"
"""What a part of a reward made of several gave on average is told under this and its name."""

LENGTHS = {"1": "completions/mean_length_right", "0": "completions/mean_length_wrong"}

MOST_FAILED_RUNNING = 20

LogMetric = Callable[[str, float], None]
LogExtra = Callable[[str, list[float | None]], None]


class Reward:
    def __init__(self, bench: Bench, grader: Grader, learned: Sequence[Row]) -> None:
        self._bench = bench
        self._grader = grader
        self._rows = learned
        self._parts: set[str] = set()
        self._failed_on: list[int] = []
        """The rows of the latest answers, as long as it failed on each of these."""

    def grader(
        self,
        completions: Sequence[Sequence[dict[str, str]]],
        row: Sequence[int],
        completion_ids: Sequence[Sequence[int]],
        log_metric: LogMetric,
        log_extra: LogExtra,
        **_: Any,
    ) -> list[float | None]:
        """The trainer's metrics carry this method's name: rewards/grader/mean."""
        texts = [completion[-1]["content"] for completion in completions]
        given = answers([self._rows[number] for number in row], texts)
        outcomes = self._bench.grade(self._grader, given)
        self._refuse_one_that_is_down(outcomes, row)
        self._tell_parts(outcomes, log_metric, log_extra)
        tell_lengths(outcomes, pass_threshold(self._grader), completion_ids, log_metric)
        return scores(outcomes, log_metric)

    def _refuse_one_that_is_down(self, outcomes: Sequence[Outcome], row: Sequence[int]) -> None:
        """A judge that goes away fails on answer after answer. Many answers to one row are no sign of it."""
        for number, outcome in zip(row, outcomes, strict=True):
            if not isinstance(outcome, GraderError):
                self._failed_on.clear()
                continue
            self._failed_on.append(number)
            if len(self._failed_on) >= MOST_FAILED_RUNNING and len(set(self._failed_on)) > 1:
                raise CannotTrain(
                    f"The grader failed on {MOST_FAILED_RUNNING} answers one after another: {outcome.why}. "
                    "No answer counted as wrong."
                )

    def _tell_parts(self, outcomes: Sequence[Outcome], log_metric: LogMetric, log_extra: LogExtra) -> None:
        """A column that was once told is told in each batch: the trainer keeps columns by their places."""
        given = [outcome.parts if isinstance(outcome, Score) else {} for outcome in outcomes]
        self._parts |= {name for parts in given for name in parts}
        for name in sorted(self._parts):
            column = [parts.get(name) for parts in given]
            log_extra(f"{PARTS}{name}", column)
            if known := [value for value in column if value is not None]:
                log_metric(f"{PARTS}{name}", fmean(known))


def tell_lengths(
    outcomes: Sequence[Outcome], least: float, completion_ids: Sequence[Sequence[int]], log_metric: LogMetric
) -> None:
    """Right and wrong answers apart: where only wrong ones grow, length is what is being learned."""
    marks = [mark(outcome, least) for outcome in outcomes]
    for which, name in LENGTHS.items():
        lengths = [len(ids) for ids, each in zip(completion_ids, marks, strict=True) if each == which]
        if lengths:
            log_metric(name, fmean(lengths))


def scores(outcomes: Sequence[Outcome], log_metric: LogMetric) -> list[float | None]:
    kinds = Counter(outcome.kind for outcome in outcomes)
    log_metric(ERRORS, kinds["error"] / len(outcomes))
    log_metric(ABSTAINED, kinds["abstain"] / len(outcomes))
    if kinds["error"] == len(outcomes):
        why = next(outcome.why for outcome in outcomes if isinstance(outcome, GraderError))
        raise CannotTrain(f"The grader failed on every answer of a step: {why}. No answer counted as wrong.")
    return [outcome.value if isinstance(outcome, Score) else None for outcome in outcomes]
