"""GPU-hours and money are used up by measuring too: the run pauses, and nothing that was trained is lost."""

import pytest

from app.engine.checkpoints import published
from app.protocol import EvaluationPlan, Limits
from tests.engine.conftest import NAMES_THE_COLOUR, Ended, sft_recipe

pytestmark = pytest.mark.engine

RECIPE = sft_recipe(epochs=1)
PLAN = EvaluationPlan(items=10, max_completion_length=8, checks=0)
LONG_TO_MEASURE = EvaluationPlan(items=20, max_completion_length=300, checks=0, baseline="skip")
CHECKED = EvaluationPlan(items=10, max_completion_length=8, checks=2, baseline="skip")

USED = Limits(gpu_hours=1e-9)
USED_IN_MONEY = Limits(money=1e-9, price_per_gpu_hour=2.0)
AMPLE = Limits(gpu_hours=100)


def last(ended: Ended):
    return ended.dir.events(limit=100_000)[-1].what


@pytest.mark.parametrize(("limits", "name"), [(USED, "gpu_hours"), (USED_IN_MONEY, "money")])
def test_measuring_the_start_ends_at_the_limit_and_goes_on_with_a_higher_one(
    engines, micro_model, demonstrations, limits, name
):
    paused = engines.run(RECIPE, micro_model, demonstrations, NAMES_THE_COLOUR, PLAN, limits=limits)
    assert (last(paused).state.value, last(paused).limit) == ("paused", name)
    assert "was reached while the model was measured. Resume the run with a higher" in last(paused).detail
    assert not paused.happenings("metric")
    assert not paused.happenings("evaluation")

    paused.dir.write_limits(Limits())
    resumed = engines.again(paused.dir)
    assert resumed.end.state.value == "succeeded", resumed.end
    assert [each.evaluation.when for each in resumed.happenings("evaluation")] == ["before", "after"]


@pytest.fixture(scope="module")
def trained_and_lost(engines, micro_model, demonstrations):
    """Its process ended while it measured, soon after the last step."""
    run_dir = engines.prepare(RECIPE, micro_model, demonstrations, None, LONG_TO_MEASURE, limits=AMPLE)
    process = engines.start(run_dir)
    engines.until(run_dir, process, "checkpoint")
    process.kill()
    return engines.wait(run_dir, process)


def test_a_trained_model_is_kept_at_the_limit_and_only_measured_when_resumed(engines, trained_and_lost):
    run_dir, steps = trained_and_lost.dir, [metric.step for metric in trained_and_lost.steps]
    (checkpoint,) = published(run_dir)
    assert checkpoint.step == steps[-1] == trained_and_lost.steps[-1].total_steps

    run_dir.write_limits(USED)
    paused = engines.again(run_dir, attempt=2)
    assert (last(paused).state.value, last(paused).limit) == ("paused", "gpu_hours")
    assert last(paused).detail.endswith("to measure it. The trained model is kept.")
    assert (run_dir.model_dir / "model.safetensors").is_file()

    run_dir.write_limits(AMPLE)
    resumed = engines.again(run_dir, attempt=3)
    assert resumed.end.state.value == "succeeded", resumed.end
    assert [metric.step for metric in resumed.steps] == steps, "no step was trained twice"
    assert resumed.evaluation("after").mean_tokens > 0


def test_a_limit_met_by_a_check_pauses_with_a_checkpoint(engines, micro_model, demonstrations):
    paused = engines.run(RECIPE, micro_model, demonstrations, None, CHECKED, limits=USED)
    assert (last(paused).state.value, last(paused).limit) == ("paused", "gpu_hours")
    assert [each.step for each in published(paused.dir)] == [1]
