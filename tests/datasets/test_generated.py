"""The tasks that the project makes itself: deterministic, solvable by their own rules, hard to game."""

import json
import os
import re
import subprocess
import sys
from random import Random

import pytest

from app.datasets import generated
from app.datasets.generated import clauses, rulings
from app.datasets.generated.corpus import corpus
from app.graders.grading import check, grade
from app.protocol import GrpoRecipe, Score, SftRecipe


def is_right(task: str, text: str, item: dict) -> bool:
    outcome = grade(generated.grader(task), text, item)
    assert isinstance(outcome, Score)
    return outcome.value == 1.0


def prompts(rows):
    return [row.prompt[-1].content for row in rows]


@pytest.mark.parametrize("task", generated.NAMES)
def test_no_held_out_prompt_appears_in_training(task):
    split = generated.generate(task)
    assert not set(prompts(split.train)) & set(prompts(split.held_out))
    assert len(set(prompts(split.held_out))) == len(split.held_out)


def test_there_are_a_thousand_held_out_rulings_and_few_demonstrations():
    split = generated.generate("rulings")
    demonstrations = [row for row in split.train if row.is_demonstration]
    assert len(split.held_out) >= 1000
    assert 100 <= len(demonstrations) <= 200
    assert len(split.train) - len(demonstrations) >= 1500


def test_rows_and_starter_hash_are_the_same_in_every_process():
    program = (
        "from app.datasets import generated as g; from hashlib import sha256; "
        "print(g.starter_hash(), *(sha256(repr(g.generate(n)).encode()).hexdigest() for n in g.NAMES))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_generating_needs_neither_torch_nor_the_training_libraries():
    program = (
        "import sys; from app.datasets import generated as g; [g.generate(n) for n in g.NAMES]; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'trl', 'datasets')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_ruling_follows_from_the_act_and_the_facts_as_printed():
    """Reads the law from the prompt, as a person would, with only the meaning of each fact looked up."""
    meaning = {}
    for act in rulings.ACTS:
        for ground in act.grounds:
            if isinstance(ground, rulings.Ground):
                meaning |= {ground.met: (ground.words, True), ground.unmet: (ground.words, False)}
    for row in generated.generate("rulings").held_out:
        law, facts, _ = row.prompt[-1].content.split("\n")
        met = {}
        for fact in re.findall(r"[A-Z][^.]*\.", facts)[1:]:
            if day := re.fullmatch(r"The claim came on day (\d+)\.", fact):
                limit = int(re.search(r"filed after day (\d+)", law)[1])
                met[f"filed after day {limit}"] = int(day[1]) > limit
            else:
                words, holds = meaning[fact]
                met[words] = holds
        grounds = re.findall(r"(\w+) if ([^;]+);", law)
        assert len(grounds) == len(met) == 3
        otherwise = re.search(r"otherwise (\w+)\.", law)[1]
        assert row.item["answer"] == next((r for r, words in grounds if met[words]), otherwise)


def test_every_demonstration_of_a_ruling_is_right_and_some_mend_a_wrong_draft():
    demonstrations = [row for row in generated.generate("rulings").train if row.is_demonstration]
    assert all(is_right("rulings", row.answer, row.item) for row in demonstrations)
    draft = generated.draft_grader("rulings")
    kept = [grade(draft, row.answer, row.item) == Score(value=1.0) for row in demonstrations]
    assert any(kept)
    assert not all(kept)


def test_listing_every_ruling_earns_what_guessing_earns():
    everything = " ".join(f"Ruling: {ruling}." for ruling in rulings.RULINGS)
    rows = generated.generate("rulings").held_out
    assert sum(is_right("rulings", everything, row.item) for row in rows) < 0.25 * len(rows)


def test_no_single_ruling_is_right_in_half_of_the_cases():
    answers = [row.item["answer"] for row in generated.generate("rulings").held_out]
    assert max(answers.count(ruling) for ruling in set(answers)) < 0.5 * len(answers)


def test_only_the_json_that_was_asked_for_is_a_right_clause():
    for row in generated.generate("clauses").train[:50]:
        assert is_right("clauses", row.answer, row.item)
        assert not is_right("clauses", row.answer + " Done.", row.item)
        assert not is_right("clauses", json.dumps({**json.loads(row.answer), "days": "soon"}), row.item)


def test_none_of_the_other_formats_passes_for_the_json():
    random = Random(5)
    for _ in range(50):
        clause = clauses.draw_clause(random)
        assert not any(is_right("clauses", text, {}) for text in clauses.other_formats(clause))


def test_the_starter_reads_no_held_out_prompt_and_no_seal():
    read = {prompt for prompt, _ in corpus()}
    for task in generated.NAMES:
        assert not read & set(prompts(generated.generate(task).held_out))
    assert not any(re.search(r"\b\d{8}\b", answer) for _, answer in corpus())


@pytest.mark.parametrize("task", generated.NAMES)
def test_each_task_names_itself_and_its_graders_can_be_used(task):
    known = generated.TASKS[task]
    assert known.title
    assert known.description.endswith(".")
    assert check(known.grader) == ()
    assert known.draft_grader is None or check(known.draft_grader) == ()


@pytest.mark.parametrize("task", generated.NAMES)
def test_each_method_has_a_recipe_for_each_task(task):
    assert isinstance(generated.starter_recipe(task, "sft"), SftRecipe)
    assert isinstance(generated.starter_recipe(task, "grpo"), GrpoRecipe)


def test_a_warm_start_leaves_demonstrations_unused():
    warm = generated.starter_recipe("rulings", "sft", warm_start=True)
    shown = sum(row.is_demonstration for row in generated.generate("rulings").train)
    assert warm.max_demonstrations is not None
    assert warm.max_demonstrations < shown
