"""What a training process knows about its run, and how it says what happens. Light: imports no torch."""

import math
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.graders.bench import Bench, Resources
from app.logs import redacted
from app.protocol import (
    EndEvent,
    Happening,
    LogEvent,
    MetricEvent,
    ProgressEvent,
    RunState,
    StateEvent,
)
from app.run_dir import JUDGE_KEY, Inputs, RunDir

LONGEST_LINE = 8192


class Stopped(Exception):
    """The run ends before its planned steps, by somebody's wish or its own limit; not a failure."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        super().__init__(reason or "stopped as asked")


class CannotTrain(Exception):
    """The run cannot go on. The message is one sentence for the user, and names what to change."""


class Run:
    def __init__(self, path: Path) -> None:
        self.dir = RunDir(path)
        self.spec = self.dir.spec
        self.inputs = self.dir.inputs
        self.steps_done = 0
        self.total_steps: int | None = None
        self._was_told_to_stop = False
        self._events = self.dir.event_log()
        self.bench = Bench(_resources(self.inputs))

    def obey_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    @property
    def stop_requested(self) -> bool:
        return self._was_told_to_stop or self.dir.cancel_requested

    def stop_if_asked(self) -> None:
        if self.stop_requested:
            raise Stopped

    @property
    def is_over(self) -> bool:
        return self._events.is_over

    def say(self, happening: Happening) -> None:
        self._events.append(happening)

    def enter(self, state: RunState, detail: str | None = None) -> None:
        self.say(StateEvent(state=state, detail=detail))

    def progress(self, phase: str, done: int, total: int) -> None:
        self.say(ProgressEvent(phase=phase, done=done, total=total))

    def note(self, line: str) -> None:
        self.say(LogEvent(line=line[:LONGEST_LINE]))

    def plan(self, total_steps: int) -> None:
        """Success means that this many steps were done."""
        self.total_steps = total_steps

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
            )
        )

    def _stop(self, number: int, frame: object) -> None:
        self._was_told_to_stop = True


def _resources(inputs: Inputs) -> Resources:
    return Resources(judge=inputs.judge, judge_key=os.environ.pop(JUDGE_KEY, ""), sandbox=inputs.sandbox)


def finite(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Numbers by name: what is absent or no number is left out, what is not finite becomes null."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: float(value) if math.isfinite(value) else None for name, value in numbers.items()}


def readable(text: str, most: int) -> str:
    """For people and for databases, which store no NUL; what is cut off is counted."""
    text = text.replace("\x00", "\ufffd")
    return text if len(text) <= most else f"{text[:most]} [{len(text) - most} characters more]"
