"""Metrics beside the run's own events: TensorBoard files always, and a tracking server where there is one."""

import atexit
import os
from typing import Any

from tensorboardX import FileWriter
from tensorboardX.proto.summary_pb2 import Summary
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from app.engine.reporting import Run, finite, flat
from app.engine.trackers import Courier, sinks
from app.engine.watcher import SUMMARY
from app.run_dir import TRACKING_KEY


class Tracking(TrainerCallback):  # type: ignore[misc]  # the library is untyped
    def __init__(self, run: Run) -> None:
        self._run = run
        self._files: Any = None
        key = os.environ.pop(TRACKING_KEY, "")
        self._couriers = [Courier(sink) for sink in sinks(run.inputs.tracking, key)]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._files = FileWriter(str(self._run.dir.tensorboard_dir))
        for courier in self._couriers:
            courier.begin(self._run.spec.name, _settings(self._run))
            atexit.register(courier.end, "FAILED")

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
        values = {name: value for name, value in finite(logs).items() if value is not None}
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._files.add_summary(Summary(value=points), state.global_step)
        for courier in self._couriers:
            courier.log(state.global_step, values)
        self._tell_of_trouble()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._files.close()
        for courier in self._couriers:
            courier.end("FINISHED" if state.global_step == self._run.total_steps else "KILLED")
        self._tell_of_trouble()

    def _tell_of_trouble(self) -> None:
        for courier in self._couriers:
            if trouble := courier.new_trouble():
                self._run.note(
                    f"{trouble} The run goes on; its metrics are in its own TensorBoard files too."
                )


def _settings(run: Run) -> dict[str, str]:
    spec = run.spec.model_dump(mode="json", include={"model", "dataset", "recipe", "seed", "starts_from"})
    return {name: str(value) for name, value in flat(spec).items() if value is not None}
