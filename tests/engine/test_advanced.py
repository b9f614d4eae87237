"""Further fields of TRL's configuration: those on offer are real, and others are refused by name."""

import json
import subprocess
import sys

import pytest

from app.protocol import ADVANCED, RewardModelRecipe, problems_with_advanced
from tests.engine.conftest import grpo_recipe, sft_recipe


@pytest.fixture(scope="module")
def trl_defaults():
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.trl_defaults"], check=True, capture_output=True
    )
    return json.loads(done.stdout)


@pytest.mark.engine
@pytest.mark.parametrize("method", ADVANCED)
def test_each_field_exists_in_trl_with_the_default_that_is_told(trl_defaults, method):
    told = {field.name: field.default for field in ADVANCED[method]}
    assert told == {name: trl_defaults[method].get(name, "no such field") for name in told}
    assert len(told) == len(ADVANCED[method])


@pytest.mark.parametrize("method", ADVANCED)
def test_none_of_them_names_a_place_or_a_service(method):
    for field in ADVANCED[method]:
        assert not {"dir", "path", "hub", "token", "host", "url", "report", "kwargs", "funcs"} & set(
            field.name.split("_")
        )


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("weight_decay", True, "it must be a number"),
        ("weight_decay", -0.1, "it must be from 0 to 1"),
        ("dataloader_num_workers", 2.0, "it must be a whole number"),
        ("packing_strategy", "anyhow", "it must be one of bfd, bfd_split, wrapped"),
        ("padding_free", 1, "it must be true or false"),
        ("learning_rate", 0.1, "it is a setting of the recipe itself; set recipe.learning_rate"),
        ("weight_dekay", 0.1, "did you mean weight_decay?"),
        ("output_dir", "/tmp", "it is no field of TRL's configuration that can be set for this method"),
        ("top_k", 5, "it is no field of TRL's configuration that can be set for this method"),
    ],
)
def test_what_is_wrong_is_said_by_name(name, value, what):
    problem, *others = problems_with_advanced(sft_recipe(advanced={name: value}))
    assert problem.where == f"recipe.advanced.{name}"
    assert what in problem.what
    assert others == []


def test_what_is_right_is_let_through():
    assert not list(problems_with_advanced(sft_recipe(advanced={"optim": "sgd", "weight_decay": 0})))
    assert not list(problems_with_advanced(grpo_recipe(advanced={"top_k": 5, "num_iterations": 2})))
    reward = RewardModelRecipe(
        learning_rate=1e-5, batch_size=8, micro_batch_size=8, epochs=1, max_length=64,
        advanced={"center_rewards_coefficient": 0.01},
    )  # fmt: skip
    assert not list(problems_with_advanced(reward))
