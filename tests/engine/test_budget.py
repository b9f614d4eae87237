"""A budget of minutes ends the training, not the run: the steps done become the plan, and it is measured."""

import json

import pytest

from app.engine.checkpoints import MANIFEST, published
from app.protocol import EvaluationPlan
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, Ended, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

ENDLESS_SFT = sft_recipe(epochs=1000, lr_scheduler="constant", warmup_ratio=0.0)
ENDLESS_GRPO = grpo_recipe(steps=100_000, batch_size=16, lr_scheduler="constant", warmup_ratio=0.0)

CHECKED = EvaluationPlan(items=10, max_completion_length=8, checks=3, check_items=4)
UNCHECKED = EvaluationPlan(items=10, max_completion_length=8, checks=0)

LONG = 60.0
"""Minutes that no test uses up."""


@pytest.fixture(scope="module")
def sft(engines, micro_model, demonstrations) -> Ended:
    return engines.run(
        ENDLESS_SFT, micro_model, demonstrations, NAMES_THE_COLOUR, CHECKED, train_minutes=0.01, keep="best"
    )


@pytest.fixture(scope="module")
def grpo(engines, micro_model, prompts) -> Ended:
    return engines.run(ENDLESS_GRPO, micro_model, prompts, SAYS_E, UNCHECKED, train_minutes=0.01)


def lines(ended: Ended) -> list[str]:
    return [log.line for log in ended.happenings("log")]


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_used_budget_makes_the_steps_done_the_plan_and_the_run_succeeds(request, method):
    ended = request.getfixturevalue(method)
    end = ended.end
    assert end.state.value == "succeeded", end
    assert 0 < end.steps_done == end.total_steps == ended.steps[-1].step < ended.steps[0].total_steps
    assert f"The budget of 0.01 minutes of training is used after {end.steps_done} steps." in lines(ended)
    assert ended.evaluation("after").sampled_outcomes
    assert ended.dir.model_dir.is_dir()


def test_checks_are_spread_over_the_minutes_and_the_last_follows_the_last_step(sft):
    checked = [metric.step for metric in sft.happenings("metric") if "held_out/loss" in metric.values]
    assert checked[0] == 0
    assert checked[-1] == sft.end.steps_done
    assert len(checked) <= 4
    assert sft.end.kept_step in checked


def test_a_bundle_repeats_the_steps_that_the_budget_allowed(sft):
    assert f"max_steps: {sft.end.steps_done}" in (sft.dir.bundle_dir / "sft.yaml").read_text()


def test_a_plan_that_ends_before_its_minutes_ends_as_any_other(engines, micro_model, demonstrations):
    recipe = sft_recipe(epochs=1)
    ended = engines.run(recipe, micro_model, demonstrations, NAMES_THE_COLOUR, UNCHECKED, train_minutes=LONG)
    assert ended.end.state.value == "succeeded"
    assert ended.end.steps_done == ended.end.total_steps == ended.steps[0].total_steps
    assert not any("budget" in line for line in lines(ended))


def killed(engines, recipe, model, rows, grader):
    """With a checkpoint of every step that allows one."""
    run_dir = engines.prepare(recipe, model, rows, grader, UNCHECKED, train_minutes=LONG)
    run_dir.write_inputs(run_dir.inputs.model_copy(update={"checkpoint_seconds": 0}))
    process = engines.start(run_dir)
    engines.until(run_dir, process, "checkpoint")
    process.kill()
    engines.wait(run_dir, process)
    return run_dir


def say_that_it_learned_for(run_dir, seconds: float) -> None:
    """What the clock would have said after an hour."""
    for checkpoint in published(run_dir):
        told = json.loads((checkpoint.path / MANIFEST).read_text())
        assert 0 < told["learned_seconds"] < 60 * LONG
        (checkpoint.path / MANIFEST).write_text(json.dumps(told | {"learned_seconds": seconds}))


@pytest.fixture(params=["sft", "grpo"])
def lost(request, engines, micro_model, demonstrations, prompts):
    if request.param == "sft":
        return killed(engines, ENDLESS_SFT, micro_model, demonstrations, NAMES_THE_COLOUR)
    return killed(engines, ENDLESS_GRPO, micro_model, prompts, SAYS_E)


def test_a_lost_run_goes_on_with_what_its_checkpoint_left_of_the_budget(engines, lost):
    say_that_it_learned_for(lost, 60 * LONG - 0.001)
    ended = engines.again(lost)
    (resumed,) = ended.happenings("resume")
    assert ended.end.state.value == "succeeded", ended.end
    assert ended.end.steps_done == resumed.from_step + 1


def test_a_run_that_was_lost_after_its_budget_was_used_is_only_measured(engines, lost):
    say_that_it_learned_for(lost, 60 * LONG)
    ended = engines.again(lost)
    (resumed,) = ended.happenings("resume")
    assert ended.end.state.value == "succeeded", ended.end
    assert ended.end.steps_done == ended.end.total_steps == resumed.from_step
    assert ended.evaluation("after").sampled_outcomes
