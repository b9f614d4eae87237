"""Mathematics and literals, read by another process (`sums_server`) replaced when it takes too long."""

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.graders.sandbox.channel import Channel, Closed, Garbled, Hushed

SERVER = Path(__file__).with_name("sums_server.py")
SECONDS = 5.0
START_SECONDS = 60.0
"""Its libraries take a second or more to import."""

WARM_UP = {"do": "equal", "reference": "$x+1$", "text": "so $\\frac{2}{2}+x$"}
"""Has it import the last of its libraries before anybody's clock runs."""

LONGEST_TEXT = 64_000


class CannotSay(Exception):
    """There is no answer, and why; never the fault of what was asked about."""


class Sums:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    def equal(self, reference: str, text: str) -> bool:
        """Do the two hold the same number or formula? Raises CannotSay."""
        return bool(self._ask({"do": "equal", "reference": reference, "text": text}))

    def literal(self, text: str) -> Any:
        return self._ask({"do": "literal", "text": text})

    def warm_up(self) -> None:
        """Starts what takes its time to start; a failure shows when it is asked."""
        with self._lock, suppress(Closed, Garbled, Hushed, OSError):
            self._ready()

    def close(self) -> None:
        with self._lock:
            self._put_down()

    def _ask(self, asked: dict[str, str]) -> Any:
        if any(len(text) > LONGEST_TEXT for text in asked.values()):
            raise CannotSay(f"a text is longer than {LONGEST_TEXT:,} characters")
        with self._lock:
            answer = self._answer(asked)
        if "error" in answer:
            raise CannotSay(str(answer["error"]))
        return answer.get("value")

    def _answer(self, asked: dict[str, str]) -> dict[str, Any]:
        try:
            channel = self._ready()
            deadline = time.monotonic() + SECONDS
            channel.send(asked, deadline)
            return channel.receive(deadline)
        except Hushed:
            self._put_down()
            raise CannotSay(f"reading it took more than {SECONDS:g} seconds") from None
        except (Closed, Garbled, OSError):
            self._put_down()
            raise CannotSay("it could not be read") from None

    def _ready(self) -> Channel:
        if self._channel is not None and self._process is not None and self._process.poll() is None:
            return self._channel
        self._put_down()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-B", str(SERVER)],
                env={"LANG": "C.UTF-8", "PATH": os.defpath},
                cwd="/",
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        channel, deadline = Channel(ours), time.monotonic() + START_SECONDS
        channel.send(WARM_UP, deadline)
        channel.receive(deadline)
        self._channel = channel  # only now: an answer that comes late would be taken for the next one's
        return channel

    def _put_down(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._channel = self._process = None
