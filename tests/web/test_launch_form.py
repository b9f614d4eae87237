"""The launch form becomes specs or problems: nothing is lost, guessed or said in a machine's words."""

import pytest

from app.protocol import EvaluationPlan, GrpoRecipe, HubModel, Regex, RunSpec, SftRecipe
from app.web.launch_defaults import USUAL
from app.web.launch_form import PLANS, grader_values, model_value, read, recipe_values, text
from app.web.recipe_settings import EVALUATION, GRPO, SFT

GRADER = Regex(name="ruling", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}")


def form(**changed: str) -> dict[str, str]:
    values = {"name": "Appeals", "plan": "sft_then_grpo", "dataset": "generated:rulings", "seed": "7"}
    values |= model_value(HubModel(id="owner/name"))
    values |= recipe_values(USUAL["sft"]) | recipe_values(USUAL["grpo"])
    values |= grader_values("grader", GRADER) | grader_values("draft_grader", None)
    values |= {f"evaluation.{each.name}": text(getattr(EvaluationPlan(), each.name)) for each in EVALUATION}
    return values | {name.replace("__", "."): value for name, value in changed.items()}


def problem(where: str, **changed: str) -> str:
    found = {problem.where: problem.what for problem in read(form(**changed), {}).problems}
    assert list(found) == [where]
    return found[where]


@pytest.mark.parametrize(
    ("recipe", "settings"), [(SftRecipe, SFT), (GrpoRecipe, GRPO), (EvaluationPlan, EVALUATION)]
)
def test_the_form_shows_every_setting_of_a_recipe(recipe, settings):
    assert {setting.name for setting in settings} == set(recipe.model_fields) - {"kind"}


def test_what_a_form_starts_with_is_what_it_reads_back():
    reading = read(form(), {})
    assert reading.problems == []
    assert [spec.recipe for spec in reading.specs] == [USUAL["sft"], USUAL["grpo"]]
    assert reading.specs[0].grader == GRADER
    assert reading.specs[0].evaluation == EvaluationPlan()
    assert reading.specs[1].seed == 7


def test_two_stages_are_told_apart_by_name():
    assert [spec.name for spec in read(form(), {}).specs] == ["Appeals, SFT", "Appeals, GRPO"]


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_has_a_spec_for_each_of_its_methods(plan):
    assert [spec.recipe.kind for spec in read(form(plan=plan), {}).specs] == list(PLANS[plan])


@pytest.mark.parametrize("typed", ["fast", "0,001", "nan", "inf", "1_000", "٣", "1e99999", "--1"])
def test_what_is_not_a_number_is_refused_in_words(typed):
    assert problem("sft.learning_rate", sft__learning_rate=typed).startswith("Learning rate ")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0", "must be greater than 0"),
        ("2", "must be at most 1"),
        ("1e400", "too large"),
        ("", "enter a number"),
    ],
)
def test_a_number_out_of_range_is_told_its_range(typed, said):
    assert said in problem("grpo.learning_rate", grpo__learning_rate=typed)


def test_a_whole_number_is_not_rounded():
    assert "whole number" in problem("grpo.steps", grpo__steps="1.5")


def test_a_batch_that_splits_a_group_names_one_that_does_not():
    assert "63 would do" in problem("grpo.batch_size", grpo__num_generations="7", grpo__micro_batch_size="64")


def test_an_empty_optional_setting_is_none():
    assert read(form(sft__max_demonstrations=""), {}).specs[0].recipe.max_demonstrations is None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 91])
def test_a_name_is_needed_and_must_be_readable(name):
    assert problem("name", name=name)


@pytest.mark.parametrize(("field", "value"), [("plan", "dpo"), ("model", "mine"), ("dataset", "")])
def test_a_choice_that_is_none_of_those_offered_is_asked_again(field, value):
    assert problem(field, **{field: value})


def test_a_dataset_of_another_name_is_refused():
    assert problem("dataset", dataset="generated:../../etc/passwd")


def test_a_run_may_start_from_the_model_of_another():
    earlier = read(form(plan="sft"), {}).specs[0]
    value = "run:7b0b0a1e-6a0f-4c62-9d5e-0f6f2b7f4f10"
    later = read(form(plan="grpo", model=value), {value: earlier}).specs[0]
    assert later.model == earlier.model
    assert str(later.starts_from) == value.removeprefix("run:")


def test_a_run_that_was_not_offered_cannot_be_started_from():
    assert problem("model", model="run:7b0b0a1e-6a0f-4c62-9d5e-0f6f2b7f4f10")


def test_a_json_schema_is_read_strictly():
    grading = {"grader": "json_schema", "grader__name": "clause", "plan": "sft"}
    said = problem("grader.json_schema.schema", grader__json_schema__schema='{"a": 1, "a": 2}', **grading)
    assert "twice" in said
    spec: RunSpec = read(form(grader__json_schema__schema='{"type": "object"}', **grading), {}).specs[0]
    assert spec.grader.json_schema == {"type": "object"}
