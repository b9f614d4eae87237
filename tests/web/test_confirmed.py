"""Confirmed decisions where people and programs read them: record, exports, pages, figures, cases."""

import csv
import io
import json
from uuid import UUID

import pytest

from app.main import read_rulebook
from app.models import Milestone, Pilot
from app.outcome import Outcome
from app.protocol import MetricEvent, ResumeEvent, RunState
from app.web import confirmed
from app.web.calibration_cases import proved_right
from benchmarks import calibration
from tests.web.confirmed_scene import LEGAL, SPEC, Told, confirmations, decided, stopped
from tests.web.conftest import owner, program, stranger


@pytest.fixture
def client(on_both):
    return program(on_both)


@pytest.fixture
def browser(on_both):
    return owner(on_both)


@pytest.fixture
def address(client):
    return decided(client)


@pytest.fixture
def told(on_both, address):
    return Told(on_both, address)


def page_of(address):
    return address.removeprefix("/api/v1")


def confirmation_of(text):
    """The confirmation section of a record in Markdown."""
    return text.split("### Confirmation")[1].split("\n## ")[0]


# The record and its exports


def test_the_record_says_first_whether_it_held_by_how_much_and_at_what_cost(told, client, address):
    told.confirmed(told.plan())
    section = confirmation_of(client.get(f"{address}/record.md").text)
    first = section.strip().splitlines()[0].replace("\u00a0", " ").replace("\\<", "<")
    assert first.startswith(
        "The advice held: the score rose from 20.0 % to 80.0 % (+60.0 points, p < 0.001), "
        "at 1.0 device-hours, "
    )
    assert "against" in first
    assert "times the typical). Confirmed on" in first


def test_a_deleted_run_leaves_its_figures_in_the_record(told, client, address):
    last = told.plan()
    told.confirmed(last)
    before = confirmation_of(client.get(f"{address}/record.md").text)
    assert f"/runs/{last}" in before
    for run in client.get("/api/v1/runs").json()["items"]:
        client.delete(f"/api/v1/runs/{run['id']}")
    after = confirmation_of(client.get(f"{address}/record.md").text)
    assert "/runs/" not in after
    assert "GRPO (deleted)" in after
    assert "+30.0 points" in after
    assert before.strip().splitlines()[0] == after.strip().splitlines()[0]


def test_pilots_and_probes_are_no_stage_of_the_plan(told, client, address):
    told.run(spec=SPEC | {"name": "A pilot's"}, pilot_id=told.assessment_id, stage=1, stages=1)
    told.run(spec=SPEC | {"name": "A probe", "recipe": {"kind": "probe"}}, stage=1, stages=1)
    section = confirmation_of(client.get(f"{address}/record.md").text)
    assert "A pilot's" not in section
    assert "A probe" not in section


def test_json_holds_the_outcome_and_can_still_be_imported(told, client, address):
    told.confirmed(told.plan())
    file = client.get(f"{address}/record.json")
    (found,) = file.json()["confirmations"]
    assert found == confirmations(client)[0]["outcome"]
    assert "confirmations" not in client.get(f"{decided(client)}/record.json").json()
    again = client.post(
        "/api/v1/assessments/import", content=file.content, headers={"content-type": "application/json"}
    )
    assert again.status_code == 201, again.text


def test_csv_holds_the_same_figures(told, client, browser, address):
    told.confirmed(told.plan())
    (one,) = confirmations(client)
    for path in ("/confirmed.csv", f"{page_of(address)}/confirmation.csv?number=1"):
        (row,) = csv.DictReader(io.StringIO(browser.get(path).text, newline=""))
        assert (row["verdict"], float(row["after"])) == ("held", one["outcome"]["score"]["after"]["value"])
        assert float(row["cost_ratio"]) == one["outcome"]["cost"]["ratio"]
    assert f"{page_of(address)}/confirmation.csv" in browser.get(f"{page_of(address)}/record").text


