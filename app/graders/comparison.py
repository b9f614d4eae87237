"""How sure we are: an interval around one model's share, and a test between two on the same items."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from app.protocol import Difference, Interval

Z_95 = 1.959963984540054

Scores = Sequence[float | None]
"""One an item, from 0 to 1; None where the grader abstained or failed."""


@dataclass(frozen=True)
class MeanScore:
    value: float
    n: int
    interval: Interval


@dataclass(frozen=True)
class Paired:
    """The same items before and after: only those that both have a score for count."""

    wins: int
    losses: int
    ties: int
    p: float
    """Two-sided exact sign test."""
    change: float
    """Mean difference of the scores, after less before."""
    regressions: tuple[int, ...]
    """Items that lost, those that lost most first."""


def wilson(right: int, n: int) -> Interval:
    """Wilson's score interval, 95 % (Wilson 1927): honest near 0 and 1, where the usual one is not."""
    return _score_interval(right / n, n) if n else Interval(low=0.0, high=1.0)


def mean_score(scores: Scores) -> MeanScore:
    """Mean with a 95 % interval for scores that may be partial.

    Wilson's interval at the effective number of items, n m (1 - m) / s^2 (z / t)^2 (Korn and Graubard 1998,
    Survey Methodology 24:193; Franco, Little, Louis and Slud 2019): partial scores vary less than right and
    wrong and give a narrower one, and it never leaves 0 to 1 as the t interval does. Scores of only 0 and 1
    have Wilson's own.
    """
    known = [score for score in scores if score is not None]
    if not known:
        return MeanScore(0.0, 0, Interval(low=0.0, high=1.0))
    mean, n = min(1.0, max(0.0, fmean(known))), len(known)
    return MeanScore(mean, n, _score_interval(mean, _effective(known, mean)))


def clustered(groups: Sequence[Scores]) -> MeanScore:
    """Mean with a 95 % interval for scores in groups that are alike inside, as answers to one prompt are.

    Wilson's interval at the effective number of scores, n over the design effect, times (z / t)^2 with one
    degree of freedom less than there are groups (Korn and Graubard 1998, Survey Methodology 24:193). The
    variance is that of a ratio between groups (Kish 1965); scores of 0 and 1 never count for more than n.
    Scores that all agree at 0 or 1 tell nothing of their likeness and count in full (Parker et al. 2017,
    National Center for Health Statistics, Vital and Health Statistics 2:175); one group counts for one.
    """
    known = [part for group in groups if (part := [score for score in group if score is not None])]
    scores = [score for part in known for score in part]
    if not scores:
        return MeanScore(0.0, 0, Interval(low=0.0, high=1.0))
    mean, n = min(1.0, max(0.0, fmean(scores))), len(scores)
    return MeanScore(mean, n, _score_interval(mean, _effective_in_groups(known, mean, n)))


def _effective_in_groups(known: Sequence[Sequence[float]], mean: float, n: int) -> float:
    widest, count = mean * (1 - mean), len(known)
    if not widest:
        return n
    if count == 1:
        return 1
    away = math.fsum((math.fsum(part) - mean * len(part)) ** 2 for part in known)
    varied = max(count / (count - 1) * away / n**2, widest / n**2)
    effective = widest / varied * (Z_95 / _t_95(count - 1)) ** 2
    return min(effective, n) if all(set(part) <= {0.0, 1.0} for part in known) else effective


def _effective(known: Sequence[float], mean: float) -> float:
    n, widest = len(known), mean * (1 - mean)
    if n == 1 or set(known) <= {0.0, 1.0}:
        return n
    varied = max(variance(known), widest / n)
    return n * widest / varied * (Z_95 / _t_95(n - 1)) ** 2


def _t_95(freedom: int) -> float:
    """Student's t, 97.5 %, within 0.01 from 4 degrees of freedom on (Fisher and Cornish 1960)."""
    z = Z_95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _score_interval(share: float, n: float) -> Interval:
    z2 = Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if share <= 0 else max(0.0, min(share, centre - reach))
    high = 1.0 if share >= 1 else min(1.0, max(share, centre + reach))
    return Interval(low=low, high=high)


