"""Each rule recognises its failure in a series of metrics, and keeps quiet on a healthy one."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path

import pytest

from app.engine.health import FORGETS, GRPO_RULES, REWARD_MODEL_RULES, SFT_RULES, Monitor, forgetting
from app.engine.measuring import share
from app.protocol import Evaluation
from tests.engine.scenarios import SCENARIOS

RECORDINGS = Path(__file__).parent / "recorded"
RECORDED = sorted(RECORDINGS.glob("*.json"))


def findings(rules, checks=None, on_finding="as_ruled", **series) -> dict[str, tuple[str, int, str]]:
    """Rule -> level, step and words, for metrics given as lists of equal length.

    `checks` are those on held-out rows, without their prefix, evenly spread over the steps from 0 on.
    """
    steps = {name.replace("__", "/"): list(enumerate(values, 1)) for name, values in series.items()}
    n = max((len(values) for values in steps.values()), default=100)
    for name, values in (checks or {}).items():
        spread = [(round(n * k / (len(values) - 1)), value) for k, value in enumerate(values)]
        steps[f"held_out/{name}"] = spread
    return told(rules, steps, on_finding)


def told(rules, steps: dict[str, list[tuple[int, float]]], on_finding="as_ruled"):
    """As the trainer tells them: the log of a step, then the check after it."""
    monitor, found = Monitor(rules, on_finding), {}
    logs: dict[tuple[int, bool], dict[str, float]] = defaultdict(dict)
    for name, points in steps.items():
        for step, value in points:
            logs[step, name.startswith("held_out/")][name] = value
    for (step, _), values in sorted(logs.items()):
        for finding in monitor.observe(step, values):
            assert finding.rule not in found
            assert finding.metric
            assert finding.sources
            found[finding.rule] = (finding.level, finding.step, finding.in_words)
    return found


def falling(start: float, end: float, n: int) -> list[float]:
    return [start + (end - start) * step / (n - 1) for step in range(n)]


def test_a_loss_that_is_no_number_stops_either_method_at_once():
    for rules in (SFT_RULES, GRPO_RULES):
        found = findings(rules, loss=[1.0, None, 1.0], grad_norm=[0.1, None, 0.1])
        assert found["not_finite"][:2] == ("stop", 2)
        assert "loss and grad_norm stopped being a number" in found["not_finite"][2]


def test_a_metric_that_is_absent_or_null_by_nature_is_no_divergence():
    assert not findings(GRPO_RULES, loss=[0.0] * 30, reward=[None] * 30)


def test_gradients_ten_times_the_usual_are_told():
    norms = [0.5, 0.6, 0.4, 0.5] * 6 + [2.0, 3.0, 9.0]
    assert findings(SFT_RULES, grad_norm=norms)["gradients_explode"][:2] == ("warn", 27)


def test_one_wild_gradient_is_no_explosion():
    assert not findings(SFT_RULES, grad_norm=[0.5] * 20 + [40.0] + [0.5] * 20)


def test_gradients_that_are_often_nil_are_no_measure():
    assert not findings(GRPO_RULES, grad_norm=[0.0] * 20 + [0.3, 0.4, 0.5])


def test_a_loss_that_climbs_above_its_start_is_told():
    found = findings(SFT_RULES, loss=falling(3.0, 1.0, 10) + falling(1.0, 6.0, 10))
    assert found["loss_climbs"][0] == "warn"
    assert "Start again with a third of it" in found["loss_climbs"][2]


def test_a_noisy_falling_loss_is_healthy():
    losses = [value + (0.4 if step % 3 else -0.4) for step, value in enumerate(falling(3.0, 1.0, 60))]
    assert not findings(SFT_RULES, loss=losses)


def test_a_loss_that_does_not_move_is_told_after_forty_steps():
    assert findings(SFT_RULES, loss=[2.0, 2.01] * 30)["loss_stands"][:2] == ("warn", 40)


def test_twenty_first_steps_without_any_difference_stop_the_run():
    found = findings(GRPO_RULES, frac_reward_zero_std=[1.0] * 25, reward=[0.0] * 25)
    assert found["never_any_signal"][:2] == ("stop", 20)
    assert "Start from a model that sometimes succeeds" in found["never_any_signal"][2]


def test_a_mastered_task_is_told_apart_from_an_impossible_one():
    found = findings(GRPO_RULES, frac_reward_zero_std=[1.0] * 20, reward=[1.0] * 20)
    assert "nothing left to teach" in found["never_any_signal"][2]


def test_one_group_that_differed_keeps_the_run_alive():
    dead = [1.0] * 10 + [0.9] + [1.0] * 10
    found = findings(GRPO_RULES, frac_reward_zero_std=dead, reward=[0.0] * 21)
    assert "never_any_signal" not in found
    assert found["dead_groups"][:2] == ("warn", 10)


def test_a_model_that_broke_is_stopped_and_not_told_to_change_its_prompts():
    found = findings(
        GRPO_RULES, frac_reward_zero_std=[0.3] * 3 + [1.0] * 12, reward=[0.3, 0.3, 0.1] + [0.0] * 12
    )
    assert found["signal_lost"][:2] == ("stop", 13)
    assert "fell from 0.30 to 0.00" in found["signal_lost"][2]
    assert "dead_groups" not in found


def test_groups_that_agree_because_the_task_is_learnt_are_healthy():
    dead, rewards = falling(0.2, 1.0, 60), falling(0.3, 0.99, 60)
    assert not findings(GRPO_RULES, frac_reward_zero_std=dead, reward=rewards)


def test_entropy_that_falls_without_gain_is_collapse():
    found = findings(GRPO_RULES, entropy=falling(1.0, 0.05, 40), reward=[0.3] * 40)
    assert found["entropy_collapses"][0] == "warn"


def test_entropy_that_falls_while_the_reward_rises_is_learning():
    assert not findings(GRPO_RULES, entropy=falling(1.0, 0.05, 60), reward=falling(0.3, 0.85, 60))


def test_entropy_that_falls_where_nothing_is_left_to_gain_is_healthy():
    assert not findings(GRPO_RULES, entropy=falling(1.0, 0.05, 40), reward=[0.98] * 40)


def test_answers_that_are_mostly_cut_off_are_told():
    found = findings(GRPO_RULES, completions__clipped_ratio=[0.7] * 12, reward=[0.2] * 12)
    assert found["truncation"][:2] == ("warn", 10)


def test_answers_that_grow_into_the_limit_are_told():
    found = findings(GRPO_RULES, completions__clipped_ratio=falling(0.0, 0.5, 40), reward=[0.4] * 40)
    assert found["truncation_grows"][0] == "warn"


def test_answers_that_learn_to_end_are_healthy():
    assert not findings(GRPO_RULES, completions__clipped_ratio=falling(0.45, 0.0, 40), reward=[0.4] * 40)


def test_answers_that_shrink_to_almost_nothing_are_told():
    found = findings(GRPO_RULES, completions__mean_length=falling(80.0, 4.0, 60), reward=[0.4] * 60)
    assert found["length_collapses"][0] == "warn"


def test_a_hundred_steps_without_progress_are_told():
    found = findings(GRPO_RULES, reward=[0.3, 0.28] * 60)
    assert found["no_progress"][:2] == ("warn", 100)


def test_a_reward_that_falls_back_is_told():
    found = findings(GRPO_RULES, reward=falling(0.2, 0.8, 30) + falling(0.8, 0.2, 30))
    assert found["reward_falls_back"][0] == "warn"


def test_a_reward_that_wavers_on_its_way_up_is_healthy():
    rewards = [value + (0.08 if step % 2 else -0.08) for step, value in enumerate(falling(0.2, 0.8, 80))]
    assert not findings(GRPO_RULES, reward=rewards)


def test_a_grader_that_fails_now_and_then_is_told_and_one_that_fails_often_stops_the_run():
    found = findings(GRPO_RULES, grader__errors=[0.02] * 10)
    assert list(found) == ["grader_sometimes_fails"]
    found = findings(GRPO_RULES, grader__errors=[0.06] * 10)
    assert found["grader_fails"][:2] == ("stop", 10)


def test_held_out_loss_that_rises_on_two_checks_is_over_fitting():
    checks = {"loss": [2.0, 1.0, 0.8, 1.0, 1.1]}
    found = findings(SFT_RULES, checks, loss=falling(2.0, 0.9, 100))
    assert found["over_fits"][:2] == ("warn", 100)
    assert "over_fits_far" not in found
    assert "over_fits" not in findings(SFT_RULES, {"loss": [2.0, 0.8, 1.1, 0.7]}, loss=[1.0] * 100)


def test_held_out_loss_far_above_its_best_and_the_demonstrations_stops_the_run():
    found = findings(SFT_RULES, {"loss": [2.0, 0.8, 1.3, 1.5]}, loss=falling(2.0, 0.1, 100))
    assert found["over_fits_far"][0] == "stop"


def test_a_tiny_held_out_loss_that_wavers_is_healthy():
    assert not findings(SFT_RULES, {"loss": [2.0, 0.02, 0.03, 0.028]}, loss=falling(2.0, 0.02, 100))


def test_demonstrations_known_by_heart_while_held_out_rows_stand_still_are_memorised():
    checks = {"loss": [2.0, 0.9, 0.9, 0.91]}
    found = findings(SFT_RULES, checks, loss=falling(2.0, 0.01, 100), mean_token_accuracy=[0.999] * 100)
    assert found["memorises"][0] == "warn"
    as_easy = {"loss": [2.0, 0.02, 0.01, 0.01]}
    assert not findings(SFT_RULES, as_easy, loss=falling(2.0, 0.01, 100), mean_token_accuracy=[0.999] * 100)


def test_a_model_surer_than_it_is_right_has_narrowed():
    found = findings(SFT_RULES, {"loss": [2.0, 1.0, 0.9]}, entropy=falling(2.0, 0.1, 100))
    assert found["diversity_falls"][0] == "warn"
    assert not findings(SFT_RULES, {"loss": [2.0, 0.5, 0.1]}, entropy=falling(2.0, 0.1, 100))


def test_answers_much_longer_than_their_references_are_told_and_twice_as_long_stop_the_run():
    assert list(findings(SFT_RULES, {"length_ratio": [1.0, 1.5, 1.5, 1.6]})) == ["verbose"]
    found = findings(SFT_RULES, {"length_ratio": [1.0, 2.5, 2.4, 2.5]})
    assert found["very_verbose"][0] == "stop"


def test_a_model_that_learns_to_end_its_answers_is_healthy():
    assert not findings(SFT_RULES, {"length_ratio": [8.0, 5.0, 3.0, 1.6, 1.1]})


def test_answers_that_come_to_defer_are_told():
    found = findings(SFT_RULES, {"deference": [0.1, 0.3, 0.5]})
    assert found["defers"][0] == "warn"
    assert not findings(SFT_RULES, {"deference": [0.6, 0.65, 0.7]})
    assert not findings(SFT_RULES, {"deference": [0.0, 0.05, 0.04]})


def test_answers_that_are_all_cut_off_stop_the_run():
    found = findings(GRPO_RULES, completions__clipped_ratio=[1.0] * 25, reward=[0.1] * 25)
    assert found["all_cut_off"][:2] == ("stop", 20)


def test_answers_that_grow_without_gain_are_told_and_stopped():
    found = findings(GRPO_RULES, completions__mean_length=falling(20.0, 90.0, 80), reward=[0.4] * 80)
    assert found["length_grows"][0] == "warn"
    assert found["length_runs_away"][0] == "stop"


def test_answers_that_grow_and_become_better_are_reasoning():
    lengths, rewards = falling(20.0, 90.0, 80), falling(0.2, 0.8, 80)
    assert not findings(GRPO_RULES, completions__mean_length=lengths, reward=rewards)


def test_only_wrong_answers_that_grow_are_told():
    lengths = {
        "completions__mean_length_wrong": falling(20.0, 50.0, 60),
        "completions__mean_length_right": [20.0] * 60,
    }
    assert "wrong_answers_grow" in findings(GRPO_RULES, **lengths)
    lengths["completions__mean_length_right"] = falling(20.0, 50.0, 60)
    assert not findings(GRPO_RULES, **lengths)


RISES = falling(0.3, 0.9, 100)


def test_a_reward_that_rises_while_the_independent_score_falls_is_over_optimised():
    checks = {"score": [0.3, 0.6, 0.8, 0.9], "independent/true": [0.5, 0.45, 0.3, 0.2]}
    found = findings(GRPO_RULES, checks, reward=RISES)
    assert found["reward_hacked"][0] == "stop"
    assert "“true” fell from 0.50 to 0.25" in found["reward_hacked"][2]


def test_an_independent_score_that_rose_first_and_then_fell_is_over_optimised():
    checks = {"score": [0.3, 0.6, 0.8, 0.9, 0.9], "independent/true": [0.3, 0.6, 0.6, 0.4, 0.3]}
    assert "reward_hacked" in findings(GRPO_RULES, checks, reward=RISES)


def test_an_independent_score_that_wavers_upwards_is_healthy():
    checks = {"score": [0.3, 0.5, 0.7, 0.9], "independent/true": [0.3, 0.55, 0.6, 0.85]}
    assert not findings(GRPO_RULES, checks, reward=RISES)


def test_a_rewarded_score_that_outgrows_the_independent_one_is_told():
    checks = {"score": [0.3, 0.6, 0.8, 0.9], "independent/true": [0.3, 0.4, 0.45, 0.5]}
    found = findings(GRPO_RULES, checks, reward=RISES)
    assert found["reward_outruns"][0] == "warn"
    assert "reward_hacked" not in found


def test_a_reward_that_only_rises_on_its_own_prompts_is_told():
    found = findings(GRPO_RULES, {"score": [0.3, 0.3, 0.35, 0.3, 0.32, 0.3]}, reward=RISES)
    assert "learns its prompts" in found["reward_outruns"][2]
    assert not findings(GRPO_RULES, {"score": [0.3, 0.4, 0.5, 0.7, 0.8, 0.85]}, reward=RISES)


def test_one_part_at_its_ceiling_while_another_stands_still_is_told():
    parts = {"rewards__shape": falling(0.3, 1.0, 45) + [1.0] * 15, "rewards__right": [0.2] * 60}
    found = findings(GRPO_RULES, reward=falling(0.3, 0.6, 60), **parts)
    assert "“shape”" in found["one_part_hacked"][2]
    parts["rewards__right"] = falling(0.2, 0.7, 60)
    assert not findings(GRPO_RULES, reward=falling(0.3, 0.8, 60), **parts)


def test_a_model_that_stops_saying_that_it_does_not_know_is_told_and_stopped():
    found = findings(GRPO_RULES, {"abstention": [0.8, 0.6, 0.5, 0.3, 0.2]})
    assert found["abstention_lost"][0] == "warn"
    assert found["abstention_gone"][0] == "stop"
    assert not findings(GRPO_RULES, {"abstention": [0.8, 0.75, 0.7]})


def test_a_model_that_drifts_is_told_and_then_stopped():
    found = findings(GRPO_RULES, kl=falling(0.0, 15.0, 60))
    assert (found["drifts"][0], found["drifts_far"][0]) == ("warn", "stop")
    assert not findings(GRPO_RULES, kl=falling(0.0, 4.0, 60))


def test_engines_that_disagree_are_told():
    ratios = {"sampling__importance_sampling_ratio__mean": [0.7] * 10}
    assert findings(GRPO_RULES, **ratios)["engines_disagree"][0] == "warn"


def test_a_run_whose_reward_has_settled_is_told_for_information_whatever_findings_do():
    rewards = falling(0.2, 0.8, 150) + [0.8] * 100
    found = findings(GRPO_RULES, on_finding="stop", reward=rewards)
    assert found["finished_early"][0] == "info"
    assert "finished_early" not in findings(GRPO_RULES, reward=falling(0.2, 0.8, 250))


@pytest.mark.parametrize("on_finding", ["warn", "stop"])
def test_findings_warn_or_stop_in_any_case_if_asked(on_finding):
    found = findings(GRPO_RULES, on_finding=on_finding, frac_reward_zero_std=[1.0] * 25, reward=[0.0] * 25)
    assert {level for level, *_ in found.values()} == {on_finding}
    assert len(found) == 2


def guarded(marks: str) -> Evaluation:
    return Evaluation(
        when="before",
        task="guard",
        sampled=share(marks),
        greedy=share(marks),
        sampled_outcomes=marks,
        greedy_outcomes=marks,
        abstained=0,
        errors=0,
        mean_tokens=1.0,
        clipped=0.0,
        samples=[],
        seconds=0.1,
    )


def test_a_guard_task_that_fell_beyond_luck_is_forgetting():
    finding = forgetting(guarded("1" * 100), guarded("1" * 90 + "0" * 10), 60)
    assert finding is not None
    assert (finding.rule, finding.level, finding.value) == ("forgets", "warn", 0.9)
    assert "from 100% to 90%" in finding.sentence
    assert forgetting(guarded("1" * 100), guarded("1" * 96 + "0" * 4), 60) is None
    assert forgetting(guarded("1" * 100), guarded("1" * 100), 60) is None


def test_a_long_run_is_still_judged_and_each_step_costs_the_same():
    """Past the first steps rules look only now and then, so what a whole run costs grows with its length."""
    looks = []
    rule = dataclasses.replace(SFT_RULES[0], find=lambda series: looks.append(1))
    monitor = Monitor([rule])
    for step in range(1, 10_001):
        monitor.observe(step, {"loss": 1.0})
    assert 300 < len(looks) < 1000
    monitor.observe(10_001, {"loss": None})
    monitor.observe(10_002, {"held_out/loss": 1.0})
    assert len(looks) > 300


ALL_RULES = {rule.name: rule for rule in (*SFT_RULES, *GRPO_RULES, *REWARD_MODEL_RULES, FORGETS)}


@pytest.mark.parametrize("rule", ALL_RULES.values(), ids=lambda rule: rule.name)
def test_every_rule_names_a_source_and_has_a_test_here(rule):
    assert rule.sources
    assert f'"{rule.name}"' in Path(__file__).read_text()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_runs_have_the_findings_written_beside_them(path):
    recorded = json.loads(path.read_text())
    rules = SFT_RULES if recorded["method"] == "sft" else GRPO_RULES
    steps = {
        name: list(zip(line["steps"], line["values"], strict=True))
        if isinstance(line, dict)
        else list(enumerate(line, 1))
        for name, line in recorded["metrics"].items()
    }
    assert sorted(told(rules, steps)) == recorded["findings"]


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() & {path.stem for path in RECORDED}))
def test_each_scenario_was_recorded_with_what_it_has_to_show(name):
    recorded = json.loads((RECORDINGS / f"{name}.json").read_text())
    assert SCENARIOS[name].expected <= set(recorded["findings"])
    if SCENARIOS[name].is_healthy:
        assert recorded["findings"] == []
