"""When checks during training fall, on which rows, and what they may cost. Pure: no clock of its own."""

import math

SHARE_OF_TIME, SECONDS_ALLOWED = 0.2, 60
"""Checks may take this share of the time since training began, and so many seconds in all in any case."""


def due(steps: int, checks: int) -> frozenset[int]:
    """Evenly spread, the last one after the last step; fewer than asked for where there are fewer steps."""
    return frozenset(math.ceil(steps * k / checks) for k in range(1, checks + 1))


class Turns:
    """So many of something over a training: evenly over its steps, or over its budget of time.

    `used` is the share of that budget, None without one. What was due while nobody asked is due once.
    """

    def __init__(self, number: int, steps: int, used: float | None = None) -> None:
        self._number = number
        self._by_step = due(steps, number)
        self._last = steps
        self._done = self._of(used)

    def is_due(self, step: int, used: float | None, is_last: bool = False) -> bool:
        """`is_last` of a step after which the budget ends the training."""
        if used is None:
            return step in self._by_step
        before, self._done = self._done, self._of(used)
        return self._done > before or ((is_last or step == self._last) and self._number > 0)

    def _of(self, used: float | None) -> int:
        """The last turn is the last step's: the budget may be used up while a step that is not it is told."""
        return min(math.floor((used or 0.0) * self._number), self._number - 1)


def spread(n: int, most: int) -> list[int]:
    """Places of at most `most` of n things, evenly apart, always the same."""
    taken = min(n, most)
    return [k * n // taken for k in range(taken)]


class Budget:
    """In seconds."""

    def __init__(self) -> None:
        self.latest = 0.0
        self._spent = 0.0

    def took(self, seconds: float) -> None:
        self.latest = seconds
        self._spent += seconds

    def allows_another(self, since_training_began: float) -> bool:
        """By what the last one took. A run of a few minutes is always checked."""
        return self._spent + self.latest <= max(SECONDS_ALLOWED, SHARE_OF_TIME * since_training_began)
