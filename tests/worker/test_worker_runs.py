"""Runs as callers meet them: accepted or refused with reasons, waiting, cancelled, deleted, downloaded."""

import io
import zipfile
from uuid import uuid4

import pytest

from app.protocol import (
    EvaluationPlan,
    GeneratedDataset,
    Guard,
    HubModel,
    JsonSchema,
    JudgeMessage,
    LocalModel,
    Multi,
    ProbeRecipe,
    Regex,
    RunState,
    ScoreModel,
    StarterModel,
    StarterRecipe,
    StringCheck,
    UploadedDataset,
)
from tests.worker_process import eventually

JSON = {"Content-Type": "application/json"}


JUDGE = ScoreModel(name="judge", input=[JudgeMessage(role="user", content="{{ sample.output_text }}")])
EXACT = StringCheck(name="exact", reference="{{ item.reference }}")
HALF_JUDGED = Multi(name="both", graders={"exact": EXACT, "judge": JUDGE}, calculate_output="exact * judge")


def guarded_by(grader) -> dict:
    guard = Guard(dataset=GeneratedDataset(name="clauses"), grader=grader)
    return {"evaluation": EvaluationPlan(guard=guard)}


def put(client, spec, run_id=None):
    run_id = run_id or uuid4()
    return run_id, client.put(f"/runs/{run_id}", content=spec.model_dump_json(), headers=JSON)


def places(answer) -> set[str]:
    assert answer.status_code == 422, answer.text
    return {problem["where"] for problem in answer.json()["problems"]}


def test_the_same_spec_again_is_the_same_run_and_another_spec_a_conflict(client, spec):
    run_id, first = put(client, spec())
    assert first.status_code == 201
    again = put(client, spec(), run_id)[1]
    assert again.status_code == 200
    assert again.json()["created_at"] == first.json()["created_at"]
    assert put(client, spec(seed=2), run_id)[1].status_code == 409
    assert len(client.get("/runs").json()) == 1


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"grader": Regex(name="r", pattern="(?=a)")}, "grader.pattern"),
        ({"grader": Regex(name="r", pattern="a", reference="{{ itme.answer }}")}, "grader.reference"),
        ({"grader": JsonSchema(name="j", schema={"type": "objekt"})}, "grader.schema"),
        ({"grader": StringCheck(name="s", reference="{{ item.nowhere }}")}, "grader"),
        ({"draft_grader": Regex(name="r", pattern="a{1001}")}, "draft_grader.pattern"),
        (
            {"independent_graders": [EXACT, Regex(name="r", pattern="a{1001}")]},
            "independent_graders.1.pattern",
        ),
        (guarded_by(Regex(name="r", pattern="(?=a)")), "evaluation.guard.grader.pattern"),
        ({"grader": JUDGE}, "grader"),
        ({"grader": HALF_JUDGED}, "grader"),
        ({"draft_grader": JUDGE}, "draft_grader"),
        ({"independent_graders": [HALF_JUDGED]}, "independent_graders.0"),
        (guarded_by(JUDGE), "evaluation.guard.grader"),
        ({"dataset": UploadedDataset(sha256="0" * 64)}, "dataset.sha256"),
        ({"model": LocalModel(name="missing")}, "model.name"),
        ({"recipe": StarterRecipe()}, "recipe.kind"),
    ],
)
def test_a_run_that_could_not_succeed_is_refused_with_the_place_and_the_fix(client, spec, change, place):
    assert place in places(put(client, spec(**change))[1])
    assert client.get("/runs").json() == []


def test_a_run_whose_grader_asks_a_judge_needs_one_and_the_setting_is_named(open_client, spec):
    refused = put(open_client(), spec(grader=HALF_JUDGED))[1].json()
    assert "TUNING_FORK_WORKER_JUDGE_URL" in refused["problems"][0]["what"]


def test_a_worker_with_a_judge_accepts_it(open_client, spec):
    client = open_client(judge_url="http://127.0.0.1:9/v1")
    assert put(client, spec(grader=HALF_JUDGED, **guarded_by(JUDGE)))[1].status_code == 201


def test_a_run_that_starts_from_itself_is_refused(client, spec):
    run_id = uuid4()
    assert places(put(client, spec(starts_from=run_id), run_id)[1]) == {"starts_from"}


