"""What the answers on model, GPUs and budget come to, and how it is said."""

from json import dumps

import pytest

from app.advisor import figures
from app.advisor.advice import Estimate, Range, Recommendation
from app.advisor.answers import Budget, Hardware, Workload
from app.advisor.comparison import NOTHING_SAID, budget_choice, compare, hardware_facts, size_class
from app.advisor.estimate import cost_of, estimate_of
from app.advisor.recommendation import EVERYTHING, recommend
from app.errors import InvalidInput

H100 = {"model": "Qwen2.5-7B", "gpu": "H100 SXM", "gpus": 1}


@pytest.mark.parametrize(
    ("hardware", "fit"),
    [
        ({"parameters_b": 7, "gpus": 2, "gpu_memory_gb": 80}, "full_fits"),
        ({"parameters_b": 7, "gpus": 1, "gpu_memory_gb": 80}, "lora_fits"),
        ({"parameters_b": 7, "gpus": 1, "gpu_memory_gb": 24}, "qlora_only"),
        ({"parameters_b": 70, "gpus": 1, "gpu_memory_gb": 80}, "nothing_fits"),
        ({"parameters_b": 405, "gpus": 1, "gpu_memory_gb": 80, "tuning": "full"}, "nothing_fits"),
        ({"parameters_b": 0.001, "gpus": 0}, "full_fits"),
        ({"parameters_b": 7, "gpus": 0}, "nothing_fits"),
        (H100, "lora_fits"),
    ],
)
def test_the_richest_tuning_that_fits_is_found(rulebook, hardware, fit):
    assert hardware_facts(rulebook.tables, Hardware(**hardware), None)["C1"] == fit


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


def test_names_that_no_table_has_are_refused_with_those_it_has(rulebook):
    wrong = {"model": "Gibbon-7B", "gpu": "Voodoo 2", "stack": "abacus", "gpus": 1}
    with pytest.raises(InvalidInput) as refused:
        rulebook.read({"answers": {"C1": wrong}})
    told = {problem.where: problem.what for problem in refused.value.problems}
    assert "No model is called 'Gibbon-7B'" in told["C1.model"]
    assert "the table has T4, L4" in told["C1.gpu"]
    assert "trl" in told["C1.stack"]


def test_a_model_needs_a_size_of_some_kind(rulebook):
    with pytest.raises(InvalidInput) as refused:
        rulebook.read({"answers": {"C1": {"gpus": 1}}})
    assert [problem.where for problem in refused.value.problems] == ["C1.parameters_b"]


def test_what_the_user_did_not_say_is_listed_as_assumed(rulebook):
    said = Workload(
        prompt_tokens=9, tokens_per_demonstration=9, tokens_per_rollout=9, longest_rollout=9,
        completions_per_prompt=8, prompts_per_step=8, steps=9, demonstrations=9, epochs=1,
        grader_seconds=0,
    )  # fmt: skip
    nothing = estimate_of(rulebook.tables, Hardware(**H100), NOTHING_SAID).assumptions
    everything = estimate_of(rulebook.tables, Hardware(**H100), said).assumptions
    assert len(nothing) == len(everything) + 10
    assert all(line.startswith("Assumed: ") for line in nothing)
    assert "7 billion parameters on one A100-80" in cost_of(rulebook.tables, None, None).assumptions[0]


def test_time_to_grade_an_answer_lengthens_the_step_and_is_told(rulebook):
    def shown(**said):
        return estimate_of(rulebook.tables, Hardware(**H100), Workload(**said))

    unsaid, alone, together = (
        shown(),
        shown(grader_seconds=2.0),
        shown(grader_seconds=2.0, grader_concurrency=16),
    )
    seconds = [
        next(part.seconds for part in one.step if part.id == "scoring") for one in (unsaid, alone, together)
    ]
    assert seconds == [0, 130, 8]
    assert unsaid.grpo.hours.typical < together.grpo.hours.typical < alone.grpo.hours.typical
    assert "Assumed: grading takes no time that counts." in unsaid.assumptions
    assert "Assumed: answers are graded one after another." in alone.assumptions
    assert not any("grad" in line for line in together.assumptions)


def test_answers_that_the_engine_cannot_hold_at_once_take_turns_and_are_told(rulebook):
    small = Hardware(model="Qwen2.5-7B", gpu="A100-80", gpus=1)
    told = [
        any("sampled in" in line for line in estimate_of(rulebook.tables, small, workload).warnings)
        for workload in (NOTHING_SAID, Workload(tokens_per_rollout=8000, completions_per_prompt=16))
    ]
    assert told == [False, True]


