"""Keeping our copy of the worker's runs true: events once each and in order, and where each run stands."""

from datetime import UTC, datetime
from uuid import UUID

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import Database, now
from app.models import Report, Run
from app.protocol import (
    EndEvent,
    EventPage,
    MetricEvent,
    ResumeEvent,
    RunEvent,
    RunState,
    RunStatus,
    StateEvent,
)
from app.worker_client import QUICK, WorkerClient

PAGE = 1000


def conclude(run: Run, state: RunState, reason: str | None = None) -> None:
    """A verdict of our own, where the worker cannot give one. A later event of the run overrules it."""
    run.state, run.detail, run.ended_at = state, reason, now()


def sync(database: Database, worker: WorkerClient, run_id: UUID, timeout: httpx.Timeout = QUICK) -> None:
    """Copy the events we lack. Asking happens outside any transaction, and copying twice changes nothing."""
    while True:
        with database.reading() as session:
            after = session.scalar(select(Run.last_seq).where(Run.id == run_id))
        if after is None:
            return
        page = worker.events(run_id, after, PAGE, timeout)
        with database.writing() as session, session.begin():
            keep(session, run_id, page)
        if len(page.events) < PAGE:
            return


def keep(session: Session, run_id: UUID, page: EventPage) -> None:
    """Two watchers may hold the same page: the row lock orders them, the primary key stops a second copy."""
    run = session.get(Run, run_id, with_for_update=True)
    if run is None:
        return
    run.accepted_at = run.accepted_at or now()
    for event in page.events:
        if event.seq == run.last_seq + 1:
            _keep_event(session, run, event)
    if page.status.last_seq == run.last_seq:
        _follow(run, page.status)


def _keep_event(session: Session, run: Run, event: RunEvent) -> None:
    session.add(Report(run_id=run.id, seq=event.seq, at=event.at, kind=event.what.kind, what=event.what))
    run.last_seq = event.seq
    match event.what:
        case ResumeEvent(from_step=step, attempt=attempt):
            run.steps_done, run.attempt = step, attempt
        case StateEvent(state=state, detail=detail):
            run.state, run.detail, run.ended_at = state, without_nul(detail), None
            if state == RunState.STARTING:
                run.started_at = run.started_at or _when(event)
        case MetricEvent(step=step, total_steps=total):
            run.steps_done, run.total_steps = max(run.steps_done, step), total
        case EndEvent() as end:
            run.state, run.detail, run.ended_at = RunState(end.state), without_nul(end.reason), _when(event)
            run.steps_done, run.total_steps = end.steps_done, end.total_steps or run.total_steps


def _follow(run: Run, status: RunStatus) -> None:
    """What the worker says of a run whose events we all have; events speak for a run that is over."""
    if run.state.is_over and not status.state.is_over:
        return
    run.state, run.attempt = status.state, status.attempt
    if status.state.is_over:
        run.ended_at = run.ended_at or now()
        run.detail = run.detail or without_nul(status.detail)
    else:
        run.detail = without_nul(status.detail)


def _when(event: RunEvent) -> datetime:
    """By the engine's clock, but never in our future."""
    try:
        return min(now(), datetime.fromtimestamp(event.at, UTC))
    except (OverflowError, ValueError, OSError):
        return now()


def without_nul(given: str | None) -> str | None:
    """PostgreSQL cannot keep NUL, and a broken worker may send it."""
    return given.replace("\x00", "\ufffd") if given else None
