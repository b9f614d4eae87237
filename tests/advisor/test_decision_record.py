"""The decision record: readable by itself, and enough to decide again."""

import json
import re

from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.record import record

HEADINGS = [
    "## Context and problem statement",
    "## Decision drivers",
    "## Considered options",
    "## Decision outcome",
    "## Consequences",
    "## Confirmation",
    "## More information",
]


def written(rulebook, wire):
    project = rulebook.read(wire)
    advice = recommend(project, rulebook, EVERYTHING)
    return advice, record(project, advice, rulebook, decided_on="2026-01-31")


def test_it_has_the_headings_of_madr_and_the_verdict(rulebook):
    advice, text = written(rulebook, {"answers": rulebook.examples[0].answers, "name": "Rulings"})
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    assert "status: accepted" in text
    assert "date: 2026-01-31" in text
    assert "# Rulings: A short SFT warm start, then GRPO" in text
    assert advice.headline in text
    assert all(risk.title in text for risk in advice.risks)


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


def test_a_blocked_project_is_only_proposed_and_says_what_to_settle(rulebook):
    _, text = written(rulebook, {"answers": {"O1": "new_facts"}})
    assert "status: proposed" in text
    assert "### To be settled first" in text
    assert "SG3" in text


def test_a_users_words_have_no_effect_on_the_page(rulebook):
    hostile = "x\n## Decision outcome\n<script>alert(1)</script> [a](javascript:b) | `c`"
    _, text = written(rulebook, {"answers": {}, "name": hostile, "description": hostile})
    assert [line for line in text.splitlines() if line.startswith("## ")] == HEADINGS
    before_json = text.split("```json")[0]
    assert "<script>" not in before_json
    assert "[a](javascript" not in before_json


def test_every_cited_source_stands_at_the_end(rulebook):
    advice, text = written(rulebook, {"answers": rulebook.examples[0].answers})
    end = text.split("Sources:")[1]
    for part in advice.contributions:
        if part.effect:
            assert all(f"[{source}]" in end for source in part.sources)
