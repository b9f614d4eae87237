"""How a program beside the engines talks to the worker: JSON lines both ways, until its stdin ends."""

import os
import signal
import threading
from collections.abc import Callable, Iterator

from pydantic import BaseModel

NICER = 10
"""Steps of politeness towards a run in training, which has the processor first."""


class Lines:
    """Takes stdout for itself: what libraries print there lands on stderr, in the log."""

    def __init__(self) -> None:
        os.nice(NICER)
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._saying = threading.Lock()
        self._heard = _lines_of(0)

    def first(self) -> bytes:
        """What the program is to do."""
        return next(self._heard)

    def say(self, message: BaseModel) -> None:
        """Ends the program when nobody listens any more."""
        line = message.model_dump_json(by_alias=True).encode() + b"\n"
        with self._saying:
            try:
                while line:
                    line = line[os.write(self._out, line) :]
            except OSError:
                end_with_all()

    def hear(self, each: Callable[[bytes], None] = lambda line: None) -> None:
        """Gives every further line to `each`, in a thread of its own. When stdin ends, so does the program:
        the worker, which held its other end, is gone."""

        def listen() -> None:
            for line in self._heard:
                each(line)
            end_with_all()

        threading.Thread(target=listen, name="stdin", daemon=True).start()


def end_with_all() -> None:
    """The program and, where it leads a session, whatever it started."""
    if os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _lines_of(fd: int) -> Iterator[bytes]:
    """Read without Python's own stdin, whose lock a waiting thread would hold when the program ends."""
    rest = b""
    while part := os.read(fd, 1 << 16):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
