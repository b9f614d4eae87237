"""A broken rule names the file, the key and the reason, before anybody is advised by it."""

import pytest

from app.advisor.rulebook import FILES, Rulebook
from app.errors import BrokenRulebook


def broken(texts, name, old, new, count=1):
    assert old in texts[name]
    with pytest.raises(BrokenRulebook) as raised:
        Rulebook.parse(texts | {name: texts[name].replace(old, new, count)})
    return raised.value.sentence


CASES = [
    ("data.toml", 'id = "cannot"', 'id = "Cannot!"', ("questions.D3.choices.Cannot!.id", "pattern")),
    ("data.toml", "effect = 3\n", "effect = 4\n", ("questions.D3.choices.run_it.effect", "less than")),
    ("data.toml", "effect = 3\n", 'effect = "much"\n', ("questions.D3.choices.run_it.effect", "number")),
    ("data.toml", "effect = 3\n", "effect = nan\n", ("data.toml", "JSON compliant")),
    ("data.toml", "effect = 3\n", "effect = 1979-05-27\n", ("data.toml", "date")),
    ("data.toml", "effect = 3\n", "efect = 3\n", ("questions.D3.choices.run_it", "effect")),
    ("data.toml", "deciding = true", "decides = true", ("questions.D1.decides", "not known here")),
    ("data.toml", 'grade = "A"', 'grade = "D"', ("questions.D1.grade", "'A', 'B' or 'C'")),
    ("data.toml", '"openai-sft"', '"openai-sfx"', ("questions.D1.sources", "'openai-sfx'", "evidence.toml")),
    ("data.toml", 'id = "D2"', 'id = "D1"', ("D1", "twice")),
    ("data.toml", 'id = "D2"', 'id = "O1"', ("O1", "in objective.toml too")),
    ("data.toml", 'id = "10_to_49"', 'id = "under_10"', ("D1.choices.under_10", "twice")),
    ("data.toml", 'clause = "there are few demonstrations"\n', "", ("choices.10_to_49", "clause")),
    ("data.toml", '{ D3 = ["exact_match", "run_it"] }', '{ D33 = ["run_it"] }', ("when", "'D33'")),
    ("data.toml", '{ D3 = ["exact_match", "run_it"] }', '{ D3 = ["runs"] }', ("when", "'runs'")),
    ("data.toml", '{ D3 = ["exact_match", "run_it"] }', '{ D3 = "run_it" }', ("when", "array")),
    (
        "data.toml",
        '{ D3 = ["exact_match", "run_it"] }',
        "{ D3 = { above = 1 } }",
        ("when", "list of choices"),
    ),
    ("data.toml", '[factor]\nid = "data"', "[factor\n", ("data.toml", "TOML")),
    ("objective.toml", "weight = 0.30", "weight = 0.35", ("factor.weight", "add up to 1")),
    ("compute.toml", 'kind = "hardware"', 'kind = "choice"', ("C1", "hardware")),
    ("hardware.toml", "teraflops = 65", "teraflops = 0", ("gpus.T4.teraflops", "greater than 0")),
    ("models.toml", "layers = 24", "layers = 2.5", ("models.Qwen2.5-0.5B.layers",)),
    ("gates.toml", 'effect = "block"', 'effect = "forbid"', ("gates.G1.levels.0.effect", "'block'")),
    ("gates.toml", 'rung = "told"', 'rung = "heard"', ("gates.G1.rung", "'told'")),
    (
        "gates.toml",
        "{ above = 0.85 }",
        "{ above = 0.85, below = 1 }",
        ("gates.G4.levels.0.when", "exactly one"),
    ),
    (
        "gates.toml",
        "{ dead_groups = { above = 0.85 }",
        "{ dead_group = { above = 0.85 }",
        ("G4", "'dead_group'"),
    ),
    ("gates.toml", 'id = "G2"', 'id = "G1"', ("gates.G1", "twice")),
    ("decision.toml", 'version = "', 'version = "v', ("version", "pattern")),
    ("decision.toml", 'version = "', 'version = "0', ("version", "pattern")),
    ("decision.toml", 'version = "', 'version = "1234567', ("version", "pattern")),
    ("decision.toml", "tie = 0.05", "tie = -1", ("tie", "greater than")),
    ("decision.toml", 'questions = ["O1"', 'questions = ["O11"', ("interactions.I1.questions", "'O11'")),
    ("decision.toml", 'rule = "no_negative"', 'rule = "no_more"', ("interactions.I2.rule", "'no_positive'")),
    (
        "gates.toml",
        'grade = "A"\nsources = ["openai-rft", "trl-1.16"',
        'sources = ["openai-rft", "trl-1.16"',
        ("gates.G1.grade", "missing"),
    ),
    (
        "plan.toml",
        'grade = "B"\nsources = ["schulman2025"',
        'sources = ["schulman2025"',
        ("settings.sft.tuning.grade", "missing"),
    ),
    ("monitors.toml", 'grade = "A"\n', "", ("monitors.not_finite.grade", "missing")),
    (
        "monitors.toml",
        'sources = ["trl-1.16"]',
        "sources = []",
        ("monitors.not_finite.sources", "at least 1"),
    ),
    ("monitors.toml", 'sources = ["trl-1.16"]', 'sources = ["trl-9"]', ("monitors.not_finite", "'trl-9'")),
    ("claims.toml", 'verdict = "holds_in_part"', 'verdict = "perhaps"', ("claims.R1.verdict", "'holds'")),
    ("claims.toml", 'rules = ["O1", "O6"', 'rules = ["O1", "O66"', ("claims.R1.rules", "'O66'")),
    ("decision.toml", "objective = 0.20", "objective = 0.25", ("presets.balanced", "add up to 1")),
    ("decision.toml", "objective = 0.20", "objectiv = 0.20", ("presets.balanced", "objective")),
    ("decision.toml", 'id = "cost_first"', 'id = "rulebook"', ("presets.rulebook", "choose another")),
    ("plan.toml", 'stages = ["sft"]', 'stages = ["stf"]', ("plans.sft.stages", "'stf'")),
    ("plan.toml", 'settings = "reward_model"', 'settings = "rm"', ("stages.reward_model.settings", "'rm'")),
    ("plan.toml", 'id = "not_yet"', 'id = "later"', ("plans.later.id", "'not_yet'")),
    (
        "examples.toml",
        'O1 = "self_correction"',
        'O1 = "selfcorrection"',
        ("legal_reasoning.answers.O1", "choices"),
    ),
    ("plan.toml", 'id = "sft"\nmethod = "sft"', 'id = "grpo"\nmethod = "sft"', ("plans", "twice")),
    ("constants.toml", "1000_or_more = ", "1001_or_more = ", ("assumed.rows", "'1000_or_more'")),
    ("examples.toml", '"kumar2024"', '"kumar2042"', ("legal_reasoning", "'kumar2042'")),
    ("evidence.toml", "year = 2024", "year = 24", ("year", "1990")),
    ("evidence.toml", 'arxiv = "2402.03300"', 'arxiv = "http://x"', ("shao2024", "arxiv")),
]


