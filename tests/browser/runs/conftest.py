"""The web service with the real worker behind it, whose engine replays a recorded training."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import WebSettings
from tests.browser.runs.scenes import GUARD, STRICT, Spec, grpo, preferred, sft
from tests.worker_process import TOKEN, WorkerProcess

PATIENCE_SECONDS = 120


class Workshop:
    """A service with its worker, and the API as a way to set a scene."""

    def __init__(self, address: str, worker: WorkerProcess) -> None:
        self.address = address
        self.worker = worker
        self.http = httpx.Client(base_url=address, headers={"Origin": address}, timeout=30)

    def launch(self, *plan: Spec) -> list[str]:
        answer = self.http.post("/api/v1/runs", json={"plan": list(plan)})
        assert answer.status_code == 201, answer.text
        return [run["id"] for run in answer.json()["runs"]]

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/api/v1/runs/{run_id}").json()
        return found

    def until(
        self,
        run_id: str,
        reached: Callable[[dict[str, Any]], bool],
        patience: float = PATIENCE_SECONDS,
    ) -> dict[str, Any]:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if reached(run := self.run(run_id)):
                return run
            time.sleep(0.1)
        raise AssertionError(f"it never happened; the run is {run['state']}: {run['detail']}")

    def until_over(self, run_id: str, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
        return self.until(run_id, lambda run: run["is_over"], patience)

    def until_training(self, run_id: str) -> dict[str, Any]:
        return self.until(run_id, lambda run: run["state"] == "running" and run["step"] > 0)

    def clear(self, *run_ids: str) -> None:
        """Nothing of one test keeps the worker's only slot from the next."""
        for run_id in run_ids:
            if not self.run(run_id)["is_over"]:
                self.http.post(f"/api/v1/runs/{run_id}/cancel")
        for run_id in run_ids:
            self.until_over(run_id)

    def upload(self, name: str, rows: bytes) -> str:
        answer = self.http.post(
            "/api/v1/datasets",
            params={"name": name},
            content=rows,
            headers={"Content-Type": "application/jsonl"},
        )
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found


def open_workshop(
    folder: Path, database: Path, serve: Callable[[WebSettings], AbstractContextManager[str]], **settings: Any
) -> Iterator[Workshop]:
    given = {"engine_module": "tests.browser.recorded_engine", "prepare_starter": True} | settings
    worker = WorkerProcess(folder / "worker", **given)
    (folder / "web").mkdir()
    shutil.copy(database, folder / "web" / "tuning-fork.db")
    settled = WebSettings(
        data_dir=folder / "web",
        sign_in="off",
        worker_url=f"http://127.0.0.1:{worker.port}",
        worker_token=TOKEN,
        recommendations_per_minute=0,
        sync_seconds=0.5,
    )
    try:
        with serve(settled) as address:
            workshop = Workshop(address, worker)
            yield workshop
            workshop.http.close()
    finally:
        worker.kill_every_engine()
        worker.stop()


@pytest.fixture(scope="session")
def workshop(
    tmp_path_factory: pytest.TempPathFactory,
    _migrated_sqlite: Path,
    serve: Callable[[WebSettings], AbstractContextManager[str]],
) -> Iterator[Workshop]:
    yield from open_workshop(tmp_path_factory.mktemp("workshop"), _migrated_sqlite, serve)


@pytest.fixture
def own_workshop(
    tmp_path: Path,
    _migrated_sqlite: Path,
    serve: Callable[[WebSettings], AbstractContextManager[str]],
) -> Iterator[Workshop]:
    """An empty one whose worker may be killed."""
    yield from open_workshop(tmp_path, _migrated_sqlite, serve, prepare_starter=False)


@pytest.fixture(scope="session")
def plan(workshop: Workshop) -> list[str]:
    """A warm start and the GRPO run that went on from it, both finished."""
    ids = workshop.launch(sft("Legal reasoning, SFT"), grpo("Legal reasoning, GRPO"))
    for run_id in ids:
        assert workshop.until_over(run_id)["state"] == "succeeded"
    return ids


@pytest.fixture(scope="session")
def failed(workshop: Workshop) -> str:
    (run_id,) = workshop.launch(grpo("Contract triage failing", steps=20))
    assert workshop.until_over(run_id)["state"] == "failed"
    return run_id


@pytest.fixture(scope="session")
def told(workshop: Workshop) -> str:
    """A finished run with everything a run can tell: findings, checks, a guard set, independent graders."""
    (run_id,) = workshop.launch(
        grpo(
            "Tenancy warned forgets remembered",
            independent_graders=[STRICT],
            limits={"minutes": 30.0, "price_per_gpu_hour": 2.5},
            evaluation={"items": 100, "samples_shown": 25, "guard": GUARD},
            keep="best",
        )
    )
    assert workshop.until_over(run_id)["state"] == "succeeded"
    return run_id


@pytest.fixture(scope="session")
def limited(workshop: Workshop) -> str:
    """A run that its limit of steps paused; nobody lets it go on."""
    (run_id,) = workshop.launch(grpo("Leases limited", steps=40, limits={"steps": 15}))
    workshop.until(run_id, lambda run: run["state"] == "paused")
    return run_id


@pytest.fixture(scope="session")
def reward_model(workshop: Workshop) -> str:
    pair = b'{"prompt":"Case %d","chosen":"Granted, because of rule %d.","rejected":"I cannot say."}'
    pairs = workshop.upload("Preferred answers", b"\n".join(pair % (n, n) for n in range(60)))
    known = workshop.http.get(f"/api/v1/datasets/{pairs}").json()
    (run_id,) = workshop.launch(
        preferred("Preferences", dataset={"kind": "uploaded", "sha256": known["sha256"]})
    )
    assert workshop.until_over(run_id)["state"] == "succeeded"
    return run_id


@pytest.fixture(scope="session")
def dataset(workshop: Workshop) -> str:
    row = (
        b'{"messages":[{"role":"user","content":"Case %d"},{"role":"assistant","content":"Granted."}],'
        b'"answer":"granted"}'
    )
    return workshop.upload("Case notes", b"\n".join(row % n for n in range(60)))


@pytest.fixture
def live(workshop: Workshop) -> Iterator[str]:
    """A run that trains long enough to be watched."""
    (run_id,) = workshop.launch(grpo("Appeals slow", steps=300))
    workshop.until_training(run_id)
    yield run_id
    workshop.clear(run_id)
