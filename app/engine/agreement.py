"""How well a reward model agrees with people on held-out pairs, and what follows from that."""

import math
from collections.abc import Sequence
from itertools import pairwise

from app.graders.comparison import wilson
from app.protocol import Agreement, CalibrationBin, HealthEvent, Share

BINS = 10

DO_NOT_USE = 0.6
WATCH = 0.8
"""Shares of agreement: below the first, fix the pairs first; below the second, use with care (Microsoft's
fine-tuning guide asks as much of any grader)."""


def agreement(margins: Sequence[float]) -> Agreement:
    """`margins` are chosen minus rejected rewards, of at least one pair. A tie agrees with nobody."""
    right = sum(margin > 0 for margin in margins)
    bins = _bins(margins)
    return Agreement(
        share=Share(right=right, n=len(margins), interval=wilson(right, len(margins))),
        bins=bins,
        expected_calibration_error=sum(each.pairs * abs(each.predicted - each.observed) for each in bins)
        / len(margins),
        margin=sum(margins) / len(margins),
    )


def _bins(margins: Sequence[float]) -> list[CalibrationBin]:
    """By the chance that the model gives the answer it prefers itself; empty bins say nothing."""
    edges = [0.5 + 0.5 * place / BINS for place in range(BINS + 1)]
    chances = [chance(abs(margin)) for margin in margins]
    found = []
    for low, high in pairwise(edges):
        inside = [
            (predicted, margin > 0)
            for predicted, margin in zip(chances, margins, strict=True)
            if low <= predicted < high or predicted == high == 1.0
        ]
        found.append(
            CalibrationBin(
                low=low,
                high=high,
                pairs=len(inside),
                predicted=sum(each for each, _ in inside) / len(inside) if inside else (low + high) / 2,
                observed=sum(is_right for _, is_right in inside) / len(inside) if inside else 0.0,
            )
        )
    return found


def chance(margin: float) -> float:
    return 1 / (1 + math.exp(-margin)) if margin >= 0 else 1 - chance(-margin)


def finding(found: Agreement, step: int) -> HealthEvent | None:
    share = found.share
    told = (
        f"The reward model agrees with people on {share.value:.0%} of {share.n} held-out pairs "
        f"({share.interval.low:.0%} to {share.interval.high:.0%})"
    )
    if share.value >= WATCH:
        return None
    if share.value < DO_NOT_USE:
        sentence = f"{told}: too seldom to train against."
        advice = (
            "Do not grade a run with it. Clean the pairs, gather more of them, or start from a larger model."
        )
    else:
        sentence = f"{told}: enough to try, not enough to trust."
        advice = "Read samples often, and measure with a second grader that the training never sees."
    return HealthEvent(
        rule="reward_model_agreement",
        level="warn",
        step=step,
        sentence=sentence,
        value=share.value,
        advice=advice,
        sources=["ms-azure"],
    )
