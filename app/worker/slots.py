"""Where engines run: how many at once, on which GPU each, started cold or taken from those that wait."""

import errno
import logging
import os
from collections.abc import Iterable, Mapping
from uuid import UUID

from app.run_dir import Inputs
from app.settings import WorkerSettings
from app.worker.data_dir import DataDir
from app.worker.dataset_store import DatasetStore
from app.worker.device import Processors
from app.worker.followed_run import FollowedRun
from app.worker.grading import judge_key_for, judge_of, sandbox_of
from app.worker.launchers.local import Engine, environment, launch
from app.worker.launchers.warm import WarmEngines
from app.worker.model_store import ModelStore
from app.worker.predecessors import (
    CannotStart,
    dataset_file_of,
    guard_file_of,
    model_dir_of,
    predecessor_of,
    reward_models_of,
    run_dir_continued,
)
from app.worker.tracking import tracking_of

log = logging.getLogger(__name__)

PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM)


class Slots:
    def __init__(
        self,
        settings: WorkerSettings,
        data_dir: DataDir,
        datasets: DatasetStore,
        models: ModelStore,
        processors: Processors,
    ) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._datasets = datasets
        self._models = models
        self._processors = processors
        self._warm = WarmEngines(
            settings.warm_engines if settings.engine_module == "app.engine" else 0,
            environment(processors.threads, processors.device.kind, online=False),
        )

    def keep_warm(self, runs: Iterable[FollowedRun]) -> None:
        """A run before its first step needs the processor more than the next one that may come."""
        if not any(run.engine and not run.is_over and run.steps[0] == 0 for run in runs):
            self._warm.refill()

    @property
    def warm_engines(self) -> int:
        return self._warm.ready

    def stop(self) -> None:
        self._warm.stop()

    def fill(self, run: FollowedRun, runs: Mapping[UUID, FollowedRun]) -> None:
        """Starts it if its turn has come. Raises Blocked or CannotStart."""
        before, graded_by = predecessor_of(run, runs), reward_models_of(run, runs)
        if self._has_room(run, runs.values()):
            self._launch(run, self._inputs(run, before, graded_by, runs))

    def _inputs(
        self,
        run: FollowedRun,
        before: FollowedRun | None,
        graded_by: dict[str, str],
        runs: Mapping[UUID, FollowedRun],
    ) -> Inputs:
        return Inputs(
            model_dir=model_dir_of(run, before, self._models),
            dataset_file=dataset_file_of(run, self._datasets),
            device=self._processors.device.kind,
            device_name=self._processors.device.name,
            threads=self._processors.threads,
            starter_cache=str(self._data_dir.starter_cache),
            evaluation_cache=str(self._data_dir.evaluations),
            guard_file=guard_file_of(run, self._datasets),
            judge=judge_of(self._settings),
            sandbox=sandbox_of(self._settings),
            reward_models=graded_by,
            tracking=tracking_of(self._settings),
            gpu=self._gpu(runs.values()),
            continues_dir=run_dir_continued(run, runs),
            attempt=run.attempt,
            why=run.why_again,
            checkpoint_seconds=self._settings.checkpoint_minutes * 60,
        )

    def _gpu(self, runs: Iterable[FollowedRun]) -> str | None:
        """The one that fewest engines use, the first of those that are equal."""
        used = [run.dir.inputs.gpu for run in runs if run.engine]
        return min(self._processors.gpus, key=used.count, default=None)

    def _has_room(self, run: FollowedRun, runs: Iterable[FollowedRun]) -> bool:
        if sum(each.engine is not None for each in runs) >= self._processors.slots:
            return False
        free, needed = self._data_dir.free_bytes(), self._settings.min_free_bytes
        if free < needed:
            run.waits_for = (
                f"Waits for disk space: {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed. Delete runs "
                "or datasets, or lower TUNING_FORK_WORKER_MIN_FREE_BYTES."
            )
        return free >= needed

    def _launch(self, run: FollowedRun, inputs: Inputs) -> None:
        lock = run.dir.take_lock()
        if lock is None:
            return
        try:
            run.dir.write_inputs(inputs)
            run.engine = self._engine(run, inputs, lock)
        except OSError as error:
            if error.errno in PASSING:
                run.waits_for = f"Could not be started yet: {error.strerror}."
                return
            raise CannotStart(f"The training process could not be started: {error.strerror}.") from None
        finally:
            os.close(lock)
        run.begin_listening()
        log.info("run %s started", run.id)

    def _engine(self, run: FollowedRun, inputs: Inputs, lock: int) -> Engine:
        """One that waits has read that the hub is off limits, so runs that need the hub start cold."""
        online = run.spec.model.kind == "hub" and self._settings.allow_hub
        key = judge_key_for(run.spec, self._settings)
        tracking_key = self._settings.tracking_key.get_secret_value() if inputs.tracking.to else ""
        given = environment(inputs.threads, inputs.device, online, key, tracking_key)
        warm = None if online else self._warm.take(run.dir, lock, given)
        return warm or launch(run.dir, self._settings.engine_module, lock, given)
