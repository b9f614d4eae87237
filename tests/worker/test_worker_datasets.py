"""Datasets and models on the worker."""

import hashlib
import json
import struct
from uuid import uuid4

import pytest

from app.protocol import (
    EvaluationPlan,
    GeneratedDataset,
    GrpoRecipe,
    Guard,
    LocalModel,
    StringCheck,
    UploadedDataset,
)


def rows(count: int = 10, **more: object) -> bytes:
    return b"".join(
        json.dumps({"messages": [{"role": "user", "content": f"question {n}"}], **more}).encode() + b"\n"
        for n in range(count)
    )


def upload(client, content: bytes, sha256: str | None = None):
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    return sha256, client.put(f"/datasets/{sha256}", content=content)


def test_an_upload_is_summarised_listed_shown_and_deleted(client):
    sha256, answer = upload(client, rows(answer="yes"))
    summary = answer.json()
    assert answer.status_code == 200
    assert (summary["rows"], summary["prompts"], summary["held_out"]) == (10, 10, 2)
    assert summary["item_fields"] == ["answer"]
    assert upload(client, rows(answer="yes"))[1].json() == summary
    assert client.get(f"/datasets/{sha256}").json() == summary
    assert summary in client.get("/datasets").json()
    assert client.delete(f"/datasets/{sha256}").status_code == 204
    assert client.get(f"/datasets/{sha256}").status_code == 404
    assert client.delete(f"/datasets/{sha256}").status_code == 404


def test_an_upload_survives_a_restart_of_the_worker(worker):
    sha256, answer = upload(worker.http, rows())
    worker.restart()
    assert worker.http.get(f"/datasets/{sha256}").json() == answer.json()


def test_generated_datasets_are_listed_by_name(client):
    names = [each["ref"].get("name") for each in client.get("/datasets").json()]
    assert set(names) == {"rulings", "clauses", "impossible", "mastered"}
    assert client.get("/datasets/rulings").json()["ref"] == {"kind": "generated", "name": "rulings"}
    assert client.get("/datasets/nothing").status_code == 404


def test_content_that_is_not_what_was_named_is_refused_and_not_kept(client, tmp_path):
    _, answer = upload(client, rows(), sha256="0" * 64)
    assert answer.status_code == 422
    assert list((tmp_path / "data" / "datasets").iterdir()) == []


def test_bad_rows_are_named_by_line_and_nothing_is_kept(client, tmp_path):
    _, answer = upload(client, rows(3) + b"{}\n" + rows(3) + b"nonsense\n")
    assert answer.status_code == 422
    assert [problem["where"] for problem in answer.json()["problems"]] == ["line 4", "line 8"]
    assert list((tmp_path / "data" / "datasets").iterdir()) == []


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "A" * 64, "0" * 63, "0" * 65, "%2e%2e"])
def test_only_a_hash_names_an_upload(client, name):
    assert client.put(f"/datasets/{name}", content=rows()).status_code in (404, 405, 422)


def test_a_dataset_that_a_run_still_needs_is_not_deleted(client, spec):
    sha256, _ = upload(client, rows(answer="yes"))
    run = spec(
        dataset=UploadedDataset(sha256=sha256),
        grader=StringCheck(name="exact", reference="{{ item.answer }}"),
        recipe=GrpoRecipe(
            learning_rate=1e-3,
            batch_size=4,
            micro_batch_size=4,
            steps=1,
            num_generations=4,
            max_completion_length=8,
        ),
    )
    run_id = uuid4()
    path = f"/runs/{run_id}"
    client.put(path, content=run.model_dump_json(), headers={"Content-Type": "application/json"})
    refused = client.delete(f"/datasets/{sha256}")
    assert refused.status_code == 409
    assert "steps 3" in refused.json()["detail"]
    client.post(f"{path}/cancel")
    assert client.delete(f"/datasets/{sha256}").status_code == 204


def test_the_dataset_of_a_guard_set_must_be_there_and_is_kept_while_a_run_needs_it(client, spec):
    grader = StringCheck(name="exact", reference="{{ item.answer }}")

    def put(sha256: str):
        guard = Guard(dataset=UploadedDataset(sha256=sha256), grader=grader)
        run = spec("waits 4", evaluation=EvaluationPlan(guard=guard))
        return client.put(
            f"/runs/{uuid4()}", content=run.model_dump_json(), headers={"Content-Type": "application/json"}
        )

    refused = put("ab" * 32).json()
    assert [problem["where"] for problem in refused["problems"]] == ["evaluation.guard.dataset.sha256"]
    sha256, _ = upload(client, rows(answer="yes"))
    assert put(sha256).status_code == 201
    assert client.delete(f"/datasets/{sha256}").status_code == 409


def test_sft_is_refused_on_prompts_alone(client, spec):
    sha256, _ = upload(client, rows(reference="yes"))
    run = spec(dataset=UploadedDataset(sha256=sha256))
    answer = client.put(
        f"/runs/{uuid4()}", content=run.model_dump_json(), headers={"Content-Type": "application/json"}
    )
    assert [problem["where"] for problem in answer.json()["problems"]] == ["dataset"]


def save_model(folder, config: dict, weights: bool = True) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    if weights:
        header = json.dumps({"a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]}}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(60))


def test_local_models_are_listed_with_what_keeps_them_from_use(client, tmp_path):
    models = tmp_path / "data" / "models"
    save_model(models / "good", {"model_type": "llama"})
    save_model(models / "with-code", {"auto_map": {"AutoModel": "evil.Model"}})
    save_model(models / "pickled", {}, weights=False)
    (models / "not-a-model").mkdir()
    listed = {each["title"]: each for each in client.get("/models").json()}
    assert set(listed) == {"Starter model", "good", "with-code", "pickled"}
    assert listed["good"]["ready"]
    assert listed["good"]["parameters"] == 15
    assert "code of its own" in listed["with-code"]["note"]
    assert "safetensors" in listed["pickled"]["note"]
    assert not listed["Starter model"]["ready"]


def test_a_run_on_a_model_with_code_of_its_own_is_refused(client, tmp_path, spec):
    save_model(tmp_path / "data" / "models" / "with-code", {"auto_map": {}})
    run = spec(model=LocalModel(name="with-code"), dataset=GeneratedDataset(name="clauses"))
    answer = client.put(
        f"/runs/{uuid4()}", content=run.model_dump_json(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert "code of its own" in answer.text
