"""The real engine under the real worker: launched by it, killed beneath it."""

import hashlib

import pytest

from app.protocol import EvaluationPlan, LocalModel, RunSpec, UploadedDataset
from tests.engine.conftest import NAMES_THE_COLOUR, sft_recipe
from tests.worker_process import WorkerProcess

pytestmark = [pytest.mark.engine, pytest.mark.full]


def test_a_killed_engine_is_judged_failed_and_the_next_run_trains(micro_model, demonstrations, tmp_path):
    worker = WorkerProcess(tmp_path, engine_module="app.engine", models_dir=str(micro_model.parent))
    try:
        content = demonstrations.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        worker.http.put(f"/datasets/{sha256}", content=content).raise_for_status()
        killed = worker.put(spec(sha256, epochs=1000))
        worker.until_training(killed)
        worker.kill_engine(killed)
        status = worker.until_over(killed)
        assert status.state.value == "failed"
        assert status.detail is not None
        assert "killed" in status.detail
        trained = worker.put(spec(sha256, epochs=1))
        assert worker.until_over(trained).state.value == "succeeded"
        names = {artifact["name"] for artifact in worker.http.get(f"/runs/{trained}/artifacts").json()}
        assert "model.zip" in names
    finally:
        worker.kill_every_engine()
        worker.kill()


def spec(sha256: str, epochs: float) -> RunSpec:
    return RunSpec(
        name="a test",
        model=LocalModel(name="micro"),
        dataset=UploadedDataset(sha256=sha256),
        grader=NAMES_THE_COLOUR,
        recipe=sft_recipe(epochs=epochs),
        evaluation=EvaluationPlan(items=10, max_completion_length=8),
    )
