"""Graders over REST: stored by name, changed by versions, and tried on the real worker."""

import json
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.datasets import generated
from app.engine.reporting import readable
from app.models import NamedGrader, Report, Run
from app.protocol import (
    DatasetRef,
    Evaluation,
    EvaluationEvent,
    GeneratedDataset,
    Interval,
    RunSpec,
    RunState,
    SampledAnswer,
    Score,
    SftRecipe,
    Share,
    StarterModel,
    StringCheck,
    UploadedDataset,
)
from tests.weather import Weather, away, slow
from tests.web.conftest import owner, parts_of, program
from tests.web.graders_scene import EXACT, GAMEABLE, ROWS, RULING
from tests.worker_process import TOKEN, WorkerProcess

GRADERS = "/api/v1/graders"
RULINGS = GeneratedDataset(name="rulings")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    process = WorkerProcess(tmp_path_factory.mktemp("worker"))
    yield process
    process.kill()


@pytest.fixture
def weather(worker: WorkerProcess) -> Weather:
    return Weather(worker)


@pytest.fixture
def app(make_app: Callable[..., FastAPI], weather: Weather) -> FastAPI:
    return make_app(weather, worker_token=TOKEN)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return program(app)


def stored(client: TestClient, grader: dict, note: str = "", **headers: str) -> dict:
    answer = client.post(GRADERS, json={"grader": grader, "note": note}, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{GRADERS}/{answer.json()['id']}"
    return answer.json()


def places(answer) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [problem["where"] for problem in answer.json()["problems"]]


def test_a_grader_is_stored_listed_and_shown(client):
    first = stored(client, EXACT, "labels only")
    stored(client, RULING)
    assert (first["name"], first["version"], first["note"]) == ("exact", 1, "labels only")
    assert first["grader"]["operation"] == "eq"
    listed = client.get(GRADERS).json()["items"]
    assert [each["name"] for each in listed] == ["ruling", "exact"]
    shown = client.get(f"{GRADERS}/{first['id']}").json()
    assert [each["version"] for each in shown["versions"]] == [1]
    assert shown["used_by"] == []
    assert shown["report"] == {
        "attacks": None,
        "attacked_at": None,
        "attacked_on": "",
        "agreement": None,
        "compared_at": None,
    }


def test_a_change_is_a_new_version_and_the_old_one_stays(client):
    first = stored(client, RULING)
    changed = {**RULING, "match": "first"}
    second = client.post(f"{GRADERS}/{first['id']}/versions", json={"grader": changed, "note": "first match"})
    assert second.status_code == 201
    assert second.json()["version"] == 2
    # Also when an older version is named.
    third = client.post(f"{GRADERS}/{first['id']}/versions", json={"grader": RULING})
    assert third.json()["version"] == 3
    shown = client.get(f"{GRADERS}/{first['id']}").json()
    assert (shown["version"], shown["grader"]["match"]) == (1, "last")
    assert [(each["version"], each["grader"]["match"]) for each in shown["versions"]] == [
        (3, "last"),
        (2, "first"),
        (1, "last"),
    ]
    assert [each["version"] for each in client.get(GRADERS).json()["items"]] == [3]


def test_a_version_that_changes_nothing_or_renames_is_refused(client):
    first = stored(client, RULING)
    same = client.post(f"{GRADERS}/{first['id']}/versions", json={"grader": RULING})
    assert same.status_code == 409
    renamed = client.post(f"{GRADERS}/{first['id']}/versions", json={"grader": {**RULING, "name": "other"}})
    assert renamed.status_code == 422
    assert places(renamed) == ["grader.name"]
    assert client.post(f"{GRADERS}/{uuid4()}/versions", json={"grader": RULING}).status_code == 404


def test_a_name_is_taken_once(client):
    stored(client, EXACT)
    again = client.post(GRADERS, json={"grader": {**EXACT, "operation": "ne"}})
    assert again.status_code == 409
    assert "add a version to it" in again.json()["detail"]


def test_the_same_key_answers_with_the_same_grader(client):
    key = {"Idempotency-Key": "once"}
    first = stored(client, EXACT, **key)
    again = client.post(GRADERS, json={"grader": EXACT}, headers=key)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    other = client.post(GRADERS, json={"grader": RULING}, headers=key)
    assert other.status_code == 409
    for bad in ("", "x" * 129, "a b"):
        assert (
            client.post(GRADERS, json={"grader": EXACT}, headers={"Idempotency-Key": bad}).status_code == 422
        )


BAD_GRADERS = [
    ({**RULING, "pattern": "("}, "grader.pattern"),
    ({**RULING, "pattern": "(?=x)"}, "grader.pattern"),
    ({**RULING, "reference": "{{ sample.tools }}"}, "grader.reference"),
    ({"type": "json_schema", "name": "x", "schema": {"type": "nothing"}}, "grader.schema"),
    ({**RULING, "pattern": 7}, "grader.pattern"),
    ({**RULING, "extra": 7}, "grader.extra"),
    ({"type": "regex", "name": "x"}, "grader.pattern"),
    ({"type": "magic", "name": "x"}, "grader"),
    ({**RULING, "name": "two\nlines"}, "grader.name"),
    ({**RULING, "name": "dir\u202eection"}, "grader.name"),
    ({**RULING, "name": "x" * 81}, "grader.name"),
    ([], "grader"),
    ("regex", "grader"),
]


def test_every_bad_grader_is_refused_by_its_field(client):
    for grader, where in BAD_GRADERS:
        answer = client.post(GRADERS, json={"grader": grader})
        assert answer.status_code == 422, grader
        assert where in places(answer), grader
    assert client.get(GRADERS).json()["items"] == []
    tried = client.post(f"{GRADERS}/try", json={"grader": {**RULING, "pattern": "("}})
    assert places(tried) == ["grader.pattern"]


def test_nothing_is_stored_while_the_worker_that_checks_is_away(client, weather):
    weather.fault = away
    answer = client.post(GRADERS, json={"grader": EXACT})
    assert (answer.status_code, answer.json()["error"]) == (503, "WorkerAway")
    weather.fault = None
    assert client.get(GRADERS).json()["items"] == []


def test_openais_list_of_parts_is_stored_as_ours(client):
    listed = {
        "type": "multi",
        "name": "both",
        "graders": [{**EXACT, "input": "{{ sample.output_text }}"}, {**EXACT, "name": "other"}],
        "calculate_output": "0.5 * exact + 0.5 * other",
    }
    assert list(stored(client, listed)["grader"]["graders"]) == ["exact", "other"]


def test_a_note_can_be_changed_and_nothing_else(client):
    first = stored(client, EXACT)
    path = f"{GRADERS}/{first['id']}"
    assert client.patch(path, json={"note": "for short labels"}).json()["note"] == "for short labels"
    assert client.patch(path, json={"grader": RULING}).status_code == 422
    assert client.get(path).json()["grader"] == first["grader"]


def test_a_gameable_grader_is_caught_and_the_finding_kept(client):
    bad, good = stored(client, GAMEABLE), stored(client, EXACT)
    found = client.post(f"{GRADERS}/{bad['id']}/try", json={"rows": ROWS}).json()
    assert found["attacks"]["verdict"] == "gameable"
    assert "every_label" in {each["name"] for each in found["attacks"]["attacks"] if each["pays"]}
    assert (
        client.post(f"{GRADERS}/{good['id']}/try", json={"rows": ROWS}).json()["attacks"]["verdict"]
        == "holds"
    )
    kept = client.get(f"{GRADERS}/{bad['id']}").json()["report"]
    assert kept["attacks"] == found["attacks"]
    assert kept["attacked_at"]


def test_agreement_is_kept_beside_the_attacks(client):
    grader = stored(client, EXACT)
    path = f"{GRADERS}/{grader['id']}"
    client.post(f"{path}/try", json={"rows": ROWS})
    answers = [
        {"output_text": text, "item": {"answer": "void"}, "expert": score}
        for text, score in (("void", 5), ("valid", 1), ("void", 4), ("void", 5), ("none", 1))
    ]
    found = client.post(f"{path}/try", json={"answers": answers}).json()["agreement"]
    assert (found["n"], found["reading"], found["kappa"]) == (5, "go", 1.0)
    kept = client.get(path).json()["report"]
    assert kept["agreement"] == found
    assert kept["attacks"]["verdict"] == "holds"
    assert kept["compared_at"] >= kept["attacked_at"]


def test_a_grader_is_attacked_on_a_datasets_first_rows(client):
    dataset = {"kind": "generated", "name": "rulings"}
    answer = client.post(f"{GRADERS}/try", json={"grader": RULING, "dataset": dataset})
    attacks = answer.json()["attacks"]
    assert attacks["rows"] == 5
    assert attacks["control"]["n"] == 5
    missing = {"kind": "uploaded", "sha256": "0" * 64}
    assert client.post(f"{GRADERS}/try", json={"grader": RULING, "dataset": missing}).status_code == 404


def uploaded(client: TestClient, name: str, rows: list[dict]) -> str:
    content = "\n".join(json.dumps(row) for row in rows)
    kind = {"Content-Type": "application/jsonl"}
    brought = client.post("/api/v1/datasets", params={"name": name}, content=content, headers=kind)
    assert brought.is_success, brought.text
    return brought.json()["sha256"]


def test_a_grader_is_attacked_on_whole_rows(client):
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{n}?"},
                {"role": "assistant", "content": "x" * 3000 + " END"},
            ]
        }
        for n in range(10)
    ]
    sha256 = uploaded(client, "long", rows)
    grader = {"type": "regex", "name": "whole", "pattern": "END$", "match": "any"}
    dataset = {"kind": "uploaded", "sha256": sha256}
    tried = client.post(f"{GRADERS}/try", json={"grader": grader, "dataset": dataset})
    assert tried.status_code == 200, tried.text
    control = tried.json()["attacks"]["control"]
    assert (control["n"], control["mean"]) == (5, 1.0)


