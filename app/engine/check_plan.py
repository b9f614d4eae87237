"""When checks during training fall, on which rows, and what they may cost. Pure: no clock of its own."""

import math

SHARE_OF_TIME, SECONDS_ALLOWED = 0.2, 60
"""Checks may take this share of the time since training began, and so many seconds in all in any case."""


def due(steps: int, checks: int) -> frozenset[int]:
    """Evenly spread, the last one after the last step; fewer than asked for where there are fewer steps."""
    return frozenset(math.ceil(steps * k / checks) for k in range(1, checks + 1))


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
