"""A run whose reward is computed by programs in both sandboxes."""

import time

import pytest

from app.protocol import Multi, Python
from app.worker.launchers.local import Engine
from tests.engine.conftest import PATIENCE_SECONDS, grpo_recipe

pytestmark = pytest.mark.engine

SOURCE = "def grade(sample, item):\n    return similarity(sample['output_text'], item['colour'])"
BOTH = Multi(
    name="both",
    graders={
        "monty": Python(name="monty", source=SOURCE),
        "cage": Python(name="cage", source=SOURCE, sandbox="cage"),
    },
    calculate_output="(monty + cage) / 2",
)


def graded_steps(run_dir) -> list[dict]:
    metrics = [event.what.values for event in run_dir.events(limit=1000) if event.what.kind == "metric"]
    return [values for values in metrics if "grader/errors" in values]


def test_programs_grade_a_run_and_do_not_outlive_its_engine(engines, micro_model, demonstrations):
    run_dir = engines.prepare(grpo_recipe(steps=100_000), micro_model, demonstrations, BOTH)
    process = engines.start(run_dir)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (steps := graded_steps(run_dir)):
        assert process.poll() is None, run_dir.log_tail()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while Engine(run_dir).is_running():
        assert time.monotonic() < deadline, "a sandbox holds the run's lock"
        time.sleep(0.05)
    assert (steps[0]["grader/errors"], steps[0]["grader/abstained"]) == (0, 0)
    assert 0 < steps[0]["reward"] < 1
