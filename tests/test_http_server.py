"""A connection that dawdles, lies or shouts does not keep the service from others."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request

from app.errors import Unavailable
from app.http_server import TimedProtocol, listen
from tests.worker_process import eventually


class Impatient(TimedProtocol):
    header_seconds = 0.5
    body_seconds = 0.5


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = FastAPI(openapi_url=None)

    @app.get("/")
    async def hello() -> str:
        return "hello"

    @app.post("/")
    async def count(request: Request) -> int:
        return len(await request.body())

    listener = listen("127.0.0.1", 0, "NO_SETTING")
    config = uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=16_384,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    eventually(lambda: server.started, "the server's start")
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def line(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        yield line


HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def everything(line: socket.socket) -> bytes:
    """What comes until the other side closes."""
    got = b""
    while part := line.recv(65536):
        got += part
    return got


def test_half_a_header_is_not_waited_for(line):
    line.sendall(b"GET / HTTP/1.1\r\nHost: local")
    assert everything(line).startswith(b"HTTP/1.1 408")


def test_a_header_that_drips_is_not_waited_for(line):
    def drip() -> None:
        for n in range(10_000):
            line.sendall(b"X-%d: 1\r\n" % n)
            threading.Event().wait(0.05)

    line.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        drip()


def test_half_a_body_is_not_waited_for(line):
    line.sendall(HEAD % 100 + b"half")
    assert everything(line).startswith(b"HTTP/1.1 408")


def test_a_connection_that_says_nothing_is_closed_in_silence(line):
    assert everything(line) == b""


def test_a_long_body_that_keeps_coming_is_taken(line):
    part = b"x" * 70_000
    line.sendall(HEAD % (len(part) * 5))
    for _ in range(5):
        line.sendall(part)
        threading.Event().wait(0.2)
    assert line.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_connection_is_used_again_and_again(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.get("/").json() == "hello"
            threading.Event().wait(0.7)
            assert client.post("/", content=b"x" * 10).json() == 10


def test_others_are_answered_while_many_dawdle(port):
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    for line in lines:
        line.sendall(b"GET / HTTP/1.1\r\nHost: local")
    assert httpx.get(f"http://127.0.0.1:{port}/").json() == "hello"
    for line in lines:
        line.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(line, sent):
    with suppress(BrokenPipeError, ConnectionResetError):  # Refused before all of it was sent or read.
        line.sendall(sent)
        assert line.recv(65536).startswith(b"HTTP/1.1 400")


def test_the_server_does_not_introduce_itself(port):
    assert "server" not in httpx.get(f"http://127.0.0.1:{port}/").headers


def test_a_taken_port_is_told_with_the_setting_that_chooses_another(port):
    with pytest.raises(Unavailable, match=rf"port {port}.*TUNING_FORK_WEB_PORT"):
        listen("127.0.0.1", port, "TUNING_FORK_WEB_PORT")
