"""What-if, scenarios, comparison, history and restore, for pages and API, on both databases."""

import csv
import re
from io import StringIO

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.advisor.ranking import by_rank
from app.advisor.rulebook import Rulebook
from app.main import read_rulebook, rulebook_files
from app.models import Milestone, StoredRulebook
from app.web.assessing import restorable
from app.web.spreadsheet import harmless
from app.web.weighing import moved, points_by_rank
from tests.web.conftest import owner, parts_of, program

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


def test_ranks_become_the_centroid_of_all_weightings_in_that_order() -> None:
    assert by_rank(5) == pytest.approx((0.4567, 0.2567, 0.1567, 0.09, 0.04), abs=5e-5)
    assert sum(by_rank(5)) == pytest.approx(1)
    order = [factor.id for factor in RULEBOOK.factors]
    assert list(points_by_rank(order[::-1])) == order[::-1]
    assert moved(order, order[2], -1) == [order[0], order[2], order[1], *order[3:]]
    assert moved(order, order[0], -1) == order
    assert moved(order, order[4], 1) == order


def test_the_weights_page_suggests_without_saving_and_works_without_scripts(on_both: FastAPI) -> None:
    api, browser = program(on_both), owner(on_both)
    path = decided(api)
    page = f"{path.removeprefix('/api/v1')}/weights"
    order = "data objective stability compute deployment"
    ranked = browser.post(page, data={"order": order, "up": "stability"})
    assert (ranked.status_code, ranked.text.count("Not saved yet")) == (200, 1)
    assert 'name="order" value="data stability objective compute deployment' in ranked.text
    for points in ("45.67", "25.67", "15.67"):
        assert f'value="{points}"' in ranked.text
    looked = browser.post(page, data=dict.fromkeys(order.split(), "50") | {"look": "yes"})
    assert 'data-share="data">20' in looked.text
    assert api.get(path).json()["weights"] == {}
    kept = browser.post(page, data=dict.fromkeys(order.split(), "50"))
    assert kept.status_code == 303
    assert api.get(path).json()["weights"] == dict.fromkeys(order.split(), 50.0)
    for factor in RULEBOOK.factors:
        assert factor.low_end in looked.text
        assert factor.high_end in looked.text


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0.0000001", "enter 0, or at least 0.000001"),
        ("1,000", "enter a number from 0 to 100"),
        ("-1", "enter a number from 0 to 100"),
    ],
)
def test_points_that_no_recommendation_could_be_made_from_are_not_saved(
    app: FastAPI, typed: str, said: str
) -> None:
    api, browser = program(app), owner(app)
    path = decided(api)
    page, twenty = path.removeprefix("/api/v1"), dict.fromkeys((f.id for f in RULEBOOK.factors), "20")
    told = browser.post(f"{page}/weights", data=twenty | {"objective": typed})
    assert (told.status_code, f"Objective: {said}" in told.text) == (422, True)
    assert f'value="{typed}"' in told.text
    assert api.get(path).json()["weights"] == {}
    tried = browser.post(f"{page}/whatif", data={"number": "1", "objective": typed})
    assert (tried.status_code, f"Objective: {said}" in tried.text) == (422, True)
    assert browser.post(f"{page}/weights", data=twenty | {"objective": "12,5"}).status_code == 303
    assert api.get(path).json()["weights"]["objective"] == 12.5
    assert browser.post(f"{page}/result").status_code == 303


def test_weights_that_came_in_another_unit_are_shown_as_points_that_the_form_takes(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    path = decided(api)
    page, order = path.removeprefix("/api/v1"), [factor.id for factor in RULEBOOK.factors]
    api.patch(path, json={"weights": dict(zip(order, (1e6, 3e5, 1e-5, 1, 0), strict=True))})
    assert api.post(f"{path}/recommendation").status_code == 201
    shown = dict(re.findall(r'name="(\w+)" value="([^"]*)"', browser.get(f"{page}/weights").text))
    assert (shown["objective"], shown["data"], shown["deployment"]) == ("76.92", "23.08", "0")
    kept = browser.post(f"{page}/weights", data={factor: shown[factor] for factor in order})
    assert kept.status_code == 303
    assert browser.post(f"{page}/whatif", data={"number": "2", "objective": "50"}).status_code == 200


def test_answers_given_since_the_saved_result_are_not_replaced_unasked(on_both: FastAPI) -> None:
    api, browser = program(on_both), owner(on_both)
    path = decided(api)
    page = path.removeprefix("/api/v1")
    newer = {"choice": "cannot", "note": "Tried in March: nobody could score it."}
    api.put(f"{path}/answers/D3", json=newer)
    tried = {"number": "1", "D3": "judge_free_form", "label": "Half typed"}
    asked = browser.post(f"{page}/whatif/adopt", data=tried)
    assert asked.status_code == 409
    assert "Automatic score: answered since the saved result, now “It cannot”." in asked.text
    assert 'value="Half typed"' in asked.text
    assert api.get(f"{path}/answers/D3").json()["answer"] == newer
    assert browser.post(f"{page}/whatif/adopt", data=tried | {"replace": "yes"}).status_code == 303
    assert api.get(f"{path}/answers/D3").json()["answer"] == "judge_free_form"
    api.patch(path, json={"weights": dict.fromkeys((f.id for f in RULEBOOK.factors), 1.0)})
    asked = browser.post(f"{page}/whatif/adopt", data={"number": "1", "objective": "80"})
    assert (asked.status_code, "The weights were changed since" in asked.text) == (409, True)


def test_the_rulebooks_own_weights_tried_out_again_stay_its_own(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    path = decided(api)
    own = {f.id: f"{100 * f.weight:.1f}" for f in RULEBOOK.factors}
    assert browser.post(f"{path.removeprefix('/api/v1')}/whatif/adopt", data=own).status_code == 303
    assert api.get(path).json()["weights"] == {}


def test_the_questionnaire_offers_the_presets_its_own_first(api: TestClient) -> None:
    told = api.get("/api/v1/questionnaire").json()["presets"]
    assert [preset["id"] for preset in told] == [
        "rulebook", "balanced", "safety_first", "quality_first", "cost_first"
    ]  # fmt: skip
    assert told[0]["weights"] == {factor.id: factor.weight for factor in RULEBOOK.factors}
    assert set(told[1]["weights"].values()) == {0.2}


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|x", "'+cmd|x"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-0.42", "-0.42"),
        ("+3", "+3"),
        ("-1e-05", "-1e-05"),
        ("5 − 3 = 2", "5 − 3 = 2"),
    ],
)
def test_a_cell_is_a_number_or_text_and_never_a_formula(cell: str, shown: str) -> None:
    assert harmless(cell) == shown


