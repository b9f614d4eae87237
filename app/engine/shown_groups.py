"""Shows what GRPO learns from: every so often one group of completions with rewards and advantages."""

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import GRPOTrainer

from app.datasets.formats import Turn
from app.engine.check_plan import Turns
from app.engine.reporting import Run, readable
from app.engine.reward import PARTS
from app.engine.rows import in_words
from app.engine.watcher import SUMMARY
from app.protocol import SampleEvent

GROUPS_A_RUN = 20
MOST_COMPLETIONS = 16
LONGEST_SHOWN = 2000
"""Characters of any one completion."""


class ShownGroups(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    def __init__(self, run: Run, trainer: GRPOTrainer, num_generations: int) -> None:
        self._run = run
        self._trainer = trainer
        self._size = min(num_generations, MOST_COMPLETIONS)
        self._turns: Turns | None = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **_: Any,
    ) -> None:
        if SUMMARY not in logs and "loss" in logs and self._is_its_turn(state):
            self._show(state.global_step)

    def _is_its_turn(self, state: TrainerState) -> bool:
        if (used := self._run.budget_used) is not None:
            self._turns = self._turns or Turns(GROUPS_A_RUN, state.max_steps, used)
            return state.global_step == 1 or self._turns.is_due(state.global_step, used)
        every = max(1, math.ceil(state.max_steps / GROUPS_A_RUN))
        return state.global_step % every in (0, 1 % every)

    def _show(self, step: int) -> None:
        """The first group of the batch; the trainer keeps the latest batch for its own tables."""
        latest = self._trainer._logs
        if not latest["prompt"]:
            return
        (rewards,) = latest["rewards"].values()
        self._run.say(
            SampleEvent(
                step=step,
                prompt=readable(in_words([Turn(**turn) for turn in latest["prompt"][0]]), LONGEST_SHOWN),
                completions=[
                    readable(completion[-1]["content"], LONGEST_SHOWN)
                    for completion in islice(latest["completion"], self._size)
                ],
                rewards=_finite(islice(rewards, self._size)),
                advantages=_finite(islice(latest["advantages"], self._size)),
                parts={
                    name.removeprefix(PARTS): list(islice(column, self._size))
                    for name, column in latest["extra"].items()
                    if name.startswith(PARTS)
                },
            )
        )


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
