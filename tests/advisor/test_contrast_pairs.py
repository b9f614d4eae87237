"""Published projects that resemble each other and needed different methods.

Each is encoded from what its team knew before training; what is not reported stays unknown.
"""

import pytest

from app.advisor.recommendation import recommend


@pytest.fixture
def advise(rulebook):
    return lambda answers: recommend(rulebook.read({"answers": answers}), rulebook)


# Writing: one person's voice, or texts better than any at hand


def test_a_named_executives_voice_is_copied(advise):
    """Sales mail in an executive's voice (ekas.io, 2026): a detailed prompt held 60-70 % of the style and
    drifted; a small curated corpus of that person's writing exists."""
    advice = advise(
        {
            "O1": "tone_or_voice",
            "O2": "many_not_checkable",
            "O5": "no",
            "O6": "wrong_too_often",
            "D1": "100_to_299",
            "D2": "expert_verified",
            "D3": "cannot",
            "D7": "none",
            "D8": "yes",
            "P2": "normal_one_answer",
        }
    )
    assert (advice.method, advice.plan.id) == ("sft", "sft")


def test_long_texts_better_than_their_examples_are_practised_against_reward_models(advise):
    """LongWriter-Zero (arXiv 2506.18841): quality is subjective, long examples are costly, monotonous and
    capped by the teacher; reward models for quality, length and format can be built."""
    advice = advise(
        {
            "O1": "preference",
            "O2": "many_not_checkable",
            "D3": "reward_model",
            "D8": "no",
            "S1": "harmless",
            "P2": "loose_one_answer",
        }
    )
    assert (advice.method, advice.plan.id) == ("grpo", "reward_model_then_grpo")


# Law: a label, or a chain of reasoning


def test_coding_court_opinions_is_copied_from_experts(advise):
    """Lawma (arXiv 2407.16615): 260 multiple-choice variables, half a million expert labels, label only."""
    advice = advise(
        {
            "O1": "classification_or_extraction",
            "O2": "one",
            "O5": "no",
            "O6": "wrong_too_often",
            "D1": "1000_or_more",
            "D2": "expert_verified",
            "D3": "exact_match",
            "D6": "500_or_more",
            "D8": "yes",
            "P2": "tight_one_answer",
        }
    )
    assert (advice.method, advice.plan.id) == ("sft", "sft")


def test_legal_multiple_choice_with_reasoning_is_practised_after_a_warm_start(advise):
    """Unilaw-R1 (arXiv 2510.10072): knowledge and multi-step logic, checkable answers, 17,000 screened
    chains; the 7B base lacks legal knowledge and reliable logic."""
    advice = advise(
        {
            "O1": "multi_step_reasoning",
            "O2": "one",
            "O5": "helps_and_allowed",
            "O6": "misses_knowledge",
            "D1": "1000_or_more",
            "D2": "stronger_model_checked",
            "D3": "exact_match",
            "D6": "500_or_more",
            "D8": "partly",
        }
    )
    assert (advice.method, advice.plan.id) == ("grpo", "sft_then_grpo")


# Labels: people's labels are the goal, or they are the ceiling


def test_a_safety_classifier_is_copied_from_its_labels(advise):
    """Llama Guard (arXiv 2312.06674): 14,000 labels of high quality under a written taxonomy, one short
    decode per request."""
    advice = advise(
        {
            "O1": "classification_or_extraction",
            "O2": "one",
            "O5": "no",
            "D1": "1000_or_more",
            "D2": "expert_verified",
            "D3": "exact_match",
            "D8": "yes",
            "S1": "unacceptable",
            "P1": "validator_only",
            "P2": "tight_one_answer",
        }
    )
    assert (advice.method, advice.plan.id) == ("sft", "sft")


def test_medical_codes_beyond_noisy_labels_are_practised(advise):
    """Ambience, ICD-10 coding (OpenAI's use-case guide): code sets checkable against an expert panel's
    gold; physicians' own labels are noisy, so imitating them caps quality."""
    advice = advise(
        {
            "O1": "classification_or_extraction",
            "O2": "few",
            "O5": "helps_and_allowed",
            "D2": "weaker_or_unknown",
            "D3": "exact_match",
            "D4": "0_8_or_more",
            "D8": "no",
            "S1": "unacceptable",
            "P1": "validator_only",
        }
    )
    assert advice.method == "grpo"


# Mathematics: a teacher to copy, or a copy that must be surpassed


def test_a_reasoner_is_elicited_by_a_thousand_traces_of_a_teacher(advise):
    """s1-32B (arXiv 2501.19393): 59,000 teacher traces filtered to 1,000; the aim is a style of reasoning
    that the 32B model already holds."""
    advice = advise(
        {
            "O1": "multi_step_reasoning",
            "O2": "one",
            "O5": "helps_and_allowed",
            "D1": "1000_or_more",
            "D2": "stronger_model_checked",
            "D3": "exact_match",
            "D8": "yes",
            "C1": {"parameters_b": 32, "gpus": 16, "gpu_memory_gb": 80},
            "P2": "loose_one_answer",
        }
    )
    assert (advice.method, advice.plan.id) == ("sft", "sft")


def test_a_reasoner_that_copied_its_teacher_goes_on_by_practice(advise):
    """Phi-4-reasoning-plus (arXiv 2504.21318): SFT on 1.4 million teacher traces is done and must be
    surpassed; 6,000 verifiable problems; longer answers are accepted."""
    advice = advise(
        {
            "O1": "multi_step_reasoning",
            "O2": "one",
            "O5": "helps_and_allowed",
            "O6": "sft_not_enough",
            "D1": "1000_or_more",
            "D2": "stronger_model_checked",
            "D3": "exact_match",
            "D5": "30_to_70",
            "D6": "500_or_more",
            "D8": "no",
            "C1": {"parameters_b": 14, "gpus": 32, "gpu_memory_gb": 80},
            "P2": "loose_one_answer",
        }
    )
    assert advice.method == "grpo"


# One study, two kinds of task: one right call, or many acceptable texts


STUDENT = {
    "D1": "1000_or_more",
    "D2": "stronger_model_checked",
    "C1": {"parameters_b": 1.7, "gpus": 1, "gpu_memory_gb": 80},
    "D6": "500_or_more",
}


def test_structured_tasks_that_match_their_teacher_stay_with_sft(advise):
    """Distil Labs, classification and function calling (2026): one right label or call; SFT already matches
    a 70B teacher; low latency."""
    advice = advise(
        STUDENT
        | {
            "O1": "classification_or_extraction",
            "O2": "one",
            "O5": "no",
            "D3": "exact_match",
            "D8": "yes",
            "P2": "tight_one_answer",
        }
    )
    assert (advice.method, advice.plan.id) == ("sft", "sft")


def test_open_tasks_with_headroom_go_on_by_practice(advise):
    """Distil Labs, seven generation tasks (2026): many acceptable wordings whose meaning can be judged;
    the SFT model still leaves headroom."""
    advice = advise(
        STUDENT
        | {
            "O1": "domain_behaviour",
            "O2": "many_checkable",
            "O6": "sft_not_enough",
            "D3": "judge_with_rubric",
            "D5": "30_to_70",
            "D8": "no",
        }
    )
    assert (advice.method, advice.plan.id) == ("grpo", "sft_then_grpo")
