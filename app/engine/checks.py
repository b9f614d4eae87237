"""Short measurements during training: is the model getting better on rows that it does not learn from?"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from app.datasets.formats import Row
from app.engine.check_plan import SHARE_OF_TIME, Budget, Turns, spread
from app.engine.evaluation import answered_by_batch, reference_tokens
from app.engine.health.series import HELD_OUT
from app.engine.held_out_loss import held_out_loss
from app.engine.loading import Loaded
from app.engine.measuring import Answer, abstention, values
from app.engine.phrases import defers
from app.engine.reporting import Paused, Run
from app.engine.rows import answers
from app.engine.watcher import SUMMARY, Watcher
from app.protocol import Evaluation, Grader, pass_threshold

Named = dict[str, float]


class HeldOutChecks(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    """Measures a fixed part of the held-out rows, evenly spread over the steps and after the last one.

    A check draws its chances from a state of its own, so that a run trains alike with and without checks.
    """

    def __init__(
        self,
        run: Run,
        trainer: Any,
        watcher: Watcher,
        loaded: Loaded,
        rows: Sequence[Row],
        before: Evaluation | None,
    ) -> None:
        self._run = run
        self._trainer = trainer
        self._watcher = watcher
        self._loaded = loaded
        asked = [row for row in rows if row.messages]
        most = run.spec.evaluation.check_items
        self._places = spread(len(asked), most)
        self._asked = [asked[place] for place in self._places]
        learnable = [row for row in rows if row.is_demonstration or row.is_text]
        self._learnable = [learnable[place] for place in spread(len(learnable), most)]
        self._before = before
        self._turns = Turns(0, 0)
        self._budget = Budget()
        self._best = -math.inf
        self._was_told = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        checks = self._run.spec.evaluation.checks
        self._began = time.monotonic()
        self._reference = reference_tokens(self._run.spec, self._loaded, self._asked)
        self._turns = Turns(checks, state.max_steps, self._run.budget_used)
        if self._before and checks and state.global_step == 0:
            self._say(args, state, control, self._at_the_start(self._before))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        model: Any = None,
        **_: Any,
    ) -> None:
        is_one = any(name.startswith(HELD_OUT) for name in logs)
        if is_one or SUMMARY in logs or self._run.stop_requested:
            return
        ends, used = control.should_training_stop, self._run.budget_used
        if self._turns.is_due(state.global_step, used, is_last=ends) and self._is_affordable():
            with self._run.clock.aside():
                self._check(args, state, control, model)

    def _is_affordable(self) -> bool:
        if self._budget.allows_another(time.monotonic() - self._began):
            return True
        if not self._was_told:
            self._was_told = True
            self._run.note(
                f"Some checks on held-out rows are left out: one takes {self._budget.latest:.0f} s, and "
                f"together they may take {SHARE_OF_TIME:.0%} of the training."
            )
        return False

    def _check(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any
    ) -> None:
        started, was_training = time.monotonic(), model.training
        devices = [model.device] if model.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(self._run.spec.seed)
                measured = self._measured(replace(self._loaded, model=model))
        except torch.OutOfMemoryError:
            self._give_up()
            return
        except Paused:
            return  # the watcher pauses where there is a checkpoint
        except Exception:
            if self._run.stop_requested:
                return
            raise
        finally:
            model.train(was_training)
            self._budget.took(time.monotonic() - started)
        self._say(args, state, control, measured)
        self._note(state.global_step, control, measured)

    def _give_up(self) -> None:
        """Training left no room for answering, and is worth more than its checks."""
        self._turns = Turns(0, 0)
        torch.cuda.empty_cache()
        self._run.note("No more checks on held-out rows: the device has too little memory left for them.")

    def _say(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, measured: Named
    ) -> None:
        """As the trainer would: to the watcher with its rules, and to whatever else listens."""
        self._trainer.callback_handler.on_log(args, state, control, dict(measured))

    def _note(self, step: int, control: TrainerControl, measured: Named) -> None:
        """A new best is worth a checkpoint. Without a grader the lowest loss is best."""
        loss = measured.get(f"{HELD_OUT}loss", math.inf)
        score = measured.get(f"{HELD_OUT}score", -loss)
        if not math.isfinite(score):
            return
        self._watcher.note_check(step, score)
        if score > self._best:
            self._best = score
            control.should_save = True

    def _measured(self, loaded: Loaded) -> Named:
        found: dict[int, Answer] = {}
        plan = self._run.spec.evaluation
        for batch, answered in answered_by_batch(self._run, plan, loaded, self._asked, is_sampled=True):
            found |= dict(zip(batch, answered, strict=True))
        measured = self._graded([found[place] for place in range(len(self._asked))]) if found else {}
        loss = held_out_loss(self._run, loaded, self._learnable)
        return measured | ({} if loss is None else {f"{HELD_OUT}loss": loss})

    def _graded(self, answered: Sequence[Answer]) -> Named:
        texts = [answer.text for answer in answered]
        abstains = abstention(self._asked, texts)
        measured = {
            **self._lengths([answer.tokens for answer in answered]),
            f"{HELD_OUT}clipped": fmean(answer.is_clipped for answer in answered),
            f"{HELD_OUT}deference": fmean(defers(text) for text in texts),
        }
        if abstains is not None:
            measured[f"{HELD_OUT}abstention"] = abstains
        if grader := self._run.spec.grader:
            measured |= _scored(self._scores(grader, texts), pass_threshold(grader))
        for grader in self._run.spec.independent_graders:
            measured |= _independent(grader.name, self._scores(grader, texts))
        return measured

    def _scores(self, grader: Grader, texts: Sequence[str]) -> list[float | None]:
        return values(self._run.bench.grade(grader, answers(self._asked, texts)))

    def _lengths(self, tokens: Sequence[int]) -> Named:
        mean = fmean(tokens)
        ratio = {f"{HELD_OUT}length_ratio": mean / self._reference} if self._reference else {}
        return {f"{HELD_OUT}mean_tokens": mean, **ratio}

    def _at_the_start(self, before: Evaluation) -> Named:
        """From the evaluation before training: the same items where it tells of each, else all of them."""
        measured: Named = {}
        if len(before.sampled_tokens) == len(before.sampled_outcomes) > 0:
            measured |= self._lengths([before.sampled_tokens[place] for place in self._places])
        for scores in before.scores:
            same = [scores.sampled[place] for place in self._places]
            is_reward = scores.role == "reward"
            measured |= (
                _scored(same, scores.pass_threshold) if is_reward else _independent(scores.grader, same)
            )
        others = {"deference": before.deference, "abstention": before.abstention, "loss": before.loss}
        known = {f"{HELD_OUT}{name}": value for name, value in others.items() if value is not None}
        return measured | known


def _scored(scores: Sequence[float | None], least: float) -> Named:
    known = [score for score in scores if score is not None]
    if not known:
        return {}
    return {
        f"{HELD_OUT}score": fmean(known),
        f"{HELD_OUT}right": fmean(score >= least for score in known),
    }


def _independent(name: str, scores: Sequence[float | None]) -> Named:
    known = [score for score in scores if score is not None]
    return {f"{HELD_OUT}independent/{name}": fmean(known)} if known else {}
