"""An engine that waited with its imports done behaves like one that was started for its run."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from app.protocol import EvaluationPlan, LocalModel, RunSpec, UploadedDataset
from tests.engine.conftest import NAMES_THE_COLOUR, sft_recipe
from tests.worker_process import WorkerProcess, eventually

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def worker(micro_model, tmp_path_factory):
    worker = WorkerProcess(
        tmp_path_factory.mktemp("worker"),
        engine_module="app.engine",
        models_dir=str(micro_model.parent),
        warm_engines=1,
        retries=3,
        retry_seconds=0,
    )
    yield worker
    worker.kill_every_engine()
    worker.kill()


def waiting(worker: WorkerProcess) -> list[psutil.Process]:
    """Without one that was killed and that the worker has not buried yet."""
    found = []
    for child in psutil.Process(worker.pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if "app.engine.warm" in child.cmdline() else []
    return found


def ready(worker: WorkerProcess) -> psutil.Process:
    def one() -> psutil.Process | None:
        found = waiting(worker)
        said = worker.http.get("/health").json()["warm_engines"]
        return found[0] if said == len(found) == 1 else None

    return eventually(one, "a waiting engine")


def test_a_run_is_taken_over_and_when_its_process_is_killed_it_is_started_again(worker, demonstrations):
    content = demonstrations.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    worker.http.put(f"/datasets/{sha256}", content=content).raise_for_status()
    engine = ready(worker)
    assert worker.http.get("/health").json()["running"] == []

    run_id = worker.put(spec(sha256))
    worker.until_training(run_id)
    folder = worker.data_dir / "runs" / str(run_id)
    assert str(folder / "lock") in {file.path for file in engine.open_files()}
    assert engine.cwd() == str(folder)
    assert os.getsid(engine.pid) == engine.pid
    assert Path(f"/proc/{engine.pid}/fd/1").readlink() == Path(f"/proc/{engine.pid}/fd/2").readlink()
    assert Path(f"/proc/{engine.pid}/fd/1").readlink() == folder / "log.txt"
    assert "Umask:\t0077" in Path(f"/proc/{engine.pid}/status").read_text()

    engine.kill()
    eventually(lambda: worker.status(run_id).attempt == 2, "another start")
    worker.http.post(f"/runs/{run_id}/cancel").raise_for_status()
    assert worker.until_over(run_id).state.value == "cancelled"


@pytest.mark.full
def test_one_that_was_killed_while_it_waited_is_replaced_and_all_go_with_their_worker(worker):
    first = ready(worker)
    first.kill()
    eventually(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE, "its end")
    second = ready(worker)
    assert second.pid != first.pid
    worker.kill()
    eventually(lambda: not second.is_running(), "the end of what waited")
    worker.start()
    assert worker.http.get("/runs").status_code == 200


def spec(sha256: str) -> RunSpec:
    return RunSpec(
        name="a test",
        model=LocalModel(name="micro"),
        dataset=UploadedDataset(sha256=sha256),
        grader=NAMES_THE_COLOUR,
        recipe=sft_recipe(epochs=1000),
        evaluation=EvaluationPlan(items=10, max_completion_length=8),
    )
