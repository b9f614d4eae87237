"""Monty, a small Python of its own in a process of its own: the one place that knows its interface (1.4)."""

import shlex
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_monty import CollectString, Monty, MontyCrashedError, MontyError, MontyRuntimeError
from pydantic_monty._binary import find_monty_binary

from app.graders.sandbox.cage import SECONDS_PER_CALL, SERVER, watchdog_seconds
from app.graders.sandbox.session import Failed, HelperFailed, Helpers, Lost
from app.protocol import SandboxLimits

RECURSION = 200
MOST_OUTPUT = 64_000
"""Bytes that a batch may print."""

SHARE_OF_MEMORY = 4
"""Monty's values are small: a quarter of the cage's memory goes as far."""

NO_CODE_OF_ANSWERS = """
def exec(*code):
    raise RuntimeError("an answer never runs beside its grader; call run(program, function, arguments)")
eval = exec
"""

SUSPENSIONS_PER_CALL = 64
PROCESSES = 2


class Little:
    """A pool of monty processes, opened at first use. Every batch has a session of its own."""

    def __init__(self, limits: SandboxLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._pool: Monty | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def open(self, source: str, calls: int, helpers: Helpers) -> Iterator["Visit"]:
        seconds = self._limits.seconds + SECONDS_PER_CALL * calls
        limits = {
            "max_feed_duration_secs": seconds,
            "max_memory": self._limits.memory_bytes // SHARE_OF_MEMORY,
            "max_recursion_depth": RECURSION,
            "max_suspensions": SUSPENSIONS_PER_CALL * (calls + 1),
        }
        try:
            with self._running().checkout(limits=limits, os_policy={"sleep": "zero"}) as session:
                visit = Visit(session, seconds, helpers)
                visit.feed(NO_CODE_OF_ANSWERS)
                visit.feed(source)
                yield visit
        except (MontyError, TimeoutError, OSError) as error:
            raise Lost(f"monty could not be started ({said(error)})") from None

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
            if self._folder is not None:
                self._folder.cleanup()
            self._pool = self._folder = None

    def _running(self) -> Monty:
        with self._lock:
            if self._pool is None:
                self._folder = tempfile.TemporaryDirectory(prefix="tuning-fork-monty-")
                pool = Monty(
                    max_processes=PROCESSES,
                    request_timeout=watchdog_seconds(self._limits),
                    binary_path=locked(Path(self._folder.name)) if sys.platform == "linux" else None,
                )
                pool.__enter__()
                self._pool = pool
            return self._pool


class Visit:
    """A session. Its time is one budget for the whole batch."""

    def __init__(self, session: Any, seconds: float, helpers: Helpers) -> None:
        self._session = session
        self._left = seconds
        self._printed = CollectString(max_bytes=MOST_OUTPUT)
        self._helpers = {name: _raising(helper, self._give_back) for name, helper in helpers.items()}

    def call(self, function: str, arguments: list[Any]) -> Any:
        names = [f"argument_{place}" for place in range(len(arguments))]
        return self.feed(f"{function}({', '.join(names)})", dict(zip(names, arguments, strict=True)))

    def feed(self, code: str, inputs: dict[str, Any] | None = None) -> Any:
        if self._left <= 0:
            raise Lost("it used up its time")
        started = time.monotonic()
        try:
            return self._session.feed_run(
                code, inputs=inputs, external_lookup=self._helpers, print_callback=self._printed
            )
        except MontyCrashedError as error:
            how = "it did not answer in time" if error.timed_out else "it crashed its interpreter"
            raise Lost(how) from None
        except MontyRuntimeError as error:
            raise _failure(error) from None
        except (MontyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Failed(said(error)) from None
        finally:
            self._left -= time.monotonic() - started

    def _give_back(self, seconds: float) -> None:
        """A helper's time is ours, not the code's."""
        self._left += seconds


def _raising(helper: Callable[..., Any], give_back: Callable[[float], None]) -> Callable[..., Any]:
    def lent(*arguments: Any) -> Any:
        started = time.monotonic()
        try:
            return helper(*arguments)
        except HelperFailed as error:
            raise RuntimeError(str(error)) from None
        finally:
            give_back(time.monotonic() - started)

    return lent


def _failure(error: MontyRuntimeError) -> Failed | Lost:
    """A time limit stops it anywhere, so what is left of the session is not to be relied on."""
    inner = error.exception()
    if isinstance(inner, TimeoutError):
        return Lost("it used up its time")
    return Failed(said(inner))


def said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def locked(folder: Path) -> Path:
    """A program that starts monty without environment, files or network, for Monty itself is young."""
    path = folder / "monty"
    command = [sys.executable, "-I", "-S", "-B", str(SERVER), "--exec", find_monty_binary()]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(stat.S_IRWXU)
    return path


def available(limits: SandboxLimits) -> str:
    """Empty where monty runs here, else the reason why it does not."""
    little = Little(limits)
    try:
        with little.open("def grade(sample, item):\n    return 1", 1, {}) as visit:
            return "" if visit.call("grade", [{}, {}]) == 1 else "monty gives wrong answers here"
    except (Lost, Failed, OSError) as error:
        return str(error)
    finally:
        little.close()
