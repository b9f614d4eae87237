"""Confirmed decisions in words, and how often the advice held."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args
from uuid import UUID

from markupsafe import Markup
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor import figures
from app.advisor.advice import Band, Basis
from app.advisor.record import BANDS
from app.graders.comparison import wilson
from app.models import Confirmation, Milestone
from app.outcome import Cost, Level, Measured, Outcome
from app.web import charts
from app.web.run_words import count_of, listed, percent

TOO_FEW = 10
"""Below so many decisions a share is told as a count, and said to be too few to tell."""

RUNGS: dict[Basis, str] = {
    "told": "Told",
    "inspected": "Inspected",
    "probed": "Probed",
    "piloted": "Piloted",
}
PLANS = {
    "sft": "SFT",
    "grpo": "GRPO",
    "sft_then_grpo": "SFT, then GRPO",
    "reward_model_then_grpo": "a reward model, then GRPO",
    "not_yet": "not to train yet",
}


# One decision


def newest_first(session: Session, milestone_id: UUID | None = None) -> Sequence[Confirmation]:
    """All, or those of one recommendation."""
    wanted = select(Confirmation).order_by(Confirmation.made_at.desc(), Confirmation.id.desc())
    if milestone_id is not None:
        wanted = wanted.where(Confirmation.milestone_id == milestone_id)
    return session.scalars(wanted).all()


def of_run(session: Session, run_id: UUID) -> Confirmation | None:
    return session.scalar(select(Confirmation).where(Confirmation.run_id == run_id))


def said(outcome: Outcome) -> str:
    """Whether the advice held, by how much, and at what cost against the estimate: one sentence."""
    opening = _opening(outcome)
    return f"{opening}: {moved(outcome.score)}{_but(outcome)}, {cost_in_words(outcome.cost)}."


def _opening(outcome: Outcome) -> str:
    if outcome.is_override:
        first = "to fix something first, then " if _was_to_be_fixed(outcome) else ""
        return f"Trained against the advice, which was {first}{PLANS[outcome.plan]}"
    if outcome.verdict == "held":
        return "The advice held"
    return (
        "The advice did not hold"
        if outcome.verdict == "did_not_hold"
        else "Whether the advice held is not shown"
    )


def _was_to_be_fixed(outcome: Outcome) -> bool:
    return outcome.readiness != "ready" and outcome.plan != "not_yet"


def moved(measured: Measured) -> str:
    """`the score rose from 20.0 % to 61.0 % (+41.0 points, p < 0.001)`."""
    before, after = percent(measured.before.value), percent(measured.after.value)
    if before == after:
        return f"the {measured.name} stayed at {after}"
    verb = "rose" if measured.rose else "fell" if measured.fell else "went"
    return f"the {measured.name} {verb} from {before} to {after} ({change(measured)})"


def change(measured: Measured) -> str:
    points = f"{100 * measured.change:+.1f} points".replace("-", "−")
    return f"{points}, {chance(measured)}"


def chance(measured: Measured) -> str:
    if measured.pairs is None:
        return "not on the same items, so chance cannot be ruled out"
    p = measured.pairs.p
    written = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    return written if measured.rose or measured.fell else f"{written}, which chance explains"


def worse(outcome: Outcome) -> list[str]:
    """What else got worse, one clause each."""
    others = [each for each in (outcome.guard, *outcome.independent) if each is not None and each.fell]
    named = [each if each.name == "guard set" else _as_grader(each) for each in others]
    stopped = ["a health finding stopped the training"] if outcome.stopped_by else []
    return [*map(moved, named), *stopped]


def _as_grader(measured: Measured) -> Measured:
    return measured.model_copy(update={"name": f"score of the independent grader “{measured.name}”"})


def _but(outcome: Outcome) -> str:
    lost = worse(outcome)
    joint = "but" if outcome.score.change > 0 else "and"
    return f", {joint} {listed(lost)}" if lost else ""


def cost_in_words(cost: Cost) -> str:
    """`at 3.1 device-hours, against 1.5 to 4 device-hours estimated (1.3 times the typical)`."""
    spent = f"at {device_time(cost.device_hours)}"
    if cost.money is not None and cost.price is not None:
        spent += f" ({money(cost.money)} at {money(cost.price)} an hour)"
    if cost.estimated is None:
        return f"{spent}, with no estimate to hold it against"
    expected = figures.between(cost.estimated.device_hours)
    if cost.ratio is None:
        meant = f"{cost.estimated.model} on {cost.estimated.devices}"
        return f"{spent}; the {expected} device-hours estimated were for {meant}"
    if cost.compared_hours is not None and cost.compared_hours < cost.device_hours:
        spent += f", of which the last stage took {device_time(cost.compared_hours)}"
        expected = f"{expected} device-hours estimated for it"
    else:
        expected = f"{expected} device-hours estimated"
    return f"{spent}, against {expected} ({_times(cost.ratio)} the typical)"


def _times(ratio: float) -> str:
    return "less than a hundredth of" if ratio < 0.01 else f"{figures.plain(ratio)} times"


def device_time(hours: float) -> str:
    if hours * 60 < 1:
        return count_of(round(hours * 3600), "device-second")
    return f"{hours * 60:.1f} device-minutes" if hours < 1 else f"{hours:,.1f} device-hours"


def money(amount: float) -> str:
    return f"{amount:,.2f}" if amount < 100 else f"{amount:,.0f}"


def level(measured: Level) -> str:
    low, high = percent(measured.low, 0), percent(measured.high, 0)
    return f"{percent(measured.value)} ({low} to {high}, {measured.n} items)"


# All decisions


class Tally(BaseModel):
    """How often the advice held, in one group of decisions."""

    id: str
    title: str
    n: int
    held: int
    not_shown: int
    did_not_hold: int
    share: float | None
    """Held of all; None where there are none."""
    low: float
    high: float
    """Wilson, 95 %."""
    words: str


class Summary(BaseModel):
    """Decisions that were followed; those launched against the advice are counted apart."""

    all: Tally
    by_band: list[Tally]
    by_rung: list[Tally]
    overrides: Tally
    """`held` here: the method that was trained rose by the same rule."""


def summary(outcomes: Iterable[Outcome]) -> Summary:
    outcomes = list(outcomes)
    followed = [each for each in outcomes if not each.is_override]

    def bands(band: Band) -> Tally:
        return _tally(band, BANDS[band], [each for each in followed if each.band == band])

    def rungs(rung: Basis) -> Tally:
        return _tally(rung, RUNGS[rung], [each for each in followed if each.rung == rung])

    return Summary(
        all=_tally("all", "All followed", followed),
        by_band=_there(bands, get_args(Band)),
        by_rung=_there(rungs, get_args(Basis)),
        overrides=_tally("overrides", "Against the advice", [each for each in outcomes if each.is_override]),
    )


def _there(group: Callable[..., Tally], names: Iterable[str]) -> list[Tally]:
    """Groups without a decision are left out."""
    return [tally for tally in map(group, names) if tally.n]


def _tally(name: str, title: str, outcomes: Sequence[Outcome]) -> Tally:
    counted = Counter(each.verdict for each in outcomes)
    n, held = len(outcomes), counted["held"]
    reach = wilson(held, n)
    return Tally(
        id=name,
        title=title,
        n=n,
        held=held,
        not_shown=counted["not_shown"],
        did_not_hold=counted["did_not_hold"],
        share=held / n if n else None,
        low=reach.low,
        high=reach.high,
        words=_often(held, n),
    )


def _often(held: int, n: int) -> str:
    if not n:
        return "none yet"
    return f"{held} of {n}, too few to tell" if n < TOO_FEW else f"{held} of {n}, {percent(held / n, 0)}"


def often_held(session: Session) -> str:
    """In words; empty while nothing is confirmed."""
    told = summary(each.outcome for each in newest_first(session)).all
    return told.words if told.n else ""


def picture(tally: Tally) -> Markup:
    return charts.interval(charts.Span(tally.title, tally.low, tally.share or 0.0, tally.high))


@dataclass(frozen=True)
class Decided:
    """A confirmed decision in a list."""

    confirmation: Confirmation
    milestone: Milestone

    @property
    def outcome(self) -> Outcome:
        return self.confirmation.outcome

    @property
    def record(self) -> str:
        return record_at(self.milestone)


def record_at(milestone: Milestone) -> str:
    return f"/assessments/{milestone.assessment_id}/record?number={milestone.number}#confirmation"


def decisions(session: Session, confirmations: Iterable[Confirmation]) -> list[Decided]:
    return [Decided(each, session.get_one(Milestone, each.milestone_id)) for each in confirmations]


HEAD = (
    "decision",
    "number",
    "confirmed_at",
    "advised",
    "plan",
    "trained",
    "against_the_advice",
    "band",
    "rung",
    "verdict",
    "before",
    "before_low",
    "before_high",
    "after",
    "after_low",
    "after_high",
    "items",
    "wins",
    "losses",
    "p",
    "guard_change",
    "stopped_by",
    "device_hours",
    "money",
    "estimated_device_hours",
    "cost_ratio",
    "run",
)


def rows(decided: Iterable[Decided]) -> list[Sequence[object]]:
    """For a spreadsheet, with `HEAD` first."""
    return [HEAD, *map(_row, decided)]


def _row(one: Decided) -> Sequence[object]:
    outcome, score, cost = one.outcome, one.outcome.score, one.outcome.cost
    pairs = score.pairs
    return (
        one.milestone.name,
        one.milestone.number,
        one.confirmation.made_at.isoformat(),
        outcome.advised,
        outcome.plan,
        outcome.trained,
        outcome.is_override,
        outcome.band,
        outcome.rung,
        outcome.verdict,
        *(score.before.value, score.before.low, score.before.high),
        *(score.after.value, score.after.low, score.after.high),
        score.after.n,
        *((pairs.wins, pairs.losses, pairs.p) if pairs else (None, None, None)),
        outcome.guard.change if outcome.guard else None,
        "; ".join(outcome.stopped_by),
        cost.device_hours,
        cost.money,
        cost.estimated.device_hours.typical if cost.estimated else None,
        cost.ratio,
        one.confirmation.run_id,
    )
