"""SFT, then GRPO from its model: real runs of the real command on a micro model."""

import json

import pytest

from app.protocol import EvaluationPlan
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

ROAD = ["starting", "starting", "starting", "evaluating", "running", "evaluating"]


@pytest.fixture(scope="module")
def sft(engines, micro_model, demonstrations):
    plan = EvaluationPlan(items=20, max_completion_length=8, samples_shown=3)
    recipe = sft_recipe(epochs=24)
    return engines.run(recipe, micro_model, demonstrations, NAMES_THE_COLOUR, plan)


@pytest.fixture(scope="module")
def grpo(engines, sft, demonstrations):
    return engines.run(
        grpo_recipe(),
        sft.dir.model_dir,
        demonstrations,
        SAYS_E,
        draft_grader=NAMES_THE_COLOUR,
        independent_graders=[NAMES_THE_COLOUR],
    )


def test_sft_goes_the_whole_road_and_ends_with_all_its_steps(sft):
    assert sft.states == ROAD
    assert sft.end.state.value == "succeeded", sft.end
    assert sft.end.steps_done == sft.end.total_steps == 24 * 5
    assert sft.exit_status == 0


def test_sft_reports_every_step_once_under_the_trainers_own_names(sft):
    steps = [metric.step for metric in sft.steps]
    assert steps == list(range(1, sft.end.total_steps + 1))
    assert {"loss", "mean_token_accuracy", "entropy", "grad_norm", "learning_rate"} <= set(
        sft.steps[0].values
    )


def test_sft_learns_its_demonstrations(sft):
    losses = sft.metrics("loss")
    assert losses[-1] < losses[0] / 2
    assert sft.evaluation("after").greedy.right > sft.evaluation("before").greedy.right


def test_before_and_after_are_measured_on_the_same_items(sft):
    before, after = sft.evaluation("before"), sft.evaluation("after")
    assert len(before.sampled_outcomes) == len(after.greedy_outcomes) == 20
    assert [sample.prompt for sample in before.samples] == [sample.prompt for sample in after.samples]
    assert len(after.samples) == 3
    assert after.samples[0].reference in after.samples[0].prompt
    assert after.sampled.right == after.sampled_outcomes.count("1")
    assert after.sampled.interval.low < after.sampled.value < after.sampled.interval.high


def test_a_healthy_run_has_no_finding(sft, grpo):
    assert sft.happenings("health") == grpo.happenings("health") == []


def test_the_model_comes_with_tokenizer_template_and_a_card(sft):
    assert {file.name for file in sft.dir.model_dir.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "README.md",
    }
    card = (sft.dir.model_dir / "README.md").read_text()
    after = sft.evaluation("after").greedy
    assert "not measured" not in card
    assert f"{after.value:.1%} ({after.interval.low:.1%} to {after.interval.high:.1%})" in card
    assert "| learning_rate | 0.01 |" in card


def test_nothing_but_the_model_is_left_of_the_training(sft):
    assert not sft.dir.trainer_dir.exists()
    assert not (sft.dir.path / ".model.new").exists()


def test_grpo_goes_on_from_the_trained_model(grpo):
    assert grpo.states == ROAD
    assert grpo.end.state.value == "succeeded", grpo.end
    assert grpo.end.steps_done == grpo.end.total_steps == 6


def test_grpo_reports_reward_and_what_the_rules_watch(grpo):
    assert {
        "reward",
        "frac_reward_zero_std",
        "entropy",
        "completions/clipped_ratio",
        "completions/mean_length",
        "grader/errors",
        "grader/abstained",
        "step_time",
    } <= set(grpo.steps[0].values)
    assert all(0 <= reward <= 1 for reward in grpo.metrics("reward"))


def test_grpo_shows_groups_with_rewards_and_advantages(grpo):
    shown = grpo.happenings("sample")
    assert [sample.step for sample in shown] == [1, 2, 3, 4, 5, 6]
    for sample in shown:
        assert len(sample.completions) == len(sample.rewards) == len(sample.advantages) == 8
        assert sum(sample.advantages) == pytest.approx(0, abs=1e-3)
        for completion, reward in zip(sample.completions, sample.rewards, strict=True):
            assert reward == ("e" in completion)


def test_drafts_are_counted_with_the_graders_verdicts(grpo):
    drafts = grpo.evaluation("before").drafts
    answers = len(grpo.evaluation("before").sampled_outcomes)
    assert drafts.wrong + drafts.right + drafts.undecided == answers
    assert drafts.mended <= drafts.wrong
    assert drafts.spoiled <= drafts.right


def test_a_second_run_starts_where_the_first_one_ended(sft, grpo):
    """The two stages share no process, only the directory: what one wrote is what the other loaded."""
    assert sft.evaluation("after").greedy.right > 0
    config = json.loads((grpo.dir.model_dir / "config.json").read_text())
    assert config["dtype"] == "float32"


def test_the_log_holds_no_progress_bars_and_no_warning_of_ours(sft, grpo):
    for run in (sft, grpo):
        log = run.dir.log_file.read_text()
        assert "it/s]" not in log
        assert "examples/s]" not in log
        assert "app/engine" not in log
