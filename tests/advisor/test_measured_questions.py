"""A question that only a measurement answers: absent it is nothing, there it counts like any other."""

import csv
import io

import pytest

from app.advisor.decision_file import to_csv
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.record import compose

TONE = {"O1": "tone_or_voice", "O5": "no", "D1": "300_to_999", "D3": "run_it", "D8": "yes"}
SELF_CORRECTION = {
    "O1": "self_correction",
    "O5": "helps_and_allowed",
    "D1": "under_10",
    "D3": "run_it",
    "D5": "30_to_70",
    "D8": "no",
}


def advised(rulebook, answers, showed=None):
    piloted = {"O7": {"choice": showed, "basis": "piloted"}} if showed else {}
    return recommend(rulebook.read({"answers": {**answers, **piloted}}), rulebook, EVERYTHING)


def pilot(advice):
    return next((part for part in advice.contributions if part.question == "O7"), None)


@pytest.mark.parametrize("answers", [{}, TONE, SELF_CORRECTION])
def test_without_a_pilot_it_is_in_no_list_no_count_and_no_next_question(rulebook, answers):
    advice = advised(rulebook, answers)
    assert pilot(advice) is None
    assert len(advice.contributions) == advice.coverage.total == 22
    named = [*advice.flips, *advice.fixed_flips, *advice.unknowns]
    assert "O7" not in {each.question for each in named}
    assert advice.next_question is None or advice.next_question.question != "O7"


def test_a_pilot_is_one_more_answer_with_its_basis_and_the_parts_add_up(rulebook):
    advice = advised(rulebook, SELF_CORRECTION, "grpo_ahead")
    part = pilot(advice)
    assert (part.basis, part.effect) == ("piloted", 3)
    assert advice.coverage.total == 23
    assert sum(each.contribution for each in advice.contributions) == pytest.approx(advice.lean, abs=1e-4)
    assert "O7" in {each.question for each in advice.fixed_flips} or advice.method == "grpo"


def test_one_that_tells_nothing_only_dilutes_what_was_guessed(rulebook):
    told, piloted = (advised(rulebook, TONE, showed) for showed in (None, "no_difference"))
    assert pilot(piloted).contribution == 0
    assert told.lean < piloted.lean < 0


@pytest.mark.parametrize(
    ("answers", "showed", "silent"),
    [
        (TONE, "grpo_ahead", {"O1", "O5", "D1", "D8"}),
        (TONE, "warm_start_ahead", {"O1", "O5", "D1", "D8"}),
        (SELF_CORRECTION, "sft_ahead", {"O1", "O5", "D1", "D5", "D8"}),
    ],
)
def test_the_guesses_about_what_was_measured_no_longer_count_against_it(rulebook, answers, showed, silent):
    told, piloted = advised(rulebook, answers), advised(rulebook, answers, showed)
    assert (told.method == "grpo") == (showed == "sft_ahead")
    parts = {part.question: part for part in piloted.contributions}
    assert {name for name in silent if parts[name].effect == 0} == silent
    assert all("a pilot measured which method helps" in parts[name].sentence for name in silent)
    assert parts["D3"].effect == 3, "what can be scored is no guess about the outcome"
    assert piloted.method == ("sft" if showed == "sft_ahead" else "grpo")


def test_a_warm_start_that_was_ahead_is_the_plan(rulebook):
    assert advised(rulebook, SELF_CORRECTION, "grpo_ahead").plan.id == "grpo"
    assert advised(rulebook, SELF_CORRECTION, "warm_start_ahead").plan.id == "sft_then_grpo"


def test_a_pilot_lifts_no_gate(rulebook):
    ungradable = {**SELF_CORRECTION, "D3": "cannot", "D7": "none"}
    told, piloted = (advised(rulebook, ungradable, showed) for showed in (None, "grpo_ahead"))
    assert told.method == piloted.method == "sft"
    assert piloted.decided_by == "gate"


def test_a_record_and_a_spreadsheet_hold_it_only_where_it_is(rulebook):
    for showed in (None, "sft_ahead"):
        piloted = {"O7": {"choice": showed, "basis": "piloted"}} if showed else {}
        project = rulebook.read({"answers": {**SELF_CORRECTION, **piloted}})
        advice = recommend(project, rulebook, EVERYTHING)
        rows = list(csv.DictReader(io.StringIO(to_csv(project, advice))))
        assert [row["basis"] for row in rows if row["question"] == "O7"] == (["piloted"] if showed else [])
        assert ("What a pilot showed" in str(compose(project, advice, rulebook))) == bool(showed)
