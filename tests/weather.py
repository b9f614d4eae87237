"""The way to a worker, with weather: the real connection, or a chosen fault in its place."""

from collections.abc import Callable
from pathlib import Path

import httpx

from app.settings import WebSettings
from app.worker_client import WorkerClient
from tests.worker_process import TOKEN, WorkerProcess

Fault = Callable[[httpx.Request], httpx.Response]


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("timed out", request=request)


def answering(status: int, body: bytes, kind: str = "application/json") -> Fault:
    return lambda request: httpx.Response(status, content=body, headers={"content-type": kind})


class Weather(httpx.BaseTransport):
    """Every request reaches the worker; `fault` answers instead of it, `lose_next` loses its answer."""

    def __init__(self, worker: WorkerProcess | None = None) -> None:
        self.worker = worker
        self.fault: Fault | None = None if worker else away
        self.lose_next = 0
        self.asked: list[tuple[str, str]] = []
        self._real = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        if self.fault is not None:
            return self.fault(request)
        assert self.worker is not None
        request.url = request.url.copy_with(host="127.0.0.1", port=self.worker.port)
        answer = self._real.handle_request(request)
        if self.lose_next:
            self.lose_next -= 1
            answer.close()
            raise httpx.ReadError("the answer was lost", request=request)
        return answer

    def close(self) -> None:
        self._real.close()


def client_through(weather: httpx.BaseTransport) -> WorkerClient:
    return WorkerClient("http://worker", TOKEN, weather)


def settings_for(url: str, folder: Path, **more: object) -> WebSettings:
    usual = {"database_url": url, "data_dir": folder, "worker_token": TOKEN, "lost_run_seconds": 0}
    return WebSettings(**{**usual, **more})
