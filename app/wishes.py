"""What users wish of a run: recorded in its row, and repeated by the sweep until the worker confirms it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, TuningForkError, Unavailable
from app.models import Report, Run
from app.protocol import OVER, LimitName, Limits, RunState, RunStatus, StateEvent, is_raised
from app.run_view import words
from app.worker_client import WorkerClient


@dataclass(frozen=True)
class Wish:
    run_id: UUID
    what: Literal["pause", "resume", "priority"]
    limits: Limits | None = None
    priority: int = 0


def pause(run: Run) -> None:
    """Raises Conflict for a run that is over, cancelled or paused, and for a probe."""
    _refuse_over(run, "paused")
    if run.kind == "probe":
        raise Conflict("A probe keeps nothing halfway, so it cannot be paused; cancel it, and probe again.")
    if run.state is RunState.PAUSED and run.wish != "resume":
        raise Conflict("This run is already paused.")
    run.wish = "pause"


def resume(session: Session, run: Run, limits: Limits | None = None) -> None:
    """`limits` hold instead of the earlier ones; a run that a limit paused needs that one higher.

    Raises Conflict where it is not paused, or where its limit would pause it again at once.
    """
    _refuse_over(run, "resumed")
    if run.state is not RunState.PAUSED or run.wish == "resume":
        raise Conflict(f"Only a paused run can be resumed; this one: {words(run).lower()}.")
    held = limits_in_force(run)
    limit = limit_that_paused(session, run)
    if limit and not is_raised(limit, held, limits or held):
        raise Conflict(
            f"This run was paused by its limit `{limit}`; resume it with `limits` in which that one is "
            "higher or left out."
        )
    run.limits = limits or run.limits
    run.wish = "resume"


def set_priority(run: Run, priority: int) -> None:
    """Raises Conflict for a run that is over."""
    _refuse_over(run, "moved in the queue")
    run.priority = priority


def limits_in_force(run: Run) -> Limits:
    return run.limits or run.spec.own_limits


def limit_that_paused(session: Session, run: Run) -> LimitName | None:
    """None where somebody's wish did."""
    latest = session.scalars(
        select(Report)
        .where(Report.run_id == run.id, Report.kind == "state")
        .order_by(Report.seq.desc())
        .limit(1)
    ).first()
    return latest.what.limit if latest and isinstance(latest.what, StateEvent) else None


def outstanding(session: Session) -> Iterator[Wish]:
    """Of runs that the worker has and that are not over."""
    asked = select(Run).where(Run.accepted_at.is_not(None), Run.state.not_in(OVER), ~Run.cancel_requested)
    for run in session.scalars(asked.where((Run.priority != Run.priority_told) | Run.wish.is_not(None))):
        if run.priority != run.priority_told:
            yield Wish(run.id, "priority", priority=run.priority)
        if run.wish == "pause":
            yield Wish(run.id, "pause")
        elif run.wish == "resume":
            yield Wish(run.id, "resume", run.limits)


def ask(worker: WorkerClient, wish: Wish) -> RunStatus | None:
    """None where the worker refuses, because the run has gone on in the meantime.

    Raises Unavailable where it cannot do so now, WorkerAway among it: the wish is to be asked again.
    """
    try:
        match wish.what:
            case "pause":
                return worker.pause(wish.run_id)
            case "resume":
                return worker.resume(wish.run_id, wish.limits)
            case "priority":
                return worker.prioritize(wish.run_id, wish.priority)
    except Unavailable:
        raise
    except TuningForkError:
        return None


def settle(run: Run, wish: Wish) -> None:
    """Unless somebody has wished otherwise while the worker was asked."""
    if wish.what == "priority":
        run.priority_told = wish.priority
    elif run.wish == wish.what and (wish.what == "pause" or run.limits == wish.limits):
        run.wish = None


def _refuse_over(run: Run, what: str) -> None:
    if run.state.is_over:
        raise Conflict(f"This run is already over, so it cannot be {what}: {words(run).lower()}.")
    if run.cancel_requested:
        raise Conflict(f"This run is being cancelled, so it cannot be {what}.")