@pytest.mark.parametrize(("name", "old", "new", "said"), CASES)
def test_a_broken_rule_names_file_key_and_reason(rulebook_texts, name, old, new, said):
    sentence = broken(rulebook_texts, name, old, new)
    assert sentence.startswith(name)
    for part in said:
        assert part in sentence


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(rulebook_texts, name):
    rest = {other: text for other, text in rulebook_texts.items() if other != name}
    with pytest.raises(BrokenRulebook, match=f"^{name}: the file is missing"):
        Rulebook.parse(rest)


def test_a_plan_for_grpo_without_condition_must_come_last(rulebook_texts):
    swallowed = rulebook_texts["plan.toml"].replace("when = [", "unless = [", 1)
    with pytest.raises(BrokenRulebook, match=r"^plan\.toml: "):
        Rulebook.parse(rulebook_texts | {"plan.toml": swallowed})


def test_the_checksum_follows_every_byte_of_every_file(rulebook_texts, rulebook):
    for name in FILES:
        changed = Rulebook.parse(rulebook_texts | {name: rulebook_texts[name] + "\n# a remark\n"})
        assert changed.checksum != rulebook.checksum
    assert Rulebook.parse(dict(reversed(rulebook_texts.items()))).checksum == rulebook.checksum


def test_whatever_is_wrong_is_told_at_once_by_file_and_key(rulebook_texts):
    faults = {
        "data.toml": ("effect = 3\n", "effect = 4\n"),
        "gates.toml": ('rung = "told"', 'rung = "heard"'),
        "plan.toml": ('"rafailov2023"', '"nobody2023"'),
        "stability.toml": ("[factor]", "[factor"),
    }
    broken_texts = {
        name: text.replace(*faults[name], 1) if name in faults else text
        for name, text in rulebook_texts.items()
    }
    with pytest.raises(BrokenRulebook) as raised:
        Rulebook.parse(broken_texts)
    assert [problem.where for problem in raised.value.problems] == ["stability.toml"]
    with pytest.raises(BrokenRulebook) as raised:
        Rulebook.parse(broken_texts | {"stability.toml": rulebook_texts["stability.toml"]})
    told = {problem.where: problem.what for problem in raised.value.problems}
    assert "data.toml: questions.D3.choices.run_it.effect" in told
    assert "gates.toml: gates.G1.rung" in told
    assert "'nobody2023'" in told["plan.toml: plans.reward_model_then_grpo.sources"]


def test_conditions_names_and_weights_are_told_together(rulebook_texts):
    with pytest.raises(BrokenRulebook) as raised:
        Rulebook.parse(
            rulebook_texts
            | {
                "objective.toml": rulebook_texts["objective.toml"].replace("weight = 0.30", "weight = 0.35"),
                "data.toml": rulebook_texts["data.toml"].replace('["exact_match", "run_it"]', '["runs"]'),
                "plan.toml": rulebook_texts["plan.toml"].replace('stages = ["sft"]', 'stages = ["stf"]'),
            }
        )
    places = [problem.where for problem in raised.value.problems]
    assert len([place for place in places if place.startswith("data.toml: questions.D1")]) >= 2
    assert "objective.toml: factor.weight" in places
    assert "plan.toml: plans.sft.stages" in places


def test_a_rule_over_too_many_answers_at_once_is_refused_before_it_is_worked_out(rulebook_texts):
    asked = [f"O{n}" for n in range(1, 7)] + [f"D{n}" for n in range(1, 9)]
    whole = ", ".join(f'{question} = ["not_applicable"]' for question in asked)
    text = rulebook_texts["data.toml"].replace('{ D3 = ["exact_match", "run_it"] }', f"{{ {whole} }}", 1)
    with pytest.raises(BrokenRulebook, match="let it look at fewer"):
        Rulebook.parse(rulebook_texts | {"data.toml": text})


def test_nesting_that_nobody_can_follow_is_no_crash(rulebook_texts):
    for deep in (f"x = {'[' * 50_000}", f"x = {'[' * 2_000}{']' * 2_000}", f"x = {'9' * 5_000}", "\x00"):
        with pytest.raises(BrokenRulebook, match=r"^gates\.toml"):
            Rulebook.parse(rulebook_texts | {"gates.toml": deep})
