"""Decision records over the web: exported in three forms, decided on, and imported again."""

import csv
import io
import json
import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app.database import now
from app.graders.comparison import wilson
from app.main import read_rulebook
from app.models import Milestone, Report, Run
from app.protocol import Evaluation, EvaluationEvent, RunSpec, RunState, Share
from tests.web.conftest import owner, parts_of, program, stranger

RULEBOOK = read_rulebook()
FACTORS = [factor.id for factor in RULEBOOK.factors]
LEGAL = RULEBOOK.examples[0].answers
NOTED = {
    "choice": "self_correction",
    "note": "=cmd|'/c calc'!A1 [kumar2024]",
    "evidence": "https://wiki.example/a",
}
MEASURED = {next(iter(RULEBOOK.measurements)): next(iter(RULEBOOK.measurements.values())).low}


def begun(client, **more):
    body = {"name": "Legal pilot", "description": "Reads contracts.", "answers": LEGAL | {"O1": NOTED}} | more
    made = client.post("/api/v1/assessments", json=body)
    assert made.status_code == 201, made.text
    return made.headers["location"]


def decided(client, **more):
    address = begun(client, **more)
    assert client.post(f"{address}/recommendation").status_code == 201
    return address


def page_of(address):
    return address.removeprefix("/api/v1")


# As files


def test_the_record_is_markdown_json_and_csv_from_api_and_page_alike(on_both):
    client, browser = program(on_both), owner(on_both)
    address = decided(client, measurements=MEASURED)
    for form in ("record.md", "record.json", "contributions.csv"):
        told, shown = client.get(f"{address}/{form}"), browser.get(f"{page_of(address)}/{form}?number=1")
        assert told.status_code == shown.status_code == 200
        assert told.text == shown.text
        assert "attachment" in shown.headers["content-disposition"]
    file = client.get(f"{address}/record.json").json()
    assert file["measurements"] == MEASURED
    assert file["answers"]["O1"] == NOTED
    assert file["rulebook"]["checksum"] == RULEBOOK.checksum
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}/contributions.csv").text, newline="")))
    assert [row["question"] for row in rows] == [question.id for question in RULEBOOK.asked]
    assert next(row for row in rows if row["question"] == "O1")["note"] == "'" + NOTED["note"]


def test_there_is_no_record_before_there_is_a_recommendation(api, browser):
    address = begun(api)
    for form in ("record.md", "record.json", "contributions.csv"):
        assert api.get(f"{address}/{form}").status_code == 404
        assert browser.get(f"{page_of(address)}/{form}").status_code == 404
    assert browser.get(f"{page_of(address)}/record").status_code == 303
    assert api.get(f"{address}/record.md", params={"number": 7}).status_code == 404


# What people decide


def test_accepting_a_newer_one_supersedes_the_older_and_every_export_says_so(on_both):
    client, browser = program(on_both), owner(on_both)
    address = decided(client)
    first = client.patch(f"{address}/milestones/1", json={"status": "accepted", "owner": "Kim Osei"})
    assert first.status_code == 200
    client.put(f"{address}/answers/D3", json="cannot")
    frozen = client.post(f"{address}/recommendation").json()["recommendation"]
    second = client.patch(
        f"{address}/milestones/2", json={"status": "accepted", "review_by": "2027-03-31"}
    ).json()
    assert second["supersedes_id"] == first.json()["id"]
    assert second["recommendation"] == frozen
    page = browser.get(f"{page_of(address)}/record?number=1").text
    assert "<strong>Superseded</strong> by recommendation 2" in page
    newer = client.get(f"{address}/record.md").text
    assert 'review-by: "2027-03-31"' in newer
    assert 'supersedes: "recommendation 1 of “Legal pilot”' in newer
    older = client.get(f"{address}/record.md?number=1").text
    assert 'status: "superseded by recommendation 2 of “Legal pilot”' in older
    assert 'decision-makers: "Kim Osei"' in older
    filed = client.get(f"{address}/record.json?number=1").json()["decision"]
    assert (filed["status"], filed["owner"]) == ("superseded", "Kim Osei")


def test_the_form_on_the_page_does_the_same(on_both):
    client, browser = program(on_both), owner(on_both)
    address = decided(client)
    other = client.patch(f"{decided(client)}/milestones/1", json={"status": "accepted"}).json()
    answer = browser.post(
        f"{page_of(address)}/record?number=1",
        data={"status": "accepted", "owner": "Kim", "review_by": "2027-03-31", "supersedes": other["id"]},
    )
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"]).text
    assert "<strong>Accepted</strong>" in page
    assert "supersedes recommendation 1" in page
    assert "31 March 2027" in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"status": "maybe"}, "Choose one of proposed"),
        ({"status": "accepted", "owner": "K\u202eim"}, "The name cannot be used"),
        ({"status": "accepted", "review_by": "31.3.2027"}, "year-month-day"),
        ({"status": "accepted", "supersedes": "x"}, "one of the decisions in the list"),
        ({"status": "accepted", "supersedes": str(uuid4())}, "one of the decisions in the list"),
    ],
)
def test_what_cannot_be_recorded_is_told_beside_its_field_and_changes_nothing(api, browser, typed, said):
    address = decided(api)
    answer = browser.post(f"{page_of(address)}/record?number=1", data=typed)
    assert answer.status_code == 422
    assert said in answer.text
    assert api.get(f"{address}/recommendation").json()["status"] == "proposed"


