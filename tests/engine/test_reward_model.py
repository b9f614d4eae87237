"""A reward model: trained on pairs, measured by its agreement with people, and then a grader of GRPO."""

import json
from uuid import UUID

import pytest

from app.engine.agreement import agreement, finding
from app.engine.reward_models import RewardModels
from app.graders.answer import Answer
from app.protocol import RewardModelGrader, RewardModelRecipe
from tests.engine.conftest import COLOURS, NAMES_THE_COLOUR, grpo_recipe, sft_recipe, write_rows

RUN = UUID(int=7)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """People here prefer answers in capitals."""
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{number} {colour}?"}],
            "chosen": [{"role": "assistant", "content": colour.upper()}],
            "rejected": [{"role": "assistant", "content": colour}],
        }
        for number in range(40)
        for colour in COLOURS
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "pairs.jsonl", rows)


def recipe(**changes):
    given = {"learning_rate": 3e-3, "batch_size": 16, "micro_batch_size": 16, "epochs": 4, "max_length": 64}
    return RewardModelRecipe(**given | changes)


@pytest.fixture(scope="module")
def reward_model(engines, micro_model, pairs):
    return engines.run(recipe(), micro_model, pairs, None)


@pytest.mark.engine
def test_it_learns_what_people_prefer_and_says_how_often_it_agrees(reward_model):
    assert reward_model.end.state.value == "succeeded", reward_model.end
    before, after = (reward_model.evaluation(when).agreement for when in ("before", "after"))
    assert before.share.n == after.share.n == 10
    assert after.share.value == 1.0
    assert after.margin > before.margin
    assert sum(each.pairs for each in after.bins) == 10
    assert reward_model.metrics("accuracy")[-1] == 1.0
    assert reward_model.happenings("health") == []
    assert "| after | 100.0% (" in (reward_model.dir.model_dir / "README.md").read_text()


@pytest.mark.engine
def test_it_grades_a_grpo_run_that_learns_from_it(engines, micro_model, prompts, reward_model):
    grader = RewardModelGrader(name="people", run=RUN)
    run_dir = engines.prepare(grpo_recipe(steps=4), micro_model, prompts, grader)
    folders = {str(RUN): str(reward_model.dir.model_dir)}
    run_dir.write_inputs(run_dir.inputs.model_copy(update={"reward_models": folders}))
    graded = engines.wait(run_dir, engines.start(run_dir))
    assert graded.end.state.value == "succeeded", graded.end
    assert all(0 < reward < 1 for reward in graded.metrics("reward"))
    assert graded.metrics("frac_reward_zero_std")[0] < 1


@pytest.mark.engine
def test_other_data_are_refused_and_a_reward_model_writes_no_text(
    engines, micro_model, demonstrations, reward_model
):
    refused = engines.run(recipe(), micro_model, demonstrations, None)
    assert refused.end.reason.startswith("A reward model learns from preference pairs")
    misused = engines.run(sft_recipe(), reward_model.dir.model_dir, demonstrations, NAMES_THE_COLOUR)
    assert misused.end.reason.startswith("This is a reward model, which writes no text")


@pytest.mark.engine
def test_its_middle_lies_between_held_out_answers(reward_model):
    centre = json.loads((reward_model.dir.model_dir / "calibration.json").read_text())["centre"]
    assert isinstance(centre, float)


def test_a_reward_model_that_is_not_here_is_no_score():
    with pytest.raises(LookupError):
        RewardModels({}, "cpu")(RUN, [Answer("x")])


def test_agreement_counts_and_calibrates():
    found = agreement([2.0, 2.0, 2.0, -2.0, 0.1, -0.1])
    assert (found.share.right, found.share.n) == (4, 6)
    assert [each.pairs for each in found.bins] == [2, 0, 0, 0, 0, 0, 0, 4, 0, 0]
    assert found.bins[7].observed == 0.75
    assert found.bins[7].predicted == pytest.approx(0.8808, abs=1e-4)
    assert found.expected_calibration_error == pytest.approx((4 * 0.1308 + 2 * 0.0250) / 6, abs=1e-4)
    assert found.margin == pytest.approx(4.0 / 6)


def test_certainty_falls_into_the_last_bin():
    assert agreement([1000.0]).bins[-1].pairs == 1


@pytest.mark.parametrize(
    ("right", "words"),
    [(50, "too seldom to train against"), (59, "too seldom"), (60, "not enough to trust"), (80, None)],
)
def test_a_poor_agreement_is_told_with_what_to_do(right, words):
    warning = finding(agreement([1.0] * right + [-1.0] * (100 - right)), step=3)
    assert (words is None) == (warning is None)
    if warning:
        assert words in warning.sentence
        assert warning.advice