def test_the_numbers_of_a_long_run_are_all_in_its_file(told, browser):
    steps = [MetricEvent(step=n, total_steps=3000, values={"loss": 1 / n}) for n in range(1, 3001)]
    again = [ResumeEvent(from_step=2990, why="It was lost."), *steps[2990:]]
    run_id = told.run(*steps, *again)
    for path in ("metrics.csv", "metrics.csv?series=loss"):
        rows = list(csv.DictReader(io.StringIO(browser.get(f"/runs/{run_id}/{path}").text, newline="")))
        assert [(int(row["step"]), float(row["loss"])) for row in rows] == [
            (n, 1 / n) for n in range(1, 3001)
        ]


def test_a_shared_record_says_it_too_and_links_to_nothing(on_both, told, client, address):
    told.confirmed(told.plan())
    link = client.post(f"{address}/shares", json={}).json()["url"]
    page = stranger(on_both).get(link).text
    assert "The advice held: the score rose from" in page
    assert "/runs/" not in page
    assert 'id="ladder"' not in page


def test_the_run_page_says_it_and_links_to_the_record(told, browser, address):
    last = told.plan()
    assert "In the decision record" not in browser.get(f"/runs/{last}").text
    told.confirmed(last)
    page = browser.get(f"/runs/{last}").text
    assert "The advice held: the score rose from" in page
    assert f'href="{page_of(address)}/record?number=1#confirmation"' in page


# How often it held


def several(told, held=1, level=1, lost=1, overrides=1):
    for _ in range(held):
        told.confirmed(told.plan())
    for _ in range(level):
        told.confirmed(told.plan(after=9))
    for _ in range(lost):
        told.confirmed(told.plan(last=[stopped()]))
    for _ in range(overrides):
        told.confirmed(told.plan(spec=SPEC | {"name": "SFT again"}))


def test_the_summary_counts_bands_and_rungs_and_overrides_apart(told, client):
    several(told)
    found = client.get("/api/v1/confirmations/summary").json()
    counts = {"n": 3, "held": 1, "not_shown": 1, "did_not_hold": 1}
    assert {key: found["all"][key] for key in counts} == counts
    assert found["all"]["words"] == "1 of 3, too few to tell"
    assert found["all"]["low"] < 1 / 3 < found["all"]["high"]
    assert [tally["id"] for tally in found["by_rung"]] == ["told"]
    assert sum(tally["n"] for tally in found["by_band"]) == 3
    assert (found["overrides"]["n"], found["overrides"]["held"]) == (1, 1)
    assert "rose by more than chance" in found["rule"]


def test_picture_table_and_api_show_the_same_figures(told, client, browser):
    several(told)
    tally = client.get("/api/v1/confirmations/summary").json()["all"]
    page = browser.get("/confirmed").text
    assert "<h1>The advice held in 1 of 3, too few to tell</h1>" in page
    assert f"All followed: {tally['share']:.1%}, between {tally['low']:.1%} and {tally['high']:.1%}" in page
    assert f"{100 * tally['low']:.0f} to {100 * tally['high']:.0f} %" in page
    assert "By the same rule, 1 of 1 rose" in page
    assert page.count("#confirmation") == 4


def test_enough_decisions_are_told_as_a_share():
    assert confirmed.summary([]).all.words == "none yet"
    held, lost = outcome(verdict="held"), outcome(verdict="did_not_hold")
    assert confirmed.summary([held] * 9 + [lost]).all.words.replace("\u00a0", " ") == "9 of 10, 90 %"


def test_without_any_the_page_teaches_the_next_step(browser, client):
    page = browser.get("/confirmed").text
    assert "No advice has been confirmed yet." in page
    assert 'href="/assessments"' in page
    assert client.get("/api/v1/confirmations").json() == {"items": [], "next": None}
    assert client.get("/api/v1/confirmations/summary").json()["all"]["share"] is None


def test_lists_help_and_home_lead_there(told, browser):
    assert 'href="/confirmed"' in browser.get("/assessments").text
    assert 'href="/confirmed"' in browser.get("/help/method").text
    assert 'href="/confirmed"' not in browser.get("/home").text
    told.confirmed(told.plan())
    assert '<a href="/confirmed">The advice held in 1 of 1, too few to tell</a>' in browser.get("/home").text


