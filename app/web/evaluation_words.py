"""Before against after: scores with their intervals, and what was won and lost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from markupsafe import Markup

from app.graders.comparison import Z_95, MeanScore, Paired, mcnemar, mean_score, paired
from app.protocol import Agreement, Evaluation, GraderScores, Interval, RunSpec, Share
from app.web import charts
from app.web.run_words import percent, quantity


@dataclass(frozen=True)
class Measure:
    """One way of answering, before and after."""

    title: str
    before: Share
    after: Share | None
    p: float | None
    pictures: tuple[tuple[str, Share, Markup], ...]

    @property
    def gain(self) -> str:
        return points_gained(self.before, self.after) if self.after else ""

    @property
    def verdict(self) -> str:
        return significance(self.p)


def points_gained(before: Share, after: Share) -> str:
    gain = 100 * (after.value - before.value)
    sign = "−" if gain < 0 else "+"
    return f"{sign}{abs(gain):.1f} points"


def significance(p: float | None) -> str:
    if p is None:
        return ""
    written = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"{written}, {'more than chance' if p < 0.05 else 'could be chance'}"


def counted(share: Share) -> str:
    return f"{share.right} of {share.n}"


def reach(interval: Interval) -> str:
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}\u00a0%"


def measures(before: Evaluation | None, after: Evaluation | None) -> list[Measure]:
    if before is None or not (before.sampled.n or (after and after.sampled.n)):
        return []
    return [
        _measure("Sampled answers", "sampled", before, after),
        _measure("Greedy answers", "greedy", before, after),
    ]


def _measure(title: str, way: str, before: Evaluation, after: Evaluation | None) -> Measure:
    old: Share = getattr(before, way)
    new: Share | None = getattr(after, way) if after else None
    return Measure(title, old, new, _p(before, after, f"{way}_outcomes"), _pictures(old, new))


def _p(before: Evaluation, after: Evaluation | None, outcomes: str) -> float | None:
    if after is None:
        return None
    old, new = getattr(before, outcomes), getattr(after, outcomes)
    return mcnemar(old, new) if len(old) == len(new) else None


def _pictures(before: Share, after: Share | None) -> tuple[tuple[str, Share, Markup], ...]:
    rows = [picture("Before", before, hollow=True)]
    return (*rows, picture("After", after)) if after else tuple(rows)


def picture(label: str, share: Share, hollow: bool = False) -> tuple[str, Share, Markup]:
    span = charts.Span(label, share.interval.low, share.value, share.interval.high, hollow=hollow)
    return label, share, charts.interval(span)


@dataclass(frozen=True)
class Correction:
    """What became of the drafts inside the answers."""

    when: str
    mended: int
    wrong: int
    spoiled: int
    right: int
    undecided: int

    @property
    def mended_share(self) -> str:
        return percent(self.mended / self.wrong) if self.wrong else "none were wrong"

    @property
    def spoiled_share(self) -> str:
        return percent(self.spoiled / self.right) if self.right else "none were right"


def corrections(before: Evaluation | None, after: Evaluation | None) -> list[Correction]:
    return [
        Correction(
            when, e.drafts.mended, e.drafts.wrong, e.drafts.spoiled, e.drafts.right, e.drafts.undecided
        )
        for when, e in (("Before", before), ("After", after))
        if e is not None and e.drafts is not None
    ]


# Every grader


@dataclass(frozen=True)
class Difference:
    """Mean change on the items that both evaluations scored, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        return f"{signed_points(self.value)} ({signed_points(self.low)} to {signed_points(self.high)})"


def signed_points(share: float) -> str:
    return f"{'−' if share < 0 else '+'}{abs(100 * share):.1f}"


def difference(before: Sequence[float | None], after: Sequence[float | None]) -> Difference | None:
    """The normal interval of a mean of paired differences; None with fewer than two pairs."""
    changes = [
        new - old for old, new in zip(before, after, strict=True) if old is not None and new is not None
    ]
    if len(changes) < 2:
        return None
    mean, reach = fmean(changes), Z_95 * stdev(changes) / sqrt(len(changes))
    return Difference(mean, max(-1.0, mean - reach), min(1.0, mean + reach))


@dataclass(frozen=True)
class GraderResult:
    """What one grader says of the sampled answers."""

    name: str
    role: str
    before: MeanScore | None
    after: MeanScore | None
    pairs: Paired | None
    change: Difference | None
    errors: int

    @property
    def pictures(self) -> list[tuple[str, str, Markup]]:
        known = [("Before", self.before), ("After", self.after)]
        return [
            (label, percent(score.value), charts.interval(_span(label, score)))
            for label, score in known
            if score is not None
        ]

    @property
    def verdict(self) -> str:
        return significance(self.pairs.p) if self.pairs else ""


