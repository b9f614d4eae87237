"""A run as the worker follows it: what its directory says, read once and kept up to date."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.protocol import EndEvent, MetricEvent, RunEvent, RunSpec, RunState, RunStatus, StateEvent
from app.run_dir import Accepted, RunDir
from app.worker.launchers.local import Engine

PAGE = 5000

Verdict = Literal[RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]


@dataclass
class FollowedRun:
    id: UUID
    dir: RunDir
    spec: RunSpec
    accepted: Accepted
    engine: Engine | None = None
    end: EndEvent | None = None
    last_seq: int = 0
    state: RunState | None = None
    """As the engine last said; None before its first word."""
    detail: str | None = None
    waits_for: str | None = None
    """Why it has not been started, in one sentence; None when it is simply next in line."""
    is_waiting: bool = False
    """For another run, as opposed to a free slot."""
    steps: tuple[int, int | None] = (0, None)
    stop_asked_at: float | None = None
    """By the monotonic clock."""
    has_been_cancelled: bool = False
    trouble: str | None = None
    """What last kept the worker from following it, so that the log says it once."""
    _size: int = -1

    @classmethod
    def read(cls, run_id: UUID, run_dir: RunDir) -> "FollowedRun":
        run = cls(run_id, run_dir, run_dir.spec, run_dir.accepted)
        run.has_been_cancelled = run_dir.cancel_requested
        if verdict := run_dir.verdict():
            run._note(verdict)
        else:
            run.catch_up()
        return run

    @property
    def is_over(self) -> bool:
        return self.end is not None

    @property
    def is_queued(self) -> bool:
        return not (self.is_over or self.has_started or self.is_waiting)

    @property
    def left_traces(self) -> bool:
        """Of an engine. Without any, a worker died between accepting the run and starting it."""
        log = self.dir.log_file
        return self.last_seq > 0 or (log.exists() and log.stat().st_size > 0)

    @property
    def has_started(self) -> bool:
        return self.engine is not None or self.last_seq > 0

    def catch_up(self) -> None:
        if self.is_over or not self._has_grown():
            return
        while events := self.dir.events(after=self.last_seq, limit=PAGE):
            for event in events:
                self._note(event)

    def give_verdict(self, state: Verdict, reason: str | None) -> None:
        """Only under the run's lock. An engine's own verdict stands: it may have come in the last moment."""
        done, total = self.steps
        tail = self.dir.log_tail() if state is RunState.FAILED else None
        log = self.dir.event_log()
        try:
            if not log.is_over:
                log.append(
                    EndEvent(
                        state=state, steps_done=done, total_steps=total, reason=reason, log_tail=tail or None
                    )
                )
        finally:
            log.close()
        self._size = -1
        self.catch_up()

    def note_cancel(self) -> None:
        self.has_been_cancelled = True
        self.stop_asked_at = time.monotonic()
        with suppress(OSError):  # a full disk must not keep anybody from stopping a run
            self.dir.request_cancel()

    def status(self, queue_position: int | None) -> RunStatus:
        return RunStatus(
            id=self.id,
            spec=self.spec,
            state=self._current_state(),
            detail=self._current_detail(),
            queue_position=queue_position,
            last_seq=self.last_seq,
            created_at=self.accepted.at,
        )

    def _current_state(self) -> RunState:
        if self.end:
            return self.end.state
        if self.has_started:
            return RunState.CANCELLING if self.has_been_cancelled else self.state or RunState.STARTING
        return RunState.WAITING if self.is_waiting else RunState.QUEUED

    def _current_detail(self) -> str | None:
        if self.end:
            return self.end.reason
        return self.detail if self.has_started else self.waits_for

    def _has_grown(self) -> bool:
        try:
            size = self.dir.events_file.stat().st_size
        except FileNotFoundError:
            return False
        grown, self._size = size != self._size, size
        return grown

    def _note(self, event: RunEvent) -> None:
        self.last_seq = event.seq
        match event.what:
            case StateEvent(state=state, detail=detail):
                self.state, self.detail = state, detail
            case MetricEvent(step=step, total_steps=total):
                self.steps = (step, total)
            case EndEvent() as end:
                self.end = end
