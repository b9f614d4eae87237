"""Preflights: what would go wrong with a run, found by a process that is bounded in time and memory."""

import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from app.errors import Conflict, NotFound, RateLimited
from app.protocol import (
    Beginning,
    Check,
    CheckName,
    CheckResult,
    Device,
    Forecast,
    Preflight,
    PreflightInputs,
    PreflightLine,
    PreflightRequest,
    PreflightState,
)
from app.worker.children import Child
from app.worker.refusals import refuse_to_look_before
from app.worker.trial_runs import Surroundings

MODULE = "app.engine.preflight"

KEPT_SECONDS = 3600.0
"""A result is there for so long."""

UNWATCHED_SECONDS = 30.0
"""After so long without a question about it, a watched preflight is given up."""

MOST_WAITING = 20

TICK_SECONDS = 0.5

LINE: TypeAdapter[PreflightLine] = TypeAdapter(PreflightLine)

OUT_OF_MEMORY = "The process was killed from outside, as the system does when memory runs out."
SMALLER = "Lower micro_batch_size first, then the length limits, choose LoRA, or start from a smaller model."


@dataclass
class Job:
    id: UUID
    request: PreflightRequest
    state: PreflightState = PreflightState.QUEUED
    doing: CheckName | None = None
    checks: list[Check] = field(default_factory=list)
    forecast: Forecast | None = None
    child: Child | None = None
    folder: Path | None = None
    asked_at: float = field(default_factory=time.monotonic)
    began_at: float | None = None
    ended_at: float | None = None
    why_ended: str = ""
    """Where it was ended before its last check."""

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    @property
    def seconds(self) -> float:
        return (self.ended_at or time.monotonic()) - self.began_at if self.began_at else 0.0

    def view(self) -> Preflight:
        return Preflight(
            id=self.id,
            spec=self.request.spec,
            state=self.state,
            doing=self.doing,
            checks=list(self.checks),
            forecast=self.forecast,
            seconds=round(self.seconds, 1),
        )


