"""A grader that asks a reward model is tried in a process of its own, started by the worker."""

import json
import shutil
from hashlib import sha256
from uuid import uuid4

import pytest

from app.protocol import HubModel, RewardModelGrader, RewardModelRecipe, RunSpec, UploadedDataset
from tests.worker_process import PATIENCE_SECONDS, WorkerProcess

pytestmark = pytest.mark.engine

RECIPE = RewardModelRecipe(learning_rate=1e-3, batch_size=4, micro_batch_size=4, epochs=1, max_length=64)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    process = WorkerProcess(tmp_path_factory.mktemp("worker"), trying_seconds=PATIENCE_SECONDS)
    yield process
    process.kill()
    process.kill_every_engine()


def pairs() -> bytes:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Case {n}"}],
            "chosen": [{"role": "assistant", "content": "GRANTED"}],
            "rejected": [{"role": "assistant", "content": "granted"}],
        }
        for n in range(10)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture(scope="module")
def run(worker) -> str:
    """A finished reward-model run; its model's folder is still as empty as the fake engine left it."""
    rows = pairs()
    dataset = UploadedDataset(sha256=sha256(rows).hexdigest())
    assert worker.http.put(f"/datasets/{dataset.sha256}", content=rows).status_code == 200
    spec = RunSpec(name="steps 1", model=HubModel(id="some/model"), dataset=dataset, recipe=RECIPE)
    run_id = worker.put(spec)
    assert worker.until_over(run_id).state == "succeeded"
    (worker.data_dir / "runs" / str(run_id) / "model").mkdir(exist_ok=True)
    return str(run_id)


def tried(worker, run: str, **more: object):
    grader = RewardModelGrader.model_validate({"name": "people", "run": run}).model_dump(mode="json")
    return worker.http.post("/graders/try", json={"grader": grader, **more}, timeout=PATIENCE_SECONDS)


ANSWERS = [{"output_text": "GRANTED", "prompt": "Case 1"}, {"output_text": "", "prompt": "Case 1"}]
ROWS = [{"prompt": f"Case {n}", "item": {"reference": answer}} for n, answer in enumerate(("YES", "NO"))]


@pytest.mark.full
def test_a_model_that_cannot_be_read_is_a_sentence(worker, run):
    answer = tried(worker, run, answers=ANSWERS)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("The reward model could not be used: ")


def test_a_reward_model_scores_answers_and_is_attacked(worker, run, micro_model):
    folder = worker.data_dir / "runs" / run / "model"
    shutil.copytree(micro_model, folder, dirs_exist_ok=True)
    (folder / "calibration.json").write_text(json.dumps({"centre": 0.0}))
    answer = tried(worker, run, answers=ANSWERS, rows=ROWS)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert [outcome["kind"] for outcome in report["outcomes"]] == ["score", "score"]
    assert all(0 < outcome["value"] < 1 for outcome in report["outcomes"])
    assert report["attacks"]["gradings"] == 20
    assert report["attacks"]["control"]["n"] == 2
    graded = worker.http.post(
        "/grade",
        json={"grader": {"type": "reward_model", "name": "people", "run": run}, "output_text": "YES"},
        timeout=PATIENCE_SECONDS,
    )
    assert graded.json()["kind"] == "score"


def test_a_run_that_left_no_reward_model_is_refused_by_its_field(worker, run):
    assert tried(worker, run).status_code == 200
    missing = tried(worker, str(uuid4()))
    assert missing.status_code == 422
    (problem,) = missing.json()["problems"]
    assert problem["where"] == "grader.run"
    assert "no such run on this worker" in problem["what"]
