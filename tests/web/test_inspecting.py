"""Linking a dataset from pages and API: what it says waits beside what was told, and goes with the link."""

import json
import random
from html import unescape
from uuid import UUID, uuid4

import httpx
import pytest

from app.models import Dataset
from app.protocol import DatasetSummary, UploadedDataset
from app.worker.dataset_store import generated_profile, generated_summary
from tests.datasets.reading_here import profiled
from tests.web.conftest import owner, parts_of, program

WORDS = ("court", "tenant", "notice", "deposit", "letter", "claim", "appeal", "clause", "party", "judge")


def rows(count: int) -> bytes:
    chance = random.Random(1)
    asked = (f"Case {n}: " + " ".join(chance.choice(WORDS) for _ in range(14)) for n in range(count))
    return b"\n".join(json.dumps({"prompt": each, "completion": "It depends."}).encode() for each in asked)


class Worker:
    """What a worker answers about datasets: a profile of rows that it looked at."""

    def __init__(self) -> None:
        self.profiled: DatasetSummary | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/datasets/rulings":
            profile = generated_profile("rulings", None)
            told = generated_summary("rulings").model_copy(update={"profile": profile})
        elif request.url.path.endswith("/profile") and self.profiled:
            told = self.profiled
        else:
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Response(
            200, content=told.model_dump_json(), headers={"content-type": "application/json"}
        )


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def app(make_app, database_url, worker):
    return make_app(httpx.MockTransport(worker), database_url=database_url)


@pytest.fixture
def api(app):
    return program(app)


@pytest.fixture
def begun(api):
    made = api.post("/api/v1/assessments", json={"name": "Rulings", "answers": {"D1": "1000_or_more"}}).json()
    return f"/api/v1/assessments/{made['id']}"


@pytest.fixture
def page(begun):
    return begun.removeprefix("/api/v1")


@pytest.fixture
def keep(app, tmp_path):
    """A brought dataset of so many demonstrations."""

    def kept(count: int, **changes: object) -> str:
        summary = profiled(tmp_path, rows(count)).model_copy(update=changes)
        ref = UploadedDataset(sha256=f"{random.Random(count).getrandbits(256):064x}")
        dataset = Dataset(id=uuid4(), name=f"{count} cases", sha256=ref.sha256, summary=summary)
        with parts_of(app).database.writing() as session, session.begin():
            session.add(dataset)
        return str(dataset.id)

    return kept


def waiting(api, begun):
    return {each["question"]: each for each in api.get(f"{begun}/proposals?waiting=true").json()}


def test_a_linked_dataset_proposes_with_its_figures_and_answers_nothing(app, api, begun, page, keep):
    dataset = keep(60)
    made = api.put(f"{begun}/dataset", json={"dataset": dataset})
    assert made.status_code == 200, made.text
    told = {each["question"]: each for each in made.json()}
    assert told["D1"]["answer"] == {"choice": "50_to_99", "basis": "inspected"}
    assert told["D1"]["because"] == "60 of 60 rows end with an answer."
    assert told["D1"]["contradicts"] is True
    assert told["shared_rows"]["answer"] == 0
    assert told["D6"]["contradicts"] is False
    view = api.get(begun).json()
    assert view["dataset"] == dataset
    assert view["answers"] == {"D1": "1000_or_more"}
    assert view["measurements"] == {}


def test_the_generated_datasets_can_be_linked_by_name(api, begun):
    told = api.put(f"{begun}/dataset", json={"dataset": "generated:rulings"}).json()
    assert api.get(begun).json()["dataset"] == "generated:rulings"
    answers = {each["question"]: each["answer"] for each in told}
    assert answers["D1"]["choice"] == "100_to_299"
    assert answers["D6"]["choice"] == "500_or_more"
    assert answers["D3"]["choice"] == "exact_match"
    assert answers["O3"]["choice"] == "no"
    assert answers["shared_rows"] == 0
    assert 0.1 < answers["lucky_hit_rate"] < 0.25


def test_pages_of_both_sides_link_and_lead_to_the_proposals(app, api, begun, page, keep):
    dataset = keep(60)
    browser = owner(app)
    assert "60 cases" in browser.get(page).text
    linked = browser.post(f"{page}/dataset", data={"dataset": dataset})
    assert (linked.status_code, linked.headers["location"]) == (303, f"{page}/proposals?inspected=true")
    shown = unescape(browser.get(linked.headers["location"]).text)
    assert "The dataset “60 cases” was inspected: " in shown
    assert "and 1 contradicts what you told." in shown
    assert f'href="/datasets/{dataset}"' in browser.get(page).text
    of_dataset = browser.get(f"/datasets/{dataset}").text
    assert f'<a href="{page}">Rulings</a>' in of_dataset
    other = api.post("/api/v1/assessments", json={"name": "Other"}).json()["id"]
    linked = browser.post(f"/datasets/{dataset}/inspect", data={"assessment": other})
    assert linked.headers["location"] == f"/assessments/{other}/proposals?inspected=true"
    assert api.get(f"/api/v1/assessments/{other}").json()["dataset"] == dataset


def test_check_and_result_tell_of_what_contradicts(app, api, begun, page, keep):
    browser = owner(app)
    assert "found another" not in browser.get(f"{page}/check").text
    api.put(f"{begun}/dataset", json={"dataset": keep(60)})
    browser.post(f"{page}/result")
    for each in ("check", "result"):
        assert "One answer was told one way and found another." in browser.get(f"{page}/{each}").text
    assert "one contradicts what you told" in browser.get(page).text


