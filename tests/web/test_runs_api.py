"""Runs over REST: launched, watched live, cancelled, fetched and deleted, with the real worker behind."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.main import read_rulebook
from tests.weather import Weather, away
from tests.web.conftest import api_key, owner, parts_of, program
from tests.web.launching import named
from tests.worker_process import TOKEN, WorkerProcess, eventually

QUICK = {"worker_token": TOKEN, "sync_seconds": 0.1, "stream_tick_seconds": 0.05}

LEGAL = dict(next(e for e in read_rulebook().examples if e.id == "legal_reasoning").answers)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    process = WorkerProcess(tmp_path_factory.mktemp("worker"))
    yield process
    process.kill()
    process.kill_every_engine()


@pytest.fixture
def weather(worker: WorkerProcess) -> Weather:
    return Weather(worker)


@pytest.fixture
def app(make_app: Callable[..., FastAPI], weather: Weather) -> FastAPI:
    return make_app(weather, **QUICK)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """With its sweep running, as when served."""
    with program(app) as client:
        yield client


def launched(client: TestClient, name: str = "steps 3", **headers: str) -> str:
    answer = client.post("/api/v1/runs", json=named(name), headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["runs"][0]["id"]


def until(client: TestClient, run_id: str, *states: str) -> dict:
    def reached() -> dict | None:
        run = client.get(f"/api/v1/runs/{run_id}").json()
        return run if run["state"] in states else None

    return eventually(reached, f"one of {states}")


def until_over(client: TestClient, run_id: str) -> dict:
    return until(client, run_id, "succeeded", "failed", "cancelled")


def stream(client: TestClient, run_id: str, after: str | None = None) -> Iterator[tuple[str, str, dict]]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    with client.stream("GET", f"/api/v1/runs/{run_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
                fields = {}


def test_a_run_is_launched_and_shown_to_its_end(client):
    run_id = launched(client)
    run = until_over(client, run_id)
    assert (run["state"], run["words"], run["step"], run["progress"]) == ("succeeded", "Succeeded", 3, 1.0)
    assert [point["step"] for point in run["metrics"]["loss"]] == [1, 2, 3]
    listed = client.get("/api/v1/runs").json()["items"]
    assert run_id in {each["id"] for each in listed}


def test_launching_twice_with_one_key_is_launching_once(client):
    body = {"plan": [named("steps 2"), named("steps 2")]}
    headers = {"Idempotency-Key": f"key-{uuid4()}"}
    first = client.post("/api/v1/runs", json=body, headers=headers)
    second = client.post("/api/v1/runs", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert [r["id"] for r in first.json()["runs"]] == [r["id"] for r in second.json()["runs"]]
    assert client.post("/api/v1/runs", json=named("steps 9"), headers=headers).status_code == 409
    for run in first.json()["runs"]:
        until_over(client, run["id"])


def test_overriding_the_advice_needs_a_reason_and_records_it(client):
    made = client.post("/api/v1/assessments", json={"name": "Legal", "answers": LEGAL})
    client.post(f"{made.headers['location']}/recommendation")
    body = {"assessment": made.json()["id"], "plan": [named("steps 2")]}
    refused = client.post("/api/v1/runs", json=body)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["where"] == "override_reason"
    taken = client.post("/api/v1/runs", json=body | {"override_reason": "We have no grader yet."})
    run = client.get(taken.headers["location"]).json()
    assert (run["advised"], run["override_reason"]) == ("grpo", "We have no grader yet.")
    assert run["assessment_id"] == made.json()["id"]
    until_over(client, run["id"])
    assert client.delete(made.headers["location"]).status_code == 204
    assert client.get(taken.headers["location"]).json()["assessment_id"] is None


GRPO = {
    "kind": "grpo",
    "learning_rate": 1e-4,
    "batch_size": 32,
    "micro_batch_size": 32,
    "steps": 5,
    "num_generations": 8,
    "max_completion_length": 64,
}


@pytest.mark.parametrize(
    ("example", "plan", "said"),
    [
        ("legal_reasoning", ["sft"], "The advice is SFT, then GRPO; this launches SFT."),
        ("legal_reasoning", ["grpo"], "The advice is SFT, then GRPO; this launches GRPO."),
        ("catalogue_facts", ["sft"], "The advice is to fix something first (The goal is facts; "),
        ("text_to_sql", ["sft", "grpo"], "The advice is GRPO; this launches SFT, then GRPO."),
    ],
)
def test_whatever_is_not_the_whole_advised_plan_needs_a_reason(app, example, plan, said):
    client = program(app)
    answers = next(each.answers for each in read_rulebook().examples if each.id == example)
    made = client.post("/api/v1/assessments", json={"name": "Ours", "answers": dict(answers)})
    client.post(f"{made.headers['location']}/recommendation")
    specs = [named(kind, **({"recipe": GRPO} if kind == "grpo" else {})) for kind in plan]
    refused = client.post("/api/v1/runs", json={"assessment": made.json()["id"], "plan": specs})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith(said)
    assert [each["where"] for each in refused.json()["problems"]] == ["override_reason"]


def test_the_whole_advised_plan_needs_no_reason(app):
    client = program(app)
    made = client.post("/api/v1/assessments", json={"name": "Legal", "answers": LEGAL})
    client.post(f"{made.headers['location']}/recommendation")
    plan = client.get(f"{made.headers['location']}/plan").json()
    assert client.post("/api/v1/runs", json=plan).status_code == 201


def test_a_grpo_batch_must_hold_whole_groups(client):
    recipe = {
        "kind": "grpo",
        "learning_rate": 1e-4,
        "batch_size": 30,
        "micro_batch_size": 30,
        "steps": 5,
        "num_generations": 8,
        "max_completion_length": 64,
    }
    told = client.post("/api/v1/runs", json=named("x", recipe=recipe)).json()
    assert "multiple of num_generations" in told["problems"][0]["what"]


def test_a_run_is_cancelled_and_only_then_deleted(client):
    run_id = launched(client, "hang 5")
    until(client, run_id, "running")
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 409
    answer = client.post(f"/api/v1/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["words"]) == (202, "Stopping")
    until(client, run_id, "cancelled")
    assert client.post(f"/api/v1/runs/{run_id}/cancel").status_code == 409
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 204
    assert client.get(f"/api/v1/runs/{run_id}").status_code == 404


def test_the_files_of_a_run_can_be_fetched_and_nothing_else(client):
    run_id = launched(client)
    until_over(client, run_id)
    files = client.get(f"/api/v1/runs/{run_id}/artifacts").json()
    assert {"model.zip"} <= {file["name"] for file in files}
    for file in files:
        answer = client.get(f"/api/v1/runs/{run_id}/artifacts/{file['name']}")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["content-type"] == "application/octet-stream"
    assert client.get(f"/api/v1/runs/{run_id}/artifacts/spec.jsonx").status_code == 404
    assert "step 3" in client.get(f"/api/v1/runs/{run_id}/log").text


def test_the_model_of_a_run_that_a_finding_stopped_is_there_to_take_ask_and_start_from(client):
    run_id = launched(client, "stopped 3")
    assert until_over(client, run_id)["state"] == "failed"
    browser = owner(client.app)
    page = browser.get(f"/runs/{run_id}").text
    assert f"/api/v1/runs/{run_id}/artifacts/model.zip" in page
    assert f"/runs/{run_id}/playground" in page
    assert client.get(f"/api/v1/runs/{run_id}/artifacts/model.zip").status_code == 200
    assert f'value="run:{run_id}"' in browser.get("/runs/new").text
    started = client.post("/api/v1/runs", json=named("steps 2", starts_from=run_id))
    assert until_over(client, started.json()["runs"][0]["id"])["state"] == "succeeded"


def test_a_run_that_left_no_model_offers_none(client):
    run_id = launched(client, "fail 2")
    until_over(client, run_id)
    browser = owner(client.app)
    page = browser.get(f"/runs/{run_id}")
    assert (page.status_code, 'id="model-title"' in page.text) == (200, False)
    form = browser.get("/runs/new")
    assert (form.status_code, f'value="run:{run_id}"' in form.text) == (200, False)
    refused = client.post("/api/v1/runs", json=named("steps 2", starts_from=run_id))
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["what"] == "that run is failed; it left no model"


def test_events_come_as_json_without_the_wish_for_a_stream(client):
    run_id = launched(client)
    until_over(client, run_id)
    address = f"/api/v1/runs/{run_id}/events"
    events = client.get(address).json()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert client.get(address, params={"after": 2, "limit": 1}).json() == [events[2]]


def test_a_live_stream_tells_everything_once_and_ends_with_the_end(client):
    run_id = launched(client, "steps 20")
    told = list(stream(client, run_id))
    seqs = [int(event_id) for _, event_id, _ in told if event_id]
    assert seqs == list(range(1, len(seqs) + 1))
    assert told[-1][0] == "end"
    assert [event for event, _, _ in told].count("end") == 1
    last_status = [content for event, _, content in told if event == "status"][-1]
    assert last_status["state"] == "succeeded"
    for event, event_id, content in told:
        if event_id:
            assert content["what"]["kind"] == event


def test_a_stream_that_breaks_again_and_again_loses_and_repeats_nothing(client):
    run_id = launched(client, "steps 40")
    chance = random.Random(1)
    seen: list[int] = []
    ended = False
    while not ended:
        patience = chance.randint(1, 8)
        for event, event_id, _ in stream(client, run_id, str(seen[-1]) if seen else None):
            if event_id:
                seen.append(int(event_id))
            ended = event == "end"
            patience -= 1
            if not patience and not ended:
                break
    assert seen == list(range(1, len(seen) + 1))


def test_a_stream_asked_for_after_the_end_says_end_again(client):
    run_id = launched(client)
    last = until_over(client, run_id)["last_seq"]
    told = list(stream(client, run_id, str(last)))
    assert [event for event, _, _ in told] == ["status", "end"]


def test_a_stream_of_a_run_that_failed_without_a_worker_ends_too(client, app):
    weather = parts_of(app).worker._http._transport
    weather.fault = away
    run_id = launched(client)
    client.post(f"/api/v1/runs/{run_id}/cancel")
    weather.fault = None
    until(client, run_id, "cancelled")
    told = list(stream(client, run_id))
    assert told[-1][0] == "end"
    assert told[-1][2]["state"] == "cancelled"


def test_a_stream_says_when_the_worker_is_away_and_back(client, weather):
    run_id = launched(client, "steps 60")
    until(client, run_id, "running")
    said = []
    for event, _, content in stream(client, run_id):
        if event == "metric" and not said:
            weather.fault = away
        if event == "worker":
            said.append(bool(content["away"]))
            weather.fault = None
    assert said == [True, False]


def test_streams_end_on_the_signal_to_stop(client, app):
    run_id = launched(client, "hang 5")
    until(client, run_id, "running")
    threading.Timer(0.5, parts_of(app).stopping.set).start()
    events = [event for event, _, _ in stream(client, run_id)]
    assert "end" not in events
    parts_of(app).stopping.clear()
    client.post(f"/api/v1/runs/{run_id}/cancel")
    until_over(client, run_id)


def test_streams_end_by_themselves_after_a_while(make_app, weather):
    app = make_app(weather, **QUICK, stream_minutes=0.01)
    with program(app, api_key(app)) as client:
        run_id = launched(client, "hang 5")
        until(client, run_id, "running")
        assert "end" not in [event for event, _, _ in stream(client, run_id)]
        client.post(f"/api/v1/runs/{run_id}/cancel")
        until_over(client, run_id)


def test_with_the_worker_away_pages_of_a_run_still_answer(client, weather):
    run_id = launched(client, "steps 3")
    until_over(client, run_id)
    weather.fault = away
    assert client.get(f"/api/v1/runs/{run_id}").status_code == 200
    told = client.get("/api/v1/worker")
    assert told.status_code == 503
    assert told.json()["error"] == "WorkerAway"


def test_the_worker_is_described(client):
    told = client.get("/api/v1/worker").json()
    assert told["health"]["device"]["kind"] in ("cpu", "cuda")
    assert isinstance(told["models"], list)


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        ("yes", {"kind": "score", "value": 1.0, "parts": {}}),
        ("no", {"kind": "score", "value": 0.0, "parts": {}}),
    ],
)
def test_a_grader_can_be_tried(client, output, outcome):
    grader = {"type": "string_check", "name": "exact", "reference": "yes"}
    answer = client.post("/api/v1/grade", json={"grader": grader, "output_text": output})
    assert answer.json() == outcome


def row(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


ROWS = [row(f"What is {n} + {n}?", str(2 * n)) for n in range(20)]


def lines(rows: list[object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


JSONL = {"Content-Type": "application/jsonl"}


def test_a_dataset_is_brought_shown_used_and_deleted(client, worker):
    made = client.post("/api/v1/datasets?name=Sums", content=lines(ROWS), headers=JSONL)
    assert made.status_code == 201, made.text
    dataset = client.get(made.headers["location"]).json()
    assert (dataset["name"], dataset["summary"]["rows"]) == ("Sums", 20)
    assert worker.http.get(f"/datasets/{dataset['sha256']}").status_code == 200
    ref = {"kind": "uploaded", "sha256": dataset["sha256"]}
    taken = client.post("/api/v1/runs", json=named("steps 2", dataset=ref))
    assert until_over(client, taken.json()["runs"][0]["id"])["state"] == "succeeded"
    assert client.delete(made.headers["location"]).status_code == 204
    eventually(lambda: worker.http.get(f"/datasets/{dataset['sha256']}").status_code == 404, "the removal")


def test_a_dataset_deleted_and_brought_again_stays(client, worker, weather):
    made = client.post("/api/v1/datasets?name=Sums", content=lines(ROWS), headers=JSONL).json()
    weather.fault = away
    client.delete(f"/api/v1/datasets/{made['id']}")
    weather.fault = None
    client.post("/api/v1/datasets?name=Sums", content=lines(ROWS), headers=JSONL)
    parts_of(client.app).sweep.once()
    assert worker.http.get(f"/datasets/{made['sha256']}").status_code == 200


def test_every_problem_of_a_dataset_is_named_by_line(client):
    rows = lines(ROWS[:3]) + b"not json\n" + lines([{"messages": []}])
    told = client.post("/api/v1/datasets?name=Bad", content=rows, headers=JSONL)
    assert told.status_code == 422
    assert {problem["where"] for problem in told.json()["problems"]} == {"line 4", "line 5"}
    assert client.get("/api/v1/datasets").json()["items"] == []


def test_a_dataset_in_transit_leaves_nothing_behind(client, tmp_path):
    client.post("/api/v1/datasets?name=Bad", content=b"not json\n", headers=JSONL)
    client.post("/api/v1/datasets?name=Good", content=lines(ROWS), headers=JSONL)
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", JSONL, 422),
        (b"PK\x03\x04", {"Content-Type": "application/zip"}, 415),
        (b"\x1f\x8b", {"Content-Type": "application/gzip"}, 415),
        (b"x", {}, 415),
        (b"x", JSONL | {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_what_is_no_dataset_is_refused(client, content, headers, status):
    assert client.post("/api/v1/datasets?name=x", content=content, headers=headers).status_code == status


@pytest.mark.parametrize("name", ["", "a%00b", "a%0Ab", "%E2%80%AEa", "x" * 121])
def test_a_dataset_has_a_plain_name(client, name):
    answer = client.post(f"/api/v1/datasets?name={name}", content=lines(ROWS), headers=JSONL)
    assert answer.status_code == 422


def test_a_dataset_beyond_the_limit_is_refused_however_it_arrives(make_app, weather):
    client = program(make_app(weather, worker_token=TOKEN, max_upload_bytes=2_000_000))
    declared = client.post("/api/v1/datasets?name=x", content=b" " * 3_000_000, headers=JSONL)
    undeclared = client.post("/api/v1/datasets?name=x", content=iter([b" " * 500_000] * 6), headers=JSONL)
    assert (declared.status_code, undeclared.status_code) == (413, 413)
    assert declared.json()["error"] == undeclared.json()["error"] == "TooLarge"


def test_a_dataset_larger_than_other_bodies_is_taken(make_app, weather):
    client = program(make_app(weather, worker_token=TOKEN, max_body_bytes=10_000))
    rows = [row(f"{n} " + "long " * 100, "x") for n in range(100)]
    answer = client.post("/api/v1/datasets?name=x", content=lines(rows), headers=JSONL)
    assert answer.status_code == 201, answer.text