def test_the_list_comes_in_pages(told, client):
    several(told, held=2, level=0, lost=0, overrides=1)
    first = client.get("/api/v1/confirmations?limit=2").json()
    second = client.get("/api/v1/confirmations", params={"limit": 2, "cursor": first["next"]}).json()
    ids = [each["id"] for each in (*first["items"], *second["items"])]
    assert len(set(ids)) == 3
    assert second["next"] is None
    assert client.get("/api/v1/confirmations?cursor=x").status_code == 422


# Words

PLAIN = {
    "advised": "grpo",
    "plan": "grpo",
    "trained": "grpo",
    "is_override": False,
    "band": "moderate",
    "rung": "probed",
    "rulebook_version": "1.7.0",
    "model": "somebody/some-model",
    "score": {
        "name": "score",
        "before": {"value": 0.2, "low": 0.1, "high": 0.3, "n": 100},
        "after": {"value": 0.25, "low": 0.2, "high": 0.4, "n": 100},
        "pairs": {"wins": 20, "losses": 15, "ties": 65, "p": 0.5},
    },
    "guard": None,
    "independent": [],
    "stopped_by": [],
    "verdict": "not_shown",
    "cost": {"device_hours": 0.25, "price": 2.0, "money": 0.5, "estimated": None, "ratio": None},
    "stages": [
        {
            "run": "6f1f2f0e-6f0b-4a51-9f55-6c1f0d7c1f3e",
            "stage": 1,
            "name": "GRPO",
            "kind": "grpo",
            "score": None,
            "device_hours": 0.25,
        }
    ],
}


def outcome(**more):
    return Outcome.model_validate_json(json.dumps(PLAIN | more))


def test_a_change_that_chance_explains_is_said_to_be_one():
    said = confirmed.said(outcome()).replace("\u00a0", " ")
    assert said == (
        "Whether the advice held is not shown: the score went from 20.0 % to 25.0 % (+5.0 points, p = 0.5, "
        "which chance explains), at 15.0 device-minutes (0.50 at 2.00 an hour), with no estimate to hold it "
        "against."
    )


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0.002, "7 device-seconds"), (0.5, "30.0 device-minutes"), (12.34, "12.3 device-hours")],
)
def test_hours_are_told_in_a_unit_that_suits_them(hours, words):
    assert confirmed.device_time(hours) == words


# Cases


def test_cases_leave_names_and_notes_out_unless_asked_for(on_both, client):
    noted = {"choice": "self_correction", "note": "The board said so.", "evidence": "https://wiki.example/a"}
    told = Told(on_both, decided(client, name="Secret project", answers=LEGAL | {"O1": noted}))
    told.confirmed(told.plan())
    plain = client.get("/api/v1/confirmations/cases")
    assert "Secret project" not in plain.text
    assert "The board said so" not in plain.text
    assert "wiki.example" not in plain.text
    whole = client.get("/api/v1/confirmations/cases?names=true&notes=true").text
    assert "Secret project" in whole
    assert "The board said so" in whole


def test_the_calibration_reads_the_cases_and_judges_them(told, client, tmp_path, capsys):
    several(told)
    file = tmp_path / "cases.json"
    file.write_bytes(client.get("/api/v1/confirmations/cases").content)
    cases = calibration.read_own(file)
    assert sorted(case.outcome for case in cases) == ["not_known", "not_known", "sft", "sft_then_grpo"]
    calibration.main(["--also", str(file)])
    own = json.loads(capsys.readouterr().out.splitlines()[-1])["own"]
    assert (own["cases"], own["not_known"], own["not_read"]) == (4, 2, 0)
    assert own["method"]["all"] == {"right": 1, "of": 2}
    assert len(own["method_misses"]) == 1


def test_a_case_that_the_rulebook_does_not_take_is_left_out_by_name():
    case = calibration.Case("x", "Of another rulebook", "own", "sft", "low", {"Z9": {"choice": "yes"}})
    kept, left_out = calibration.readable([case], read_rulebook())
    assert kept == []
    assert left_out[0].startswith("Of another rulebook: ")


