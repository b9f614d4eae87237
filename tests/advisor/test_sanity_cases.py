"""Cases whose right answer is not in dispute."""

import pytest

from app.advisor.recommendation import recommend

VOICE_BOT = {
    "O1": "tone_or_voice", "O2": "many_not_checkable", "O5": "no", "O6": "wrong_too_often",
    "D1": "300_to_999", "D2": "expert_verified", "D3": "judge_free_form", "D8": "yes",
    "P1": "fixed_voice_rules", "P3": "stable",
}  # fmt: skip
COMPETITION_MATHS = {
    "O1": "multi_step_reasoning", "O2": "one", "O5": "helps_and_allowed", "O6": "wrong_too_often",
    "D1": "under_10", "D2": "nobody_can", "D3": "exact_match", "D5": "30_to_70", "D6": "500_or_more",
    "D8": "no", "C1": {"parameters_b": 7, "gpus": 1, "gpu_memory_gb": 80}, "P3": "stable",
}  # fmt: skip
JSON_EXTRACTION = {
    "O1": "classification_or_extraction", "O2": "one", "O5": "no", "O6": "wrong_too_often",
    "D1": "1000_or_more", "D2": "expert_verified", "D3": "exact_match", "D8": "yes",
    "P1": "constrained_decoding", "P3": "stable",
}  # fmt: skip
TEXT_TO_SQL = {
    "O1": "code_or_sql", "O2": "many_checkable", "O5": "helps_and_allowed", "O6": "wrong_too_often",
    "D1": "1000_or_more", "D2": "expert_verified", "D3": "run_it", "D5": "30_to_70", "D6": "500_or_more",
    "D8": "no", "P1": "validator_only", "P3": "stable",
}  # fmt: skip
LEGAL_WITH_RUBRIC = {
    "O1": "self_correction", "O2": "many_checkable", "O5": "helps_and_allowed", "O6": "misses_knowledge",
    "D1": "100_to_299", "D2": "expert_verified", "D3": "judge_with_rubric", "D4": "0_8_or_more",
    "D5": "10_to_30", "D6": "200_to_499", "D8": "no", "S2": "yes_rewarded", "P3": "stable",
}  # fmt: skip
NICER_COPY = {
    "O1": "preference", "O2": "many_not_checkable", "O5": "no", "O6": "wrong_too_often",
    "D1": "10_to_49", "D3": "cannot", "D7": "none", "D8": "partly",
}  # fmt: skip
CATALOGUE_FACTS = {
    "O1": "new_facts",
    "O5": "no",
    "O6": "wrong_too_often",
    "D1": "300_to_999",
    "D3": "exact_match",
}
IMPOSSIBLE_PROOFS = {
    "O1": "multi_step_reasoning", "O5": "helps_and_allowed", "O6": "wrong_too_often", "D1": "100_to_299",
    "D2": "expert_verified", "D3": "run_it", "D5": "under_2", "D6": "500_or_more", "D8": "no", "P3": "stable",
}  # fmt: skip
TEACHER_TRACES = {
    "O1": "multi_step_reasoning", "O2": "one", "O5": "helps_and_allowed", "O6": "wrong_too_often",
    "D1": "1000_or_more", "D2": "stronger_model_checked", "D3": "exact_match", "D5": "10_to_30",
    "D6": "500_or_more", "D8": "yes", "C1": {"parameters_b": 1.5, "gpus": 1, "gpu_memory_gb": 24},
    "P3": "stable",
}  # fmt: skip
ONLY_THUMBS = {
    "O1": "preference",
    "O6": "wrong_too_often",
    "D3": "cannot",
    "D7": "only_pairs",
    "D1": "under_10",
}

HIGH_RISK_AND_STRICT = {"S1": "unacceptable", "P1": "validator_only"}


@pytest.fixture
def advise(rulebook):
    return lambda answers: recommend(rulebook.read({"answers": answers}), rulebook)


def held(advice):
    return {gate.id for gate in advice.gates if gate.state == "holds"}


def test_a_voice_bot_with_800_demonstrations_is_fine_tuned(advise):
    advice = advise(VOICE_BOT)
    assert (advice.method, advice.plan.id, advice.decided_by) == ("sft", "sft", "lean")


def test_competition_maths_with_exact_answers_is_practised(advise):
    advice = advise(COMPETITION_MATHS)
    assert (advice.method, advice.plan.id) == ("grpo", "grpo")
    assert advice.lean > 0.15