def difference(first: MeanScore, second: MeanScore, likeness: float = 0.0) -> tuple[float, float, float]:
    """First mean less second, and the ends of its 95 % interval, from both means' own intervals.

    Newcombe's method 10, for paired scores with their correlation as `likeness` (Newcombe 1998, Statistics in
    Medicine 17:873 and 17:2635; for other means Zou and Donner 2008): at 0 and 1, where the usual one has no
    width, it keeps that of the intervals it is made of.
    """
    value = first.value - second.value
    down = _reach(first.value - first.interval.low, second.interval.high - second.value, likeness)
    up = _reach(first.interval.high - first.value, second.value - second.interval.low, likeness)
    return value, max(-1.0, value - down), min(1.0, value + up)


def _reach(one: float, other: float, likeness: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * likeness * one * other))


def paired(before: Scores, after: Scores) -> Paired:
    """Wins, losses and ties of `after`; ties say nothing in the sign test (Dixon and Mood 1946)."""
    if len(before) != len(after):
        raise ValueError(f"the two evaluations are of different items ({len(before)} and {len(after)})")
    changes = {
        item: new - old
        for item, (old, new) in enumerate(zip(before, after, strict=True))
        if old is not None and new is not None
    }
    lost = sorted((item for item, change in changes.items() if change < 0), key=lambda item: changes[item])
    won = sum(change > 0 for change in changes.values())
    return Paired(
        wins=won,
        losses=len(lost),
        ties=len(changes) - won - len(lost),
        p=sign_test(won, len(lost)),
        change=fmean(changes.values()) if changes else 0.0,
        regressions=tuple(lost),
    )


def sign_test(won: int, lost: int) -> float:
    """Two-sided exact p that a fair coin falls at least as unevenly."""
    return min(1.0, 2 * _ways(won + lost, min(won, lost)) / (1 << (won + lost)))


def paired_difference(a: Scores, b: Scores) -> Difference | None:
    """How far `b` lies above `a` on the items that both scored, with a 95 % interval; None below two items.

    Right and wrong: Newcombe's score interval for paired proportions (Newcombe 1998, Statistics in Medicine
    17:2635, method 10). Partial scores: Student's interval of the mean of paired differences, whose variance
    is at least 1/n of the largest that changes of this mean could have, as for one mean: where n items all
    changed alike, 3/n of the others may still change otherwise (Hanley and Lippman-Hand 1983, JAMA 249:1743).
    """
    pairs = _both(a, b)
    if len(pairs) < 2:
        return None
    if {score for pair in pairs for score in pair} <= {0.0, 1.0}:
        return _newcombe(pairs)
    changes = [new - old for old, new in pairs]
    mean, n = fmean(changes), len(changes)
    varied = max(variance(changes), (1 - mean**2) / n)
    return _around(mean, _t_at_least(n - 1) * math.sqrt(varied / n))


def _both(a: Scores, b: Scores) -> list[tuple[float, float]]:
    if len(a) != len(b):
        raise ValueError(f"the two evaluations are of different items ({len(a)} and {len(b)})")
    return [(old, new) for old, new in zip(a, b, strict=True) if old is not None and new is not None]


def _newcombe(pairs: Sequence[tuple[float, float]]) -> Difference:
    counts = [pairs.count(pair) for pair in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))]
    old, new = mean_score([old for old, _ in pairs]), mean_score([new for _, new in pairs])
    value, low, high = difference(new, old, _phi(*counts))
    return Difference(value=value, low=low, high=high)


def _phi(both: int, lost: int, won: int, neither: int) -> float:
    """Correlation of the two, with Newcombe's correction for continuity; 0 where one side never varies."""
    sides = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if not sides:
        return 0.0
    across = both * neither - lost * won
    corrected = max(across - (both + lost + won + neither) / 2, 0.0) if across > 0 else across
    return corrected / math.sqrt(sides)