@pytest.mark.parametrize(
    ("verdict", "pilot", "right"),
    [
        ("held", None, ("grpo", "medium")),
        ("held", "grpo_ahead", ("grpo", "high")),
        ("held", "no_difference", ("grpo", "medium")),
        ("held", "sft_ahead", ("not_known", "low")),
        ("did_not_hold", "sft_ahead", ("sft", "low")),
        ("did_not_hold", "grpo_ahead", ("not_known", "low")),
        ("did_not_hold", None, ("not_known", "low")),
        ("not_shown", "sft_ahead", ("not_known", "low")),
    ],
)
def test_a_case_names_a_method_only_where_the_outcome_tells_it(verdict, pilot, right):
    answers = {"O7": {"choice": pilot, "basis": "piloted"}} if pilot else {"O1": "tone_or_voice"}
    assert proved_right(outcome(verdict=verdict), answers) == right


# The ladder


def rungs_of(page):
    """What stands on each rung, by its name."""
    parts = page.split('<ol class="items ladder">')[1].split("</ol>")[0].split("<h3>")[1:]
    return {part.split("</h3>")[0]: part for part in parts}


def test_each_rung_says_what_is_known_and_what_climbs_to_it(browser, address):
    page = browser.get(f"{page_of(address)}/result").text
    found = rungs_of(page)
    assert list(found) == ["Told", "Inspected", "Probed", "Piloted", "Confirmed"]
    base = page_of(address)
    climbs = {"Inspected": "#data", "Probed": "/probe", "Piloted": "/pilot", "Confirmed": "/launch"}
    for rung, last in climbs.items():
        assert "Not yet." in found[rung]
        assert f'"{base}{last}"' in found[rung]
    assert "questions answered" in found["Told"]
    assert [rung for rung, part in found.items() if 'class="button"' in part] == ["Inspected"]


def test_what_was_found_is_linked_on_its_rung(told, browser, client, address):
    with told.database.writing() as session, session.begin():
        milestone = session.get_one(Milestone, milestone_id(client, address))
        pilot = Pilot(name="Both try", assessment_id=milestone.assessment_id, plan={})
        session.add(pilot)
        session.flush()
        pilot_id = pilot.id
    probe = told.run(spec=SPEC | {"recipe": {"kind": "probe"}}, state=RunState.RUNNING, milestone_id=None)
    last = told.plan(state=RunState.EVALUATING)
    found = rungs_of(browser.get(f"{page_of(address)}/result").text)
    assert f'<a href="/runs/{probe}">Probe: training</a>' in found["Probed"]
    assert f'<a href="/pilots/{pilot_id}">Both try</a>' in found["Piloted"]
    assert f'<a href="/runs/{last}">GRPO: measuring on held-out items</a>' in found["Confirmed"]


def test_an_answer_that_was_measured_counts_on_its_rung(client, browser):
    address = decided(client, answers=LEGAL | {"D5": {"choice": "10_to_30", "basis": "probed"}})
    found = rungs_of(browser.get(f"{page_of(address)}/result").text)
    assert "1 answer rests on it." in found["Probed"]


def test_a_confirmed_decision_stands_on_the_last_rung_of_result_and_record(told, browser, address):
    told.confirmed(told.plan())
    for page in ("result", "record"):
        found = rungs_of(browser.get(f"{page_of(address)}/{page}").text)
        assert "The advice held: the score rose from" in found["Confirmed"]
        assert "Train again" in found["Confirmed"]


def test_an_earlier_recommendation_and_a_scenario_offer_no_climbing(client, browser, address):
    client.post(f"{address}/recommendation")
    earlier = rungs_of(browser.get(f"{page_of(address)}/result?number=1").text)
    assert not [part for part in earlier.values() if "<form" in part or "/launch" in part]
    made = client.post(f"{address}/scenarios", json={"answers": {"D3": "cannot"}, "label": "Unchecked"})
    number = made.json()["number"]
    assert 'id="ladder"' not in browser.get(f"{page_of(address)}/result?number={number}").text


def milestone_id(client, address):
    return UUID(client.get(f"{address}/recommendation").json()["id"])
