"""What the hub has, fetched by its own library from a hub on the loopback interface: rows and models."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.protocol import EvaluationPlan, HubModel, RunSpec, UploadedDataset
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
    said = [event.what.line for event in worker.page(run_id).events if event.what.kind == "log"]
    assert f"The model is {MICRO} at commit {COMMIT}." in said
    assert not any("setup.py" in each for each in hub.asked)


def put(worker: WorkerProcess, file: Path) -> str:
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    worker.http.put(f"/datasets/{sha256}", content=content).raise_for_status()
    return sha256