def test_a_probe_needs_a_grader_and_takes_no_limits(client, spec):
    ungraded = spec().model_dump(mode="json") | {"recipe": {"kind": "probe"}, "grader": None}
    limited = spec(recipe=ProbeRecipe()).model_dump(mode="json") | {"limits": {"minutes": 3.0}}
    for wrong, said in ((ungraded, "a probe needs a grader"), (limited, "pauses at no limit")):
        answer = client.put(f"/runs/{uuid4()}", json=wrong)
        assert answer.status_code == 422
        assert said in answer.text


def test_a_probe_is_never_paused_and_nothing_starts_from_it(client, spec):
    probe, accepted = put(client, spec(recipe=ProbeRecipe()))
    assert accepted.status_code == 201
    paused = client.post(f"/runs/{probe}/pause")
    assert paused.status_code == 409
    assert "cancel it, and probe again" in paused.json()["detail"]
    assert places(put(client, spec(starts_from=probe))[1]) == {"starts_from"}


def test_there_is_nothing_to_look_at_before_a_probe(client, spec):
    probe = {"spec": spec(recipe=ProbeRecipe()).model_dump(mode="json")}
    assert places(client.put(f"/preflights/{uuid4()}", json=probe)) == {"spec.recipe.kind"}
    assert places(client.post("/first-batches", json=probe)) == {"spec.recipe.kind"}


def test_runs_that_would_wait_for_each_other_are_refused(client, spec):
    first, second = uuid4(), uuid4()
    assert put(client, spec(starts_from=second), first)[1].status_code == 201
    assert places(put(client, spec(starts_from=first), second)[1]) == {"starts_from"}


def test_a_worker_without_the_hub_says_so(open_client, spec):
    client = open_client(allow_hub=False)
    assert places(put(client, spec(model=HubModel(id="some/model")))[1]) == {"model"}


def test_too_little_disk_keeps_a_run_queued_and_says_why(client, spec):
    run_id, answer = put(client, spec())
    assert answer.json()["state"] == "queued"
    assert answer.json()["queue_position"] == 1
    assert "disk space" in client.get(f"/runs/{run_id}").json()["detail"]


def test_a_queued_run_is_cancelled_at_once_and_only_once(client, spec):
    run_id, _ = put(client, spec())
    answer = client.post(f"/runs/{run_id}/cancel")
    assert answer.json()["state"] == "cancelled"
    again = client.post(f"/runs/{run_id}/cancel")
    assert again.status_code == 409
    assert "already over" in again.json()["detail"]
    kinds = [event["what"]["kind"] for event in client.get(f"/runs/{run_id}/events").json()["events"]]
    assert kinds == ["end"]


def test_a_waiting_run_fails_with_the_reason_when_its_predecessor_is_cancelled(client, spec):
    first, _ = put(client, spec("warm start"))
    second, answer = put(client, spec("then more", starts_from=first))
    assert answer.json()["state"] == "waiting"
    assert "warm start" in answer.json()["detail"]
    assert answer.json()["queue_position"] is None
    client.post(f"/runs/{first}/cancel")

    def failed():
        status = client.get(f"/runs/{second}").json()
        return status if status["state"] == "failed" else None

    assert "“warm start”, was cancelled" in eventually(failed)["detail"]


def test_a_waiting_run_is_cancelled_at_once(client, spec):
    first, _ = put(client, spec())
    second, _ = put(client, spec(starts_from=first))
    assert client.post(f"/runs/{second}/cancel").json()["state"] == "cancelled"


def test_a_run_may_arrive_before_the_one_that_it_starts_from(worker, spec):
    first = uuid4()
    second = worker.put(spec("second", starts_from=first))
    assert "has not arrived" in worker.status(second).detail
    worker.put(spec("first"), first)
    assert worker.until_over(second).state is RunState.SUCCEEDED
    assert worker.page(second).events[0].at > worker.page(first).events[-1].at
    inputs = (worker.data_dir / "runs" / str(second) / "inputs.json").read_text()
    assert str(worker.data_dir / "runs" / str(first) / "model") in inputs


def test_a_waiting_run_fails_with_the_reason_when_its_predecessor_fails(worker, spec):
    first = worker.put(spec("fail"))
    second = worker.put(spec("second", starts_from=first))
    status = worker.until_over(second)
    assert status.state is RunState.FAILED
    assert "It diverged." in status.detail


