"""A run as the worker follows it: what its directory says, read once and kept up to date."""

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Literal
from uuid import UUID

from app.protocol import (
    CheckpointEvent,
    EndEvent,
    Happening,
    LimitName,
    Limits,
    MetricEvent,
    ResumeEvent,
    RunEvent,
    RunSpec,
    RunState,
    RunStatus,
    StateEvent,
)
from app.run_dir import Accepted, Loss, RunDir
from app.worker.launchers.local import Engine

PAGE = 5000

STEPS_TIMED = 50

Verdict = Literal[RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]

AT_REST = (None, RunState.QUEUED, RunState.PAUSED)
"""Last words of a run that no engine works on, as opposed to one whose engine is gone."""


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
    """As last said in its events; None before the first word."""
    detail: str | None = None
    limit: LimitName | None = None
    """That paused it."""
    waits_for: str | None = None
    """Why it has not been started, in one sentence; None when it is simply next in line."""
    is_waiting: bool = False
    """For another run, as opposed to a free slot."""
    steps: tuple[int, int | None] = (0, None)
    saved: int = 0
    """Step of the newest checkpoint; 0 without one."""
    priority: int = 0
    limits: Limits | None = None
    """Where resuming raised the spec's."""
    losses: list[Loss] = field(default_factory=list)
    not_before: float = 0.0
    """By the monotonic clock: a lost run is not started again at once."""
    heard_at: float = field(default_factory=time.monotonic)
    stop_asked_at: float | None = None
    """By the monotonic clock."""
    has_been_cancelled: bool = False
    is_pausing: bool = False
    stalled: str | None = None
    """In a sentence, once it has been ended for that."""
    trouble: str | None = None
    """What last kept the worker from following it, so that the log says it once."""
    _size: int = -1
    _step_at: float | None = None
    _step_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS_TIMED))

    @classmethod
    def read(cls, run_id: UUID, run_dir: RunDir) -> "FollowedRun":
        run = cls(run_id, run_dir, run_dir.spec, run_dir.accepted)
        run.has_been_cancelled, run.is_pausing = run_dir.cancel_requested, run_dir.pause_requested
        run.priority, run.limits, run.losses = run_dir.priority, run_dir.raised_limits, run_dir.losses
        if verdict := run_dir.verdict():
            run._note(verdict)
        else:
            run.catch_up()
        return run

    @property
    def is_over(self) -> bool:
        return self.end is not None

    @property
    def is_paused(self) -> bool:
        return not self.is_over and self.engine is None and self.state is RunState.PAUSED

    @property
    def is_queued(self) -> bool:
        return not (self.is_over or self.engine or self.is_waiting or self.is_paused)

    @property
    def left_traces(self) -> bool:
        """Of an engine. Without any, a worker died between accepting the run and starting it."""
        if self.last_seq:
            return self.state not in (RunState.QUEUED, RunState.PAUSED)
        log = self.dir.log_file
        return log.exists() and log.stat().st_size > 0

    @property
    def attempt(self) -> int:
        return 1 + len(self.losses)

    @property
    def limits_in_force(self) -> Limits:
        return self.limits or self.spec.own_limits

    @property
    def why_again(self) -> str:
        """What its next start has to do with what came before; empty for a first start."""
        if self.state is RunState.QUEUED:
            return self.detail or "Started again."
        return "Goes on from the run that it continues." if self.spec.continues else ""

    @property
    def step_seconds(self) -> float:
        """Median of the latest; 0 before there are two steps."""
        return median(self._step_seconds) if self._step_seconds else 0.0

    def begin_listening(self) -> None:
        self.heard_at, self._step_at, self.waits_for = time.monotonic(), None, None
        self._step_seconds.clear()

    def catch_up(self) -> None:
        if self.is_over or not self._has_grown():
            return
        while events := self.dir.events(after=self.last_seq, limit=PAGE):
            for event in events:
                self._note(event)

    def tell(self, happening: Happening) -> None:
        """Only under the run's lock, which says that no engine writes."""
        log = self.dir.event_log()
        try:
            if not log.is_over:
                log.append(happening)
        finally:
            log.close()
        self._size = -1
        self.catch_up()

    def give_verdict(self, state: Verdict, reason: str | None) -> None:
        """Only under the run's lock. An engine's own verdict stands: it may have come in the last moment."""
        done, total = self.steps
        tail = self.dir.log_tail() if state is RunState.FAILED else None
        self.tell(
            EndEvent(state=state, steps_done=done, total_steps=total, reason=reason, log_tail=tail or None)
        )

    def losses_with(self, signature: str) -> list[Loss]:
        """A worker that died while noting this one must not count it twice."""
        before = [loss for loss in self.losses if loss.seq != self.last_seq]
        return [*before, Loss(seq=self.last_seq, step=self.steps[0], saved=self.saved, signature=signature)]

    def forget_pause(self) -> None:
        self.dir.forget_pause()
        self.is_pausing = False

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
            priority=self.priority,
            attempt=self.attempt,
            limits=self.limits,
            last_seq=self.last_seq,
            created_at=self.accepted.at,
        )

    def _current_state(self) -> RunState:
        if self.end:
            return self.end.state
        if self.engine is None:
            return self._state_at_rest()
        if self.has_been_cancelled:
            return RunState.CANCELLING
        if self.is_pausing or self.state is RunState.PAUSED:
            return RunState.PAUSING
        return RunState.STARTING if self.state in AT_REST else self.state or RunState.STARTING

    def _state_at_rest(self) -> RunState:
        if self.is_paused:
            return RunState.PAUSED
        return RunState.WAITING if self.is_waiting else RunState.QUEUED

    def _current_detail(self) -> str | None:
        if self.end:
            return self.end.reason
        if self.engine is None and not self.is_paused:
            return self.waits_for or self.detail
        return self.detail

    def _has_grown(self) -> bool:
        try:
            size = self.dir.events_file.stat().st_size
        except FileNotFoundError:
            return False
        grown, self._size = size != self._size, size
        return grown

    def _note(self, event: RunEvent) -> None:
        self.last_seq, self.heard_at = event.seq, time.monotonic()
        match event.what:
            case StateEvent(state=state, detail=detail, limit=limit):
                self.state, self.detail, self.limit = state, detail, limit
                self._step_at = None
            case MetricEvent(step=step, total_steps=total):
                self._time_step(event.at)
                self.steps = (step, total)
            case ResumeEvent(from_step=step):
                self.steps, self.saved = (step, self.steps[1]), step
            case CheckpointEvent(step=step):
                self.saved = step
            case EndEvent() as end:
                self.end = end

    def _time_step(self, at: float) -> None:
        """The engine's clock may be set while it runs: a step never takes less than no time."""
        if self._step_at is not None:
            self._step_seconds.append(max(0.0, at - self._step_at))
        self._step_at = at