def test_two_tabs_deciding_at_once_lose_neither_owner_nor_day(on_both):
    client, browser = program(on_both), owner(on_both)
    address = decided(client)
    path = f"{page_of(address)}/record?number=1"
    loaded = re.search(r'name="loaded" value="([^"]+)"', browser.get(path).text)[1]
    first = {"status": "proposed", "owner": "Ann", "review_by": "2027-03-01", "loaded": loaded}
    assert browser.post(path, data=first).status_code == 303
    late = {"status": "accepted", "owner": "", "review_by": "", "supersedes": "", "loaded": loaded}
    told = browser.post(path, data=late)
    assert told.status_code == 409
    assert "was changed while this page was open" in told.text
    assert "<dd>Ann; review by" in told.text
    assert '<option value="accepted" selected' in told.text
    stored = client.get(f"{address}/recommendation").json()
    assert (stored["status"], stored["owner"]) == ("proposed", "Ann")
    late["loaded"] = re.search(r'name="loaded" value="([^"]+)"', told.text)[1]
    assert browser.post(path, data=late).status_code == 303
    assert client.get(f"{address}/recommendation").json()["status"] == "accepted"


def test_a_printed_record_names_the_address_of_this_recommendation_not_of_the_latest(api, browser):
    address = decided(api)
    page = browser.get(f"{page_of(address)}/record").text
    assert f"{page_of(address)}/record?number=1</span>" in page


def test_the_record_says_whose_weights_they_are(api):
    own, moved = decided(api), begun(api, weights=dict.fromkeys(FACTORS, 20))
    assert "The weights are the rulebook’s own." in api.get(f"{own}/record.md").text
    api.post(f"{moved}/recommendation")
    told = api.get(f"{moved}/record.md").text
    assert "The weights were set for this project; the rulebook’s own are Objective" in told


def test_the_record_assumes_what_the_estimate_assumes_and_says_so_once(api):
    address = decided(api)
    said = api.get(f"{address}/recommendation").json()["recommendation"]
    record = api.get(f"{address}/record.md").text
    assert record.count("Assumed:") == 1
    for each in said["estimate"]["assumptions"]:
        assert each.removeprefix("Assumed: ").removesuffix(".") in record


def test_a_record_without_answers_claims_none(api):
    address = begun(api, answers={})
    api.post(f"{address}/recommendation")
    record = api.get(f"{address}/record.md").text
    assert "Nothing was measured." in record
    assert "every answer counts as told" not in record
    assert "a tie goes to SFT. That says how robust" not in record


def test_an_older_one_cannot_be_accepted_over_a_newer_one(api):
    address = decided(api)
    api.post(f"{address}/recommendation")
    api.patch(f"{address}/milestones/2", json={"status": "accepted"})
    answer = api.patch(f"{address}/milestones/1", json={"status": "accepted"})
    assert answer.status_code == 422
    assert "newer and accepted" in answer.json()["problems"][0]["what"]
    own = api.get(f"{address}/recommendation").json()["id"]
    assert api.patch(f"{address}/milestones/2", json={"supersedes_id": own}).status_code == 422
    assert api.patch(f"{address}/milestones/2", json={"supersedes_id": str(uuid4())}).status_code == 422
    assert api.patch(f"{address}/milestones/9", json={"status": "accepted"}).status_code == 404
    for wrong in ({"status": "x"}, {"review_by": "soon"}, {"owner": ""}, {"lean": 1}):
        assert api.patch(f"{address}/milestones/2", json=wrong).status_code == 422


def test_an_overdue_review_is_seen_at_home_and_in_the_list_until_it_is_settled(on_both):
    client, browser = program(on_both), owner(on_both)
    address = decided(client)
    yesterday, tomorrow = (str((now() + timedelta(days=days)).date()) for days in (-1, 1))
    client.patch(f"{address}/milestones/1", json={"status": "accepted", "review_by": yesterday})
    assert "its review was due on" in browser.get("/home").text
    assert "Review was due on" in browser.get("/assessments").text
    assert "The review is overdue" in browser.get(f"{page_of(address)}/record").text
    client.patch(f"{address}/milestones/1", json={"review_by": tomorrow})
    assert "was due on" not in browser.get("/home").text + browser.get("/assessments").text
    client.patch(f"{address}/milestones/1", json={"status": "rejected", "review_by": yesterday})
    assert "was due on" not in browser.get("/home").text


