"""Runs the queue: oldest run first, as many engines as there are slots, a verdict for every exit."""

import logging
import shutil
import threading
import time
from collections.abc import Iterator
from uuid import UUID

from app.errors import Conflict, NotFound
from app.protocol import Limits, RunSpec, RunState, RunStatus, StateEvent
from app.run_dir import Accepted, RunDir, create_run_dir
from app.settings import WorkerSettings
from app.worker.data_dir import DataDir
from app.worker.dataset_store import DatasetStore
from app.worker.device import Processors
from app.worker.endings import close, has_last_word, tell
from app.worker.followed_run import FollowedRun
from app.worker.launch_checks import refuse_unrunnable
from app.worker.launchers.local import Engine
from app.worker.model_store import ModelStore
from app.worker.predecessors import Blocked, CannotStart
from app.worker.refusals import (
    refuse_circle,
    refuse_other_settings,
    refuse_over,
    refuse_start_from_probe,
    refuse_to_pause,
    refuse_to_resume,
    refuse_while_needed,
    refuse_while_read,
)
from app.worker.slots import Slots
from app.worker.starter_run import STARTER_SPEC, needs_starter, starter_attempts, starter_id

log = logging.getLogger(__name__)

TICK_SECONDS = 0.2
PATIENCE_SECONDS = 1.0
"""With a killed process that has not disappeared yet."""

IDLE_SECONDS = 2.0
"""Nothing trains: only a disk that empties itself has to be noticed."""


