"""The cage from outside: one process of full Python for each batch, locked in by the kernel (`server`)."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.graders.sandbox.channel import Channel, Closed, Garbled, Hushed
from app.graders.sandbox.session import Failed, HelperFailed, Helpers, Lost
from app.protocol import SandboxLimits

SERVER = Path(__file__).with_name("server.py")
ENVIRONMENT = {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
"""All that the cage ever sees of one."""

SECONDS_PER_CALL = 0.01
HELPERS_SECONDS = 4.0
"""For each call, on the last clock of all, which cannot stop while a helper works."""

START_SECONDS = 60.0
STOP_SECONDS = 5.0

WORDS: dict[int, str] = {
    signal.SIGPROF: "it used up its CPU time",
    signal.SIGXCPU: "it used up its CPU time",
    signal.SIGALRM: "it took too long",
    signal.SIGSEGV: "it crashed the interpreter",
    signal.SIGSYS: "it asked the system for what nobody may have here",
}


def watchdog_seconds(limits: SandboxLimits) -> float:
    """Wall time of a batch: five seconds where it has one of CPU time."""
    return 1 + 4 * limits.seconds


class Cage:
    """One batch at a time. Opened at first use; a server that has died is replaced."""

    def __init__(self, limits: SandboxLimits, *, landlock: bool = True) -> None:
        self._limits = limits
        self._arguments = [] if landlock else ["--without-landlock"]
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.greeting = ""

    @contextmanager
    def open(self, source: str, calls: int, helpers: Helpers) -> Iterator["Inmate"]:
        with self._lock:
            control, ours = self._fork(calls)
            inmate = Inmate(Channel(ours), control, helpers, watchdog_seconds(self._limits))
            try:
                inmate.load(source)
                yield inmate
            finally:
                self._end(inmate)

    def close(self) -> None:
        with self._lock:
            self._put_down()

    def _fork(self, calls: int) -> tuple[socket.socket, socket.socket]:
        cpu = self._limits.seconds + SECONDS_PER_CALL * calls
        wall = watchdog_seconds(self._limits) + HELPERS_SECONDS * calls + START_SECONDS
        asked = json.dumps({"memory": self._limits.memory_bytes, "cpu": cpu, "wall": wall}).encode()
        ours, theirs = socket.socketpair()
        with theirs:
            for _ in range(2):
                control = self._ready()
                with suppress(OSError):
                    socket.send_fds(control, [asked], [theirs.fileno()])
                    return control, ours
                self._put_down()
        ours.close()
        raise Lost("the cage could not be started")

    def _ready(self) -> socket.socket:
        if self._control is not None and self._server is not None and self._server.poll() is None:
            return self._control
        self._put_down()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(SERVER), str(theirs.fileno()), *self._arguments],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        ours.settimeout(START_SECONDS)
        self._control = ours
        try:
            self.greeting = ours.recv(64).decode()
        except OSError:
            self.greeting = ""
        if not self.greeting:
            self._put_down()
            raise Lost("the cage could not be started")
        return ours

    def _end(self, inmate: "Inmate") -> None:
        if inmate.end() is None:
            self._put_down()

    def _put_down(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._server = self._control = None


class Inmate:
    """A batch in the cage. Nothing it says counts but a number for the question that was asked last."""

    def __init__(self, channel: Channel, control: socket.socket, helpers: Helpers, seconds: float) -> None:
        self._channel = channel
        self._control = control
        self._helpers = helpers
        self._status: int | None = None
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def load(self, source: str) -> None:
        self._ask({"source": source, "helpers": list(self._helpers)})

    def call(self, function: str, arguments: list[Any]) -> Any:
        return self._ask({"function": function, "arguments": arguments})

    def end(self) -> int | None:
        """The exit status, a signal as a negative number; None: the server did not say."""
        self._channel.close()
        if self._status is None:
            with suppress(OSError, ValueError):
                self._control.settimeout(STOP_SECONDS)
                self._control.send(b"stop")
                self._status = int(self._control.recv(64))
        return self._status

    def _ask(self, message: dict[str, Any]) -> Any:
        """The token is new with each question, so an answer written beforehand fits none."""
        token = secrets.token_hex(16)
        try:
            self._channel.send({**message, "token": token}, self._deadline)
            answer = self._channel.receive(self._deadline)
            while "call" in answer:
                self._lend(answer)
                answer = self._channel.receive(self._deadline)
        except Hushed:
            raise Lost(f"it did not answer within {self._seconds:g} seconds") from None
        except Closed:
            raise Lost(self._how_it_ended()) from None
        except Garbled:
            raise Lost("it answered with something that is no result") from None
        return _result(answer, token)

    def _lend(self, asked: dict[str, Any]) -> None:
        """The helper's time is ours, not the code's."""
        started = time.monotonic()
        try:
            helper, arguments = self._helpers[asked["call"]], asked["arguments"]
            answer = {"value": helper(*arguments)}
        except HelperFailed as error:
            answer = {"error": str(error)}
        except (KeyError, TypeError):
            answer = {"error": "no such helper, or not with these arguments"}
        self._deadline += time.monotonic() - started
        self._channel.send(answer, self._deadline)

    def _how_it_ended(self) -> str:
        status = self.end()
        if status is not None and status < 0:
            return WORDS.get(-status, "it was ended by the system")
        return "it left without an answer"


def _result(answer: dict[str, Any], token: str) -> Any:
    if "unlocked" in answer:
        raise Lost(f"the cage does not lock here ({answer['unlocked']})")
    if answer.get("token") != token:
        raise Lost("it answered a question that was not asked")
    if "error" in answer:
        raise Failed(str(answer["error"])[:400])
    return answer.get("value")


def available(limits: SandboxLimits) -> str:
    """Empty where the cage locks here, else the reason why it does not."""
    if not hasattr(os, "pidfd_open"):
        return "the cage needs Linux"
    cage = Cage(limits)
    try:
        with cage.open("def grade(sample, item):\n    return 1", 1, {}) as inmate:
            return "" if inmate.call("grade", [{}, {}]) == 1 else "the cage gives wrong answers here"
    except (Lost, Failed, OSError) as error:
        return str(error)
    finally:
        cage.close()
