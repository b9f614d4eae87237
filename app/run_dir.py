"""A run on disk: the truth about it, and who may write which file.

spec.json      worker, once, before the run exists for anybody
accepted.json  worker, once: its place in the queue
inputs.json    worker, at start: what the engine reads and on which device
lock           worker takes it and hands it on to the engine; held for as long as the engine lives
events.jsonl   engine; the worker appends only the verdict of an engine that died
cancel         worker: its presence asks the engine to stop
log.txt        the engine's stdout and stderr
trainer/ model/   engine
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from app.errors import Conflict
from app.protocol import EndEvent, Happening, JudgeEndpoint, Message, RunEvent, RunSpec, SandboxLimits

INDEX_EVERY = 256
"""Events between two remembered places in events.jsonl."""


JUDGE_KEY = "TUNING_FORK_JUDGE_KEY"
"""Environment variable of an engine whose graders ask the judge: a key is written to no file."""


class Inputs(Message):
    model_dir: str | None
    """Directory to load the starting model from; None: the hub."""
    dataset_file: str | None
    """Uploaded rows; None: generated."""
    device: Literal["cpu", "cuda"]
    threads: int
    starter_cache: str
    judge: JudgeEndpoint | None = None
    """Where `score_model` graders ask; None: nowhere."""
    sandbox: SandboxLimits = SandboxLimits()
    """Of `python` graders."""


class Accepted(Message):
    order: int
    """Place in the queue; a clock could be set back, this cannot."""
    at: float
    """Unix seconds."""


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
    def model_dir(self) -> Path:
        return self.path / "model"

    @property
    def trainer_dir(self) -> Path:
        return self.path / "trainer"

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
    _sync_directory(root)
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
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