def test_json_extraction_from_two_thousand_labels_is_fine_tuned_without_a_blocker(advise):
    advice = advise(JSON_EXTRACTION)
    assert (advice.method, advice.plan.id, advice.readiness) == ("sft", "sft", "ready")
    assert "N4" not in held(advice)


def test_text_to_sql_with_a_database_is_practised(advise):
    advice = advise(TEXT_TO_SQL)
    assert (advice.method, advice.plan.id) == ("grpo", "grpo")


def test_legal_reasoning_with_self_correction_is_practised_after_a_warm_start(advise):
    advice = advise(LEGAL_WITH_RUBRIC)
    assert (advice.method, advice.plan.id) == ("grpo", "sft_then_grpo")
    assert [stage.method for stage in advice.plan.stages] == ["sft", "grpo"]


def test_nicer_copy_without_any_yardstick_is_not_trained_yet(advise):
    advice = advise(NICER_COPY)
    assert advice.plan.id == "not_yet"
    assert {"G1", "N6"} <= held(advice)
    assert "DPO" in next(gate.lift for gate in advice.blockers if gate.id == "N6")


def test_facts_of_a_catalogue_belong_in_retrieval(advise):
    advice = advise(CATALOGUE_FACTS)
    assert (advice.method, advice.readiness, advice.plan.id) == ("sft", "fix_first", "not_yet")
    assert advice.decided_by == "gate"
    assert "SG3" in held(advice)
    assert "retrieval" in advice.headline


def test_proofs_that_never_succeed_begin_with_demonstrations(advise):
    advice = advise(IMPOSSIBLE_PROOFS)
    assert (advice.method, advice.plan.id, advice.decided_by) == ("sft", "sft", "gate")
    assert (advice.band, advice.lean_method) == ("only_runnable", "grpo")
    assert "G2" in held(advice)
    assert advice.plan.trigger


def test_a_small_model_with_traces_of_a_large_teacher_copies_them(advise):
    advice = advise(TEACHER_TRACES)
    assert (advice.method, advice.plan.id) == ("sft", "sft")
    by_question = {part.question: part for part in advice.contributions}
    assert [by_question[question].effect for question in ("O1", "O5", "D5")] == [0, 0, 0]


def test_with_nothing_but_thumbs_a_reward_model_comes_first_and_dpo_is_named_as_simpler(advise):
    advice = advise(ONLY_THUMBS)
    assert (advice.method, advice.plan.id, advice.readiness) == (
        "grpo",
        "reward_model_then_grpo",
        "fix_first",
    )
    assert {"SG4", "G1"} <= held(advice)
    dpo = next(road for road in advice.alternatives if road.id == "dpo")
    assert "simpler" in dpo.sentence


def test_a_reward_model_that_agrees_with_people_is_ready_and_one_that_does_not_is_blocked(advise):
    thumbs = ONLY_THUMBS | {"D3": "reward_model"}
    assert advise(thumbs).readiness == "fix_first"
    assert advise(thumbs | {"D4": "0_6_to_0_8"}).readiness == "ready"
    assert advise(thumbs | {"D4": "under_0_6"}).plan.id == "not_yet"


@pytest.mark.parametrize(
    "clear", [VOICE_BOT, COMPETITION_MATHS, JSON_EXTRACTION, TEXT_TO_SQL, LEGAL_WITH_RUBRIC, TEACHER_TRACES]
)
def test_high_risk_and_a_strict_format_never_turn_a_clear_verdict(advise, clear):
    before, after = advise(clear), advise(clear | HIGH_RISK_AND_STRICT)
    assert after.method == before.method
    assert after.plan.id == before.plan.id


def test_high_risk_adds_guardrails_instead(advise):
    advice = advise(TEXT_TO_SQL | HIGH_RISK_AND_STRICT)
    assert "high_stakes" in {risk.id for risk in advice.risks}


def test_two_to_ten_per_cent_success_asks_for_a_warm_start_where_there_are_demonstrations(advise):
    few = COMPETITION_MATHS | {"D5": "2_to_10"}
    with_demonstrations = advise(few | {"D1": "100_to_299", "D2": "expert_verified"})
    assert (with_demonstrations.plan.id, with_demonstrations.readiness) == ("sft_then_grpo", "ready")
    without = advise(few)
    assert (without.plan.id, without.readiness) == ("grpo", "fix_first")
    assert [gate.id for gate in without.blockers] == ["G2"]


def test_without_any_grader_grpo_is_never_recommended(advise):
    for eager in (COMPETITION_MATHS, TEXT_TO_SQL, LEGAL_WITH_RUBRIC, IMPOSSIBLE_PROOFS):
        for missing in ("cannot", "not_applicable"):
            assert advise(eager | {"D3": missing}).method == "sft"


