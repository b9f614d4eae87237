"""The real worker as a process of its own on a free port, to be killed and started again at will."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import httpx
import psutil
import uvicorn

from app.protocol import EventPage, RunSpec, RunState, RunStatus
from app.settings import WorkerSettings
from tests.nursery import Born, Nursery, keep

TOKEN = "a-token-for-tests"
PATIENCE_SECONDS = 200
"""Until a wait is given up; a passing test never comes near it."""

T = TypeVar("T")


def eventually(question: Callable[[], T | None], what: str = "it") -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} never happened")


class WorkerProcess:
    def __init__(self, data_dir: Path, *, under: Sequence[str] = (), **settings: object) -> None:
        """`under` is a program with arguments that becomes the worker, after changing what it runs in."""
        self.data_dir = data_dir
        self._under = under
        self._settings = {
            "prepare_starter": False,
            "min_free_bytes": 0,
            "cancel_grace_seconds": 1.0,
            "retries": 0,
            "warm_engines": 0,
            "threads": 1,  # two that wait for each other crawl beside other tests
        } | settings
        self.start()

    def start(self) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        given = {"engine_module": "tests.fake_engine", **self._settings}
        variables = {f"TUNING_FORK_WORKER_{name.upper()}": str(value) for name, value in given.items()}
        secrets = {"TUNING_FORK_WORKER_TOKEN": TOKEN, "SECRET_OF_THE_WORKER": "x"}
        self._process = self._begin({**os.environ, **variables, **secrets})
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )
        eventually(self._answers, "the worker's start")

    def _begin(self, environment: dict[str, str]) -> "subprocess.Popen[bytes] | Born":
        given = [str(self.data_dir), str(self.port)]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        if not self._under:
            return _nursery().birth([*given, environment], [self._complaints.fileno()])
        command = [*self._under, sys.executable, "-m", "tests.worker_process", *given]
        return subprocess.Popen(command, env=environment, stderr=self._complaints)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            self._complaints.seek(0)
            said = self._complaints.read().decode()
            self._end()
            raise AssertionError(f"the worker ended: {said}")
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._end()

    def stop(self) -> None:
        self._process.terminate()
        self._end()

    def _end(self) -> None:
        self._process.wait(PATIENCE_SECONDS)
        self._complaints.close()
        self.http.close()

    def restart(self) -> None:
        self.kill()
        self.start()

    def put(self, spec: RunSpec, run_id: UUID | None = None) -> UUID:
        run_id = run_id or uuid4()
        self.send(run_id, spec).raise_for_status()
        return run_id

    def send(self, run_id: UUID, spec: RunSpec) -> httpx.Response:
        body = spec.model_dump_json(by_alias=True)
        return self.http.put(f"/runs/{run_id}", content=body, headers={"Content-Type": "application/json"})

    def status(self, run_id: UUID) -> RunStatus:
        return RunStatus.model_validate_json(self.http.get(f"/runs/{run_id}").content)

    def page(self, run_id: UUID, after: int = 0, limit: int = 1000) -> EventPage:
        answer = self.http.get(f"/runs/{run_id}/events", params={"after": after, "limit": limit})
        return EventPage.model_validate_json(answer.content)

    def until(self, run_id: UUID, *states: RunState) -> RunStatus:
        def reached() -> RunStatus | None:
            status = self.status(run_id)
            assert status.state in states or not status.state.is_over, f"{status.state}: {status.detail}"
            return status if status.state in states else None

        return eventually(reached, f"one of {states}")

    def until_over(self, run_id: UUID) -> RunStatus:
        return self.until(run_id, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)

    def until_training(self, run_id: UUID) -> None:
        def has_a_metric() -> bool:
            return any(event.what.kind == "metric" for event in self.page(run_id).events)

        eventually(has_a_metric, "the first metric")

    def engine(self, run_id: UUID) -> psutil.Process | None:
        """Started for the run, or taken over by it: either works in the run's directory."""
        path = str(self.data_dir / "runs" / str(run_id))
        for process in psutil.process_iter(["cmdline", "cwd"]):
            if "-m" in (process.info["cmdline"] or []) and process.info["cwd"] == path:
                return process
        return None

    def kill_engine(self, run_id: UUID) -> None:
        engine = self.engine(run_id)
        assert engine is not None
        engine.kill()

    def kill_every_engine(self) -> None:
        for path in (self.data_dir / "runs").glob("*-*"):
            if engine := self.engine(UUID(path.name)):
                with suppress(ProcessLookupError):
                    os.killpg(os.getpgid(engine.pid), signal.SIGKILL)


@cache
def _nursery() -> Nursery:
    """Of this process: most workers of tests live for a second and would spend it importing."""
    made = Nursery("tests.worker_process", os.environ)
    atexit.register(made.close)
    return made


def _be_a_worker(message: tuple[str, str, dict[str, str]], files: list[int]) -> int:
    data_dir, port, environment = message
    os.dup2(files[0], 2)
    os.environ.clear()
    os.environ.update(environment)
    main(data_dir, port)
    return 0


def main(data_dir: str, port: str) -> None:
    from app.worker.main import create_app

    app = create_app(WorkerSettings(data_dir=Path(data_dir)))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [data_dir, port]:
            main(data_dir, port)
        case [fd]:
            from app.worker import main as _  # noqa: F401 - what a nursery is for

            keep(int(fd), _be_a_worker)
