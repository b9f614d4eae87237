"""How both services are served: one process, h11, and no connection that may dawdle for ever."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import Unavailable

HEADER_SECONDS = 15.0
BODY_SECONDS = 30.0
BODY_BYTES = 65_536
"""A body has the body time for every so many bytes of it."""

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

GRACE_SECONDS = 10
KEEP_ALIVE_SECONDS = 30


class TimedProtocol(H11Protocol):
    """uvicorn waits for the rest of a header or body for ever; this does not."""

    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_for: object = None
        self._since_timer = 0
        self._heard = False
        """Whether a request has begun that nobody answered yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self._watch(b"")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._disarm()  # From here on the keep-alive timer counts.
        self._heard = False

    def _watch(self, data: bytes) -> None:
        state = self.conn.their_state
        if state not in (h11.IDLE, h11.SEND_BODY):
            self._disarm()
            return
        self._since_timer += len(data)
        self._heard = self._heard or bool(data)
        if state is not self._waiting_for or (state is h11.SEND_BODY and self._since_timer >= BODY_BYTES):
            self._disarm()
            self._waiting_for = state
            seconds = self.header_seconds if state is h11.IDLE else self.body_seconds
            self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._waiting_for, self._since_timer = None, None, 0

    def _time_is_up(self) -> None:
        self._timer, self._waiting_for = None, None
        if self.flow.read_paused:
            self._watch(b"")  # It is we who are slow.
            return
        if self._heard and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(TOO_SLOW)
        self.transport.close()


class Server(uvicorn.Server):
    """Tells the app of the stop signal at once: a live stream that stays open would block the exit."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_stop()
        super().handle_exit(sig, frame)


def serve(
    app: Any,
    listener: socket.socket,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Returns after a stop signal, once the requests under way are answered."""
    # uvicorn raises the signal again when it is done; by default that would end the process unclean.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settle()
    try:
        Server(configured(app), on_stop).run(sockets=[listener])
    except KeyboardInterrupt:
        return


def configured(app: Any, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=16_384,
    )


def settle() -> None:
    """What start-up made stays for good; a collection in the middle of a request need not walk it."""
    gc.collect()
    gc.freeze()


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Bound before anything else is done, so that a taken port costs nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"Cannot listen on {host}, port {port} ({error.strerror}). Stop what uses it, or choose another "
            f"with {setting}."
        ) from error
    listener.set_inheritable(False)
    return listener


def stop_when_input_ends() -> None:
    """For the child: its input ends when its parent is gone, whatever the parent died of."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