def _span(label: str, score: MeanScore) -> charts.Span:
    interval = score.interval
    return charts.Span(label, interval.low, score.value, interval.high, hollow=label == "Before")


def grader_results(spec: RunSpec, before: Evaluation | None, after: Evaluation | None) -> list[GraderResult]:
    """The reward's grader first, then the independent ones."""
    old, new = (scores_of(spec, each) for each in (before, after))
    return [_result(key, old.get(key), new.get(key)) for key in {**old, **new}]


def scores_of(spec: RunSpec, evaluation: Evaluation | None) -> dict[tuple[str, str], GraderScores]:
    """By name and role. An evaluation of an earlier version kept only what was right."""
    if evaluation is None or (spec.grader is None and not evaluation.scores):
        return {}
    if evaluation.scores:
        return {(each.grader, each.role): each for each in evaluation.scores}
    name = spec.grader.name if spec.grader else "answer"
    told = GraderScores(
        grader=name,
        role="reward",
        sampled=_right_or_wrong(evaluation.sampled_outcomes),
        greedy=_right_or_wrong(evaluation.greedy_outcomes),
        errors=evaluation.errors,
    )
    return {(name, "reward"): told}


def _right_or_wrong(outcomes: str) -> list[float | None]:
    return [{"1": 1.0, "0": 0.0}.get(each) for each in outcomes]


def _result(key: tuple[str, str], old: GraderScores | None, new: GraderScores | None) -> GraderResult:
    both = (old.sampled, new.sampled) if old and new and len(old.sampled) == len(new.sampled) else None
    return GraderResult(
        name=key[0],
        role=key[1],
        before=mean_score(old.sampled) if old else None,
        after=mean_score(new.sampled) if new else None,
        pairs=paired(*both) if both else None,
        change=difference(*both) if both else None,
        errors=(old.errors if old else 0) + (new.errors if new else 0),
    )


# Beside the score


@dataclass(frozen=True)
class Beside:
    title: str
    before: str
    after: str
    hint: str = ""


def beside(before: Evaluation | None, after: Evaluation | None) -> list[Beside]:
    """Length, cut answers, deference and held-out loss, as far as they were measured."""
    reference = next((e.reference_tokens for e in (after, before) if e and e.reference_tokens), None)
    length = f"The demonstrations have {reference:.0f}." if reference else ""
    rows = [
        _row("Mean length", "mean_tokens", "tokens", before, after, length),
        _row("Cut at the limit", "clipped", "%", before, after),
        _row("Deference", "deference", "%", before, after, "Open by agreeing, thanking or apologising."),
        _row("Abstention", "abstention", "%", before, after, "Says so where a question cannot be answered."),
        _row("Held-out loss", "loss", "", before, after, "In nats a token; lower is better."),
    ]
    return [row for row in rows if row.before or row.after]


def _row(
    title: str, name: str, unit: str, before: Evaluation | None, after: Evaluation | None, hint: str = ""
) -> Beside:
    old, new = (getattr(each, name) if each else None for each in (before, after))
    shown = [quantity(value, unit) if value is not None else "" for value in (old, new)]
    return Beside(title, shown[0], shown[1], hint)


@dataclass(frozen=True)
class Guarded:
    """What became of the guard set."""

    before: Share
    after: Share
    p: float
    pictures: tuple[tuple[str, Share, Markup], ...]

    @property
    def fell(self) -> bool:
        return self.after.value < self.before.value and self.p < 0.05

    @property
    def verdict(self) -> str:
        change = points_gained(self.before, self.after)
        if self.fell:
            return f"Training cost something here: {change}, more than chance."
        return f"Nothing was forgotten here, as far as these items tell: {change}."


def guarded(before: Evaluation | None, after: Evaluation | None) -> Guarded | None:
    if before is None or after is None or len(before.sampled_outcomes) != len(after.sampled_outcomes):
        return None
    p = mcnemar(before.sampled_outcomes, after.sampled_outcomes)
    return Guarded(before.sampled, after.sampled, p, _pictures(before.sampled, after.sampled))


@dataclass(frozen=True)
class Calibration:
    """Of a reward model."""

    when: str
    agreement: Agreement
    picture: Markup

    @property
    def bins(self) -> Iterator[tuple[str, str, str, int]]:
        for each in self.agreement.bins:
            span = f"{100 * each.low:.0f}–{100 * each.high:.0f}\u00a0%"
            shares = (percent(each.predicted), percent(each.observed)) if each.pairs else ("", "")
            yield span, *shares, each.pairs


def calibrations(before: Evaluation | None, after: Evaluation | None) -> list[Calibration]:
    """After training first: that is the one that grades."""
    return [
        Calibration(
            e.when,
            e.agreement,
            charts.reliability([(b.predicted, b.observed, b.pairs) for b in e.agreement.bins]),
        )
        for e in (after, before)
        if e is not None and e.agreement is not None
    ]