def test_the_model_that_a_stopped_run_kept_is_started_from_by_a_run_launched_after_it(worker, spec):
    stopped = worker.put(spec("stopped 3"))
    waited = worker.put(spec("second stage", starts_from=stopped))
    assert worker.until_over(waited).detail.endswith("failed: It diverged. The model of step 2 is kept.")
    later = worker.put(spec("steps 2", starts_from=stopped))
    assert worker.until_over(later).state is RunState.SUCCEEDED
    inputs = (worker.data_dir / "runs" / str(later) / "inputs.json").read_text()
    assert str(worker.data_dir / "runs" / str(stopped) / "model") in inputs


def test_a_run_launched_after_one_that_left_no_model_says_why_there_is_none(worker, spec):
    failed = worker.put(spec("fail 2"))
    worker.until_over(failed)
    later = worker.put(spec("steps 2", starts_from=failed))
    assert worker.until_over(later).detail.endswith("failed: It diverged.")


def test_waiting_runs_do_not_hold_up_those_behind_them(worker, spec):
    blocker = worker.put(spec("hang"))
    worker.put(spec("waiting", starts_from=blocker))
    behind = worker.put(spec("behind"))
    worker.until_training(blocker)
    assert worker.status(behind).queue_position == 1


def test_a_running_run_is_cancelled_by_asking(worker, spec):
    run_id = worker.put(spec("hang"))
    worker.until_training(run_id)
    assert worker.http.post(f"/runs/{run_id}/cancel").json()["state"] in ("cancelling", "cancelled")
    assert worker.until_over(run_id).state is RunState.CANCELLED
    assert worker.http.post(f"/runs/{run_id}/cancel").status_code == 409
    assert worker.page(run_id).events[-1].what.log_tail is None


def test_an_engine_that_ignores_the_request_is_killed_after_the_grace(start_worker, spec):
    worker = start_worker(cancel_grace_seconds=3)
    run_id = worker.put(spec("deaf"))
    worker.until_training(run_id)
    for _ in range(2):
        assert worker.http.post(f"/runs/{run_id}/cancel").json()["state"] == "cancelling"
    assert worker.until_over(run_id).state is RunState.CANCELLED
    assert worker.engine(run_id) is None


def test_only_a_run_that_is_over_and_that_nobody_needs_can_be_deleted(worker, spec):
    first = worker.put(spec("steps 1"))
    worker.until_over(first)
    blocker = worker.put(spec("hang"))
    second = worker.put(spec("needs it", starts_from=first))
    refused = worker.http.delete(f"/runs/{first}")
    assert refused.status_code == 409
    assert "needs it" in refused.json()["detail"]
    assert worker.http.delete(f"/runs/{second}").status_code == 409
    worker.http.post(f"/runs/{second}/cancel").raise_for_status()
    worker.http.post(f"/runs/{blocker}/cancel").raise_for_status()
    assert worker.http.delete(f"/runs/{first}").status_code == 204
    assert worker.http.get(f"/runs/{first}").status_code == 404
    assert not (worker.data_dir / "runs" / str(first)).exists()
    assert worker.http.delete(f"/runs/{first}").status_code == 404


def test_events_come_in_pages_after_a_cursor(worker, spec):
    run_id = worker.put(spec("steps 6"))
    worker.until_over(run_id)
    everything = [event.seq for event in worker.page(run_id).events]
    cursor, paged = 0, []
    while page := worker.page(run_id, after=cursor, limit=4).events:
        assert len(page) <= 4
        paged += [event.seq for event in page]
        cursor = page[-1].seq
    assert paged == everything == list(range(1, len(everything) + 1))
    assert worker.page(run_id, after=10**9).events == []


