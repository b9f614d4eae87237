"""What a probe measured decides at gates, whatever was told before."""

import pytest

from app.advisor.recommendation import recommend

TINY = {"quantity": {"parameters_b": 0.3, "gpus": 1, "gpu_memory_gb": 80}}


@pytest.fixture
def advised(rulebook):
    """The worked example with other answers and with measurements."""
    example = next(each for each in rulebook.examples if each.id == "legal_reasoning")

    def advise(answers=None, **measurements):
        told = dict(example.answers) | (answers or {})
        found = recommend(rulebook.read({"answers": told, "measurements": measurements}), rulebook)
        return found, {gate.id: gate.effect for gate in found.gates if gate.state == "holds"}

    return advise


def test_an_impossible_task_blocks_practice_although_nobody_said_how_often_it_succeeds(advised):
    advice, gates = advised({"D5": None}, dead_groups=1.0)
    assert (advice.method, advice.decided_by) == ("sft", "gate")
    assert gates == {"G4": "block"}


def test_measured_groups_take_the_place_of_a_told_success_rate(advised):
    _, told = advised({"D5": "under_2"})
    advice, measured = advised({"D5": "under_2"}, dead_groups=0.3)
    assert told == {"G2": "block"}
    assert measured == {}
    assert advice.method == "grpo"


@pytest.mark.parametrize(("share", "gates"), [(0.5, {}), (0.6, {"G4": "warn"}), (0.86, {"G4": "block"})])
def test_dead_groups_warn_above_half_and_block_above_85_per_cent(advised, share, gates):
    assert advised(dead_groups=share)[1] == gates


def test_a_mastered_task_is_not_worth_training(advised):
    advice, gates = advised({"D5": {"choice": "over_95", "basis": "probed"}}, dead_groups=0.9)
    assert advice.plan.id == "not_yet"
    assert gates == {"G4": "block", "N2": "defer"}


def test_examples_worse_than_the_model_block_copying(advised):
    assert advised(demonstrations_minus_base=-0.1)[1] == {"SG2": "block"}


def test_answers_that_do_not_fit_the_limit_block_practice(advised):
    """Cut answers are as long as the limit, whatever they would have been."""
    assert advised(clipped_share=0.51, answer_length_share=1)[1] == {"G14": "block"}
    assert advised(clipped_share=0.06, answer_length_share=1)[1] == {"G14": "warn"}
    assert advised(clipped_share=0.05, answer_length_share=1)[1] == {}
    assert advised(answer_length_share=1.4)[1] == {"G14": "block"}


def test_the_warning_about_a_small_model_ends_once_it_was_tried(advised):
    assert "G10" in advised({"C1": TINY})[1]
    assert "G10" not in advised({"C1": TINY}, dead_groups=0.3)[1]
