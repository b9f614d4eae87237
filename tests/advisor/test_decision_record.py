"""The decision record: readable by itself, and enough to decide again."""

import csv
import io
import json
import re
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.advisor.decision_file import DecisionFile, Filed, reproduce, to_csv, to_json, unarmed
from app.advisor.markdown import markdown
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.record import Filing, Table, compose
from app.main import read_rulebook
from tests.advisor.projects import wires
from tests.thorough import cases

HEADINGS = [
    "## Context and Problem Statement",
    "## Decision Drivers",
    "## Considered Options",
    "## Decision Outcome",
    "## Pros and Cons of the Options",
    "## More Information",
]


def composed(rulebook, wire, **more):
    project = rulebook.read(wire)
    advice = recommend(project, rulebook, EVERYTHING)
    return project, advice, compose(project, advice, rulebook, **more)


def written(rulebook, wire, **more):
    _, advice, record = composed(rulebook, wire, **more)
    return advice, markdown(record)


def test_it_has_the_headings_of_madr_and_the_verdict(rulebook):
    filing = Filing(
        status="accepted", decided_on="2026-01-31", owner='Ada "A" Lovelace', review_by="2027-01-31"
    )
    wire = {"answers": rulebook.examples[0].answers, "name": "Rulings"}
    advice, text = written(rulebook, wire, filing=filing)
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    for heading in ("### Consequences", "### Confirmation", "### What Was Not Checked", "### Cost"):
        assert f"\n{heading}\n" in text
    assert text.startswith(
        "---\nstatus: accepted\ndate: 2026-01-31\n"
        'decision-makers: "Ada \\"A\\" Lovelace"\nreview-by: "2027-01-31"\n---\n'
    )
    assert "# Rulings: A short SFT warm start, then GRPO" in text
    assert advice.headline in text
    assert all(risk.title in text for risk in advice.risks)
    assert "waits for the run" in text


def test_a_sceptic_finds_what_was_not_checked_and_what_would_change_it(rulebook):
    wire = {"answers": rulebook.examples[0].answers | {"D4": None}}
    advice, text = written(rulebook, wire)
    unchecked = text.split("### What Was Not Checked")[1].split("\n### ")[0]
    changes = text.split("### What Would Change It")[1].split("\n### ")[0]
    assert all(unknown.title in unchecked for unknown in advice.unknowns)
    assert all(flip.title in changes and flip.to_label in changes for flip in advice.flips)
    assert all(
        flip.sentence in changes for flip in advice.robustness.weight_flips if flip.turns_at is not None
    )


def test_the_decision_can_be_made_again_from_the_record_alone(rulebook):
    for example in rulebook.examples:
        weights = {"objective": 1, "data": 2, "stability": 3, "compute": 4, "deployment": 5}
        wire = {"answers": example.answers, "weights": weights, "name": "A `fence` ``` in the name"}
        advice, text = written(rulebook, wire)
        block = re.search(r"```json\n(.*?)\n```", text, re.DOTALL)
        assert block is not None
        again = recommend(rulebook.read(json.loads(block.group(1))), rulebook, EVERYTHING)
        assert again == advice
        assert rulebook.checksum in text
        assert sha256(advice.model_dump_json().encode()).hexdigest() in text


def test_a_blocked_project_says_what_to_settle_and_names_no_gate_by_its_id(rulebook):
    advice, text = written(rulebook, {"answers": {"O1": "new_facts"}})
    assert "### To Be Settled First" in text
    before_json = text.split("```json")[0]
    assert not any(re.search(rf"\b{gate.id}\b", before_json) for gate in advice.gates)


def test_a_users_words_have_no_effect_on_the_page(rulebook):
    hostile = "x\n## Decision Outcome\n<script>alert(1)</script> [a](javascript:b) | `c` &lt; ~~~"
    wire = {"answers": {"O1": {"choice": None, "note": hostile}}, "name": hostile, "description": hostile}
    _, text = written(rulebook, wire)
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    before_json = text.split("```json")[0]
    assert "<script>" not in before_json
    assert "[a](javascript" not in before_json
    assert "~~~" not in before_json


def test_what_looks_like_a_source_in_a_note_is_only_text(rulebook):
    source = next(iter(rulebook.evidence))
    _, _, record = composed(rulebook, {"answers": {"O1": {"choice": None, "note": f"see [{source}]"}}})
    noted = next(part for part in record.parts if part.id == "notes")
    assert noted.blocks[0].lines[0].pieces == ((f"see [{source}]", ()),)


