"""Workers to talk to: processes with a fake engine behind them, or one in this process for plain requests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.protocol import GeneratedDataset, HubModel, RunSpec, SftRecipe, StringCheck
from app.settings import WorkerSettings
from app.worker.main import create_app
from tests.worker_process import TOKEN, WorkerProcess

GRADER = StringCheck(name="exact", reference="{{ item.reference }}")

RECIPE = SftRecipe(learning_rate=1e-3, batch_size=4, micro_batch_size=4, epochs=1, max_length=128)


@pytest.fixture
def spec() -> Callable[..., RunSpec]:
    def make(name: str = "steps 3", **more: object) -> RunSpec:
        usual = {
            "model": HubModel(id="some/model"),
            "dataset": GeneratedDataset(name="clauses"),
            "grader": GRADER,
            "recipe": RECIPE,
        }
        return RunSpec(name=name, **{**usual, **more})

    return make


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start(**settings: object) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path / "data", **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.kill_every_engine()


@pytest.fixture
def worker(start_worker: Callable[..., WorkerProcess]) -> WorkerProcess:
    return start_worker()


@pytest.fixture
def open_client(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """No slot's engine can start in these: there is never enough disk for one."""
    opened: list[TestClient] = []

    def start(**settings: object) -> TestClient:
        usual = {"prepare_starter": False, "min_free_bytes": 2**62, "engine_module": "tests.fake_engine"}
        given = WorkerSettings(data_dir=tmp_path / "data", token=TOKEN, **{**usual, **settings})
        client = TestClient(create_app(given), headers={"Authorization": f"Bearer {TOKEN}"})
        client.__enter__()
        opened.append(client)
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(open_client: Callable[..., TestClient]) -> TestClient:
    return open_client()
