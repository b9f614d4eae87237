"""What a run has used, against its limits."""

import pytest

from app.engine.limits import in_a_sentence, reached
from app.protocol import GeneratedDataset, Limits, RunSpec, StarterModel, is_raised
from app.run_dir import Spent
from tests.engine.conftest import sft_recipe

SPENT = Spent(training_seconds=600, device_seconds=7200)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), None),
        (Limits(steps=6), None),
        (Limits(steps=5), "steps"),
        (Limits(minutes=10.1), None),
        (Limits(minutes=10), "minutes"),
        (Limits(gpu_hours=2), "gpu_hours"),
        (Limits(money=5, price_per_gpu_hour=2.5), "money"),
        (Limits(money=5.1, price_per_gpu_hour=2.5), None),
        (Limits(minutes=1, gpu_hours=1), "minutes"),
    ],
)
def test_the_first_limit_of_which_nothing_is_left_is_named(limits, expected):
    assert reached(limits, SPENT, steps_done=5) == expected


def test_the_sentence_names_the_limit_and_how_to_go_on():
    said = in_a_sentence(Limits(minutes=2.5), "minutes", 3, 10)
    assert "limit of 2.5 minutes of training was reached after 3 of 10 steps" in said
    assert "Resume the run with a higher limit" in said


def run_spec(recipe, **more) -> RunSpec:
    return RunSpec(
        name="a run", model=StarterModel(), dataset=GeneratedDataset(name="clauses"), recipe=recipe, **more
    )


def test_the_older_name_of_the_minutes_holds_too():
    assert run_spec(sft_recipe(max_minutes=3)).own_limits.minutes == 3
    assert run_spec(sft_recipe(max_minutes=3), limits=Limits(minutes=2)).own_limits.minutes == 2
    assert run_spec(sft_recipe()).own_limits == Limits()


@pytest.mark.parametrize(
    ("after", "expected"), [(Limits(minutes=11), True), (Limits(), True), (Limits(minutes=10), False)]
)
def test_only_a_higher_limit_lets_a_run_go_on(after, expected):
    assert is_raised("minutes", Limits(minutes=10), after) is expected