def test_a_scenario_has_a_record_that_says_so_and_cannot_be_decided_on(api, browser):
    address = decided(api)
    tried = {"answers": {"D3": "cannot"}, "label": "Without a check"}
    kept = api.post(f"{address}/scenarios", json=tried)
    assert kept.status_code == 201, kept.text
    number = kept.json()["number"]
    page = browser.get(f"{page_of(address)}/record?number={number}").text
    assert "A scenario, not a decision" in page
    assert "Save the decision" not in page
    assert "Without a check" in api.get(f"{address}/record.md?number={number}").text
    assert api.patch(f"{address}/milestones/{number}", json={"status": "accepted"}).status_code == 409
    assert (
        browser.post(f"{page_of(address)}/record?number={number}", data={"status": "accepted"}).status_code
        == 409
    )


def test_measurements_are_kept_checked_and_count(api):
    address = begun(api, measurements=MEASURED)
    assert api.get(address).json()["measurements"] == MEASURED
    assert api.patch(address, json={"measurements": {"nothing": 1.0}}).status_code == 422
    frozen = api.post(f"{address}/recommendation").json()
    asked = {"answers": LEGAL | {"O1": NOTED}, "measurements": MEASURED}
    said = api.post("/api/v1/recommendations?include=flips,robustness,estimate", json=asked).json()
    assert frozen["recommendation"] == said
    assert json.loads(api.get(f"{address}/record.json").text)["recommendation"] == said


# Confirmed by runs

SPEC = {
    "name": "Warm start",
    "model": {"kind": "starter"},
    "dataset": {"kind": "generated", "name": "rulings"},
    "grader": {"type": "regex", "name": "ruling", "pattern": "x"},
    "recipe": {
        "kind": "sft",
        "learning_rate": 0.001,
        "batch_size": 16,
        "micro_batch_size": 16,
        "epochs": 1.0,
        "max_length": 256,
    },
}


def evaluated(when, outcomes):
    right = Share(
        right=outcomes.count("1"), n=len(outcomes), interval=wilson(outcomes.count("1"), len(outcomes))
    )
    evaluation = Evaluation(
        when=when,
        sampled=right,
        greedy=right,
        sampled_outcomes=outcomes,
        greedy_outcomes=outcomes,
        abstained=0,
        errors=0,
        mean_tokens=9.0,
        clipped=0.0,
        samples=[],
        seconds=1.0,
    )
    return EvaluationEvent(evaluation=evaluation)


def launched(app, address, state, **times):
    """A run of the first stage, as the sweep would have copied it."""
    run_id = uuid4()
    with parts_of(app).database.writing() as session, session.begin():
        milestone = session.scalars(
            select(Milestone).where(Milestone.assessment_id == UUID(address.rsplit("/", 1)[1]))
        ).one()
        session.add(
            Run(
                id=run_id,
                spec=RunSpec.model_validate_json(json.dumps(SPEC)),
                state=state,
                assessment_id=milestone.assessment_id,
                milestone_id=milestone.id,
                stage=1,
                stages=2,
                **times,
            )
        )
    return run_id


def test_the_confirmation_waits_for_the_run_then_follows_it_then_tells_its_figures(on_both):
    client = program(on_both)
    address = decided(client)
    waiting = "| A short SFT warm start | waits for the run | waits for the run |"
    assert waiting in client.get(f"{address}/record.md").text
    run_id = launched(on_both, address, RunState.RUNNING)
    row = f"[A short SFT warm start: Warm start](http://localhost/runs/{run_id}) | training |"
    assert row in client.get(f"{address}/record.md").text
    made = client.post(f"{address}/shares", json={}).json()
    assert "/runs/" not in stranger(on_both).get(made["url"]).text
    began = now()
    run_id = launched(
        on_both, address, RunState.SUCCEEDED, started_at=began, ended_at=began + timedelta(minutes=90)
    )
    with parts_of(on_both).database.writing() as session, session.begin():
        for seq, event in enumerate((evaluated("before", "01" * 20), evaluated("after", "1" * 39 + "0")), 1):
            session.add(Report(run_id=run_id, seq=seq, at=1.0, kind="evaluation", what=event))
    text = client.get(f"{address}/record.md").text
    row = next(line for line in text.splitlines() if f"/runs/{run_id}" in line)
    assert "50.0\u00a0%" in row.replace(" %", "\u00a0%")
    assert "+47.5 points, p = " in row
    assert "1 h 30 min" in row
    assert "40 items" in row
    assert "GRPO against the score | waits for the run" in text
