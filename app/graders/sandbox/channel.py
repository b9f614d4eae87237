"""Messages to and from a process that is not trusted: JSON, a size before each, a deadline for each."""

import json
import socket
import time
from contextlib import suppress
from typing import Any

LARGEST_FRAME = 1_000_000
"""Bytes, in either direction."""


class Hushed(Exception):
    """Nothing came in time."""


class Closed(Exception):
    """The other side is gone."""


class Garbled(Exception):
    """What came is no message."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class Channel:
    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, message: dict[str, Any], deadline: float) -> None:
        body = json.dumps(message).encode()
        try:
            self._wait(deadline)
            self._socket.sendall(len(body).to_bytes(4, "big") + body)
        except TimeoutError:
            raise Hushed from None
        except OSError:
            raise Closed from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """`deadline` on the monotonic clock."""
        size = int.from_bytes(self._exactly(4, deadline), "big")
        if size > LARGEST_FRAME:
            raise Garbled
        try:
            message = json.loads(self._exactly(size, deadline), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise Garbled from None
        if not isinstance(message, dict):
            raise Garbled
        return message

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def _exactly(self, count: int, deadline: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            try:
                self._wait(deadline)
                more = self._socket.recv(count - len(found))
            except TimeoutError:
                raise Hushed from None
            except OSError:
                raise Closed from None
            if not more:
                raise Closed
            found += more
        return bytes(found)

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
