"""Short-lived programs beside the engines: told what to do in JSON, heard line by line, and ended in time."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from pydantic import TypeAdapter

M = TypeVar("M")

LONGEST_LINE = 4_000_000

WORDS_KEPT = 4000
"""Characters of what it wrote on stderr."""


class Child:
    """One `python -m MODULE`: leader of its own session, so that all that it started ends with it.

    It ends itself when its stdin does, so that none outlives the worker.
    """

    def __init__(self, module: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=folder,
            env=environment,
            start_new_session=True,
            umask=0o077,
        )
        self._writing = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Looks without reaping: another thread may be waiting for it."""
        try:
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return ended is None

    def tell(self, message: str) -> bool:
        """One line to its stdin; False when nobody reads it any more."""
        assert self._process.stdin is not None
        with self._writing, suppress(OSError, ValueError):
            self._process.stdin.write(message.encode() + b"\n")
            self._process.stdin.flush()
            return True
        return False

    def lines(self, kind: TypeAdapter[M]) -> Iterator[M]:
        """Until it ends. What a library writes to its stdout is no message and is left out."""
        assert self._process.stdout is not None
        while line := self._line(self._process.stdout):
            with suppress(ValueError):
                yield kind.validate_json(line)
        self._process.wait()

    def _line(self, stdout: IO[bytes]) -> bytes:
        try:
            return stdout.readline(LONGEST_LINE)
        except ValueError:  # closed from another thread
            return b""

    def kill(self) -> None:
        """It and everything that it started; returns when it is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._errors.close()

    def last_words(self) -> str:
        """The end of its stderr."""
        with suppress(OSError, ValueError):
            size = self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, size - WORDS_KEPT))
            return self._errors.read().decode("utf-8", "replace")
        return ""

    @property
    def was_killed(self) -> bool:
        """By a signal that it cannot refuse, as the system sends when memory runs out."""
        return self._process.poll() == -signal.SIGKILL


def last_line(said: bytes) -> str:
    """Of a stderr, shortened; of a Python program that failed, the error."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