def test_notes_can_be_left_out_with_everything_that_would_tell_them(rulebook):
    secret = {"choice": "not_applicable", "note": "Mergers only", "evidence": "https://inside.example/x"}
    wire = {"answers": {"O1": secret, "D3": {"choice": None, "note": "ask Kim"}}}
    _, text = written(rulebook, wire, with_notes=False)
    assert not any(word in text for word in ("Mergers", "inside.example", "Kim"))
    _, text = written(rulebook, wire)
    assert all(word in text for word in ("Mergers only", "https://inside.example/x", "ask Kim"))


def test_every_cited_source_stands_at_the_end_under_its_number(rulebook):
    for example in rulebook.examples:
        _, _, record = composed(rulebook, {"answers": example.answers})
        listed = {source.number for source in record.sources}
        assert listed == set(range(1, len(listed) + 1))
        said = re.findall(
            r"(?<!\\)\[([\d, ]+)\]", markdown(record).split("### Sources")[0].split("```json")[0]
        )
        assert {int(number) for each in said for number in each.split(", ")} <= listed
        assert said


def test_the_table_of_answers_adds_up_to_the_lean(rulebook):
    for example in rulebook.examples:
        _, advice, record = composed(rulebook, {"answers": example.answers})
        table = next(part for part in record.parts if part.id == "answers").blocks[0]
        assert isinstance(table, Table)
        added = sum(float(row[4].replace("−", "-")) for row in table.rows)
        assert added == pytest.approx(advice.lean, abs=0.0006 * len(table.rows))


# As files


@settings(deadline=None, max_examples=cases(100))
@given(st.data())
def test_any_project_exported_gives_the_same_result_byte_for_byte(data):
    rulebook = read_rulebook()
    project = rulebook.read(data.draw(wires(rulebook)) | {"name": "Ünïcode “n”", "description": "d\n\t\\"})
    advice = recommend(project, rulebook, EVERYTHING)
    exported = to_json(project, advice, Filed(number=3, owner="Kim"), "1.0")
    file = DecisionFile.model_validate(json.loads(exported))
    again = reproduce(file, rulebook)
    assert again.identical
    assert again.differing == ()
    assert to_json(rulebook.read(file.wire()), again.advice, file.decision, file.program) == exported


def test_the_checksum_in_the_file_is_that_of_its_own_bytes(rulebook):
    project, advice, _ = composed(rulebook, {"answers": rulebook.examples[0].answers})
    exported = to_json(project, advice, Filed(), "1.0")
    body = exported.split(b'"recommendation": ')[1].rstrip()[:-1].rstrip()
    assert sha256(body).hexdigest() == json.loads(exported)["result_sha256"]


def test_a_file_that_was_altered_is_found_out(rulebook):
    project, advice, _ = composed(rulebook, {"answers": rulebook.examples[0].answers})
    honest = json.loads(to_json(project, advice, Filed(), "1.0"))
    other = honest | {"recommendation": honest["recommendation"] | {"method": "sft", "more": 1}}
    found = reproduce(DecisionFile.model_validate(other), rulebook)
    assert (found.identical, found.differing) == (False, ("method", "more"))
    answers = honest["answers"] | {"D3": "cannot"}
    found = reproduce(DecisionFile.model_validate(honest | {"answers": answers}), rulebook)
    assert not found.identical
    assert "lean" in found.differing
    assert not reproduce(
        DecisionFile.model_validate(honest | {"result_sha256": "0" * 64}), rulebook
    ).identical


@settings(deadline=None, max_examples=cases(100))
@given(st.data(), st.text(max_size=40))
def test_contributions_as_csv_parse_and_add_up_to_the_lean(data, note):
    rulebook = read_rulebook()
    wire = data.draw(wires(rulebook))
    wire["answers"]["O1"] = {
        "choice": None,
        "note": note.replace("\x00", ""),
        "evidence": "https://a.example/=1",
    }
    project = rulebook.read(wire)
    advice = recommend(project, rulebook)
    rows = list(csv.DictReader(io.StringIO(to_csv(project, advice), newline="")))
    assert [row["question"] for row in rows] == [part.question for part in advice.contributions]
    assert sum(float(row["contribution"]) for row in rows) == pytest.approx(advice.lean, abs=1e-4)
    assert rows[0]["note"].removeprefix("'") == note.replace("\x00", "").removeprefix("'")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "＝1"])
def test_no_cell_is_a_formula(text):
    assert unarmed(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "plain", "a=b", "1-2", "https://a.example"])
def test_other_cells_stay_as_they_are(text):
    assert unarmed(text) == text
