"""How sure the verdict sounds, and why it does not sound surer."""

import pytest

from app.advisor.recommendation import EVERYTHING, recommend

SURE = {
    "O1": "multi_step_reasoning", "O2": "many_checkable", "O3": "strongly", "O4": "critical",
    "O5": "helps_and_allowed", "O6": "sft_not_enough", "D1": "under_10", "D2": "weaker_or_unknown",
    "D3": "run_it", "D4": "0_8_or_more", "D5": "30_to_70", "D6": "500_or_more", "D7": "none", "D8": "no",
    "S1": "harmless", "S2": "no", "S3": "alerts_and_reading",
    "C1": {"parameters_b": 7, "gpus": 4, "gpu_memory_gb": 80}, "C2": {"gpu_hours": 1000},
    "P1": "no", "P2": "loose_one_answer", "P3": "stable",
}  # fmt: skip


@pytest.fixture
def advise(rulebook):
    return lambda answers, **more: recommend(rulebook.read({"answers": answers} | more), rulebook, EVERYTHING)


def without(answers, *questions):
    return {question: answer for question, answer in answers.items() if question not in questions}


def test_everything_known_and_pointing_one_way_is_strong(advise):
    advice = advise(SURE)
    assert (advice.method, advice.band, advice.lean_band) == ("grpo", "strong", "strong")
    assert advice.interval.low == advice.interval.high == advice.lean


def test_an_open_gate_of_the_told_rung_caps_at_moderate(advise):
    advice = advise(without(SURE, "P3"))
    assert advice.band == "moderate"
    assert "gate" in advice.band_reason
    assert advice.next_question.question == "P3"


def test_an_open_gate_of_a_later_rung_does_not_cap(advise):
    advice = advise(SURE)
    still_open = {gate.id for gate in advice.gates if gate.state == "unknown"}
    assert {"G4", "G6", "G13"} <= still_open


def test_an_unknown_that_could_turn_the_sign_caps_at_moderate(advise):
    unsure = without(SURE, "D1", "D2", "D8", "D5", "O1", "O5", "O6", "C1", "P1")
    advice = advise(
        unsure, weights={"objective": 0, "data": 1, "stability": 0, "compute": 0, "deployment": 0}
    )
    assert advice.interval.low < 0 < advice.lean
    assert advice.band in ("moderate", "too_close")


def test_weights_that_decide_the_method_make_it_too_close_to_call(advise):
    torn = SURE | {"D8": "yes", "D1": "1000_or_more", "D2": "expert_verified", "D5": "2_to_10"}
    torn |= {"D3": "judge_free_form", "D4": "0_6_to_0_8", "O1": "tool_agent", "O6": "wrong_too_often"}
    by_objective = advise(
        torn, weights={"objective": 55, "data": 45, "stability": 0, "compute": 0, "deployment": 0}
    )
    assert by_objective.acceptability.near < 0.9
    assert by_objective.band != "strong"


def test_a_lean_below_the_tie_goes_to_sft(advise):
    advice = advise({"O2": "many_checkable"})
    assert 0 < advice.lean < 0.05
    assert (advice.method, advice.lean_method, advice.decided_by) == ("sft", "grpo", "tie")
    assert advice.band == "too_close"


def test_unknown_answers_never_change_the_method(advise):
    """A point value of 0 shrinks the lean; it does not push it."""
    known = advise(SURE)
    fewer = advise(without(SURE, "O3", "O4", "D6", "C2", "P2"))
    assert fewer.method == known.method
    assert abs(fewer.lean) < abs(known.lean)


def test_what_does_not_apply_leaves_the_denominator_and_what_is_unknown_stays(advise):
    only = {"S1": "unacceptable"}
    unknown = advise(only)
    not_applicable = advise(only | {"S2": "not_applicable", "S3": "not_applicable"})
    stability = [advice.factors[2].direction for advice in (unknown, not_applicable)]
    assert stability == [pytest.approx(-0.5 / 3.5, abs=1e-4), -1.0]


def test_a_factor_without_an_applicable_question_gives_its_weight_to_the_others(advise):
    advice = advise({"C1": "not_applicable", "C2": "not_applicable", "D8": "no"})
    weights = {factor.id: factor.weight for factor in advice.factors}
    assert weights["compute"] == 0
    assert weights["data"] == pytest.approx(0.4 / 0.9, abs=1e-4)
    assert "left out" in next(factor.paragraph for factor in advice.factors if factor.id == "compute")


def test_a_weight_flip_turns_the_advice_where_it_says(advise):
    torn = {
        "O1": "tone_or_voice",
        "O5": "no",
        "D3": "run_it",
        "D5": "30_to_70",
        "D8": "no",
        "D6": "500_or_more",
    }
    torn |= {"D1": "100_to_299", "D2": "raw_logs", "D7": "none", "O6": "wrong_too_often", "P3": "stable"}
    before = advise(torn)
    turning = [flip for flip in before.robustness.weight_flips if flip.turns_at is not None]
    assert turning
    for flip in turning:
        rest = 1 - flip.weight
        methods = set()
        for share in (flip.turns_at - 0.005, flip.turns_at + 0.005):
            weights = {
                factor.id: share if factor.id == flip.factor else factor.weight * (1 - share) / rest
                for factor in before.factors
            }
            methods.add(advise(torn, weights=weights).method)
        assert methods == {"sft", "grpo"}


def test_weights_count_by_proportion_only(advise):
    points = {"objective": 30, "data": 40, "stability": 10, "compute": 10, "deployment": 10}
    assert advise(SURE, weights=points).lean == advise(SURE).lean


def test_the_tornado_shows_the_widest_bar_first(advise):
    bars = advise({"O1": "tone_or_voice", "D3": "run_it"}).robustness.tornado
    widths = [max(bar.unknown_high - bar.unknown_low, bar.weight_high - bar.weight_low) for bar in bars]
    assert widths == sorted(widths, reverse=True)


def test_the_first_question_to_answer_is_one_that_settles_a_gate(advise):
    advice = advise({"O1": "multi_step_reasoning", "O5": "helps_and_allowed", "O6": "wrong_too_often"})
    assert advice.next_question.question == "D3"
    first = next(unknown for unknown in advice.unknowns if unknown.question == "D3")
    assert "G1" in first.gates
    assert first.could_turn
    assert "“No automatic score”" in first.sentence
    shares = [(unknown.share, unknown.swing) for unknown in advice.unknowns]
    assert shares == sorted(shares, reverse=True)
