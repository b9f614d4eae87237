"""Processes born ready: one imports what many need, and each of them is a fork of it.

Importing is most of what a short-lived worker or engine does, and the same for all. What such a process does
alone, from its first instruction, is tested where the product itself starts it.
"""

import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Nursery:
    """Started at once; ends when its socket closes."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        """`module` is a program that is given a file descriptor and calls `keep` with it."""
        self._turn = threading.Lock()
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno())],
            env=environment,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def birth(self, message: Any, files: Sequence[int]) -> "Born":
        """One more: `message` must fit JSON, and `files` are open in it too."""
        ours, theirs = socket.socketpair()
        told = json.dumps(message).encode()
        with self._turn:
            self._channel.sendall(struct.pack("i", len(told)))
            socket.send_fds(self._channel, [told], [*files, theirs.fileno()])
        theirs.close()
        return Born(ours)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


class Born:
    """A forked process as its tests know processes: `pid`, `poll`, `wait`, `kill`, `terminate`."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid: int = struct.unpack("i", answers.recv(4))[0]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._read(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _read(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                said = self._answers.recv(4)
            except (BlockingIOError, TimeoutError):
                return None
            self.returncode = struct.unpack("i", said)[0]
            self._answers.close()
        return self.returncode


def keep(fd: int, be: Callable[[Any, list[int]], int]) -> None:
    """Called once everything is imported. `be` is given message and files, and is the whole life of each."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    channel = socket.socket(fileno=fd)
    while size := channel.recv(4, socket.MSG_WAITALL):
        told, given, _, _ = socket.recv_fds(channel, struct.unpack("i", size)[0], 8)
        if os.fork() == 0:
            channel.close()
            _mind(be, json.loads(told), given)
        for each in given:
            os.close(each)


def _mind(be: Callable[[Any, list[int]], int], message: Any, given: list[int]) -> None:
    """A process that waits for one other and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *files, answers = given
    if (pid := os.fork()) == 0:
        os.close(answers)
        _live(be, message, files)
    for each in files:
        os.close(each)
    answer = socket.socket(fileno=answers)
    answer.sendall(struct.pack("i", pid))
    _, status = os.waitpid(pid, 0)
    answer.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _live(be: Callable[[Any, list[int]], int], message: Any, files: list[int]) -> None:
    status = 1
    try:
        status = be(message, files)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
