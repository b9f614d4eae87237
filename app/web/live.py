"""The live stream of a run: every event once and in order, and where the run stands, until it is over."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from app import runs
from app.database import Database
from app.models import Report, Run
from app.protocol import RunEvent
from app.web.deps import Parts

PING = 15.0
BATCH = 500

RETRY_MS = 2000


class Away(BaseModel):
    """The `worker` event: why the worker cannot be reached, or null once it can."""

    away: str | None


class Verdict(BaseModel):
    """The `end` event of a run whose worker could not give one."""

    state: str
    reason: str | None


@dataclass
class Tick:
    """What one look found; no session outlives it."""

    gone: bool = False
    events: list[RunEvent] = field(default_factory=list)
    standing: runs.Standing | None = None


def recorded(database: Database, run_id: UUID, after: int, limit: int) -> list[RunEvent]:
    of_run = select(Report).where(Report.run_id == run_id, Report.seq > after)
    with database.reading() as session:
        reports = session.scalars(of_run.order_by(Report.seq).limit(limit))
        return [RunEvent(seq=report.seq, at=report.at, what=report.what) for report in reports]


async def live_events(parts: Parts, run_id: UUID, after: int) -> AsyncIterator[bytes]:
    until = time.monotonic() + parts.settings.stream_minutes * 60
    said, away, spoke = b"", None, time.monotonic()
    yield format_sse_event(retry=RETRY_MS)
    while time.monotonic() < until and not parts.stopping.is_set():
        tick = await run_in_threadpool(_look, parts, run_id, after)
        messages = []
        if away != (away := parts.sweep.worker_away):
            messages.append(_worker(away))
        if tick.standing and said != (said := _status(tick.standing)):
            messages.append(said)
        messages += [_event(event) for event in tick.events]
        after = tick.events[-1].seq if tick.events else after
        if tick.gone or (tick.standing and _is_told(tick.standing, after)):
            yield b"".join([*messages, *_farewell(tick)])
            return
        if messages or time.monotonic() - spoke > PING:
            yield b"".join(messages) or KEEPALIVE_COMMENT
            spoke = time.monotonic()
        if len(tick.events) < BATCH:
            await asyncio.sleep(parts.settings.stream_tick_seconds)


def _look(parts: Parts, run_id: UUID, after: int) -> Tick:
    """Events first: a verdict that arrives in between is then told by the next look, not by both."""
    parts.sweep.look(run_id)
    events = recorded(parts.database, run_id, after, BATCH)
    with parts.database.reading() as session:
        run = session.get(Run, run_id)
        if run is None:
            return Tick(gone=True)
        return Tick(events=events, standing=runs.standing(session, run))


def _is_told(standing: runs.Standing, after: int) -> bool:
    return standing.is_over and after >= standing.last_seq


def _event(event: RunEvent) -> bytes:
    return format_sse_event(data_str=event.model_dump_json(), event=event.what.kind, id=str(event.seq))


def _status(standing: runs.Standing) -> bytes:
    return format_sse_event(data_str=standing.model_dump_json(), event="status")


def _worker(away: str | None) -> bytes:
    return format_sse_event(data_str=Away(away=away).model_dump_json(), event="worker")


def _farewell(tick: Tick) -> list[bytes]:
    """`end` is always the last thing said, so that the browser closes and does not come back."""
    if tick.events and tick.events[-1].what.kind == "end":
        return []
    state = tick.standing.state.value if tick.standing else "deleted"
    verdict = Verdict(state=state, reason=tick.standing.detail if tick.standing else None)
    return [format_sse_event(data_str=verdict.model_dump_json(), event="end")]