def test_the_model_comes_as_a_zip_that_opens(worker, spec):
    run_id = worker.put(spec("steps 1"))
    worker.until_over(run_id)
    names = [artifact["name"] for artifact in worker.http.get(f"/runs/{run_id}/artifacts").json()]
    assert names == ["model.zip", "config.json", "model.safetensors", "spec.json", "events.jsonl", "log.txt"]
    answer = worker.http.get(f"/runs/{run_id}/artifacts/model.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.read("model/model.safetensors") == b"weights" * 1000
    for name in names:
        assert worker.http.get(f"/runs/{run_id}/artifacts/{name}").status_code == 200


@pytest.mark.parametrize("folder", ["adapter", "bundle", "tensorboard"])
def test_what_lies_beside_the_model_comes_as_a_zip_too(client, spec, tmp_path, folder):
    run_id, _ = put(client, spec())
    made = tmp_path / "data" / "runs" / str(run_id) / folder
    (made / "deeper").mkdir(parents=True)
    (made / "deeper" / "file").write_bytes(b"content")
    assert client.get(f"/runs/{run_id}/artifacts").json()[0]["name"] == f"{folder}.zip"
    answer = client.get(f"/runs/{run_id}/artifacts/{folder}.zip")
    assert zipfile.ZipFile(io.BytesIO(answer.content)).read(f"{folder}/deeper/file") == b"content"


@pytest.mark.parametrize(
    "name", ["..%2finputs.json", "inputs.json", "lock", "%2e%2e", "model%2fconfig.json", "x"]
)
def test_only_a_listed_artifact_can_be_had(client, spec, name):
    run_id, _ = put(client, spec())
    assert client.get(f"/runs/{run_id}/artifacts/{name}").status_code == 404


def test_a_run_without_a_model_offers_none(client, spec):
    run_id, _ = put(client, spec())
    assert [each["name"] for each in client.get(f"/runs/{run_id}/artifacts").json()] == ["spec.json"]
    assert client.get(f"/runs/{run_id}/artifacts/model.zip").status_code == 404


def test_the_log_is_kept_within_its_limit(start_worker, spec):
    worker = start_worker(max_log_bytes=20_000)
    run_id = worker.put(spec("noisy 30"))
    worker.until_over(run_id)
    assert (worker.data_dir / "runs" / str(run_id) / "log.txt").stat().st_size < 60_000
    log = worker.http.get(f"/runs/{run_id}/log", params={"tail": 2}).text
    assert log == "step 30\n" + "x" * 5000


def test_a_log_shows_no_control_characters(client, spec, tmp_path):
    run_id, _ = put(client, spec())
    (tmp_path / "data" / "runs" / str(run_id) / "log.txt").write_bytes(b"a\x1b[31mred\x00 \xff\r 50%\r100%\n")
    assert client.get(f"/runs/{run_id}/log").text == "a[31mred �\n 50%\n100%"


def test_an_engine_gets_no_token_and_no_secret_of_the_worker(worker, spec):
    run_id = worker.put(spec("steps 1"))
    worker.until_over(run_id)
    environment = next(e.what.line for e in worker.page(run_id).events if e.what.kind == "log").split()[1:]
    assert {"PATH", "OMP_NUM_THREADS", "HF_HUB_DISABLE_TELEMETRY"} <= set(environment)
    assert "SECRET_OF_THE_WORKER" not in environment
    assert [name for name in environment if name.startswith("TUNING_FORK")] == []


def test_the_starter_is_trained_at_the_first_start_and_only_then(start_worker, spec):
    worker = start_worker(prepare_starter=True)
    first = worker.http.get("/health").json()["starter"]
    assert first["spec"]["recipe"] == {"kind": "starter"}
    run_id = worker.put(spec("steps 1", model=StarterModel()))
    assert worker.until_over(run_id).state is RunState.SUCCEEDED
    worker.restart()
    assert worker.http.get("/health").json()["starter"]["id"] == first["id"]
    assert len(worker.http.get("/runs").json()) == 2
    assert worker.http.delete(f"/runs/{first['id']}").status_code == 409
    assert worker.http.get("/models").json()[0]["ready"] is True


def test_a_cancelled_starter_fails_the_runs_that_wait_for_it_and_is_tried_again(client, spec):
    run_id, answer = put(client, spec(model=StarterModel()))
    assert answer.json()["state"] == "waiting"
    starter = client.get("/health").json()["starter"]["id"]
    client.post(f"/runs/{starter}/cancel").raise_for_status()
    failed = eventually(lambda: client.get(f"/runs/{run_id}").json()["state"] == "failed")
    assert failed
    put(client, spec(model=StarterModel()))
    again = client.get("/health").json()["starter"]
    assert again["id"] != starter
    assert again["state"] == "queued"
