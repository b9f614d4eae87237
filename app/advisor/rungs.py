"""On which rungs of the ladder of evidence a recommendation stands: how many of its answers on each."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import get_args

from app.advisor.advice import Basis, Contribution

RUNGS: tuple[Basis, ...] = get_args(Basis)
"""From the weakest to the strongest."""


def stands_on(contributions: Iterable[Contribution]) -> dict[Basis, int]:
    """Answers by their basis, from the weakest rung up; rungs without any are left out."""
    found = Counter(each.basis for each in contributions if each.state == "answered" and each.basis)
    return {rung: found[rung] for rung in RUNGS if found[rung]}


def in_words(counts: Mapping[Basis, int]) -> str:
    """`Told 14, inspected 3, probed 1`."""
    return ", ".join(f"{rung} {count}" for rung, count in counts.items()).capitalize() or "No answers yet"
