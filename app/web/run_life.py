"""How a run fares, in words: limits and what is used of them, what it cost, its turn, and what went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.advisor.rulebook import Rulebook
from app.models import Run
from app.protocol import CheckpointEvent, Limits, RunState
from app.run_view import RunView
from app.web.run_charts import Figure, is_drawn
from app.web.run_words import quantity, size

# Limits and cost


@dataclass(frozen=True)
class Used:
    """How much of one limit is used."""

    title: str
    used: str
    limit: str
    share: float

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.share))


def used(view: RunView, limits: Limits) -> list[Used]:
    price = limits.price_per_gpu_hour or 0.0
    each: Sequence[tuple[str, float | None, float, str]] = (
        ("Steps", limits.steps, view.step, ""),
        ("Minutes of training", limits.minutes, view.spent.training_minutes, "min"),
        ("GPU-hours", limits.gpu_hours, view.spent.gpu_hours, "h"),
        ("Money", limits.money, view.spent.gpu_hours * price, ""),
    )
    return [
        Used(title, amount(so_far, unit), amount(limit, unit), so_far / limit)
        for title, limit, so_far, unit in each
        if limit is not None
    ]


def amount(value: float, unit: str = "") -> str:
    text = f"{value:,.2f}".rstrip("0").rstrip(".") if value < 100 else f"{value:,.0f}"
    return f"{text}\u00a0{unit}" if unit else text


def cost(view: RunView, limits: Limits) -> str:
    """`0.42 device-hours so far, 1.05 at 2.5 an hour; about 0.9 device-hours in all at this pace.`"""
    hours, price = view.spent.gpu_hours, limits.price_per_gpu_hour
    if not hours:
        return ""
    so_far = "" if view.is_over else " so far"
    said = f"{_hours(hours)}{so_far}" + (
        f", {amount(hours * price)} at {amount(price)} an hour" if price else ""
    )
    if view.is_over or not view.eta_seconds:
        return f"{said}."
    in_all = hours + view.eta_seconds / 3600
    cost_in_all = f", {amount(in_all * price)}" if price else ""
    return f"{said}; about {_hours(in_all)}{cost_in_all} in all at this pace."


def _hours(hours: float) -> str:
    if hours * 60 < 1:
        return f"{amount(hours * 3600)} device-seconds"
    return f"{amount(hours * 60)} device-minutes" if hours < 1 else f"{amount(hours)} device-hours"


# Its turn

WAITING = (RunState.REQUESTED, RunState.QUEUED)


def turn(session: Session, run: Run) -> str:
    """How many runs go before it: those of a higher priority, and older ones of the same."""
    if run.state not in WAITING or run.cancel_requested:
        return ""
    sooner = (Run.priority > run.priority) | (
        (Run.priority == run.priority) & (Run.created_at < run.created_at)
    )
    ahead = session.scalar(
        select(func.count()).select_from(Run).where(Run.state.in_(WAITING), Run.id != run.id, sooner)
    )
    if not ahead:
        return "It is next, as soon as the worker is free."
    return f"{ahead} {'runs go' if ahead > 1 else 'run goes'} before it."


# Attempts, findings, checkpoints


def attempts(view: RunView) -> list[str]:
    """Why it went on, and from where, oldest first."""
    return [
        (f"Attempt {each.attempt}: " if each.attempt > 1 else "")
        + (f"went on from step {each.from_step}" if each.from_step else "began again")
        + f". {each.why}".rstrip(". ")
        + "."
        for each in view.resumes
    ]


@dataclass(frozen=True)
class Finding:
    number: int
    level: str
    step: int
    sentence: str
    advice: str
    value: str
    sources: list[tuple[str, str | None]]
    """Citation and link."""
    chart: str
    """The id of the figure on which it is drawn; empty where it is on none."""


def findings(view: RunView, rulebook: Rulebook, shown: Sequence[Figure]) -> list[Finding]:
    found = []
    for number, each in enumerate(view.findings, 1):
        figure = is_drawn(number, shown)
        unit = figure.series.unit if figure and figure.series.key == each.metric else ""
        cited = [rulebook.evidence[key] for key in each.sources if key in rulebook.evidence]
        found.append(
            Finding(
                number,
                each.level,
                each.step,
                each.sentence,
                each.advice,
                f"{each.metric} {quantity(each.value, unit)}"
                if each.metric and each.value is not None
                else "",
                [(source.citation, source.link) for source in cited],
                figure.id if figure else "",
            )
        )
    return found


@dataclass(frozen=True)
class Kept:
    step: int
    score: str
    bytes: str
    is_best: bool
    is_the_model: bool


def checkpoints(view: RunView) -> list[Kept]:
    best = next((each.step for each in view.checkpoints if each.is_best), None)
    return [_kept(each, best, view.kept_step) for each in view.checkpoints]


def _kept(each: CheckpointEvent, best: int | None, kept: int | None) -> Kept:
    score = f"{each.score:.3f}" if each.score is not None else "not checked"
    return Kept(
        each.step, score, size(each.bytes) if each.bytes else "", each.step == best, each.step == kept
    )


# What can be done with it


def may(view: RunView, run: Run) -> Mapping[str, bool]:
    """Which buttons the page shows; the verbs themselves refuse what comes too late."""
    own = view.kind != "starter"
    asked = run.cancel_requested or bool(run.wish)
    at_work = view.state in (RunState.STARTING, RunState.RUNNING, RunState.EVALUATING)
    waits = view.state in (RunState.REQUESTED, RunState.QUEUED, RunState.WAITING)
    return {
        "pause": own and view.kind != "probe" and not asked and (at_work or waits),
        "resume": own and not asked and view.state == RunState.PAUSED,
        "cancel": own and not view.is_over and not run.cancel_requested,
        "retry": own and view.state in (RunState.FAILED, RunState.CANCELLED),
        "copy": own,
        "delete": view.is_over,
        "prioritize": own and waits and not run.cancel_requested,
    }
