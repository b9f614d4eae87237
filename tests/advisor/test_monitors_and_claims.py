"""Monitors say what the engine does, and every claim that is passed around has its verdict."""

import pytest

from app.engine import health
from app.engine.health import both, goal, grpo, sft
from app.protocol import EvaluationPlan
from app.web.launch_defaults import USUAL

NUMBERS = {
    name: value
    for module in (both, sft, grpo, goal)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, int | float)
}


def rules_of_the_engine():
    shared = {rule.name for rule in (*health.BOTH_RULES, health.FORGETS)}
    for method, rules in (("sft", (*health.SFT_RULES, health.FORGETS)), ("grpo", health.GRPO_RULES)):
        for rule in rules:
            yield rule.name, ("both" if rule.name in shared else method, rule.level, rule.sources)


def test_each_monitor_is_a_rule_of_the_engine_and_each_rule_a_monitor(rulebook):
    told = {each.id: (each.method, each.level, each.sources) for each in rulebook.monitors}
    assert told == dict(rules_of_the_engine())


def test_limits_are_the_engines_numbers_and_none_is_left_out(rulebook):
    told = {}
    for monitor in rulebook.monitors:
        for name, value in monitor.limits.items():
            assert told.setdefault(name, value) == value
    assert told == pytest.approx(NUMBERS)


def test_what_a_monitor_says_names_its_limits(rulebook):
    for monitor in rulebook.monitors:
        for name, value in monitor.limits.items():
            percent = f"{value * 100:.0f}"
            said = {f"{value:g}", f"{percent} %", f"{percent} points", "a third"}
            assert any(form in monitor.threshold for form in said), (monitor.id, name)


def test_the_popular_rulebooks_lines_and_claims_all_have_a_verdict(rulebook):
    assert [claim.id for claim in rulebook.claims] == [
        *(f"R{number}" for number in range(1, 9)),
        *(f"K{number}" for number in range(1, 18)),
    ]
    assert all(claim.rules for claim in rulebook.claims)


def test_no_multiple_of_the_cost_is_promised(rulebook):
    slower = next(claim for claim in rulebook.claims if claim.id == "K13")
    assert "no constant" in slower.wording
    assert "never quoted" in slower.what_we_do


def test_launch_defaults_are_those_of_the_launch_form(rulebook):
    told = {setting.name: setting.value for setting in rulebook.plan.settings["launch"]}
    sft, grpo, evaluation = USUAL["sft"], USUAL["grpo"], EvaluationPlan()
    assert told == {
        "sft_micro_batch_size": sft.micro_batch_size,
        "grpo_micro_batch_size": grpo.micro_batch_size,
        "max_length": sft.max_length,
        "top_p": grpo.top_p,
        "mask_truncated_completions": grpo.mask_truncated_completions,
        "evaluation_items": evaluation.items,
        "evaluation_temperature": evaluation.temperature,
    }
