"""Each rule recognises its failure in a series of metrics, and keeps quiet on a healthy one."""

import json
from pathlib import Path

import pytest

from app.engine.health import GRPO_RULES, SFT_RULES, Monitor

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


def findings(rules, **series) -> dict[str, tuple[str, int, str]]:
    """Rule -> level, step and sentence, for metrics given as lists of equal length."""
    monitor, found = Monitor(rules), {}
    names = {name.replace("__", "/"): values for name, values in series.items()}
    for step in range(len(next(iter(names.values())))):
        values = {name: given[step] for name, given in names.items()}
        for finding in monitor.observe(step + 1, values):
            assert finding.rule not in found
            found[finding.rule] = (finding.level, finding.step, finding.sentence)
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
    assert "start from a model that sometimes succeeds" in found["never_any_signal"][2]


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
    found = findings(GRPO_RULES, grader__errors=[0.2] * 10)
    assert found["grader_fails"][:2] == ("stop", 10)


@pytest.mark.parametrize("rule", [*SFT_RULES, *GRPO_RULES], ids=lambda rule: rule.name)
def test_every_rule_names_a_source_and_has_a_test_here(rule):
    assert rule.sources
    assert f'"{rule.name}"' in Path(__file__).read_text()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_runs_have_the_findings_written_beside_them(path):
    recorded = json.loads(path.read_text())
    rules = SFT_RULES if recorded["method"] == "sft" else GRPO_RULES
    found = findings(rules, **{name.replace("/", "__"): v for name, v in recorded["metrics"].items()})
    assert sorted(found) == recorded["findings"]
