"""What was found is proposed like what was told, and settled one by one: nothing is replaced unseen."""

from collections.abc import Callable
from html import unescape
from uuid import UUID, uuid4

import pytest

from app.models import Assessment, Dataset, Proposal
from app.protocol import DatasetKind, DatasetSummary, UploadedDataset
from app.web import proposing
from app.web.named_datasets import generated_id
from app.web.proposing import Suggestion
from tests.web.conftest import owner, parts_of, program

FEW = Suggestion("D1", {"choice": "50_to_99", "basis": "inspected"}, "61 rows end with an answer.")
DEAD = Suggestion("dead_groups", 0.4, "Of 32 prompts, 13 scored the same 8 times.")
SOURCE = "run:00000000-0000-4000-8000-000000000000"


@pytest.fixture
def app(on_both):
    return on_both


@pytest.fixture
def api(app):
    return program(app)


@pytest.fixture
def begun(api):
    made = api.post("/api/v1/assessments", json={"name": "Rulings"}).json()
    return f"/api/v1/assessments/{made['id']}"


@pytest.fixture
def page(begun):
    return begun.removeprefix("/api/v1")


@pytest.fixture
def propose(app, begun) -> Callable[..., list[Proposal]]:
    def made(*suggestions: Suggestion, source: str = SOURCE, again: bool = False) -> list[Proposal]:
        with parts_of(app).database.writing() as session, session.begin():
            assessment = session.get_one(Assessment, UUID(begun.rpartition("/")[2]))
            return proposing.propose(session, assessment, source, suggestions, again)

    return made


def waiting(api, begun):
    return {each["question"]: each for each in api.get(f"{begun}/proposals?waiting=true").json()}


def test_a_measurement_counts_once_it_is_accepted_and_history_says_why(app, api, begun, page, propose):
    (made,) = propose(DEAD)
    browser = owner(app)
    shown = unescape(browser.get(f"{page}/proposals").text)
    assert "Share of prompts whose tries all scored the same" in shown
    assert "40\N{NO-BREAK SPACE}%" in shown
    assert api.get(begun).json()["measurements"] == {}
    settled = browser.post(f"{page}/proposals", data={f"accept-{made.id}": "yes", f"seen-{made.id}": "0"})
    assert settled.status_code == 303
    assert api.get(begun).json()["measurements"] == {"dead_groups": 0.4}
    assert f"suggested from a probe: {DEAD.because}" in unescape(browser.get(f"{page}/history").text)


def test_a_measurement_replaces_another_only_if_it_is_still_the_one_that_was_seen(
    app, api, begun, page, propose
):
    api.patch(begun, json={"measurements": {"dead_groups": 0.1, "clipped_share": 0.2}})
    (made,) = propose(DEAD)
    address = f"{begun}/proposals/{made.id}/accept"
    assert api.post(address).status_code == 409
    browser = owner(app)
    late = browser.post(f"{page}/proposals", data={f"accept-{made.id}": "yes", f"seen-{made.id}": "0.3"})
    assert late.status_code == 409
    assert "has another value by now" in late.text
    browser.post(f"{page}/proposals", data={f"accept-{made.id}": "yes", f"seen-{made.id}": "0.1"})
    assert api.get(begun).json()["measurements"] == {"dead_groups": 0.4, "clipped_share": 0.2}
    assert propose(DEAD) == []


CUT = Suggestion("clipped_share", 0.1, "One in ten was cut.")
LATER = Suggestion("dead_groups", 0.6, "Of 32 prompts, 19 scored the same 8 times.")


@pytest.mark.parametrize("kind", ["run", "pilot"])
def test_a_later_measurement_withdraws_what_waits_about_the_same(api, begun, propose, kind):
    (dead, cut) = propose(DEAD, CUT, source=f"{kind}:earlier")
    (later,) = propose(LATER, source=f"{kind}:later")
    found = waiting(api, begun)
    assert {name: each["id"] for name, each in found.items()} == {
        "dead_groups": str(later.id),
        "clipped_share": str(cut.id),
    }
    assert api.post(f"{begun}/proposals/{dead.id}/accept?replace=true").status_code == 409


def test_other_kinds_of_source_keep_what_waits(api, begun, propose):
    propose(DEAD, source="dataset:one")
    propose(LATER, source="dataset:other")
    propose(LATER, source="run:later")
    assert len(api.get(f"{begun}/proposals?waiting=true").json()) == 3


def test_of_two_that_are_ticked_the_latest_counts(app, api, begun, page, propose):
    (early,) = propose(DEAD, source="dataset:one")
    (late,) = propose(LATER, source="run:later")
    ticked = {f"{field}-{each.id}": "0" for each in (early, late) for field in ("accept", "seen")}
    shown = owner(app).post(f"{page}/proposals", data=ticked)
    assert shown.status_code == 409
    assert api.get(begun).json()["measurements"] == {"dead_groups": 0.6}


