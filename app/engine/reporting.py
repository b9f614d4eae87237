"""What a training process knows about its run, and how it says what happens. Light: imports no torch."""

import math
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from app.engine.failures import is_disk_full
from app.engine.limits import Clock, reached_by_measuring, while_measuring
from app.engine.reward_models import RewardModels
from app.graders.bench import Bench, Resources
from app.logs import redacted
from app.protocol import (
    EndEvent,
    Evaluation,
    EvaluationEvent,
    Happening,
    LimitName,
    LogEvent,
    MetricEvent,
    ProgressEvent,
    RunState,
    StateEvent,
)
from app.run_dir import JUDGE_KEY, Inputs, RunDir

LONGEST_LINE = 8192

MOST_UNSAID = 10_000
"""Events that wait in memory for a disk to have room again."""

H = TypeVar("H")


class Stopped(Exception):
    """The run ends before its planned steps, by somebody's wish or its own limit; not a failure."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        super().__init__(reason or "stopped as asked")


class Paused(Exception):
    """The run goes on later: its newest checkpoint is on disk, or it has none and begins again."""

    def __init__(self, reason: str, limit: LimitName | None = None) -> None:
        self.limit = limit
        super().__init__(reason)


class Interrupted(Exception):
    """Somebody other than the worker ended the process; the run has no verdict and is started again."""


class CannotTrain(Exception):
    """The run cannot go on. The message is one sentence for the user, and names what to change."""


class Run:
    def __init__(self, path: Path) -> None:
        self.dir = RunDir(path)
        self.spec = self.dir.spec
        self.inputs = self.dir.inputs
        self.steps_done = 0
        self.total_steps: int | None = None
        self.kept_step: int | None = None
        self.limits = self.dir.raised_limits or self.spec.own_limits
        self.clock = Clock(self.dir.spent)
        self.is_trained = False
        """Nothing is left to do but to measure, so a wish to pause comes too late."""
        self._was_told_to_stop = False
        self._unsaid: list[Happening] = []
        self._events = self.dir.event_log()
        self.bench = Bench(_resources(self.inputs))

    def obey_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    @property
    def stop_requested(self) -> bool:
        return self._was_told_to_stop or self.dir.cancel_requested or self.pause_requested

    @property
    def pause_requested(self) -> bool:
        return not self.is_trained and self.dir.pause_requested

    def stop_if_asked(self, done: str | None = None, saved: str = "") -> None:
        """Raises Stopped, Paused or Interrupted as somebody wished. `done` says how far it came."""
        if self.dir.cancel_requested:
            raise Stopped(f"Cancelled after {done}." if done else None)
        if self.pause_requested:
            where = f"after {done}" if done else "before the first step"
            raise Paused(f"Paused {where}; {saved or 'it will begin at the start'}.")
        if self._was_told_to_stop:
            raise Interrupted

    def stop_measuring_if_asked(self) -> None:
        """Between batches. Raises as `stop_if_asked`, and Paused where measuring has used up a limit."""
        self.stop_if_asked()
        if limit := reached_by_measuring(self.limits, self.clock.spent()):
            raise Paused(while_measuring(self.limits, limit), limit)

    @property
    def is_over(self) -> bool:
        return self._events.is_over

    def said(self, kind: type[H]) -> list[H]:
        """What earlier attempts of this run, and this one, have told of one kind."""
        return [what for event in self.dir.events(limit=sys.maxsize) if isinstance(what := event.what, kind)]

    def measured(self, when: str) -> Evaluation | None:
        """What an earlier attempt has measured on the main task."""
        evaluations = [event.evaluation for event in self.said(EvaluationEvent)]
        return next((e for e in evaluations if e.when == when and e.task == "main"), None)

    def say(self, happening: Happening) -> None:
        """A full disk does not end a training: what could not be told yet is told with the next."""
        self._unsaid.append(happening)
        try:
            while self._unsaid:
                self._events.append(self._unsaid[0])
                del self._unsaid[0]
        except OSError as error:
            if not is_disk_full(error) or len(self._unsaid) > MOST_UNSAID or is_last(happening):
                raise

    def enter(self, state: RunState, detail: str | None = None) -> None:
        self.say(StateEvent(state=state, detail=detail))

    def progress(self, phase: str, done: int, total: int) -> None:
        self.say(ProgressEvent(phase=phase, done=done, total=total))

    def note(self, line: str) -> None:
        self.say(LogEvent(line=line[:LONGEST_LINE]))

    def plan(self, total_steps: int) -> None:
        """Success means that this many steps were done."""
        self.total_steps = total_steps

    @property
    def budget_used(self) -> float | None:
        """Share of `train_minutes`, 1 or more once they are used; None where there is no such budget."""
        minutes = self.spec.train_minutes
        return None if minutes is None else self.clock.learned / 60 / minutes

    def step(self, number: int, values: Mapping[str, Any]) -> None:
        """One logging step: `number` steps are done now. Needs `plan` before."""
        assert self.total_steps is not None
        self.steps_done = number
        self.say(MetricEvent(step=number, total_steps=self.total_steps, values=finite(values)))

    def succeed(self) -> None:
        if self.total_steps is None or self.steps_done < self.total_steps:
            planned = "no planned number" if self.total_steps is None else f"{self.total_steps} planned"
            self.fail(f"The training ended by itself after {self.steps_done} steps of {planned}.")
        else:
            self._end(RunState.SUCCEEDED)

    def stop(self, reason: str | None) -> None:
        self._end(RunState.CANCELLED, reason)

    def note_spent(self) -> None:
        """A full disk costs the limits some precision, and nothing else."""
        with suppress(OSError):
            self.dir.write_spent(self.clock.spent())

    def pause(self, paused: Paused) -> None:
        self.note_spent()
        self.say(StateEvent(state=RunState.PAUSED, detail=str(paused), limit=paused.limit))

    def fail(self, reason: str) -> None:
        self._end(RunState.FAILED, reason, redacted(self.dir.log_tail()))

    def _end(self, state: Any, reason: str | None = None, log_tail: str | None = None) -> None:
        self.say(
            EndEvent(
                state=state,
                steps_done=self.steps_done,
                total_steps=self.total_steps,
                reason=reason,
                log_tail=log_tail,
                kept_step=self.kept_step,
                device=self.inputs.device_name,
            )
        )

    def _stop(self, number: int, frame: object) -> None:
        self._was_told_to_stop = True


def _resources(inputs: Inputs) -> Resources:
    return Resources(
        judge=inputs.judge,
        judge_key=os.environ.pop(JUDGE_KEY, ""),
        sandbox=inputs.sandbox,
        reward_models=RewardModels(inputs.reward_models, inputs.device),
    )


def is_last(happening: Happening) -> bool:
    """The worker waits for nothing more after these."""
    return isinstance(happening, EndEvent) or (
        isinstance(happening, StateEvent) and happening.state is RunState.PAUSED
    )


def finite(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Numbers by name: what is absent or no number is left out, what is not finite becomes null."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: float(value) if math.isfinite(value) else None for name, value in numbers.items()}


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings each by a dotted name: `tuning.rank`."""
    found: dict[str, Any] = {}
    for name, each in settings.items():
        found |= flat(each, f"{before}{name}.") if isinstance(each, dict) else {f"{before}{name}": each}
    return found


def readable(text: str, most: int) -> str:
    """For people and for databases, which store no NUL; what is cut off is counted."""
    text = text.replace("\x00", "\ufffd")
    return text if len(text) <= most else f"{text[:most]} [{len(text) - most} characters more]"
