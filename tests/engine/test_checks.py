"""What is measured before, during and after a run: checks, guard task, remembered baselines."""

import pytest

from app.protocol import AdapterTuning, Evaluation, EvaluationPlan, GeneratedDataset, Guard, Regex
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

ANY_WORD = Regex(name="a word", pattern=r"\w", match="any")

GUARD = Guard(dataset=GeneratedDataset(name="mastered"), grader=ANY_WORD, items=8)

PLAN = EvaluationPlan(
    items=10, max_completion_length=8, baseline="later", checks=3, check_items=4, guard=GUARD
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluations")


def run(engines, cache, *given, **named):
    run_dir = engines.prepare(*given, **named)
    run_dir.write_inputs(run_dir.inputs.model_copy(update={"evaluation_cache": str(cache)}))
    return engines.wait(run_dir, engines.start(run_dir))


@pytest.fixture(scope="module")
def later(engines, cache, micro_model, demonstrations):
    recipe = sft_recipe(epochs=4)
    return run(engines, cache, recipe, micro_model, demonstrations, NAMES_THE_COLOUR, PLAN)


@pytest.fixture(scope="module")
def again(engines, cache, micro_model, demonstrations, later):
    """Another learning rate changes nothing about the starting model."""
    recipe = sft_recipe(epochs=1, learning_rate=1e-3)
    return run(engines, cache, recipe, micro_model, demonstrations, NAMES_THE_COLOUR, PLAN)


def kinds(ended) -> list[str]:
    return [event.what.kind for event in ended.dir.events(limit=10_000)]


def test_a_later_baseline_lets_training_begin_at_once_and_measures_the_starting_model(later):
    assert later.end.state.value == "succeeded", later.end
    assert kinds(later).index("metric") < kinds(later).index("evaluation")
    before, after = later.evaluation("before"), later.evaluation("after")
    assert not before.is_remembered
    assert before.loss > 3 > after.loss
    assert "not measured" not in (later.dir.model_dir / "README.md").read_text()


def test_a_remembered_baseline_is_the_same_and_comes_first(later, again):
    assert kinds(again).index("evaluation") < kinds(again).index("metric")
    found = again.evaluation("before")
    assert found.is_remembered
    assert found == later.evaluation("before").model_copy(update={"is_remembered": True})


def test_a_run_that_remembers_its_baseline_starts_its_checks_from_it(later, again):
    assert [metric.step for metric in checks(again)] == [0, 2, 4, 6]
    assert [metric.step for metric in checks(later)] == [8, 16, 24]
    start = checks(again)[0].values
    assert start["held_out/loss"] == pytest.approx(later.evaluation("before").loss)


def checks(ended) -> list:
    return [metric for metric in ended.happenings("metric") if "held_out/loss" in metric.values]


def test_checks_tell_score_loss_lengths_and_manners(later):
    assert set(checks(later)[-1].values) == {
        "held_out/score",
        "held_out/right",
        "held_out/loss",
        "held_out/mean_tokens",
        "held_out/length_ratio",
        "held_out/clipped",
        "held_out/deference",
    }
    assert checks(later)[0].values["held_out/loss"] > checks(later)[-1].values["held_out/loss"]


def test_the_guard_task_is_measured_before_and_after_beside_the_main_one(later, again):
    for ended in (later, again):
        said = [event.evaluation for event in ended.happenings("evaluation")]
        assert sorted((each.task, each.when) for each in said) == [
            ("guard", "after"),
            ("guard", "before"),
            ("main", "after"),
            ("main", "before"),
        ]
        assert {len(each.sampled_outcomes) for each in said if each.task == "guard"} == {8}


def test_every_grader_scores_every_item_and_references_have_a_length(later):
    after = later.evaluation("after")
    (scores,) = after.scores
    assert (scores.grader, scores.role) == ("colour", "reward")
    assert [score == 1.0 for score in scores.sampled] == [mark == "1" for mark in after.sampled_outcomes]
    assert len(after.sampled_tokens) == 10
    assert after.reference_tokens == pytest.approx(1 + 4.4, abs=0.8)
    assert after.deference == 0.0


def test_what_was_measured_after_is_the_start_of_a_run_that_goes_on_from_there(
    engines, cache, demonstrations, later
):
    """The next stage of a plan; what it recalls is what it would have measured."""
    go_on = (sft_recipe(epochs=1), later.dir.model_dir, demonstrations, NAMES_THE_COLOUR)
    recalled = run(engines, cache, *go_on, PLAN)
    measured = run(engines, "", *go_on, PLAN.model_copy(update={"checks": 0, "guard": None}))
    said = [event.evaluation for event in recalled.happenings("evaluation")]
    told = {(each.task, each.when): each for each in said}
    assert told["guard", "before"].is_remembered
    before, fresh = told["main", "before"], measured.evaluation("before")
    assert before.is_remembered
    assert not fresh.is_remembered
    assert (before.samples, before.scores) == (fresh.samples, fresh.scores)
    assert before.loss == pytest.approx(fresh.loss)


def test_the_starting_model_of_an_adapter_is_measured_with_the_adapter_off(
    engines, micro_model, demonstrations, later, tmp_path
):
    plan = PLAN.model_copy(update={"checks": 0, "guard": None})
    recipe = sft_recipe(epochs=4, tuning=AdapterTuning(kind="lora", rank=8))
    ended = run(engines, tmp_path, recipe, micro_model, demonstrations, NAMES_THE_COLOUR, plan)
    assert ended.end.state.value == "succeeded", ended.end
    start, tuned = ended.evaluation("before"), ended.evaluation("after")
    assert start.loss == pytest.approx(later.evaluation("before").loss, rel=1e-4)
    assert start.loss > tuned.loss
    assert [each.when for each in remembered(tmp_path)] == ["before"]
    assert remembered(tmp_path)[0].loss == start.loss


def remembered(folder) -> list[Evaluation]:
    return [Evaluation.model_validate_json(file.read_bytes()) for file in folder.glob("*.json")]


@pytest.fixture(scope="module")
def unchecked(engines, cache, micro_model, demonstrations):
    plan = PLAN.model_copy(update={"checks": 0, "baseline": "skip", "guard": None})
    recipe = sft_recipe(epochs=4)
    return run(engines, "", recipe, micro_model, demonstrations, NAMES_THE_COLOUR, plan)


def test_a_run_trains_alike_with_and_without_checks(later, unchecked):
    assert checks(unchecked) == []
    assert unchecked.metrics("loss") == later.metrics("loss")


def test_a_skipped_baseline_is_never_measured_and_the_card_says_so(unchecked):
    (after,) = unchecked.happenings("evaluation")
    assert after.evaluation.when == "after"
    assert "| before | not measured | not measured |" in (unchecked.dir.model_dir / "README.md").read_text()


def test_a_grader_that_cannot_grade_is_refused_before_training_even_if_the_baseline_comes_later(
    engines, micro_model, demonstrations
):
    plan = PLAN.model_copy(update={"guard": None})
    deep = SAYS_E.model_copy(update={"reference": "{{ item.colour.shade }}"})
    ended = engines.run(grpo_recipe(), micro_model, demonstrations, deep, plan)
    assert ended.end.state.value == "failed"
    assert "The grader failed on every held-out answer" in ended.end.reason
    assert ended.happenings("metric") == []
