"""Sits in the trainer: every logging step becomes an event, and wishes and limits are heard between steps."""

import math
import sys
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from app.engine import checkpoints
from app.engine.checkpoints import Checkpoint
from app.engine.health import Monitor
from app.engine.limits import can_pause_measuring, in_a_sentence, reached
from app.engine.reporting import CannotTrain, Paused, Run, finite
from app.protocol import CheckpointEvent, RunState, told_once

SUMMARY = "train_runtime"
"""Names the trainer's last log, which sums up and belongs to no step."""

SPENT_EVERY_SECONDS = 5

WORTH_SAVING = 0.1
"""Of the longest time between two checkpoints: so much training is not done again for want of one."""

ROOM = 1.2
"""Free disk needed before a checkpoint, in sizes of the one before."""


class Watcher(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    def __init__(self, run: Run, monitor: Monitor) -> None:
        self._run = run
        self._monitor = monitor
        self._fatal: str | None = None
        self._fatal_step = math.inf
        self._reached: Paused | None = None
        self._scores: dict[int, float] = {}
        self._steps_a_batch = 1
        self._saves = run.spec.recipe.kind != "starter"
        """The starter's two optimizers do not save themselves; it is trained in minutes."""

    def note_check(self, step: int, score: float) -> None:
        """The held-out score of the model as it is after `step`; the checkpoint of that step carries it.

        Called before a checkpoint of this step is asked for.
        """
        if math.isfinite(score):
            self._scores[step] = score

    def recall(self, until: int) -> None:
        """Rules look back, so they see again what earlier attempts told up to the step gone on from."""
        for metric in told_once(event.what for event in self._run.dir.events(limit=sys.maxsize)):
            if metric.step <= until:
                self._monitor.observe(metric.step, metric.values)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._steps_a_batch = steps_a_batch(args)
        self._saved = self._noted = time.monotonic()
        self._run.clock.training_begins()
        self._run.plan(state.max_steps)
        self._run.steps_done = state.global_step
        minutes = self._run.spec.train_minutes
        what = f"{state.max_steps} steps" if minutes is None else f"for {minutes:g} minutes"
        self._run.enter(RunState.RUNNING, f"training {what}")

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
                self._fatal = self._fatal or finding.in_words
                self._fatal_step = min(self._fatal_step, state.global_step)
                control.should_training_stop = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._note_spent()
        if state.global_step >= state.max_steps or self._ends_with_its_budget(state, control):
            control.should_save = control.should_save or self._saves_the_last_step()
        elif self._run.dir.cancel_requested:
            control.should_training_stop = True
        elif self._may_save(state):
            self._save_or_go_on(state, control)

    def _ends_with_its_budget(self, state: TrainerState, control: TrainerControl) -> bool:
        """Then the steps done are the steps planned: the budget was the plan."""
        if (self._run.budget_used or 0.0) < 1 or self._run.dir.cancel_requested:
            return False
        control.should_training_stop = True
        end_with_the_budget(self._run, int(state.global_step))
        return True

    def _saves_the_last_step(self) -> bool:
        """What follows may take long, and a run lost or paused meanwhile would have to train again."""
        since = time.monotonic() - self._saved
        is_worth_it = since >= self._run.inputs.checkpoint_seconds * WORTH_SAVING
        return self._saves and (is_worth_it or can_pause_measuring(self._run.limits))

    def _save_or_go_on(self, state: TrainerState, control: TrainerControl) -> None:
        limit = reached(self._run.limits, self._run.clock.spent(), state.global_step)
        if limit:
            sentence = in_a_sentence(self._run.limits, limit, state.global_step, state.max_steps)
            self._reached = Paused(sentence, limit)
        if limit or self._run.stop_requested:
            control.should_save, control.should_training_stop = self._saves, True
        elif time.monotonic() - self._saved >= self._run.inputs.checkpoint_seconds and self._has_room(state):
            control.should_save = self._saves

    def _note_spent(self) -> None:
        if (now := time.monotonic()) - self._noted >= SPENT_EVERY_SECONDS:
            self._noted = now
            self._run.note_spent()

    def _may_save(self, state: TrainerState) -> bool:
        """Elsewhere GRPO's trainer would draw the completions of a batch anew after resuming."""
        return int(state.global_step) % self._steps_a_batch == 0

    def _has_room(self, state: TrainerState) -> bool:
        """Asked before a checkpoint that nobody waits for."""
        earlier = checkpoints.published(self._run.dir)
        if not earlier or self._run.dir.free_bytes() >= ROOM * earlier[-1].bytes:
            return True
        self._saved = time.monotonic()
        self._run.note(f"No checkpoint at step {state.global_step}: the disk has too little room for it.")
        return False

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._saved = time.monotonic()
        with self._run.clock.aside():
            self._publish(state)

    def _publish(self, state: TrainerState) -> None:
        step = state.global_step
        staged = self._run.dir.trainer_dir / f"checkpoint-{step}"
        if not staged.is_dir():
            return  # the disk was full, which has been said
        score = self._scores.get(step)
        made = checkpoints.publish(
            self._run.dir, staged, step, score, self._may_save(state), self._run.clock.learned
        )
        best = checkpoints.best(checkpoints.published(self._run.dir))
        self._run.say(
            CheckpointEvent(
                step=step, score=score, is_best=best is not None and best.step == step, bytes=made.bytes
            )
        )
        checkpoints.prune(self._run.dir)

    def judge(self) -> None:
        """Raises unless all planned steps were done, or a finding ended the training."""
        self._run.clock.training_ends()
        done, planned = self._run.steps_done, self._run.total_steps
        if self._fatal or done == planned:
            return
        if self._reached and not self._run.dir.cancel_requested:
            raise self._reached
        self._run.stop_if_asked(f"{done} of {planned} steps", self._where_it_goes_on())

    def model_to_keep(self) -> Checkpoint | None:
        """None: the last step's. Raises where a finding ended the training and nothing sound is there."""
        if self._fatal is None and self._run.spec.keep == "last":
            return None
        there = checkpoints.sound(checkpoints.published(self._run.dir))
        best = checkpoints.best(there)
        if self._fatal is None:
            return best
        kept = best or next((each for each in reversed(there) if each.step < self._fatal_step), None)
        if kept is None:
            raise CannotTrain(f"{self._fatal} There was no checkpoint before it, so no model is kept.")
        return kept

    def tell_if_stopped(self) -> None:
        """After the kept model was measured."""
        if self._fatal:
            raise CannotTrain(f"{self._fatal} The model of step {self._run.kept_step} is kept.")

    def _where_it_goes_on(self) -> str:
        resumable = [each for each in checkpoints.published(self._run.dir) if each.manifest.can_resume]
        return f"it goes on from the checkpoint of step {resumable[-1].step}" if resumable else ""


def end_with_the_budget(run: Run, step: int) -> None:
    run.plan(step)
    run.note(f"The budget of {run.spec.train_minutes:g} minutes of training is used after {step} steps.")


def steps_a_batch(args: Any) -> int:
    """Updates that one drawing of completions serves: GRPO can be gone on from only in between.

    Its trainer draws every `steps_per_generation * num_iterations` micro-steps, and counts from 0 again.
    """
    if (micro_steps := getattr(args, "steps_per_generation", None)) is None:
        return 1
    accumulated = int(args.gradient_accumulation_steps)
    return math.lcm(micro_steps * args.num_iterations, accumulated) // accumulated