def test_no_demonstrations_and_nobody_to_make_them_leaves_grpo_as_the_only_option(advise):
    voice = {"O1": "tone_or_voice", "O5": "no", "P1": "fixed_voice_rules"}
    advice = advise(voice | {"D1": "under_10", "D2": "nobody_can", "D3": "exact_match"})
    assert (advice.method, advice.band, advice.lean_method) == ("grpo", "only_runnable", "sft")


def test_untried_prompting_comes_before_any_training(advise):
    advice = advise(TEXT_TO_SQL | {"O6": "not_tried"})
    assert (advice.method, advice.plan.id, advice.readiness) == ("grpo", "not_yet", "fix_first")
    assert advice.decided_by == "lean"


def test_a_model_that_is_always_right_is_not_trained(advise):
    advice = advise(TEXT_TO_SQL | {"D5": "over_95"})
    assert advice.plan.id == "not_yet"
    assert {"G3", "N2"} <= held(advice)


def test_a_measured_probe_replaces_the_guess_about_success(rulebook):
    told = {"answers": TEXT_TO_SQL | {"D5": "under_2"}}
    guessed = recommend(rulebook.read(told), rulebook)
    probed = recommend(rulebook.read(told | {"measurements": {"dead_groups": 0.2}}), rulebook)
    assert (guessed.method, probed.method) == ("sft", "grpo")


def test_the_rollout_cost_is_computed_from_the_users_own_numbers(advise):
    budget = {"gpu_hours": 50, "tokens_per_demonstration": 100, "tokens_per_rollout": 400}
    budget |= {"completions_per_prompt": 4, "rollout_share": 0.5}
    advice = advise(TEXT_TO_SQL | {"C1": {"parameters_b": 7, "gpus": 2, "gpu_memory_gb": 80}, "C2": budget})
    prompt = 256
    lengths = (prompt + 400) / (prompt + 100)
    assert advice.cost.ratio == pytest.approx(4 * lengths * advice.cost.per_token, rel=0.05)
    assert "50 % of a step spent sampling" in advice.cost.sentence
    risk = next(risk for risk in advice.risks if risk.id == "rollout_cost")
    assert risk.sentence == advice.cost.sentence
    assert f"{advice.cost.ratio:g} times" in risk.sentence


def test_a_grpo_plan_names_the_known_failures_and_what_watches_for_them(advise):
    risks = {risk.id: risk for risk in advise(LEGAL_WITH_RUBRIC).risks}
    known = {
        "reward_over_optimisation",
        "oscillation",
        "confident_hallucination",
        "entropy_collapse",
        "rollout_cost",
    }
    assert known <= risks.keys()
    assert all(risk.watch for risk in risks.values())


def test_a_reward_that_never_pays_for_abstaining_is_called_misaligned(advise):
    advice = advise(LEGAL_WITH_RUBRIC | {"S2": "yes_right_wrong_only"})
    risk = next(risk for risk in advice.risks if risk.id == "confident_hallucination")
    assert "misaligned" in risk.sentence


def test_nothing_answered_is_a_tie_that_goes_to_sft_with_a_question_to_begin_with(advise):
    advice = advise({})
    assert (advice.method, advice.decided_by, advice.band) == ("sft", "tie", "too_close")
    assert advice.coverage.unknown == advice.coverage.total == 22
    assert advice.next_question is not None


@pytest.mark.parametrize("maker", [{}, {"D2": "not_applicable"}, {"D2": "expert_verified"}])
def test_sft_is_not_ready_without_demonstrations_whoever_could_make_them(advise, maker):
    """Vendors take no fewer than ten."""
    advice = advise({"O1": "tone_or_voice", "D1": "under_10", "D3": "cannot"} | maker)
    assert (advice.method, advice.readiness) == ("sft", "fix_first")
    assert "SG1" in {gate.id for gate in advice.blockers}


def test_knowing_nothing_is_no_reason_to_train(rulebook):
    advice = recommend(rulebook.read({"answers": {}}), rulebook)
    assert (advice.readiness, advice.plan.id) == ("fix_first", "not_yet")
    assert "N9" in {gate.id for gate in advice.blockers}


def test_a_prompt_that_already_meets_the_goal_is_shipped(rulebook):
    advice = recommend(rulebook.read({"answers": {"O6": "good_enough", "D1": "1000_or_more"}}), rulebook)
    assert (advice.readiness, advice.plan.id) == ("fix_first", "not_yet")
    assert [gate.title for gate in advice.blockers] == ["A prompt is enough"]
