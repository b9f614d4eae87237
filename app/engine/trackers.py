"""Tracking servers: MLflow by its REST API, Weights & Biases and Trackio by their packages."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Literal, Protocol

import httpx

from app.protocol import TrackingTarget

Status = Literal["FINISHED", "FAILED", "KILLED"]

PROJECT = "Tuning Fork"
SLUG = "tuning-fork"

REQUEST_SECONDS = 10.0
AGAIN_AFTER_SECONDS = 10.0
"""Between two tries of a server that is away."""
END_SECONDS = 15.0
"""What the end of a run waits for a server at most."""
MOST_WAITING = 20_000
"""Steps kept for a server that is away; older ones are dropped."""
POINTS_AT_ONCE = 900
"""MLflow takes at most 1,000 metrics in a request."""
PARAMS_AT_ONCE = 100
LONGEST_PARAM = 500


@dataclass(frozen=True)
class Point:
    step: int
    at: float
    """Unix seconds."""
    values: Mapping[str, float]


class Sink(Protocol):
    title: str

    def begin(self, name: str, settings: Mapping[str, str]) -> None: ...

    def log(self, points: Sequence[Point]) -> None: ...

    def end(self, status: Status) -> None: ...


def sinks(target: TrackingTarget, key: str) -> Iterator[Sink]:
    for kind in target.to:
        match kind:
            case "mlflow":
                yield Mlflow(target.url or "http://127.0.0.1:5000", key)
            case "wandb":
                yield Wandb(target.url, key)
            case "trackio":
                yield Trackio()


class Courier:
    """Carries points to a sink from a thread of its own, so that a slow server costs the training nothing."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._given: SimpleQueue[Point | Status] = SimpleQueue()
        self._trouble: str | None = None
        self._was_told = False
        self._thread: threading.Thread | None = None

    def begin(self, name: str, settings: Mapping[str, str]) -> None:
        self._thread = threading.Thread(target=self._carry, args=(name, settings), daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._given.put(Point(step, time.time(), values))

    def end(self, status: Status) -> None:
        """Waits a little for what is still on its way. Once is enough; later calls do nothing."""
        if self._thread is not None:
            self._given.put(status)
            self._thread.join(END_SECONDS)
            self._thread = None

    def new_trouble(self) -> str | None:
        """Why the server could not be served; told once, however often it happens."""
        if self._trouble is None or self._was_told:
            return None
        self._was_told = True
        return self._trouble

    def _carry(self, name: str, settings: Mapping[str, str]) -> None:
        waiting: list[Point] = []
        has_begun, status, again_at = False, None, 0.0
        while status is None:
            status = self._collect(waiting)
            if status is None and time.monotonic() < again_at:
                continue
            try:
                if not has_begun:
                    self._sink.begin(name, settings)
                    has_begun = True
                self._sink.log(waiting)
                waiting.clear()
                if status:
                    self._sink.end(status)
            except Exception as error:  # whatever a foreign package or server does, the run goes on
                self._trouble = self._trouble or f"{self._sink.title} was not reached: {_why(error)}."
                again_at = time.monotonic() + AGAIN_AFTER_SECONDS

    def _collect(self, waiting: list[Point]) -> Status | None:
        """Everything that has come by now; waits for the first."""
        try:
            given = self._given.get(timeout=1.0)
            while True:
                if isinstance(given, str):
                    return given
                waiting.append(given)
                given = self._given.get_nowait()
        except Empty:
            del waiting[:-MOST_WAITING]
            return None


def _why(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"the package {error.name} is not installed on this worker"
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return type(error).__name__


class Mlflow:
    """MLflow's REST API 2.0, which needs no package here."""

    def __init__(self, url: str, key: str) -> None:
        self.title = f"MLflow at {httpx.URL(url).copy_with(userinfo=b'', query=None)}"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/2.0/mlflow/", headers=headers, timeout=REQUEST_SECONDS
        )
        self._run = ""

    def begin(self, name: str, settings: Mapping[str, str]) -> None:
        made = self._post(
            "runs/create",
            experiment_id=self._experiment(),
            run_name=name,
            start_time=round(time.time() * 1000),
        )
        self._run = made["run"]["info"]["run_id"]
        params = [{"key": key, "value": value[:LONGEST_PARAM]} for key, value in settings.items()]
        for start in range(0, len(params), PARAMS_AT_ONCE):
            self._post("runs/log-batch", run_id=self._run, params=params[start : start + PARAMS_AT_ONCE])

    def log(self, points: Sequence[Point]) -> None:
        metrics = [
            {"key": key, "value": value, "step": point.step, "timestamp": round(point.at * 1000)}
            for point in points
            for key, value in point.values.items()
        ]
        for start in range(0, len(metrics), POINTS_AT_ONCE):
            self._post("runs/log-batch", run_id=self._run, metrics=metrics[start : start + POINTS_AT_ONCE])

    def end(self, status: Status) -> None:
        self._post("runs/update", run_id=self._run, status=status, end_time=round(time.time() * 1000))

    def _experiment(self) -> str:
        found = self._http.get("experiments/get-by-name", params={"experiment_name": PROJECT})
        if found.status_code == httpx.codes.NOT_FOUND:
            return str(self._post("experiments/create", name=PROJECT)["experiment_id"])
        return str(found.raise_for_status().json()["experiment"]["experiment_id"])

    def _post(self, call: str, **given: Any) -> Any:
        return self._http.post(call, json=given).raise_for_status().json()


class Wandb:
    title = "Weights & Biases"

    def __init__(self, url: str, key: str) -> None:
        self._environment = {"WANDB_MODE": "online", "WANDB_SILENT": "true"}
        self._environment |= {"WANDB_API_KEY": key} if key else {}
        self._environment |= {"WANDB_BASE_URL": url} if url else {}
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, str]) -> None:
        os.environ.update(self._environment)
        import wandb

        self._run = wandb.init(
            project=SLUG, name=name, config=dict(settings), dir=tempfile.mkdtemp(prefix="wandb-")
        )

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self._run.log(dict(point.values), step=point.step)

    def end(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "FINISHED" else 1)


class Trackio:
    """Keeps its database on the worker, in the home of the user it runs as."""

    title = "Trackio"

    def __init__(self) -> None:
        self._trackio: Any = None

    def begin(self, name: str, settings: Mapping[str, str]) -> None:
        import trackio

        trackio.init(project=SLUG, name=name, config=dict(settings))
        self._trackio = trackio

    def log(self, points: Sequence[Point]) -> None:
        for point in points:
            self._trackio.log(dict(point.values), step=point.step)

    def end(self, status: Status) -> None:
        self._trackio.finish()