class Supervisor:
    """Every public method may be called from any thread."""

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
        self._slots = Slots(settings, data_dir, datasets, models, processors)
        self._runs: dict[UUID, FollowedRun] = {}
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)

    def start(self) -> None:
        with self._lock:
            self._runs = {run.id: run for run in _runs_in(self._data_dir)}
            for run in self._runs.values():
                self._adopt(run)
            if self._settings.prepare_starter:
                self._ensure_starter_if_there_is_room()
            self._follow_all()
        self._thread.start()

    def stop(self) -> None:
        """Engines go on: they hold their locks, and the next worker finds them by these."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._slots.stop()
        for run in self._runs.values():
            if run.engine:
                run.engine.let_go()

    # What the worker is asked

    def accept(self, run_id: UUID, spec: RunSpec) -> tuple[RunStatus, bool]:
        """The run's status, and whether it is new; the network may send the same run again and again."""
        if not self._is_known(run_id, spec):
            # Outside the lock: a generated dataset is made when it is first asked for.
            refuse_unrunnable(spec, self._datasets, self._models, self._settings)
        with self._lock:
            if self._is_known(run_id, spec):
                return self._status(self._runs[run_id]), False
            refuse_circle(run_id, spec, self._runs)
            refuse_other_settings(spec, self._runs)
            refuse_start_from_probe(spec, self._runs)
            if needs_starter(spec):
                self._ensure_starter()
            run = self._add(run_id, spec)
            self._follow_all()
            return self._status(run), True

    def status(self, run_id: UUID) -> RunStatus:
        with self._lock:
            run = self._run(run_id)
            run.catch_up()
            return self._status(run)

    def statuses(self) -> list[RunStatus]:
        with self._lock:
            for run in self._runs.values():
                run.catch_up()
            return [self._status(run) for run in self._in_order()]

    def starter(self) -> RunStatus | None:
        with self._lock:
            attempts = starter_attempts(self._runs)
            return self._status(attempts[-1]) if attempts else None

    def warm_engines(self) -> int:
        with self._lock:
            return self._slots.warm_engines

    def run_dir(self, run_id: UUID) -> RunDir:
        with self._lock:
            return self._run(run_id).dir

    def cancel(self, run_id: UUID) -> RunStatus:
        with self._lock:
            run = self._run(run_id)
            run.catch_up()
            refuse_over(run)
            if not run.has_been_cancelled:
                run.note_cancel()
                if run.engine:
                    run.engine.ask_to_stop()
            self._follow(run)
            self._wake.set()
            return self._status(run)

    def pause(self, run_id: UUID) -> RunStatus:
        """One that has not started is paused at once; a training one after its next step."""
        with self._lock:
            run = self._run(run_id)
            self._follow(run)
            refuse_to_pause(run)
            run.dir.request_pause()
            run.is_pausing = True
            if run.engine is None:
                tell(run, StateEvent(state=RunState.PAUSED, detail="Paused before it started."))
                run.forget_pause()
            return self._status(run)

    def resume(self, run_id: UUID, limits: Limits | None) -> RunStatus:
        with self._lock:
            run = self._run(run_id)
            self._follow(run)
            if run.engine and run.state is RunState.PAUSED:
                self._is_gone_when_killed(run, run.engine)
            refuse_to_resume(run, limits)
            if limits:
                run.dir.write_limits(limits)
                run.limits = limits
            run.forget_pause()
            tell(run, StateEvent(state=RunState.QUEUED, detail="Resumed."))
            self._follow_all()
            return self._status(run)

    def prioritize(self, run_id: UUID, priority: int) -> RunStatus:
        with self._lock:
            run = self._run(run_id)
            run.catch_up()
            refuse_over(run)
            run.dir.write_priority(priority)
            run.priority = priority
            self._wake.set()
            return self._status(run)

    def delete(self, run_id: UUID) -> None:
        with self._lock:
            run = self._run(run_id)
            run.catch_up()
            self._refuse_to_delete(run)
            doomed = run.dir.path.rename(self._data_dir.runs / f".{run_id}.deleted")
            del self._runs[run_id]
        shutil.rmtree(doomed, ignore_errors=True)

    def refuse_if_used(self, sha256: str) -> None:
        with self._lock:
            refuse_while_read(sha256, self._in_order())

    # The queue

    def _loop(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                self._follow_all()
                self._slots.keep_warm(self._runs.values())
                is_busy = any(run.engine for run in self._runs.values())
            self._wake.wait(TICK_SECONDS if is_busy else IDLE_SECONDS)
            self._wake.clear()

    def _follow_all(self) -> None:
        """One run's trouble (a full disk, a damaged folder) is no reason to leave the others alone."""
        for run in self._in_order():
            try:
                self._follow(run)
                run.trouble = None
            except Exception as error:
                if run.trouble != (trouble := repr(error)):
                    log.exception("run %s could not be followed; trying again", run.id)
                run.trouble = trouble

    def _follow(self, run: FollowedRun) -> None:
        if run.engine:
            self._watch(run, run.engine)
        elif run.is_over:
            return
        elif run.has_been_cancelled:
            close(run, RunState.CANCELLED)
        elif not run.is_paused and time.monotonic() >= run.not_before:
            self._advance(run)

    def _watch(self, run: FollowedRun, engine: Engine) -> None:
        run.catch_up()
        if not engine.is_running():
            self._bury(run, engine)
            return
        run.dir.cap_log(self._settings.max_log_bytes)
        self._end_if_stalled(run, engine)
        if run.is_over and run.stop_asked_at is None:
            run.stop_asked_at = time.monotonic()
        if run.stop_asked_at and time.monotonic() - run.stop_asked_at > self._settings.cancel_grace_seconds:
            engine.kill()

    def _end_if_stalled(self, run: FollowedRun, engine: Engine) -> None:
        silent = time.monotonic() - run.heard_at
        patience = max(10 * run.step_seconds, self._settings.stalled_minutes * 60)
        if run.is_over or run.state not in (RunState.RUNNING, RunState.EVALUATING) or silent < patience:
            return
        run.stalled = (
            f"The training stalled: nothing came from it for {silent / 60:.3g} minutes, where a step took "
            f"{run.step_seconds:.2g} s before. Its process was ended; retrying goes on from the newest "
            "checkpoint."
        )
        engine.kill()

    def _bury(self, run: FollowedRun, engine: Engine) -> None:
        if has_last_word(run, engine.ending(), self._settings):
            run.engine = None
            self._wake.set()
        else:
            engine.kill()  # it is gone, but something that it started still holds the lock

    def _advance(self, run: FollowedRun) -> None:
        run.is_waiting, run.waits_for = False, None
        try:
            self._slots.fill(run, self._runs)
        except Blocked as blocked:
            run.is_waiting, run.waits_for = True, str(blocked)
        except CannotStart as error:
            close(run, RunState.FAILED, str(error))

    def _adopt(self, run: FollowedRun) -> None:
        """A held lock is a living engine; a free one without a verdict, a dead one."""
        engine = Engine(run.dir)
        if not engine.is_running():
            run.engine = engine if run.left_traces and not run.is_over else None
            return
        run.engine = engine
        log.info("run %s is still training; following it", run.id)
        if run.has_been_cancelled and not run.is_over:
            run.stop_asked_at = time.monotonic()
            engine.ask_to_stop()

    # Keeping the books

    def _ensure_starter(self) -> None:
        attempts = starter_attempts(self._runs)
        if not attempts or (attempts[-1].end and attempts[-1].end.state is not RunState.SUCCEEDED):
            self._add(starter_id(len(attempts)), STARTER_SPEC)

    def _ensure_starter_if_there_is_room(self) -> None:
        """A full disk must not keep anybody from looking at what is there."""
        try:
            self._ensure_starter()
        except OSError:
            log.exception("the starter model cannot be prepared; the first run that needs it tries again")

    def _add(self, run_id: UUID, spec: RunSpec) -> FollowedRun:
        order = max((run.accepted.order for run in self._runs.values()), default=0) + 1
        accepted = Accepted(order=order, at=time.time(), starts_from_ended=self._starts_from_ended(spec))
        run_dir = create_run_dir(self._data_dir.runs, run_id, spec, accepted)
        self._runs[run_id] = FollowedRun(run_id, run_dir, spec, accepted)
        self._wake.set()
        return self._runs[run_id]

    def _starts_from_ended(self, spec: RunSpec) -> bool:
        before = self._runs.get(spec.starts_from) if spec.starts_from else None
        if before:
            before.catch_up()
        return before is not None and before.is_over

    def _is_known(self, run_id: UUID, spec: RunSpec) -> bool:
        known = self._runs.get(run_id)
        if known and known.spec != spec:
            raise Conflict("A run with this id exists with other settings; give the new one its own id.")
        return known is not None

    def _run(self, run_id: UUID) -> FollowedRun:
        try:
            return self._runs[run_id]
        except KeyError:
            raise NotFound("There is no such run on this worker.") from None

    def _in_order(self) -> list[FollowedRun]:
        """Of the queue: by priority, then by age."""
        return sorted(self._runs.values(), key=lambda run: (-run.priority, run.accepted.order))

    def _status(self, run: FollowedRun) -> RunStatus:
        if not run.is_queued:
            return run.status(None)
        return run.status(1 + [each for each in self._in_order() if each.is_queued].index(run))

    def _is_gone_when_killed(self, run: FollowedRun, engine: Engine) -> bool:
        """Its verdict is on disk, so nothing is lost with what it still does."""
        engine.kill()
        patience = time.monotonic() + PATIENCE_SECONDS
        while engine.is_running() and time.monotonic() < patience:
            time.sleep(0.01)
        self._watch(run, engine)
        return run.engine is None

    def _refuse_to_delete(self, run: FollowedRun) -> None:
        if not run.is_over:
            raise Conflict("This run is not over; cancel it first.")
        if run in starter_attempts(self._runs):
            raise Conflict("The starter model is kept: runs may start from it at any time.")
        refuse_while_needed(run, self._in_order())
        if run.engine and not self._is_gone_when_killed(run, run.engine):
            raise Conflict("This run's process is still shutting down; try again in a few seconds.")


def _runs_in(data_dir: DataDir) -> Iterator[FollowedRun]:
    for path in data_dir.runs.iterdir():
        try:
            yield FollowedRun.read(UUID(path.name), RunDir(path))
        except (ValueError, OSError):
            log.exception("%s is not a run that this version can read; left alone", path)
