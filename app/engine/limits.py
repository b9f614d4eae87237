"""What a run has used so far, and which of its limits that reaches. Light: imports no torch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.protocol import LimitName, Limits
from app.run_dir import Spent

HOUR = 3600

UNITS = {"steps": "steps", "minutes": "minutes of training", "gpu_hours": "GPU-hours", "money": "in money"}


class Clock:
    """Seconds of this attempt and of those before it, by a clock that nobody can set."""

    def __init__(self, before: Spent) -> None:
        self._before = before
        self._began = time.monotonic()
        self._training_since: float | None = None
        self._trained = 0.0
        self._aside = 0.0
        self.learned_before = 0.0
        """Seconds behind the checkpoint that this attempt goes on from."""

    def training_begins(self) -> None:
        self._training_since = time.monotonic()

    def training_ends(self) -> None:
        if self._training_since is not None:
            self._trained += time.monotonic() - self._training_since
            self._training_since = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done during training but teaches nothing: checks on held-out rows, checkpoints."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._aside += time.monotonic() - began

    @property
    def learned(self) -> float:
        """Seconds of training that are in the model; steps that were lost with a process are not."""
        return self.learned_before + self._training() - self._aside

    def spent(self) -> Spent:
        return Spent(
            training_seconds=self._before.training_seconds + self._training(),
            device_seconds=self._before.device_seconds + time.monotonic() - self._began,
        )

    def _training(self) -> float:
        running = 0.0 if self._training_since is None else time.monotonic() - self._training_since
        return self._trained + running


def reached(limits: Limits, spent: Spent, steps_done: int) -> LimitName | None:
    """The first limit, in the order of Limits, of which nothing is left."""
    hours = spent.device_seconds / HOUR
    used: dict[LimitName, float] = {
        "steps": steps_done,
        "minutes": spent.training_seconds / 60,
        "gpu_hours": hours,
        "money": hours * (limits.price_per_gpu_hour or 0),
    }
    for name, amount in used.items():
        most = getattr(limits, name)
        if most is not None and amount >= most:
            return name
    return None


def reached_by_measuring(limits: Limits, spent: Spent) -> LimitName | None:
    """Steps and minutes are of training alone."""
    return reached(limits.model_copy(update={"steps": None, "minutes": None}), spent, 0)


def can_pause_measuring(limits: Limits) -> bool:
    return limits.gpu_hours is not None or limits.money is not None


def while_measuring(limits: Limits, name: LimitName) -> str:
    return (
        f"The limit of {getattr(limits, name):g} {UNITS[name]} was reached while the model was measured. "
        "Resume the run with a higher limit to measure it."
    )


def in_a_sentence(limits: Limits, name: LimitName, done: int, planned: int) -> str:
    return (
        f"The limit of {getattr(limits, name):g} {UNITS[name]} was reached after {done} of {planned} steps. "
        "Resume the run with a higher limit to go on from its newest checkpoint."
    )