def test_budgets_are_compared_with_the_hours_of_a_first_grpo_run(rulebook):
    tables, hardware = rulebook.tables, Hardware(**H100)
    hours = compare(tables, hardware, NOTHING_SAID).spent.gpu_hours.typical
    shares = {0.9: "over_budget", 1.5: "half_to_full", 5: "tenth_to_half", 20: "under_tenth"}
    for share, choice in shares.items():
        assert budget_choice(tables, hardware, Budget(gpu_hours=share * hours)) == choice
    assert budget_choice(tables, hardware, Budget(gpu_hours=0)) == "over_budget"
    assert budget_choice(tables, hardware, Budget(gpu_hours=1000, days=1)) == "needed_today"


def test_a_budget_says_nothing_before_model_and_gpus_are_known(rulebook):
    project = rulebook.read({"answers": {"C2": {"gpu_hours": 100}}})
    advice = recommend(project, rulebook, EVERYTHING)
    budget = next(part for part in advice.contributions if part.question == "C2")
    assert (budget.state, budget.answer_label) == ("unknown", "100 GPU-hours")
    assert advice.estimate is None


def test_the_estimate_lists_every_method_and_tuning_with_its_parts(rulebook):
    project = rulebook.read({"answers": {"C1": H100, "D1": "300_to_999", "O5": "helps_and_allowed"}})
    shown = recommend(project, rulebook, EVERYTHING).estimate
    assert Estimate.model_validate_json(shown.model_dump_json()) == shown
    fits = {(one.method, one.tuning): one for one in shown.configurations}
    assert len(fits) == 6
    assert fits["sft", "lora"].verdict == "fits"
    assert fits["grpo", "full"].verdict == "tight"
    assert "LoRA" in fits["grpo", "full"].remedies
    for one in shown.configurations:
        assert sum(part.gib for part in one.parts) == pytest.approx(one.peak_gib.typical, rel=0.08)
    assert shown.grpo.gpu_hours.typical > shown.sft.gpu_hours.typical > 0
    assert shown.grpo.tuning == shown.sft.tuning
    assert sum(part.share for part in shown.step) == pytest.approx(1, abs=0.02)
    assert [one.id for one in shown.ratios] == ["per_token", "per_prompt", "per_project"]
    assert any("thinking is allowed" in line for line in shown.warnings)
    assert "600 demonstrations" in shown.sft.sentence


def test_more_gpus_than_one_can_hold_share_the_model(rulebook):
    shown = estimate_of(
        rulebook.tables, Hardware(model="Llama-3.1-70B", gpu="H100 SXM", gpus=32), NOTHING_SAID
    )
    full = next(one for one in shown.configurations if (one.method, one.tuning) == ("grpo", "full"))
    assert (full.verdict, full.sharding) == ("fits", "zero3")


def test_an_own_price_takes_the_place_of_the_table(rulebook):
    once, twice = (
        estimate_of(rulebook.tables, Hardware(**H100, gpu_price=price), NOTHING_SAID) for price in (2.0, 4.0)
    )
    assert twice.grpo.dollars.typical == pytest.approx(2 * once.grpo.dollars.typical, rel=0.05)
    assert once.priced is None


def test_dimensions_far_from_the_stated_size_are_told(rulebook):
    shown = estimate_of(rulebook.tables, Hardware(model="Qwen2.5-7B", parameters_b=3, gpus=1), NOTHING_SAID)
    assert any("not the 3 billion stated" in line for line in shown.warnings)


def test_a_recommendation_frozen_with_an_earlier_estimate_is_still_read(rulebook):
    advice = recommend(rulebook.read({"answers": {"C1": H100}}), rulebook)
    earlier = {"available_gb": 80.0, "memory": [], "sft_gpu_hours": 1.0, "grpo_gpu_hours": 9.0}
    wire = advice.model_dump(mode="json") | {"estimate": earlier | {"assumptions": []}}
    assert Recommendation.model_validate_json(dumps(wire)).estimate is None


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ((3.04, 4, 6.11), "3 to 6.1 hours"),
        ((0.1, 0.2, 0.5), "6 to 30 minutes"),
        ((100, 150, 240), "4.2 to 10 days"),
        ((1200, 1500, 2400), "50 to 100 days"),
    ],
)
def test_hours_are_said_with_two_digits_at_most(hours, words):
    assert figures.duration(Range(low=hours[0], typical=hours[1], high=hours[2])) == words