@pytest.mark.parametrize(
    ("question", "answer"), [("dead_groups", 1.5), ("no_such_measurement", 0.5), ("Z9", "yes")]
)
def test_what_the_rulebook_does_not_take_is_neither_shown_nor_accepted(
    app, api, begun, page, propose, question, answer
):
    (made,) = propose(Suggestion(question, answer, "A figure."))
    assert "A figure." not in owner(app).get(f"{page}/proposals").text
    assert api.post(f"{begun}/proposals/{made.id}/accept").status_code == 409


def test_what_was_told_and_what_was_found_stand_side_by_side(app, api, begun, page, propose):
    api.put(f"{begun}/answers/D1", json={"choice": "1000_or_more", "note": "Said the archive."})
    (made,) = propose(FEW)
    assert waiting(api, begun)["D1"]["contradicts"] is True
    browser = owner(app)
    shown = unescape(browser.get(f"{page}/proposals").text)
    assert "Told and found differ" in shown
    for words in ("1,000 or more", "Said the archive.", "50 to 99", FEW.because, "told</span>", "inspected"):
        assert words in shown
    data = {"take": str(made.id), f"seen-{made.id}": "1"}
    assert browser.post(f"{page}/proposals", data=data).status_code == 303
    assert api.get(begun).json()["answers"]["D1"] == {
        "choice": "50_to_99",
        "basis": "inspected",
        "note": f"Said the archive.\n“{FEW.because}”",
    }


def test_keeping_the_answer_settles_the_contradiction_for_good(app, api, begun, page, propose):
    api.put(f"{begun}/answers/D1", json="1000_or_more")
    (made,) = propose(FEW)
    owner(app).post(f"{page}/proposals", data={"leave": str(made.id)})
    assert api.get(begun).json()["answers"]["D1"] == "1000_or_more"
    assert propose(FEW) == []
    assert waiting(api, begun) == {}
    changed = Suggestion("D1", FEW.answer, "62 rows end with an answer.")
    assert len(propose(changed)) == 1
    assert len(propose(FEW, again=True)) == 1


@pytest.mark.parametrize(
    "present",
    [
        None,
        "50_to_99",
        {"choice": "1000_or_more", "basis": "inspected"},
    ],
    ids=["not known yet", "the same", "an older reading"],
)
def test_no_contradiction_where_nothing_told_denies_what_was_found(api, begun, propose, present):
    api.put(f"{begun}/answers/D1", json=present)
    propose(FEW)
    assert waiting(api, begun)["D1"]["contradicts"] is False


def test_what_does_not_apply_is_contradicted_by_what_was_found(api, begun, propose):
    api.put(f"{begun}/answers/D1", json={"choice": "not_applicable", "note": "There are none."})
    (made,) = propose(FEW)
    assert waiting(api, begun)["D1"]["contradicts"] is True
    api.post(f"{begun}/proposals/{made.id}/accept?replace=true")
    assert api.get(begun).json()["answers"]["D1"]["note"] == f"“{FEW.because}”"


def test_a_description_contradicts_nothing(api, begun, propose):
    api.put(f"{begun}/answers/D1", json="1000_or_more")
    propose(Suggestion("D1", "50_to_99", "There are about sixty."), source="description")
    assert waiting(api, begun)["D1"]["contradicts"] is False


def test_weaker_evidence_for_the_same_answer_adds_nothing(api, begun, propose):
    api.put(f"{begun}/answers/D1", json={"choice": "50_to_99", "basis": "probed"})
    assert propose(FEW) == []


def test_a_newer_figure_takes_the_place_of_the_older_one_in_the_note(api, begun, propose):
    for rows in (61, 62):
        (made,) = propose(
            Suggestion(
                "D1",
                {"choice": f"{'50_to_99' if rows == 61 else '100_to_299'}", "basis": "inspected"},
                f"{rows} rows.",
            )
        )
        api.post(f"{begun}/proposals/{made.id}/accept?replace=true")
    assert api.get(begun).json()["answers"]["D1"]["note"] == "“62 rows.”"


def test_each_source_is_named_and_leads_to_its_page(app, page, propose):
    summary = DatasetSummary(
        ref=UploadedDataset(sha256="0" * 64),
        kind=DatasetKind.DEMONSTRATIONS,
        rows=1,
        demonstrations=1,
        prompts=0,
        held_out=0,
        item_fields=[],
        bytes=1,
        preview=[],
    )
    brought = Dataset(id=uuid4(), name="Court <files>", sha256="0" * 64, summary=summary)
    with parts_of(app).database.writing() as session, session.begin():
        session.add(brought)
    dataset_id = brought.id
    propose(FEW, source=f"dataset:{dataset_id}")
    propose(DEAD, source=f"dataset:{generated_id('rulings')}")
    propose(Suggestion("clipped_share", 0.0, "Nothing was cut."), source="pilot:gone")
    shown = owner(app).get(f"{page}/proposals").text
    assert f'<a href="/datasets/{dataset_id}">the dataset “Court &lt;files&gt;”</a>' in shown
    assert '<a href="/datasets/generated/rulings">the dataset “Rulings”</a>' in shown
    assert "a pilot" in shown
