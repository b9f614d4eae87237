"""What-if, scenarios, comparison, history and restore, for pages and API, on both databases."""

import csv
from io import StringIO

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.main import read_rulebook
from app.models import Milestone
from app.web.assessing import restorable
from tests.web.conftest import owner, program

RULEBOOK = read_rulebook()
EXAMPLES = {example.id: dict(example.answers) for example in RULEBOOK.examples}


def decided(api: TestClient, example: str = "legal_reasoning", name: str = "Rulings") -> str:
    made = api.post("/api/v1/assessments", json={"name": name, "answers": EXAMPLES[example]})
    assert made.status_code == 201, made.text
    path = f"/api/v1/assessments/{made.json()['id']}"
    assert api.post(f"{path}/recommendation").status_code == 201
    return path


def test_other_answers_are_advised_on_and_nothing_is_kept(on_both: FastAPI) -> None:
    api = program(on_both)
    path = decided(api)
    before = api.get(path).json(), api.get(f"{path}/recommendation").json()
    tried = api.post(f"{path}/whatif", json={"answers": {"D3": "cannot"}}).json()
    assert (tried["saved"]["method"], tried["now"]["method"]) == ("grpo", "sft")
    assert [change["what"] for change in tried["changed"]] == ["D3"]
    assert tried["sentence"].startswith("This would change the advice from")
    assert (api.get(path).json(), api.get(f"{path}/recommendation").json()) == before


def test_what_if_without_a_change_is_the_saved_result(api: TestClient) -> None:
    path = decided(api)
    tried = api.post(f"{path}/whatif?include=flips,robustness,estimate", json={}).json()
    assert tried["recommendation"] == api.get(f"{path}/recommendation").json()["recommendation"]
    assert tried["changed"] == []


def test_what_if_names_what_it_cannot_take(api: TestClient) -> None:
    path = decided(api)
    refused = api.post(f"{path}/whatif", json={"answers": {"D3": "by_magic"}})
    assert refused.status_code == 422
    assert "D3" in refused.text
    unasked = api.post("/api/v1/assessments", json={"name": "new"}).json()["id"]
    assert api.post(f"/api/v1/assessments/{unasked}/whatif", json={}).status_code == 404


def test_a_scenario_is_kept_beside_the_recommendation(on_both: FastAPI) -> None:
    api = program(on_both)
    path = decided(api)
    body = {"label": "No score", "answers": {"D3": "cannot"}}
    kept = api.post(f"{path}/scenarios", json=body)
    assert kept.status_code == 201
    assert api.get(f"{path}/recommendation").json()["number"] == 1
    lines = api.get(f"{path}/milestones").json()
    assert [(line["kind"], line["label"]) for line in lines] == [("decision", ""), ("scenario", "No score")]
    assert api.get(path).json()["milestones"] == 1
    assert api.get(path).json()["answers"]["D3"] == "exact_match"


def test_results_side_by_side_show_what_differs_first(on_both: FastAPI) -> None:
    api = program(on_both)
    ids = [decided(api, example).rsplit("/", 1)[1] for example in ("legal_reasoning", "contract_clauses")]
    found = api.get("/api/v1/compare", params={"ids": ",".join(ids)}).json()
    assert [one["verdict"]["method"] for one in found["results"]] == ["grpo", "sft"]
    differs = [row["differs"] for row in found["answers"]]
    assert differs == sorted(differs, reverse=True)
    assert any(differs)
    assert not all(differs)
    page = owner(on_both).get("/compare", params={"ids": ",".join(ids)})
    assert page.status_code == 200
    only = owner(on_both).get("/compare", params={"ids": ",".join(ids), "only": "differences"})
    same = next(row for row in found["answers"] if not row["differs"])
    assert same["title"] in page.text
    assert len(only.text) < len(page.text)


def test_a_comparison_takes_two_to_four(api: TestClient) -> None:
    one = decided(api).rsplit("/", 1)[1]
    assert api.get("/api/v1/compare", params={"ids": one}).status_code == 422
    many = ",".join(decided(api).rsplit("/", 1)[1] for _ in range(5))
    assert api.get("/api/v1/compare", params={"ids": many}).status_code == 422
    gone = "00000000-0000-4000-8000-000000000000"
    assert api.get("/api/v1/compare", params={"ids": f"{one},{gone}"}).status_code == 404


