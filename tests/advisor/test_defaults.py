"""The settings a recipe starts from are those that published recipes support."""

from pathlib import Path
from tomllib import loads

import pytest

import app.advisor
from app.advisor.defaults import read_defaults, recipe_defaults
from app.protocol import AdapterTuning, GrpoRecipe, RewardModelRecipe, SftRecipe

ADVISOR = Path(app.advisor.__file__).parent
FILE = read_defaults((ADVISOR / "defaults.toml").read_text(encoding="utf-8"))
RECIPES = {"sft": SftRecipe, "grpo": GrpoRecipe, "reward_model": RewardModelRecipe}


def value(name, *given):
    return recipe_defaults(FILE, *given)[name].value


@pytest.mark.parametrize(
    ("parameters", "low", "high"),
    [
        (0.36e9, 3e-4, 1e-3),
        (1.7e9, 2e-5, 3e-4),
        (3e9, 2e-5, 2e-5),
        (8e9, 1e-5, 4e-5),
        (14e9, 1e-5, 4e-5),
        (32e9, 1e-5, 4e-5),
        (70e9, 2e-6, 1e-5),
    ],
)
def test_full_sft_takes_the_published_rate_of_its_size(parameters, low, high):
    assert low <= value("learning_rate", "sft", "full", parameters, 5000) <= high


def test_an_adapter_takes_more_and_less_on_a_small_set():
    assert value("learning_rate", "sft", "lora", 7e9, 199) == 1e-4
    assert value("learning_rate", "sft", "qlora", 7e9, 200) == 2e-4


@pytest.mark.parametrize(
    ("rows", "low", "high"), [(99, 3, 5), (100, 2, 3), (499, 2, 3), (500, 1, 2), (1999, 1, 2), (2000, 1, 1)]
)
def test_few_rows_are_seen_more_often(rows, low, high):
    assert low <= value("epochs", "sft", "lora", 7e9, rows) <= high


def test_large_sets_get_larger_adapters_with_twice_the_alpha():
    for method in ("sft", "reward_model"):
        assert value("rank", method, "lora", 7e9, 1999) == 16
        assert value("rank", method, "lora", 7e9, 2000) == 32
        assert value("alpha", method, "lora", 7e9, 2000) == 64


@pytest.mark.parametrize(
    ("tuning", "parameters", "rate"),
    [
        ("lora", 7e9, 1e-5),
        ("qlora", 0.5e9, 1e-5),
        ("full", 1.5e9, 1e-6),
        ("full", 14e9, 1e-6),
        ("full", 32e9, 5e-7),
    ],
)
def test_grpo_takes_a_tenth_and_large_models_less(tuning, parameters, rate):
    assert value("learning_rate", "grpo", tuning, parameters) == rate


def test_grpo_starts_from_what_the_papers_settled_on():
    found = {name: each.value for name, each in recipe_defaults(FILE, "grpo", "lora").items()}
    assert found["num_generations"] == 8
    assert 32 <= found["batch_size"] <= 64
    assert (found["beta"], found["epsilon"], found["epsilon_high"]) == (0.0, 0.2, 0.28)
    assert (found["loss_type"], found["scale_rewards"], found["temperature"]) == ("dapo", "group", 1.0)
    assert found["mask_truncated_completions"] is False
    assert 300 <= found["steps"] <= 1000


def test_full_tuning_has_no_adapter_settings():
    assert not {"rank", "alpha", "dropout"} & set(recipe_defaults(FILE, "grpo", "full"))


@pytest.mark.parametrize("method", RECIPES)
def test_every_name_is_a_setting_of_the_recipe_and_every_source_is_listed(method):
    evidence = loads((ADVISOR / "rulebook" / "evidence.toml").read_text(encoding="utf-8"))
    for tuning in ("full", "lora", "qlora"):
        for found in recipe_defaults(FILE, method, tuning, 1e9, 500).values():
            assert found.name in RECIPES[method].model_fields or found.name in AdapterTuning.model_fields
            assert set(found.sources) <= set(evidence)
            assert found.sources