def test_what_was_accepted_is_told_with_its_rung_everywhere(app, api, begun, page, keep):
    api.put(f"{begun}/dataset", json={"dataset": keep(60)})
    for each in waiting(api, begun).values():
        assert api.post(f"{begun}/proposals/{each['id']}/accept?replace=true").status_code == 200
    browser = owner(app)
    browser.post(f"{page}/result")
    milestone = api.get(f"{begun}/recommendation").json()
    assert milestone["stands_on"] == {"inspected": 2}
    shown = unescape(browser.get(f"{page}/result").text)
    assert "Inspected 2." in shown
    assert "rows that stand in both training and evaluation data 0 (inspected)" in shown
    assert "Nothing has been measured yet" not in shown
    assert "inspected</span>" in browser.get(f"{page}/check").text
    record = browser.get(f"{page}/record.md").text
    assert "Answers by how they are known: inspected 2." in record
    assert "Inspected: Demonstrations, Prompts." in record


def test_a_note_does_not_take_an_answer_off_its_rung(app, api, begun, page, keep):
    api.put(f"{begun}/dataset", json={"dataset": keep(60)})
    found = waiting(api, begun)["D6"]
    api.post(f"{begun}/proposals/{found['id']}/accept")
    browser = owner(app)
    browser.post(f"{page}/q/D6", data={"choice": "50_to_199", "note": "Mine"})
    kept = api.get(begun).json()["answers"]["D6"]
    assert kept == {"choice": "50_to_199", "note": "Mine", "basis": "inspected"}
    browser.post(f"{page}/q/D6", data={"choice": "200_to_499", "note": "Mine"})
    assert api.get(begun).json()["answers"]["D6"] == {"choice": "200_to_499", "note": "Mine"}


def test_unlinking_withdraws_what_waits_and_keeps_what_was_accepted(app, api, begun, page, keep):
    api.put(f"{begun}/dataset", json={"dataset": keep(60)})
    api.post(f"{begun}/proposals/{waiting(api, begun)['D6']['id']}/accept")
    browser = owner(app)
    assert browser.post(f"{page}/dataset/unlink").status_code == 303
    assert waiting(api, begun) == {}
    view = api.get(begun).json()
    assert view["dataset"] is None
    assert view["answers"]["D6"]["basis"] == "inspected"
    assert api.delete(f"{begun}/dataset").status_code == 204
    history = unescape(browser.get(f"{page}/history").text)
    assert "the dataset “60 cases”" in history


def test_another_dataset_takes_the_place_of_the_first(api, begun, keep):
    first, second = keep(60), keep(120)
    api.put(f"{begun}/dataset", json={"dataset": first})
    api.put(f"{begun}/dataset", json={"dataset": second})
    assert waiting(api, begun)["D1"]["answer"]["choice"] == "100_to_299"
    assert {each["source"] for each in waiting(api, begun).values()} == {f"dataset:{second}"}


def test_looking_again_brings_back_what_was_left_and_a_new_profile_does_not(
    api, begun, keep, worker, tmp_path
):
    dataset = keep(60)
    api.put(f"{begun}/dataset", json={"dataset": dataset})
    api.post(f"{begun}/proposals/{waiting(api, begun)['D1']['id']}/dismiss")
    worker.profiled = profiled(tmp_path, rows(60))
    assert api.post(f"/api/v1/datasets/{dataset}/profile", json={}).status_code == 200
    assert "D1" not in waiting(api, begun)
    api.put(f"{begun}/dataset", json={"dataset": dataset})
    assert "D1" in waiting(api, begun)


def test_a_new_profile_replaces_what_waits(api, begun, keep, worker, tmp_path):
    dataset = keep(60)
    api.put(f"{begun}/dataset", json={"dataset": dataset})
    worker.profiled = profiled(tmp_path, rows(120))
    api.post(f"/api/v1/datasets/{dataset}/profile", json={})
    assert waiting(api, begun)["D1"]["because"] == "120 of 120 rows end with an answer."


def test_a_dataset_of_an_earlier_version_is_looked_at_anew(api, begun, keep, worker, tmp_path):
    dataset = keep(60, profile=None)
    worker.profiled = profiled(tmp_path, rows(60))
    api.put(f"{begun}/dataset", json={"dataset": dataset})
    assert "D1" in waiting(api, begun)


def test_a_dataset_that_was_deleted_is_told_and_can_be_unlinked(app, api, begun, page, keep):
    dataset = keep(60)
    api.put(f"{begun}/dataset", json={"dataset": dataset})
    assert api.delete(f"/api/v1/datasets/{dataset}").status_code == 204
    browser = owner(app)
    assert "that was deleted" in browser.get(page).text
    assert api.put(f"{begun}/dataset", json={"dataset": dataset}).status_code == 404
    assert browser.get(f"{page}/proposals").status_code == 200
    assert browser.post(f"{page}/dataset/unlink").status_code == 303


@pytest.mark.parametrize("given", ["", "rulings", "generated:../rulings", "generated:", "x" * 101])
def test_what_is_no_dataset_is_refused_in_a_sentence(app, api, begun, page, given):
    answer = api.put(f"{begun}/dataset", json={"dataset": given})
    assert answer.status_code == 422
    assert owner(app).post(f"{page}/dataset", data={"dataset": given}).status_code == 422


def test_what_is_not_there_is_not_found(api, begun):
    assert api.put(f"{begun}/dataset", json={"dataset": str(uuid4())}).status_code == 404
    nowhere = f"/api/v1/assessments/{UUID(int=0)}/dataset"
    assert api.put(nowhere, json={"dataset": "generated:rulings"}).status_code == 404


def test_a_worker_that_is_away_is_told_and_nothing_is_linked(api, begun):
    assert api.put(f"{begun}/dataset", json={"dataset": "generated:clauses"}).status_code == 503
    assert api.get(begun).json()["dataset"] is None
