"""Engines born ready: one process imports the training libraries, and each run gets a fork of it.

Run as a program with a Unix socket. Importing takes ten times as long as training a micro model, and is the
same for all. What an engine does alone, from its first instruction, is tested where the worker starts it.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

from app.engine import __main__ as engine
from app.run_dir import RunDir
from app.worker.launchers.local import environment

LOCK, LOG, ANSWER = range(3)


class Nursery:
    """Started at the first birth; ends when its socket closes."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.nursery", str(theirs.fileno())],
            env=environment(1, "cpu", online=False) | {"PYTHONPATH": os.getcwd()},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    def birth(self, run_dir: RunDir, lock: int) -> "Born":
        ours, theirs = socket.socketpair()
        with run_dir.log_file.open("ab") as log, self._turn:
            message = json.dumps(str(run_dir.path)).encode()
            socket.send_fds(self._channel, [message], [lock, log.fileno(), theirs.fileno()])
        theirs.close()
        return Born(ours)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


class Born:
    """A forked engine as its tests know processes: `pid`, `poll`, `wait`, `kill`, `terminate`."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid: int = struct.unpack("i", answers.recv(4))[0]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._read(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._read(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("the engine", timeout or 0)
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


def main(fd: int) -> None:
    os.environ.update(engine.QUIET)
    from app.engine import grpo, reward_model, sft  # noqa: F401 - what this is for

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    channel = socket.socket(fileno=fd)
    while True:
        message, given, _, _ = socket.recv_fds(channel, 1 << 16, 3)
        if not message:
            return
        if os.fork() == 0:
            channel.close()
            _mind(json.loads(message), given)
        for each in given:
            os.close(each)


def _mind(path: str, given: list[int]) -> None:
    """A process that waits for one engine and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if (pid := os.fork()) == 0:
        _be_born(path, given)
    for each in (given[LOCK], given[LOG]):
        os.close(each)
    answer = socket.socket(fileno=given[ANSWER])
    answer.sendall(struct.pack("i", pid))
    _, status = os.waitpid(pid, 0)
    answer.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _be_born(path: str, given: list[int]) -> None:
    """As the worker's launcher would have it; the lock stays open for as long as this process lives."""
    os.setsid()
    os.umask(0o077)
    os.dup2(given[LOG], 1)
    os.dup2(given[LOG], 2)
    os.close(given[LOG])
    os.close(given[ANSWER])
    os.chdir(path)
    status = 1
    try:
        status = engine.main(path)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