class Preflights:
    """Every public method may be called from any thread."""

    def __init__(self, surroundings: Surroundings, device: Device) -> None:
        self._around = surroundings
        self._device = device
        self._jobs: dict[UUID, Job] = {}
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="preflights", daemon=True)

    def start(self) -> None:
        shutil.rmtree(self._around.folder, ignore_errors=True)
        self._around.folder.mkdir(mode=0o700, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        with self._lock:
            running = [job for job in self._jobs.values() if job.child and not job.is_over]
        for job in running:
            self._end(job, PreflightState.CANCELLED)

    def put(self, preflight_id: UUID, request: PreflightRequest) -> tuple[Preflight, bool]:
        """Where it stands, and whether it is new. Raises InvalidInput for a probe."""
        refuse_to_look_before(request.spec)
        with self._lock:
            if known := self._jobs.get(preflight_id):
                if known.request.spec != request.spec:
                    raise Conflict(
                        "A preflight with this id checks another run; give the new one its own id."
                    )
                return known.view(), False
            if sum(job.state is PreflightState.QUEUED for job in self._jobs.values()) >= MOST_WAITING:
                raise RateLimited("Many preflights wait already; try again when some of them are done.")
            self._jobs[preflight_id] = Job(preflight_id, request)
            self._advance()
            return self._jobs[preflight_id].view(), True

    def look(self, preflight_id: UUID) -> Preflight:
        with self._lock:
            job = self._job(preflight_id)
            job.asked_at = time.monotonic()
            return job.view()

    def cancel(self, preflight_id: UUID) -> None:
        with self._lock:
            job = self._job(preflight_id)
            if not job.is_over:
                self._end(job, PreflightState.CANCELLED)

    def _job(self, preflight_id: UUID) -> Job:
        if preflight_id not in self._jobs:
            raise NotFound("There is no such preflight on this worker; its result is kept for an hour.")
        return self._jobs[preflight_id]

    # Running them

    def _loop(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            with self._lock:
                self._advance()
                for job in list(self._jobs.values()):
                    self._judge(job)

    def _advance(self) -> None:
        running = sum(job.state is PreflightState.RUNNING for job in self._jobs.values())
        waiting = [job for job in self._jobs.values() if job.state is PreflightState.QUEUED]
        for job in waiting[: max(0, self._around.settings.preflights - running)]:
            self._begin(job)

    def _judge(self, job: Job) -> None:
        """Ends what takes too long or is watched by nobody; forgets what has been over for an hour."""
        now = time.monotonic()
        if job.ended_at:
            if now - job.ended_at > KEPT_SECONDS:
                del self._jobs[job.id]
        elif job.request.while_watched and now - job.asked_at > UNWATCHED_SECONDS:
            self._end(job, PreflightState.CANCELLED)
        elif job.seconds > (limit := self._around.settings.preflight_seconds):
            job.why_ended = f"This took longer than the {limit:g} seconds that all checks may take."
            self._end(job, PreflightState.DONE)

    def _begin(self, job: Job) -> None:
        try:
            self._start(job)
        except OSError as error:
            job.doing, job.why_ended = CheckName.MODEL, f"The checks could not be started: {error.strerror}."
            self._end(job, PreflightState.DONE)

    def _start(self, job: Job) -> None:
        spec, start = job.request.spec, self._around.start_of(job.request.spec)
        job.state, job.began_at = PreflightState.RUNNING, time.monotonic()
        job.folder = Path(tempfile.mkdtemp(dir=self._around.folder))
        run_dir = self._around.lay_out(job.folder, spec, self._around.device, start)
        settings = self._around.settings
        inputs = PreflightInputs(
            run_dir=str(run_dir.path),
            model_is_coming=start.is_coming,
            stands_in=start.stands_in,
            device_name=self._device.name,
            memory_bytes=settings.preflight_memory_bytes or self._device.memory_bytes,
            disk_free_bytes=self._around.data_dir.free_bytes(),
            min_free_bytes=settings.min_free_bytes,
            tracking=list(settings.tracking),
            tracking_url=settings.tracking_url,
        )
        job.child = Child(MODULE, job.folder, self._around.environment(spec, self._around.device))
        job.child.tell(inputs.model_dump_json())
        threading.Thread(target=self._follow, args=(job, job.child), name="preflight", daemon=True).start()

    def _follow(self, job: Job, child: Child) -> None:
        for line in child.lines(LINE):
            self._note(job, line)
        with self._lock:
            if not job.is_over:
                job.why_ended = OUT_OF_MEMORY if child.was_killed else _ended_by_itself(child, job)
                self._end(job, PreflightState.DONE)

    def _note(self, job: Job, line: PreflightLine) -> None:
        with self._lock:
            if job.is_over:
                return
            if isinstance(line, Beginning):
                job.doing = line.name
            else:
                job.doing = None
                job.checks.append(line.check)
                job.forecast = line.forecast or job.forecast

    def _end(self, job: Job, state: PreflightState) -> None:
        job.state, job.ended_at = state, time.monotonic()
        if job.doing and state is PreflightState.DONE:
            job.checks.append(_broken_off(job.doing, job.why_ended))
        job.doing = None
        if job.child:
            job.child.close()
        if job.folder:
            shutil.rmtree(job.folder, ignore_errors=True)


def _broken_off(name: CheckName, why: str) -> Check:
    """A process that dies at its work is itself the answer; one that was given up has none."""
    if why == OUT_OF_MEMORY:
        return Check(name=name, result=CheckResult.FAIL, sentence=why, fix=SMALLER)
    slow = why.startswith("This took longer")
    fix = "The run itself may still work; TUNING_FORK_WORKER_PREFLIGHT_SECONDS gives the checks more time."
    return Check(
        name=name,
        result=CheckResult.WARN if slow else CheckResult.FAIL,
        sentence=why,
        fix=fix if slow else "Look at the worker's log.",
    )


def _ended_by_itself(child: Child, job: Job) -> str:
    if job.doing is None:
        return ""
    words = child.last_words().strip().splitlines()
    return f"The process ended before this check was made: {words[-1][:300] if words else 'without a word'}."
