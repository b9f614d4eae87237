"""What the hub has, fetched by its own library from a hub on the loopback interface: rows and models."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.protocol import EvaluationPlan, HubModel, Limits, RunSpec, RunState, UploadedDataset
from tests.engine.conftest import NAMES_THE_COLOUR, sft_recipe
from tests.hub import COMMIT, Hub, hub_at
from tests.worker_process import WorkerProcess

pytestmark = pytest.mark.engine

COLOURS = "someone/colours"
MICRO = "someone/micro"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, micro_model: Path, demonstrations: Path) -> Iterator[Hub]:
    with hub_at(tmp_path_factory.mktemp("hub")) as hub:
        shutil.copy(demonstrations, hub.repository("datasets", COLOURS) / "train.jsonl")
        repository = hub.repository("models", MICRO)
        for file in micro_model.iterdir():
            shutil.copy(file, repository)
        (repository / "setup.py").write_text("raise SystemExit('code of a stranger')\n")
        yield hub


@pytest.fixture(scope="module")
def worker(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hub-cache")))
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        worker = WorkerProcess(tmp_path_factory.mktemp("worker"), engine_module="app.engine")
    yield worker
    worker.kill_every_engine()
    worker.kill()


def brought(worker: WorkerProcess, **wanted: str) -> httpx.Response:
    return worker.http.post("/files", json={"kind": "hub", "id": COLOURS, **wanted}, timeout=200)


def test_a_dataset_is_fetched_at_one_commit_which_is_told(worker, demonstrations):
    answer = brought(worker)
    assert answer.status_code == 200, answer.text
    file = answer.json()
    assert COMMIT in file["source"]
    summary = worker.http.post("/datasets", json={"file": file["sha256"]}).json()
    assert summary["rows"] == len(demonstrations.read_text().splitlines())
    assert summary["kind"] == "demonstrations"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"split": "trian"}, "name the configuration or split"),
        ({"revision": "v9"}, "has no such revision"),
        ({"id": "someone/else"}, "the hub has no"),
    ],
)
def test_what_the_hub_does_not_have_is_told_with_the_fix(worker, wanted, said):
    answer = brought(worker, **wanted)
    assert answer.status_code == 422
    assert said in answer.json()["problems"][0]["what"]


def test_tokens_are_counted_by_the_tokenizer_of_a_model_on_the_hub(worker, hub, demonstrations):
    sha256 = put(worker, demonstrations)
    order = {"model": {"kind": "hub", "id": MICRO}}
    told = worker.http.post(f"/datasets/{sha256}/profile", json=order, timeout=200)
    assert told.status_code == 200, told.text
    assert MICRO in json.dumps(told.json()["profile"])
    assert not any("model.safetensors" in each for each in hub.asked)


def test_a_run_starts_from_a_model_on_the_hub_without_its_code(worker, hub, demonstrations):
    run_id = worker.put(
        RunSpec(
            name="from the hub",
            model=HubModel(id=MICRO),
            dataset=UploadedDataset(sha256=put(worker, demonstrations)),
            grader=NAMES_THE_COLOUR,
            recipe=sft_recipe(epochs=1),
            evaluation=EvaluationPlan(items=10, max_completion_length=8),
        )
    )
    status = worker.until_over(run_id)
    assert status.state.value == "succeeded", status.detail
    said = lines(worker, run_id)
    assert f"The model is {MICRO} at commit {COMMIT}." in said
    assert not any("setup.py" in each for each in hub.asked)


MOVING = "someone/moving"


def test_a_run_stays_with_the_commit_that_it_began_with(worker, hub, micro_model, demonstrations):
    """Its owner pushes others meanwhile. A run that continues it, and the playground, stay there too."""
    repository = hub.repository("models", MOVING)
    shutil.copytree(micro_model, repository, dirs_exist_ok=True)
    spec = RunSpec(
        name="paused meanwhile",
        model=HubModel(id=MOVING),
        dataset=UploadedDataset(sha256=put(worker, demonstrations)),
        recipe=sft_recipe(epochs=1),
        limits=Limits(steps=1),
        evaluation=EvaluationPlan(items=10, max_completion_length=8, checks=0, baseline="skip"),
    )
    run_id = worker.put(spec)
    worker.until(run_id, RunState.PAUSED)
    (hub.push("models", MOVING) / "model.safetensors").write_bytes(b"other weights")

    asked_before = len(hub.asked)
    worker.http.post(f"/runs/{run_id}/resume", json={"limits": {"steps": 2}}).raise_for_status()
    worker.until(run_id, RunState.PAUSED)
    worker.http.post(f"/runs/{run_id}/cancel").raise_for_status()
    worker.until_over(run_id)
    second = worker.put(spec.model_copy(update={"continues": run_id, "limits": Limits()}))
    assert worker.until_over(second).state.value == "succeeded"
    question = {"prompt": "red?", "max_tokens": 2}
    told = worker.http.post(f"/runs/{second}/playground", json=question, timeout=200)
    assert '"kind":"finished"' in told.text.replace(" ", "")

    said = [log for each in (run_id, second) for log in lines(worker, each) if MOVING in log]
    assert said == [f"The model is {MOVING} at commit {COMMIT}."] * 3
    asked_later = [each for each in hub.asked[asked_before:] if MOVING in each]
    assert not asked_later, "that commit is in the cache, and what `main` means by now is of no interest"


def lines(worker: WorkerProcess, run_id: UUID) -> list[str]:
    return [event.what.line for event in worker.page(run_id).events if event.what.kind == "log"]


def put(worker: WorkerProcess, file: Path) -> str:
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    worker.http.put(f"/datasets/{sha256}", content=content).raise_for_status()
    return sha256