def test_the_table_for_spreadsheets_parses_and_holds_no_formula(app: FastAPI) -> None:
    api = program(app)
    ids = [decided(api, name=name).rsplit("/", 1)[1] for name in ("=HYPERLINK(1)", "plain, with a comma")]
    text = owner(app).get("/compare.csv", params={"ids": ",".join(ids)}).text
    rows = list(csv.reader(StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    assert not any(cell.startswith(("=", "@")) for row in rows for cell in row)
    assert any("plain, with a comma" in cell for cell in rows[0])


def test_every_change_is_in_the_history_newest_first(on_both: FastAPI) -> None:
    api = program(on_both)
    path = decided(api)
    api.put(f"{path}/answers/D5", json="under_2")
    api.patch(path, json={"weights": {factor.id: 1 for factor in RULEBOOK.factors}})
    history = api.get(f"{path}/history", params={"limit": 2}).json()
    assert [entry["what"] for entry in history["items"]] == ["weights", "D5"]
    assert history["items"][1]["words"]["before"] != history["items"][1]["words"]["after"]
    earlier = api.get(f"{path}/history", params={"before": history["next"]}).json()
    assert len(earlier["items"]) == len(EXAMPLES["legal_reasoning"])
    assert earlier["next"] is None


def test_an_earlier_state_is_restored_and_what_it_replaced_stays_known(on_both: FastAPI) -> None:
    api = program(on_both)
    path = decided(api)
    before = api.get(path).json()["answers"]
    api.put(f"{path}/answers/D5", json="under_2")
    api.put(f"{path}/answers/D3", json="cannot")
    assert api.post(f"{path}/milestones/1/restore").json()["answers"] == before
    undone = api.get(f"{path}/history", params={"limit": 2}).json()["items"]
    assert {(entry["before"], entry["why"]) for entry in undone} == {
        ("under_2", "restored from recommendation 1"),
        ("cannot", "restored from recommendation 1"),
    }
    assert api.post(f"{path}/milestones/9/restore").status_code == 404


def test_restoring_under_a_rulebook_that_lacks_an_answer_leaves_it_out() -> None:
    milestone = Milestone(answers={"D5": "under_2", "Z9": "yes", "D3": "gone"}, weights={})
    again = restorable(milestone, RULEBOOK)
    assert again.answers == {"D5": "under_2"}
    assert again.left_out == ["Z9", "D3"]


@pytest.mark.parametrize("preset", RULEBOOK.decision.presets, ids=lambda preset: preset.id)
def test_a_preset_is_a_set_of_weights_that_adds_up(preset) -> None:
    assert sum(preset.weights.values()) == pytest.approx(1)
    assert set(preset.weights) == {factor.id for factor in RULEBOOK.factors}


def test_what_was_tried_on_the_page_becomes_a_scenario_or_the_answers(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    path = decided(api)
    page = path.removeprefix("/api/v1")
    shown = browser.get(f"{page}/whatif")
    assert shown.status_code == 200
    tried = browser.post(f"{page}/whatif", data={"number": "1", "D3": "cannot"})
    assert "This would change the advice" in tried.text
    unnamed = browser.post(f"{page}/scenarios", data={"number": "1", "D3": "cannot"})
    assert unnamed.status_code == 422
    assert "Enter a name" in unnamed.text
    kept = browser.post(f"{page}/scenarios", data={"number": "1", "D3": "cannot", "label": "No score"})
    assert kept.status_code == 303
    assert "scenario" in browser.get(kept.headers["location"]).text.lower()
    renamed = browser.post(f"{page}/scenarios/2", data={"label": "Nothing scores"})
    assert renamed.status_code == 303
    assert "Nothing scores" in browser.get(f"{page}/history").text
    assert browser.post(f"{page}/scenarios/2/delete").status_code == 303
    assert browser.get(f"{page}/scenarios/1").status_code == 409
    taken = browser.post(f"{page}/whatif/adopt", data={"number": "1", "D3": "cannot"})
    assert taken.status_code == 303
    assert api.get(path).json()["answers"]["D3"] == "cannot"
    assert api.get(f"{path}/history").json()["items"][0]["why"] == "from what-if"


def test_restore_asks_first_and_says_what_would_be_replaced(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    path = decided(api)
    api.put(f"{path}/answers/D5", json="under_2")
    page = path.removeprefix("/api/v1")
    asked = browser.get(f"{page}/milestones/1/restore")
    assert asked.status_code == 200
    assert RULEBOOK.questions["D5"].title in asked.text
    assert browser.post(f"{page}/milestones/1/restore").status_code == 303
    assert api.get(path).json()["answers"]["D5"] == EXAMPLES["legal_reasoning"]["D5"]