def evaluated_run(app, samples: Sequence[SampledAnswer] = (), dataset: DatasetRef = RULINGS) -> str:
    share = Share(right=1, n=2, interval=Interval(low=0, high=1))
    samples = list(samples) or [
        SampledAnswer(item=n, prompt="Case", output_text=text, reference="void", outcome=Score(value=0))
        for n, text in enumerate(("void", "valid"))
    ]
    evaluation = Evaluation(
        when="after", sampled=share, greedy=share, sampled_outcomes="10", greedy_outcomes="10",
        abstained=0, errors=0, mean_tokens=1, clipped=0, samples=samples, seconds=1,
    )  # fmt: skip
    spec = RunSpec(
        name="evaluated",
        model=StarterModel(),
        dataset=dataset,
        grader=StringCheck(name="exact", reference="{{ item.answer }}"),
        recipe=SftRecipe(learning_rate=1e-3, batch_size=4, micro_batch_size=4, epochs=1, max_length=64),
    )
    run = Run(id=uuid4(), spec=spec, state=RunState.SUCCEEDED, last_seq=1)
    what = EvaluationEvent(evaluation=evaluation)
    with parts_of(app).database.writing() as session, session.begin():
        session.add(run)
        session.flush()
        session.add(Report(run_id=run.id, seq=1, at=0.0, kind="evaluation", what=what))
    return str(run.id)


