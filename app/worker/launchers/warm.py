"""Engines that wait with their imports done, and become a run's own process when it starts."""

import json
import logging
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from select import select

from app.run_dir import RunDir
from app.worker.launchers.local import Engine

log = logging.getLogger(__name__)

MODULE = "app.engine.warm"

AFTER_A_FAILURE_SECONDS = 60
"""One that ends by itself would end again."""


@dataclass
class Waiting:
    process: subprocess.Popen[bytes]
    channel: socket.socket
    has_imported: bool = False

    def is_ready(self) -> bool:
        """It says one line when its imports are done; until then a cold start is no slower."""
        if not self.has_imported and select([self.channel], [], [], 0)[0]:
            # Read, because a socket that is closed with something unread takes what it sent with it.
            self.has_imported = bool(self.channel.recv(64))
        return self.has_imported and self.process.poll() is None

    def end(self) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class WarmEngines:
    """Used by the supervisor alone, under its lock. No engine is forked: each is a process of its own."""

    def __init__(self, wanted: int, environment: dict[str, str]) -> None:
        self._wanted = wanted
        self._environment = environment
        self._waiting: list[Waiting] = []
        self._not_before = 0.0

    @property
    def ready(self) -> int:
        return sum(each.is_ready() for each in self._waiting)

    def refill(self) -> None:
        for dead in [each for each in self._waiting if each.process.poll() is not None]:
            self._note_end(dead)
        while len(self._waiting) < self._wanted and time.monotonic() >= self._not_before:
            try:
                self._waiting.append(_start(self._environment))
            except OSError as error:
                log.warning("no waiting engine could be started: %s", error.strerror)
                self._not_before = time.monotonic() + AFTER_A_FAILURE_SECONDS

    def take(self, run_dir: RunDir, lock: int, environment: dict[str, str]) -> Engine | None:
        """An engine for this run, with the run's lock already its own; None where none is ready."""
        for waiting in [each for each in self._waiting if each.is_ready()]:
            self._waiting.remove(waiting)
            try:
                _hand_over(waiting.channel, run_dir, lock, environment)
            except OSError:
                waiting.end()
                continue
            waiting.channel.close()
            return Engine(run_dir, waiting.process)
        return None

    def stop(self) -> None:
        for waiting in self._waiting:
            waiting.end()
        self._waiting.clear()

    def _note_end(self, dead: Waiting) -> None:
        """One that was killed is replaced at once; one that failed would fail again."""
        self._waiting.remove(dead)
        status = dead.process.returncode
        dead.end()
        log.warning("an engine that waited for a run ended with status %s", status)
        if status >= 0:
            self._not_before = time.monotonic() + AFTER_A_FAILURE_SECONDS


def _start(environment: dict[str, str]) -> Waiting:
    ours, its = socket.socketpair()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=(its.fileno(),),
            start_new_session=True,
            umask=0o077,
        )
    except OSError:
        ours.close()
        raise
    finally:
        its.close()
    return Waiting(process, ours)


def _hand_over(channel: socket.socket, run_dir: RunDir, lock: int, environment: dict[str, str]) -> None:
    message = json.dumps({"run_dir": str(run_dir.path), "environment": environment}).encode()
    with run_dir.log_file.open("ab") as log_file:
        socket.send_fds(channel, [message], [lock, log_file.fileno()])
    channel.shutdown(socket.SHUT_WR)
