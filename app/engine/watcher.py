"""Sits in the trainer: every logging step becomes an event, and wishes to stop are heard between steps."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from app.engine.health import Monitor
from app.engine.reporting import CannotTrain, Run, Stopped, finite
from app.protocol import CheckpointEvent, RunState, StarterRecipe

CHECKPOINT_SECONDS = 600
"""Between two; saving a large model takes a good part of a minute."""

SUMMARY = "train_runtime"
"""Names the trainer's last log, which sums up and belongs to no step."""


class Watcher(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    def __init__(self, run: Run, monitor: Monitor) -> None:
        self._run = run
        self._monitor = monitor
        self._fatal: str | None = None
        recipe = run.spec.recipe
        self._minutes = None if isinstance(recipe, StarterRecipe) else recipe.max_minutes

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._began = self._saved = time.monotonic()
        self._run.plan(state.max_steps)
        self._run.enter(RunState.RUNNING, f"training {state.max_steps} steps")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **_: Any,
    ) -> None:
        if SUMMARY in logs:
            return
        self._run.step(state.global_step, logs)
        for finding in self._monitor.observe(state.global_step, finite(logs)):
            self._run.say(finding)
            if finding.level == "stop":
                self._fatal = self._fatal or finding.sentence
                control.should_training_stop = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        now = time.monotonic()
        is_late = self._minutes is not None and now - self._began > self._minutes * 60
        if self._run.stop_requested or is_late:
            control.should_training_stop = True
        elif now - self._saved >= CHECKPOINT_SECONDS and state.global_step < state.max_steps:
            self._saved = now
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._run.say(CheckpointEvent(step=state.global_step))

    def judge(self) -> None:
        """Raises unless the model is worth keeping: all planned steps, or as many as the time allowed."""
        if self._fatal:
            raise CannotTrain(self._fatal)
        done, planned = self._run.steps_done, self._run.total_steps
        if self._run.stop_requested and done != planned:
            raise Stopped(f"Cancelled after {done} of {planned} steps.")

    def tell_if_cut_short(self) -> None:
        done, planned = self._run.steps_done, self._run.total_steps
        if done != planned:
            raise Stopped(
                f"The time limit of {self._minutes:g} minutes was reached after {done} of {planned} steps; "
                "the model so far was measured and kept."
            )