def test_a_runs_answers_are_scored_with_what_its_own_grader_compared(app, client):
    run = evaluated_run(app)
    found = client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": run}).json()
    assert [outcome["value"] for outcome in found["outcomes"]] == [1, 0]
    assert found["remark"].endswith("than its reference, as it was not found: 2.")
    assert client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": str(uuid4())}).status_code == 404


def answer(text: str, item: int = 0, **changes: object) -> SampledAnswer:
    given = {"item": item, "prompt": "Case", "output_text": text, "outcome": Score(value=0)}
    return SampledAnswer.model_validate(given | changes)


def test_a_runs_answers_are_scored_with_the_whole_row_where_it_is_the_one_that_was_asked(app, client):
    rows = generated.generate("rulings").held_out
    right = [answer(rows[n].item["answer"], n, prompt=rows[n].prompt[0].content) for n in (0, 7)]
    other = answer(rows[3].item["answer"], 3, prompt="another question")
    run = evaluated_run(app, [*right, other])
    found = client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": run}).json()
    assert [outcome["kind"] for outcome in found["outcomes"]] == ["score", "score", "error"]
    assert [outcome.get("value") for outcome in found["outcomes"][:2]] == [1, 1]
    assert found["remark"] == "Graded with no more of their row than its reference, as it was not found: 1."


