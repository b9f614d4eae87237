"""A chat completions endpoint on a free port, whose answers a test decides: good, slow, huge, hostile."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[BaseHTTPRequestHandler], None]


class Endpoint(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply: Reply = saying("{}")
        self.requests: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, dict(self.headers), json.loads(body)))
        # The client may have had enough, which is what some tests are about.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.server.reply(self)

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers), None))
        sending(200, b"{}")(self)

    def log_message(self, format: str, *args: object) -> None:
        pass


def sending(status: int, body: bytes, kind: str = "application/json", **headers: str) -> Reply:
    def reply(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        for name, value in ({"content-type": kind, "content-length": str(len(body))} | named).items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    return reply


def saying(content: Any, **choice: Any) -> Reply:
    message = {"role": "assistant", "content": content, **choice.pop("message", {})}
    said = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}
    return sending(200, json.dumps(said).encode())


def proposing(*proposals: Any) -> Reply:
    return saying(json.dumps({"proposals": proposals}))


def dripping(to: BaseHTTPRequestHandler) -> None:
    """One byte at a time, for longer than anybody waits."""
    to.send_response(200)
    to.send_header("content-type", "application/json")
    to.end_headers()
    for _ in range(100):
        to.wfile.write(b" ")
        to.wfile.flush()
        time.sleep(0.1)


def silent(to: BaseHTTPRequestHandler) -> None:
    time.sleep(5)


@contextmanager
def serving_endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)
