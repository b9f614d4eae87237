"""What a probe's scores come to: chances to pass, groups that teach nothing, demonstrations and model."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import StatisticsError, correlation, fmean

from app.graders.comparison import Scores, clustered, difference, mean_score
from app.protocol import AnswerLengths, DeadShare, Difference, Share

FEWEST_ALIKE = 3
"""Pairs from which a correlation is worth having."""


def passed(groups: Sequence[Scores], least: float) -> Share:
    """Of all answers, those that score `least` or better; groups are the answers to one prompt each."""
    marks = [[None if score is None else float(score >= least) for score in group] for group in groups]
    found = clustered(marks)
    right = sum(mark == 1 for group in marks for mark in group)
    return Share(right=right, n=found.n, interval=found.interval)


def pass_at(groups: Sequence[Scores], least: float) -> dict[int, float]:
    """For 1, 2, 4 ... answers to a prompt, the chance that one of them passes.

    The unbiased estimator of Chen et al. 2021 (arXiv 2107.03374): a mean over prompts with so many scores.
    """
    known = [_scores(group) for group in groups]
    most = max((len(scores) for scores in known), default=0)
    tries = [1 << power for power in range(most.bit_length())]
    return {
        k: fmean(_some_pass(len(scores), _passing(scores, least), k) for scores in known if len(scores) >= k)
        for k in tries
    }


def _some_pass(n: int, right: int, k: int) -> float:
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def _passing(scores: Iterable[float], least: float) -> int:
    return sum(score >= least for score in scores)


def _scores(group: Scores) -> list[float]:
    return [score for score in group if score is not None]


# Groups that teach nothing


def dead(groups: Sequence[Scores], sizes: Iterable[int], drawn: int, least: float) -> list[DeadShare]:
    """Share of groups of each size in which all scores are equal, smallest size first.

    Up to `drawn`, the answers to each prompt, over all groups that these answers can make; a prompt counts
    with at least so many scores, and at least half of the prompts must. Other sizes go by each prompt's own
    shares, in which what was never drawn does not exist: there the share is more likely too high than too
    low. It is never higher than that of smaller groups, which every larger one holds.
    """
    known = _comparable(groups)
    found: list[DeadShare] = []
    for size in sorted(set(sizes)) if known else ():
        whole = [scores for scores in known if len(scores) >= size]
        is_measured = size <= drawn and 2 * len(whole) >= len(known)
        alike = [_alike(scores, size, least) for scores in (whole if is_measured else known)]
        right, wrong = fmean(right for right, _ in alike), fmean(wrong for _, wrong in alike)
        found.append(_dead(size, right, wrong, is_measured, found[-1].share if found else 1.0))
    return found


def _comparable(groups: Sequence[Scores]) -> list[list[float]]:
    """A single score is like itself in groups of every size, so its prompt counts only if all are so."""
    known = [scores for group in groups if (scores := _scores(group))]
    return [scores for scores in known if len(scores) > 1] or known


def _dead(size: int, right: float, wrong: float, is_measured: bool, most: float) -> DeadShare:
    scale = min(1.0, most / (right + wrong)) if right + wrong else 0.0
    return DeadShare(
        group=size,
        share=min(1.0, scale * (right + wrong)),
        is_measured=is_measured,
        all_right=scale * right,
        all_wrong=scale * wrong,
    )


def _alike(scores: Sequence[float], size: int, least: float) -> tuple[float, float]:
    """Of this prompt's groups, those that all score the same: passing, and not."""
    n = len(scores)
    chances = {
        score: math.comb(count, size) / math.comb(n, size) if size <= n else (count / n) ** size
        for score, count in Counter(scores).items()
    }
    right = math.fsum(chance for score, chance in chances.items() if score >= least)
    return right, math.fsum(chances.values()) - right


# Lengths, and how much answers differ


def lengths(tokens: Sequence[int]) -> AnswerLengths:
    """Percentiles by the nearest rank."""
    ordered = sorted(tokens)
    return AnswerLengths(
        median=_ranked(ordered, 0.5), p95=_ranked(ordered, 0.95), longest=ordered[-1] if ordered else 0
    )


def _ranked(ordered: Sequence[int], share: float) -> float:
    return float(ordered[max(0, math.ceil(share * len(ordered)) - 1)]) if ordered else 0.0


# Demonstrations


def against_demonstrations(groups: Sequence[Scores], shown: Scores, is_paired: bool) -> Difference | None:
    """Mean score of the demonstrations less the model's; None where either has no score.

    `is_paired`: each group is of answers to the same row as the demonstration in its place; only rows with a
    demonstration are compared then.
    """
    if is_paired:
        both = [(group, score) for group, score in zip(groups, shown, strict=True) if score is not None]
        groups, shown = [group for group, _ in both], [score for _, score in both]
    theirs, ours = mean_score(shown), clustered(groups)
    if not theirs.n or not ours.n:
        return None
    likeness = _likeness(groups, shown) if is_paired else 0.0
    value, low, high = difference(theirs, ours, likeness)
    return Difference(value=value, low=low, high=high, is_paired=is_paired)


def _likeness(groups: Sequence[Scores], shown: Scores) -> float:
    """Correlation over the rows; none where one of both never varies, or there are few."""
    pairs = [
        (score, fmean(known))
        for score, group in zip(shown, groups, strict=True)
        if score is not None and (known := _scores(group))
    ]
    if len(pairs) < FEWEST_ALIKE:
        return 0.0
    try:
        return correlation([one for one, _ in pairs], [other for _, other in pairs])
    except StatisticsError:
        return 0.0