def pooled_difference(trials: Sequence[tuple[Scores, Scores]]) -> Difference | None:
    """The same over several trainings of both on the same items, such as with other seeds.

    Items and trainings both vary: the variance of the mean over items and that of the mean over trainings
    are added, and Student's t has the degrees of freedom of Satterthwaite 1946. What sampling adds is in
    both, so the interval is rather too wide. It is never narrower than `paired_difference` of the items'
    means, and just that where all trainings have the same mean: trainings add no items, and where they all
    agree at 0 or 1 nothing varies though other items may.
    """
    if len(trials) == 1:
        return paired_difference(*trials[0])
    scored = [_scored_by_both(a, b) for a, b in trials]
    old, new = (_item_means([trial[side] for trial in scored]) for side in (0, 1))
    means = [fmean(known) for a, b in scored if (known := _known(_changes(a, b)))]
    items = paired_difference(old, new)
    if items is None or len(means) < 2:
        return None
    if not variance(means):
        return items
    varied, freedom = _variance_of_both(_known(_changes(old, new)), means)
    both = _around(fmean(means), _t_at_least(freedom) * math.sqrt(varied))
    return Difference(value=both.value, low=min(both.low, items.low), high=max(both.high, items.high))


def _scored_by_both(a: Scores, b: Scores) -> tuple[Scores, Scores]:
    there = [old is not None and new is not None for old, new in zip(a, b, strict=True)]
    old, new = ([s if both else None for s, both in zip(each, there, strict=True)] for each in (a, b))
    return old, new


def _item_means(trials: Sequence[Scores]) -> list[float | None]:
    return [fmean(known) if (known := _known(item)) else None for item in zip(*trials, strict=True)]


def _changes(a: Scores, b: Scores) -> list[float | None]:
    return [None if old is None or new is None else new - old for old, new in zip(a, b, strict=True)]


def _known(scores: Scores) -> list[float]:
    return [score for score in scores if score is not None]


def pooled_score(trials: Sequence[Scores]) -> MeanScore:
    """Mean over items and trainings, with a 95 % interval.

    Wilson's at the effective number of items, as in `mean_score`, with the variance and the degrees of
    freedom of `pooled_difference`. It is never narrower than that of the items' means, and just that where
    all trainings have the same mean: of a task that none of them learns its items tell all that is known.
    """
    means = [fmean(known) for scores in trials if (known := _known(scores))]
    by_item = _known(_item_means(trials))
    items = mean_score(by_item)
    if len(means) < 2 or len(by_item) < 2 or not variance(means):
        return items
    mean = fmean(means)
    varied, freedom = _variance_of_both(by_item, means)
    effective = mean * (1 - mean) / varied * (Z_95 / _t_at_least(freedom)) ** 2
    interval = _score_interval(mean, min(effective, _effective(by_item, items.value)))
    return MeanScore(mean, items.n, interval)


def _variance_of_both(by_item: Sequence[float], by_trial: Sequence[float]) -> tuple[float, float]:
    """Of the mean, and its degrees of freedom. The trainings vary."""
    parts = [(variance(values) / len(values), len(values) - 1) for values in (by_item, by_trial)]
    whole = math.fsum(part for part, _ in parts)
    apart = math.fsum(part**2 / degrees for part, degrees in parts)
    return whole, whole**2 / apart


FEW_FREEDOM = {1: 12.706, 2: 4.303, 3: 3.182}
"""Student's t, 97.5 %, where `_t_95` is not close."""


def _t_at_least(freedom: float) -> float:
    whole = max(1, math.floor(freedom))
    return FEW_FREEDOM.get(whole) or _t_95(whole)


def _around(mean: float, reach: float) -> Difference:
    return Difference(value=mean, low=max(-1.0, mean - reach), high=min(1.0, mean + reach))


def mcnemar(a: str, b: str) -> float:
    """Two-sided exact p for two outcome strings: do the models differ on the items both were scored on?

    Only items that one got right and the other wrong say anything (McNemar 1947); under no difference
    each falls either way like a fair coin.
    """
    if len(a) != len(b):
        raise ValueError(f"the two evaluations are of different items ({len(a)} and {len(b)})")
    pairs = list(zip(a, b, strict=True))
    won, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return sign_test(won, lost)


def _ways(n: int, most: int) -> int:
    """Of 2**n tosses, how many show at most `most` heads."""
    ways = total = 1
    for k in range(most):
        ways = ways * (n - k) // (k + 1)
        total += ways
    return total
