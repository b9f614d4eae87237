"""A run on disk: the truth about it, and who may write which file.

spec.json      worker, once, before the run exists for anybody
accepted.json  worker, once: its place in the queue
priority.json  worker: before or after others, as last asked
limits.json    worker: the limits that hold since resuming raised those of the spec
losses.json    worker: the times its process was lost without its own fault
inputs.json    worker, at each start: what the engine reads and on which device
commit         engine, at its first start: which state of the hub's model this run is about
lock           worker takes it and hands it on to the engine; held for as long as the engine lives
events.jsonl   whoever holds the lock: the engine; the worker, for a run without one
cancel pause   worker: their presence asks the engine to stop, or to save and stop
spent.json     engine: what all its attempts have used so far, for the limits
log.txt        the engine's stdout and stderr
staging/       engine: what the trainer saves, before it is published
checkpoints/N/ engine: published, complete, with a manifest of hashes
model/ adapter/   engine: the model that was trained; the adapter alone, where one was
bundle/           engine: the same training with nothing of this project
tensorboard/      engine: the metrics once more
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from app.errors import Conflict
from app.protocol import (
    EndEvent,
    Happening,
    JudgeEndpoint,
    Limits,
    Message,
    Priority,
    RunEvent,
    RunSpec,
    SandboxLimits,
    TrackingTarget,
)

T = TypeVar("T")

INDEX_EVERY = 256
"""Events between two remembered places in events.jsonl."""

NO_ROOM_FOR_THE_VERDICT = 74
"""Exit status of an engine that could not write how it ended, because the disk was full (EX_IOERR)."""


TRACKING_KEY = "TUNING_FORK_TRACKING_KEY"
"""Environment variable of an engine that sends metrics to a tracking server."""

JUDGE_KEY = "TUNING_FORK_JUDGE_KEY"
"""Environment variable of an engine whose graders ask the judge: a key is written to no file."""


class Inputs(Message):
    model_dir: str | None
    """Directory to load the starting model from; None: the hub."""
    dataset_file: str | None
    """Uploaded rows; None: generated."""
    device: Literal["cpu", "cuda"]
    device_name: str = ""
    """As the driver calls it; empty: not known."""
    threads: int
    starter_cache: str
    evaluation_cache: str = ""
    """Where measurements of starting models are kept for later runs; empty: nowhere."""
    guard_file: str | None = None
    """Uploaded rows of the guard task; None: generated, or there is none."""
    judge: JudgeEndpoint | None = None
    """Where `score_model` graders ask; None: nowhere."""
    sandbox: SandboxLimits = SandboxLimits()
    """Of `python` graders."""
    reward_models: dict[str, str] = {}
    """Directories of the reward models that the run's graders name, by run."""
    tracking: TrackingTarget = TrackingTarget()
    gpu: str | None = None
    """The one that this engine may use, as CUDA_VISIBLE_DEVICES names it."""
    continues_dir: str | None = None
    """Directory of the run whose newest sound checkpoint this one begins with."""
    attempt: int = 1
    why: str = ""
    """What made this start necessary, where it is not the first."""
    checkpoint_seconds: float = 600
    """Longest time between two checkpoints."""


class Loss(Message):
    """An engine that ended without a verdict and without its own fault."""

    seq: int
    """Of the last event before it, by which the same loss is not counted twice."""
    step: int
    saved: int
    """Step of its newest checkpoint; 0 without one."""
    signature: str
    """How it ended, in a word."""


class Spent(Message):
    """By the engine's monotonic clock, over all attempts; a killed one may miss its last seconds."""

    training_seconds: float = 0
    device_seconds: float = 0


LOSSES = TypeAdapter(list[Loss])
PRIORITY: TypeAdapter[int] = TypeAdapter(Priority)


class Accepted(Message):
    order: int
    """Place in the queue; a clock could be set back, this cannot."""
    at: float
    """Unix seconds."""
    starts_from_ended: bool = False
    """The run that it starts from was over when this one came: it was launched knowing how that one ended."""


