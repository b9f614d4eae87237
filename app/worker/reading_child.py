"""Starts the process that reads a stranger's file, watches it, and puts its end in words."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

from app.datasets import kept
from app.datasets.task import Limits, Refusal, Task
from app.errors import InvalidInput, Problem, Unavailable
from app.settings import WorkerSettings
from app.worker.children import last_line
from app.worker.launchers.local import environment

AT_ONCE = 2
"""Readers that may run beside each other: each may take the memory that the settings allow one."""
OUT_OF_MEMORY = 3
FRUGAL = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
}
"""Allocators and thread pools that would reserve more addresses than are allowed."""

_turns = threading.BoundedSemaphore(AT_ONCE)


def limits(settings: WorkerSettings) -> Limits:
    return Limits(
        memory_bytes=settings.reading_memory_bytes,
        seconds=settings.reading_seconds,
        max_line_bytes=settings.max_line_bytes,
        max_rows=settings.max_rows,
        max_bytes=4 * settings.max_upload_bytes,
    )


def run_reader(verb: Literal["look", "read", "repair", "profile"], file: Path, task: Task) -> str | None:
    """What stopped it, in words; None when it went through. Raises InvalidInput for a file it refused."""
    command = [sys.executable, "-m", "app.datasets", verb, str(file), task.model_dump_json()]
    with _turns:
        stopped = _run(command, task)
    refusal = task.folder / kept.REFUSAL
    if refusal.exists():
        told = Refusal.model_validate_json(refusal.read_bytes())
        raise InvalidInput(told.sentence, tuple(told.problems))
    return stopped


def _run(command: list[str], task: Task) -> str | None:
    seconds = task.limits.seconds
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=task.folder,
            env=_environment(),
            timeout=seconds,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        return _too_slow(seconds)
    if done.returncode == -signal.SIGXCPU:
        return _too_slow(seconds)
    if done.returncode == OUT_OF_MEMORY or done.returncode < 0 or _says_so(done.stderr):
        return _too_big(task.limits.memory_bytes)
    return f"its reader failed: {last_line(done.stderr)}" if done.returncode else None


def _says_so(said: bytes) -> bool:
    signs = (b"MemoryError", b"annot allocate memory", b"failed to map segment")
    return any(sign in said for sign in signs)


def _environment() -> dict[str, str]:
    """Without the hub's token: nothing is fetched here."""
    given = environment(1, "cpu", online=False)
    return {name: value for name, value in given.items() if name != "HF_TOKEN"} | FRUGAL


def _too_slow(seconds: float) -> str:
    return (
        f"reading it takes longer than {seconds:,.0f} seconds; split the file, or raise "
        "TUNING_FORK_WORKER_READING_SECONDS on the worker"
    )


def _too_big(memory: int) -> str:
    return (
        f"reading it takes more than {memory:,} bytes of memory; split the file or its row groups, or raise "
        "TUNING_FORK_WORKER_READING_MEMORY_BYTES on the worker"
    )


def refuse(stopped: str | None) -> None:
    """Where nothing can be done without what the reader was to leave."""
    if stopped is None:
        return
    if stopped.startswith("its reader failed"):
        raise Unavailable(f"The file could not be read: {stopped}.")
    raise InvalidInput("The file has a problem.", (Problem(where="file", what=stopped),))
