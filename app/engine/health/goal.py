"""Does GRPO's reward still stand for the goal? It is held against measurements that are never rewarded."""

from collections.abc import Sequence
from itertools import pairwise

from app.engine.health.grpo import LEARNT
from app.engine.health.series import HELD_OUT, Found, Rule, Series, gain, mean

INDEPENDENT = f"{HELD_OUT}independent/"

HACKED_FALL, HACKED_FALL_FROM_BEST = 0.1, 0.15
"""Fall of the independent score since the start on two checks running, and from its best pair of checks."""

GAP_GROWN, GAP_GROWN_UNCHECKED = 0.1, 0.2
"""How far the rewarded score outgrows the independent one; and, without one, the reward in training that on
held-out rows, whose difference is much noisier."""

PART_SATURATED, PART_GAINED, PART_FLAT = 0.95, 0.2, 0.02

ABSTENTION_LOST, ABSTENTION_GONE, ABSTENTION_AT_FIRST = 0.8, 0.5, 0.2
"""Shares of the first abstention that are left, and the least there must have been."""


def reward_hacked(series: Series) -> Found | None:
    """Training reward up, independent score down: what Gao et al. 2022 call over-optimisation."""
    if (gain(series) or 0.0) < LEARNT:
        return None
    for name in series.names(INDEPENDENT):
        scores = series.all(name)
        if len(scores) >= 3 and _has_fallen(scores):
            rewards = series.all("reward")
            return Found(
                f"The reward rose from {mean(rewards[:5]):.2f} to {mean(rewards[-10:]):.2f} while the "
                f"independent grader “{name.removeprefix(INDEPENDENT)}” fell from {_best(scores):.2f} to "
                f"{mean(scores[-2:]):.2f}: the grader is pleased without the model doing better.",
                "Keep a checkpoint from before the fall, read samples, and close the loophole in the grader.",
                mean(scores[-2:]),
            )
    return None


def _has_fallen(scores: Sequence[float]) -> bool:
    from_start = max(scores[-2:]) <= scores[0] - HACKED_FALL
    return from_start or mean(scores[-2:]) <= _best(scores) - HACKED_FALL_FROM_BEST


def _best(scores: Sequence[float]) -> float:
    """Of two checks running, so that one lucky check is no best; the first is a longer measurement."""
    return max(scores[0], *(mean(pair) for pair in pairwise(scores)))


def reward_outruns(series: Series) -> Found | None:
    if (gain(series) or 0.0) < LEARNT:
        return None
    grown = max(
        (_outgrown(series, name) for name in series.names(INDEPENDENT)),
        key=lambda each: each[0],
        default=(0.0, 0.0),
    )
    if not series.names(INDEPENDENT):
        return _outruns_held_out(series)
    if grown[0] <= GAP_GROWN:
        return None
    return Found(
        f"The rewarded score has outgrown the independent one by {grown[0]:.2f} since the start: part of the "
        "gain is not the goal's.",
        "Read samples with a high reward and a low independent score, and mend the grader.",
        grown[1],
    )


def _outgrown(series: Series, name: str) -> tuple[float, float]:
    """Growth of the gap on the same answers, mean of the last two checks; where the other score stands."""
    rewarded, independent = series.all(f"{HELD_OUT}score"), series.all(name)
    if min(len(rewarded), len(independent)) < 3:
        return 0.0, 0.0
    gaps = [ours - theirs for ours, theirs in zip(rewarded[-2:], independent[-2:], strict=True)]
    return mean(gaps) - (rewarded[0] - independent[0]), mean(independent[-2:])


def _outruns_held_out(series: Series) -> Found | None:
    held, rewards = series.all(f"{HELD_OUT}score"), series.all("reward")
    if len(held) < 5:
        return None
    grown = mean(rewards[-10:]) - mean(rewards[:5]) - (mean(held[-3:]) - held[0])
    if grown <= GAP_GROWN_UNCHECKED:
        return None
    return Found(
        f"The reward in training has outgrown the score on held-out rows by {grown:.2f}: the model learns "
        "its prompts rather than the task.",
        "Use more prompts, or stop and keep the best checkpoint.",
        mean(held[-3:]),
    )


def one_part_hacked(series: Series) -> Found | None:
    """Of a reward made of parts, one is at its ceiling and another has not moved."""
    if (gain(series) or 0.0) < LEARNT:
        return None
    parts = [name for name in series.names("rewards/") if name.count("/") == 1]
    grown = {name: _part(series, name) for name in parts}
    full = [name for name, (rise, now) in grown.items() if now >= PART_SATURATED and rise >= PART_GAINED]
    flat = [name for name, (rise, now) in grown.items() if rise <= PART_FLAT and now < PART_SATURATED]
    if not full or not flat:
        return None
    return Found(
        f"All of the gain comes from “{full[0].removeprefix('rewards/')}”, which is at its ceiling, while "
        f"“{flat[0].removeprefix('rewards/')}” has not risen ({grown[flat[0]][1]:.2f}).",
        "Weigh the part that stands still more, or let the easy one count only where the answer is right.",
        grown[full[0]][1],
    )


def _part(series: Series, name: str) -> tuple[float, float]:
    values = series.all(name)
    return (mean(values[-10:]) - mean(values[:5]), mean(values[-10:])) if len(values) >= 20 else (0.1, 0.0)


def abstention_lost(series: Series) -> Found | None:
    return _abstains_less(series, ABSTENTION_LOST)


def abstention_gone(series: Series) -> Found | None:
    return _abstains_less(series, ABSTENTION_GONE)


def _abstains_less(series: Series, left: float) -> Found | None:
    shares = series.all("held_out/abstention")
    if len(shares) < 3 or shares[0] < ABSTENTION_AT_FIRST or max(shares[-2:]) > left * shares[0]:
        return None
    return Found(
        f"On questions without an answer the model now says so {mean(shares[-2:]):.0%} of the time, "
        f"{shares[0]:.0%} at first: it has learnt to guess.",
        "Reward saying so where it is right, and mix in about one unanswerable prompt in ten.",
        mean(shares[-2:]),
    )


GOAL_RULES = (
    Rule("reward_hacked", "stop", "reward", ("gao2022", "ms-azure", "own"), reward_hacked),
    Rule("reward_outruns", "warn", "reward", ("ms-azure", "azure-rft", "own"), reward_outruns),
    Rule("one_part_hacked", "warn", "reward", ("own",), one_part_hacked),
    Rule("abstention_lost", "warn", "held_out/abstention", ("song2025", "own"), abstention_lost),
    Rule("abstention_gone", "stop", "held_out/abstention", ("song2025", "own"), abstention_gone),
)
