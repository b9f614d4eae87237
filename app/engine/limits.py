"""What a run has used so far, and which of its limits that reaches. Light: imports no torch."""

import time

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

    def training_begins(self) -> None:
        self._training_since = time.monotonic()

    def training_ends(self) -> None:
        if self._training_since is not None:
            self._trained += time.monotonic() - self._training_since
            self._training_since = None

    def spent(self) -> Spent:
        now = time.monotonic()
        running = 0.0 if self._training_since is None else now - self._training_since
        return Spent(
            training_seconds=self._before.training_seconds + self._trained + running,
            device_seconds=self._before.device_seconds + now - self._began,
        )


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


def in_a_sentence(limits: Limits, name: LimitName, done: int, planned: int) -> str:
    return (
        f"The limit of {getattr(limits, name):g} {UNITS[name]} was reached after {done} of {planned} steps. "
        "Resume the run with a higher limit to go on from its newest checkpoint."
    )