def test_a_scenario_is_renamed_and_deleted_and_a_recommendation_is_not(on_both: FastAPI) -> None:
    api = program(on_both)
    path = decided(api)
    api.post(f"{path}/scenarios", json={"label": "No score", "answers": {"D3": "cannot"}})
    renamed = api.patch(f"{path}/scenarios/2", json={"label": "Nothing scores"})
    assert renamed.status_code == 200
    assert [line["label"] for line in api.get(f"{path}/milestones").json()] == ["", "Nothing scores"]
    assert api.delete(f"{path}/scenarios/2").status_code == 204
    assert [line["number"] for line in api.get(f"{path}/milestones").json()] == [1]
    assert api.delete(f"{path}/scenarios/1").status_code == 409
    assert api.patch(f"{path}/scenarios/1", json={"label": "x"}).status_code == 409


def test_what_if_shows_the_changed_rows_and_takes_numbers_and_weights(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    page = f"{decided(api).removeprefix('/api/v1')}/whatif"
    tried = browser.post(page, data={"number": "1", "C1-gpus": "8", "stability": "60"})
    assert tried.status_code == 200
    assert tried.text.count("<strong>Changed.</strong>") == 2
    wrong = browser.post(page, data={"number": "1", "C1-gpus": "many", "data": "-1"})
    assert wrong.status_code == 422
    assert "Number of GPUs must be a number" in wrong.text
    assert "Data: enter a number from 0 to 100" in wrong.text
    assert 'value="many"' in wrong.text


def test_a_changed_answer_leaves_its_note_with_the_saved_one(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    path = decided(api)
    noted = {"choice": EXAMPLES["legal_reasoning"]["D3"], "note": "The lawyers agreed."}
    api.put(f"{path}/answers/D3", json=noted)
    api.post(f"{path}/recommendation")
    page = path.removeprefix("/api/v1")
    browser.post(f"{page}/whatif/adopt", data={"number": "2", "D1": "1000_or_more"})
    assert api.get(path).json()["answers"]["D3"] == noted
    browser.post(f"{page}/whatif/adopt", data={"number": "2", "D3": "cannot"})
    assert api.get(path).json()["answers"]["D3"] == "cannot"
    assert api.get(f"{path}/history").json()["items"][0]["before"] == noted


def test_results_of_different_rulebooks_say_so_and_mark_what_one_does_not_ask(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    old = decided(api).rsplit("/", 1)[1]
    files = dict(rulebook_files())
    files = {name: re.sub(r"\bO2\b", "O22", text) for name, text in files.items()}
    files["decision.toml"] = files["decision.toml"].replace(f'"{RULEBOOK.version}"', '"9.0.0"')
    other = Rulebook.parse(files)
    parts = parts_of(app)
    with parts.database.writing() as session, session.begin():
        stored = StoredRulebook(
            checksum=other.checksum, version=other.version, files=files, shipped=False, published_at=None
        )
        session.add(stored)
        session.flush()
        parts.rulebooks.publish(session, stored)
    answers = {("O22" if key == "O2" else key): value for key, value in EXAMPLES["legal_reasoning"].items()}
    made = api.post("/api/v1/assessments", json={"name": "Later", "answers": answers}).json()["id"]
    api.post(f"/api/v1/assessments/{made}/recommendation")
    told = api.get("/api/v1/compare", params={"ids": f"{old},{made}"}).json()
    assert told["same_rulebook"] is False
    asked = {row["question"]: (row["asked"], row["differs"]) for row in told["answers"]}
    assert asked["O2"] == ([True, False], True)
    assert asked["O22"] == ([False, True], True)
    page = browser.get(f"/compare?ids={old},{made}").text
    assert "They stand on different rulebooks" in page
    assert "Not asked" in page


def test_home_and_lists_say_do_not_train_yet_where_that_is_the_advice(app: FastAPI) -> None:
    api, browser = program(app), owner(app)
    decided(api, "catalogue_facts", name="Facts")
    for page in ("/home", "/assessments"):
        assert "Do not train yet" in browser.get(page).text
