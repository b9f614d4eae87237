"""Memory, hours and the cost ratio."""

import pytest

from app.advisor.answers import Budget, Hardware
from app.advisor.estimate import (
    best_fit,
    budget_choice,
    cost_of,
    grpo_gpu_hours,
    hardware_facts,
    needed_gb,
    size_class,
)
from app.advisor.recommendation import EVERYTHING, recommend

TUNINGS = ("full", "lora", "qlora")


def test_memory_at_the_sizes_of_the_table_is_the_table(rulebook):
    memory = rulebook.compute.memory
    assert needed_gb(memory, "grpo", "full", 14) == pytest.approx(320)
    assert needed_gb(memory, "sft", "qlora", 3) == pytest.approx(3.5 * memory.overhead)
    assert needed_gb(memory, "sft", "full", 70) == pytest.approx(1120)


@pytest.mark.parametrize("method", ["sft", "grpo"])
@pytest.mark.parametrize("tuning", TUNINGS)
def test_memory_rises_with_size(rulebook, method, tuning):
    sizes = [0.05, 0.3, 0.5, 1, 1.5, 2, 3, 5, 7, 8, 14, 20, 32, 50, 70, 100, 405]
    needs = [needed_gb(rulebook.compute.memory, method, tuning, size) for size in sizes]
    assert needs == sorted(needs)
    assert needs[0] > 0


@pytest.mark.parametrize("size", [0.5, 1.5, 3, 7, 14, 32, 70])
def test_grpo_needs_more_than_sft_and_full_more_than_lora_more_than_qlora(rulebook, size):
    memory = rulebook.compute.memory
    for tuning in TUNINGS:
        assert needed_gb(memory, "grpo", tuning, size) > needed_gb(memory, "sft", tuning, size)
    for method in ("sft", "grpo"):
        needs = [needed_gb(memory, method, tuning, size) for tuning in TUNINGS]
        assert needs == sorted(needs, reverse=True)


@pytest.mark.parametrize(
    ("hardware", "fit"),
    [
        (Hardware(parameters_b=7, gpus=2, gpu_memory_gb=80), "full"),
        (Hardware(parameters_b=7, gpus=1, gpu_memory_gb=80), "lora"),
        (Hardware(parameters_b=7, gpus=1, gpu_memory_gb=24), "qlora"),
        (Hardware(parameters_b=70, gpus=1, gpu_memory_gb=80), "none"),
        (Hardware(parameters_b=7, gpus=1, gpu_memory_gb=80, tuning="full"), "none"),
        (Hardware(parameters_b=0.001, gpus=0), "full"),
        (Hardware(parameters_b=7, gpus=0), "none"),
    ],
)
def test_the_richest_tuning_that_fits_is_found(rulebook, hardware, fit):
    assert best_fit(rulebook.compute.memory, hardware, "grpo") == fit


@pytest.mark.parametrize(
    ("billions", "name"),
    [
        (0.1, "under_0_5b"),
        (0.5, "0_5b_to_1_5b"),
        (1.5, "1_5b_to_3b"),
        (3, "3b_to_14b"),
        (14, "3b_to_14b"),
        (14.1, "over_14b"),
    ],
)
def test_sizes_fall_into_their_classes(billions, name):
    assert size_class(billions) == name


def test_a_model_too_large_for_either_method_blocks_both(rulebook):
    answers = {"O1": "multi_step_reasoning", "D3": "exact_match"}
    answers["C1"] = {"parameters_b": 405, "gpus": 1, "gpu_memory_gb": 80}
    advice = recommend(rulebook.read({"answers": answers}), rulebook)
    assert advice.plan.id == "not_yet"
    assert {"G9", "SG5"} <= {gate.id for gate in advice.blockers}


def test_the_cost_ratio_is_tries_times_length_over_what_sampling_leaves(rulebook):
    budget = Budget(
        gpu_hours=1,
        completions_per_prompt=8,
        tokens_per_rollout=100,
        tokens_per_demonstration=100,
        rollout_share=0.5,
    )
    assert cost_of(rulebook.compute, None, budget).ratio == 16
    dearer = budget.model_copy(update={"rollout_share": 0.8})
    assert cost_of(rulebook.compute, None, dearer).ratio == 40


def test_what_the_user_did_not_say_is_listed_as_assumed(rulebook):
    nothing = cost_of(rulebook.compute, None, None)
    everything = cost_of(
        rulebook.compute,
        None,
        Budget(
            gpu_hours=1,
            completions_per_prompt=8,
            tokens_per_rollout=9,
            tokens_per_demonstration=9,
            rollout_share=0.5,
        ),
    )
    assert len(nothing.assumptions) == 4
    assert everything.assumptions == ()


def test_budgets_are_compared_with_the_hours_of_a_first_grpo_run(rulebook):
    compute, hardware = rulebook.compute, Hardware(parameters_b=7, gpus=1, gpu_memory_gb=80)
    hours = grpo_gpu_hours(compute, hardware, None)
    shares = {0.9: "over_budget", 1.5: "half_to_full", 5: "tenth_to_half", 20: "under_tenth"}
    for share, choice in shares.items():
        assert budget_choice(compute, hardware, Budget(gpu_hours=share * hours)) == choice
    assert budget_choice(compute, hardware, Budget(gpu_hours=0)) == "over_budget"
    assert budget_choice(compute, hardware, Budget(gpu_hours=1000, days=1)) == "needed_today"


def test_a_budget_says_nothing_before_model_and_gpus_are_known(rulebook):
    project = rulebook.read({"answers": {"C2": {"gpu_hours": 100}}})
    advice = recommend(project, rulebook, EVERYTHING)
    budget = next(part for part in advice.contributions if part.question == "C2")
    assert (budget.state, budget.answer_label) == ("unknown", "100 GPU-hours")
    assert advice.estimate is not None
    assert advice.estimate.grpo_gpu_hours is None


def test_the_estimate_lists_every_method_and_tuning(rulebook):
    hardware = {"parameters_b": 7, "gpus": 1, "gpu_memory_gb": 80}
    project = rulebook.read({"answers": {"C1": hardware, "D1": "300_to_999"}})
    shown = recommend(project, rulebook, frozenset({"estimate"})).estimate
    assert shown is not None
    fits = {(need.method, need.tuning): need.fits for need in shown.memory}
    assert len(fits) == 6
    assert fits["sft", "lora"]
    assert not fits["grpo", "full"]
    assert shown.grpo_gpu_hours > shown.sft_gpu_hours > 0
    assert hardware_facts(rulebook.compute.memory, Hardware(**hardware))["C1"] == "lora_fits"
