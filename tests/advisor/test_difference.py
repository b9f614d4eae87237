"""Two rulebooks beside each other: every difference in words, and how far the version must rise for it."""

import re

import pytest

from app.advisor.difference import differences, effect_on, level_of, risen
from app.advisor.rulebook import Rulebook


def between(texts, name, old, new):
    assert old in texts[name]
    return differences(texts, texts | {name: texts[name].replace(old, new, 1)})


CASES = [
    (
        "data.toml",
        'title = "Demonstrations"',
        'title = "Shown"',
        "words",
        "patch",
        ("Demonstrations", "Shown"),
    ),
    ("data.toml", "effect = 3\n", "effect = 2\n", "effects", "minor", ("+3", "+2")),
    ("data.toml", "weight = 0.40", "weight = 0.41", "effects", "minor", ("0.4", "0.41")),
    ("data.toml", "deciding = true", "deciding = false", "questions", "minor", ("yes", "no")),
    ("gates.toml", 'effect = "block"', 'effect = "warn"', "gates", "minor", ("block", "warn")),
    ("decision.toml", "tie = 0.05", "tie = 0.06", "verdict", "minor", ("0.05", "0.06")),
    (
        "plan.toml",
        'stages = ["reward_model", "grpo"]',
        'stages = ["grpo"]',
        "plan",
        "minor",
        ("reward_model, grpo", "grpo"),
    ),
    ("evidence.toml", "year = 2024", "year = 2023", "evidence", "patch", ("2024", "2023")),
    ("examples.toml", 'O3 = "some"', 'O3 = "much"', "examples", "patch", ("some", "much")),
]


@pytest.mark.parametrize(("name", "old", "new", "kind", "level", "said"), CASES)
def test_a_difference_is_told_with_before_and_after(rulebook_texts, name, old, new, kind, level, said):
    (found,) = between(rulebook_texts, name, old, new)
    assert (found.file, found.kind, found.level, found.before, found.after) == (name, kind, level, *said)


def test_conditions_are_told_in_the_words_of_questions_and_answers(rulebook_texts):
    (found,) = between(rulebook_texts, "data.toml", 'D3 = ["exact_match", "run_it"]', 'D3 = ["run_it"]')
    assert "Automatic score is" in (found.before or "")
    assert "exact_match" not in (found.before or "")


def test_a_renamed_answer_is_one_gone_and_one_new_and_breaks(rulebook_texts):
    found = between(rulebook_texts, "data.toml", 'id = "under_10"', 'id = "below_10"')
    assert {(each.before is None, each.level) for each in found} >= {(False, "major"), (True, "minor")}
    assert level_of(found) == "major"


def test_the_order_of_gates_and_plans_counts(rulebook_texts):
    text = rulebook_texts["plan.toml"]
    first, second = text.index("[[plans]]"), text.index("[[plans]]", text.index("[[plans]]") + 1)
    third = text.index("[[plans]]", second + 1)
    moved = text[:first] + text[second:third] + text[first:second] + text[third:]
    (found,) = differences(rulebook_texts, rulebook_texts | {"plan.toml": moved})
    assert found.key == "plans.order"


def test_remarks_layout_and_the_version_itself_are_no_differences(rulebook_texts):
    assert between(rulebook_texts, "decision.toml", "tie = 0.05", "# so small\ntie    = 0.05") == ()
    assert between(rulebook_texts, "decision.toml", 'version = "1', 'version = "71') == ()


def test_a_file_only_one_of_them_has_is_named(rulebook_texts):
    (found,) = differences(rulebook_texts, rulebook_texts | {"more.toml": "x = 1"})
    assert (found.file, found.before, found.after) == ("more.toml", None, "the whole file")


@pytest.mark.parametrize(("level", "version"), [("major", "2.0.0"), ("minor", "1.3.0"), ("patch", "1.2.4")])
def test_how_far_a_version_rises(level, version):
    assert risen("1.2.3", level) == version


def test_the_effect_on_a_project_names_what_is_left_open(rulebook, rulebook_texts):
    told = {"answers": dict(rulebook.examples[0].answers), "weights": None, "measurements": {}}
    same = effect_on(told, rulebook, rulebook)
    assert (same.turns, same.before, same.left_open) == (0, same.after, ())
    after = Rulebook.parse({name: re.sub(r"\bP1\b", "P9", text) for name, text in rulebook_texts.items()})
    moved = effect_on(told, rulebook, after)
    assert [each.question for each in moved.left_open] == ["P1"]
    assert effect_on(told, None, after).before is None