class RunDir:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._index: list[int] = [0]

    @property
    def spec(self) -> RunSpec:
        return RunSpec.model_validate_json((self.path / "spec.json").read_bytes())

    @property
    def accepted(self) -> Accepted:
        return Accepted.model_validate_json((self.path / "accepted.json").read_bytes())

    @property
    def inputs(self) -> Inputs:
        return Inputs.model_validate_json((self.path / "inputs.json").read_bytes())

    @property
    def commit(self) -> str | None:
        """Of the hub's model, as the first attempt loaded it; None where none has, or it is not the hub's."""
        try:
            return (self.path / "commit").read_text() or None
        except FileNotFoundError:
            return None

    def write_commit(self, commit: str) -> None:
        write_durably(self.path / "commit", commit.encode())

    @property
    def model_dir(self) -> Path:
        return self.path / "model"

    @property
    def trainer_dir(self) -> Path:
        return self.path / "staging"

    @property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter_dir(self) -> Path:
        return self.path / "adapter"

    @property
    def bundle_dir(self) -> Path:
        return self.path / "bundle"

    @property
    def tensorboard_dir(self) -> Path:
        return self.path / "tensorboard"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def cancel_requested(self) -> bool:
        return (self.path / "cancel").exists()

    def request_cancel(self) -> None:
        write_durably(self.path / "cancel", b"")

    @property
    def pause_requested(self) -> bool:
        return (self.path / "pause").exists()

    def request_pause(self) -> None:
        write_durably(self.path / "pause", b"")

    def forget_pause(self) -> None:
        (self.path / "pause").unlink(missing_ok=True)
        make_durable(self.path)

    @property
    def priority(self) -> int:
        return _read(self.path / "priority.json", PRIORITY, 0)

    def write_priority(self, priority: int) -> None:
        write_durably(self.path / "priority.json", PRIORITY.dump_json(priority))

    @property
    def raised_limits(self) -> Limits | None:
        return _read(self.path / "limits.json", TypeAdapter(Limits | None), None)

    def write_limits(self, limits: Limits) -> None:
        write_durably(self.path / "limits.json", limits.model_dump_json().encode())

    @property
    def losses(self) -> list[Loss]:
        return _read(self.path / "losses.json", LOSSES, [])

    def write_losses(self, losses: list[Loss]) -> None:
        write_durably(self.path / "losses.json", LOSSES.dump_json(losses))

    @property
    def spent(self) -> Spent:
        """Written without waiting for the disk, so a machine that lost its power may have left it empty."""
        try:
            return _read(self.path / "spent.json", TypeAdapter(Spent), Spent())
        except ValueError:
            return Spent()

    def write_spent(self, spent: Spent) -> None:
        """Often, so not waited for; replaced whole all the same."""
        making = self.path / ".spent.json.new"
        making.write_text(spent.model_dump_json())
        making.replace(self.path / "spent.json")

    def write_inputs(self, inputs: Inputs) -> None:
        write_durably(self.path / "inputs.json", inputs.model_dump_json(indent=2).encode())

    def take_lock(self) -> int | None:
        """An open file that holds the lock until its last copy is closed; None while an engine has it."""
        fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def event_log(self) -> "EventLog":
        return EventLog(self.events_file)

    def events(self, after: int = 0, limit: int = 1000) -> list[RunEvent]:
        """Complete lines only: the engine may be in the middle of writing the next."""
        found: list[RunEvent] = []
        for seq, line in enumerate(self._lines(after, limit), start=after + 1):
            if not (event := _event(line, seq)):
                break
            found.append(event)
        return found

    def verdict(self) -> RunEvent | None:
        """The `end` event, which is always the last."""
        line = _last_line(self.events_file)
        if line is None or not (event := _event(line)):
            return None
        return event if isinstance(event.what, EndEvent) else None

    def log_tail(self, lines: int = 40, most_bytes: int = 8000) -> str:
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(0, self.log_file.stat().st_size - most_bytes))
                text = file.read(most_bytes).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(_printable(line) for line in text.splitlines()[-lines:])

    def cap_log(self, most_bytes: int) -> None:
        """Keeps the later half. The engine appends, so what it writes next lands behind."""
        if not self.log_file.exists() or self.log_file.stat().st_size <= most_bytes:
            return
        with self.log_file.open("r+b") as file:
            file.seek(-most_bytes // 2, os.SEEK_END)
            kept = file.read(most_bytes // 2)
            file.truncate(0)
        with self.log_file.open("ab") as file:
            file.write(b"[the log grew too long; what came before is cut]\n" + kept)

    def _lines(self, after: int, limit: int) -> Iterator[bytes]:
        """Line number and `seq` are the same, so remembered offsets save reading from the start."""
        if limit < 1 or not self.events_file.exists():
            return
        with self.events_file.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._index[-1]:
                self._index = [0]
            known = min(after // INDEX_EVERY, len(self._index) - 1)
            file.seek(self._index[known])
            number, offset = known * INDEX_EVERY, self._index[known]
            for line in file:
                if not line.endswith(b"\n") or number >= after + limit:
                    return
                number, offset = number + 1, offset + len(line)
                if number == len(self._index) * INDEX_EVERY:
                    self._index.append(offset)
                if number > after:
                    yield line


class EventLog:
    """Appends to events.jsonl. One writer at a time: whoever holds the run's lock."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._size, self._seq, last = _sound_part(path)
        os.ftruncate(self._fd, self._size)
        self._over = isinstance(last, EndEvent)

    @property
    def is_over(self) -> bool:
        return self._over

    def append(self, happening: Happening) -> RunEvent:
        if self._over:
            raise Conflict("This run already has its verdict.")
        event = RunEvent(seq=self._seq + 1, at=time.time(), what=happening)
        self._write(event.model_dump_json().encode() + b"\n")
        self._seq = event.seq
        if isinstance(happening, EndEvent):
            os.fsync(self._fd)
            self._over = True
        return event

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, line: bytes) -> None:
        """A full disk leaves no half line behind for the next event to run into."""
        written = 0
        try:
            while written < len(line):
                written += os.pwrite(self._fd, line[written:], self._size + written)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += written


def create_run_dir(root: Path, run_id: UUID, spec: RunSpec, accepted: Accepted) -> RunDir:
    """All of it or nothing, and on disk before anybody is told."""
    making = root / f".{run_id}.new"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True, mode=0o700)
    write_durably(making / "spec.json", spec.model_dump_json(indent=2).encode())
    write_durably(making / "accepted.json", accepted.model_dump_json().encode())
    making.rename(root / str(run_id))
    make_durable(root)
    return RunDir(root / str(run_id))


def _printable(line: str) -> str:
    return "".join(character for character in line if character.isprintable() or character == "\t")


def write_durably(path: Path, content: bytes) -> None:
    making = path.with_name(f".{path.name}.new")
    with making.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)
    make_durable(path.parent)


def make_durable(path: Path) -> None:
    """A file's bytes, or a directory's names."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path, adapter: TypeAdapter[T], otherwise: T) -> T:
    try:
        return adapter.validate_json(path.read_bytes())
    except FileNotFoundError:
        return otherwise


def _sound_part(path: Path) -> tuple[int, int, Any]:
    """Size, last `seq` and last happening of what was written whole: a crash may tear the end."""
    size, seq, last = 0, 0, None
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or not (event := _event(line, seq + 1)):
                break
            size, seq, last = size + len(line), event.seq, event.what
    return size, seq, last


def _event(line: bytes, seq: int | None = None) -> RunEvent | None:
    try:
        event = RunEvent.model_validate_json(line)
    except ValueError:
        return None
    return event if seq in (None, event.seq) else None


def _last_line(path: Path) -> bytes | None:
    """The last complete one; evaluations are long, so the stretch read grows until it holds one."""
    if not path.exists():
        return None
    size = path.stat().st_size
    stretch = 65536
    with path.open("rb") as file:
        while True:
            start = max(0, size - stretch)
            file.seek(start)
            lines = file.read(size - start).split(b"\n")[:-1]
            if len(lines) > 1 or start == 0:
                return lines[-1] if lines else None
            stretch *= 4