def test_rows_of_an_uploaded_dataset_are_found_by_their_places_and_are_whole(app, client):
    question = "y" * 5000
    rows = [
        {"messages": [{"role": "user", "content": f"{n} {question}"}], "answer": f"{n}" + "x" * 3000}
        for n in range(20)
    ]
    sha256 = uploaded(client, "long questions", rows)
    places = parts_of(app).worker.held_out(sha256, 200).rows
    samples = [
        answer(rows[row]["answer"], item, prompt=readable(f"{row} {question}", 4000))
        for item, row in enumerate(places)
    ]
    run = evaluated_run(app, samples, UploadedDataset(sha256=sha256))
    found = client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": run}).json()
    assert [outcome.get("value") for outcome in found["outcomes"]] == [1] * len(places)
    assert len(places) > 1
    assert found["remark"] == ""


def test_answers_that_were_stored_cut_are_left_out_and_said_so(app, client):
    cut = readable("7" * 4017, 4000)
    with_cut_reference = answer("void", reference=cut)
    run = evaluated_run(app, [answer(cut), with_cut_reference, answer("void", reference="void")])
    found = client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": run}).json()
    assert [outcome["value"] for outcome in found["outcomes"]] == [1]
    assert found["remark"].startswith(
        "Left out because they, or what they are compared with, were stored cut: 2."
    )
    page = owner(app).post(
        f"/graders/{stored(client, EXACT)['id']}/try", data={"action": "score", "run": run}
    )
    assert found["remark"] in page.text
    nothing = client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": evaluated_run(app, [answer(cut)])})
    assert nothing.status_code == 422
    assert "stored cut" in nothing.json()["detail"]


def test_a_short_answer_that_speaks_of_characters_is_graded_as_any_other(app, client):
    run = evaluated_run(app, [answer("void [17 characters more]", reference="void")])
    assert len(client.post(f"{GRADERS}/try", json={"grader": EXACT, "run": run}).json()["outcomes"]) == 1


def test_the_runs_of_a_version_are_named_and_its_deletion_leaves_them(app, client):
    run = evaluated_run(app)
    used, unused = stored(client, EXACT), stored(client, {**EXACT, "name": "exact too"})
    assert client.get(f"{GRADERS}/{used['id']}").json()["used_by"] == [run]
    assert client.get(f"{GRADERS}/{unused['id']}").json()["used_by"] == []
    client.post(f"{GRADERS}/{used['id']}/versions", json={"grader": {**EXACT, "operation": "like"}})
    assert client.delete(f"{GRADERS}/{used['id']}").status_code == 204
    assert [each["name"] for each in client.get(GRADERS).json()["items"]] == ["exact too"]
    assert client.delete(f"{GRADERS}/{used['id']}").status_code == 404
    assert client.get(f"/api/v1/runs/{run}").status_code == 200


def test_too_much_at_once_is_refused_before_the_worker_is_asked(make_app, weather):
    client = program(make_app(weather, worker_token=TOKEN, max_tried_answers=2, max_attacked_rows=3))
    answers = [{"output_text": "x"}] * 3
    refused = client.post(f"{GRADERS}/try", json={"grader": EXACT, "answers": answers, "rows": ROWS})
    assert refused.status_code == 422
    assert places(refused) == ["answers", "rows"]
    assert weather.asked == []


def test_a_worker_that_takes_too_long_is_told_as_such(client, weather):
    weather.fault = slow
    answer = client.post(f"{GRADERS}/try", json={"grader": EXACT, "rows": ROWS})
    assert answer.status_code == 503
    assert "in time" in answer.json()["detail"]


def test_a_report_of_another_form_is_no_failure(app, client):
    grader = stored(client, EXACT)
    with parts_of(app).database.writing() as session, session.begin():
        row = session.query(NamedGrader).one()
        row.report = {"attacks": {"of": "another version"}}
    assert client.get(f"{GRADERS}/{grader['id']}").json()["report"]["attacks"] is None
