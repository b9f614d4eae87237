"""What of the worker's settings graders are given, and which runs are given the judge's key."""

import pytest
from pydantic import SecretStr

from app.protocol import (
    EvaluationPlan,
    GeneratedDataset,
    GrpoRecipe,
    Guard,
    JudgeMessage,
    Multi,
    Regex,
    RunSpec,
    ScoreModel,
    StarterModel,
)
from app.settings import WorkerSettings
from app.worker.grading import bench_of, judge_key_for, judge_of, sandbox_of

PLAIN = Regex(name="plain", pattern="x")
JUDGE = ScoreModel(name="judge", input=[JudgeMessage(role="user", content="{{ sample.output_text }}")])
BOTH = Multi(name="both", graders={"plain": PLAIN, "judge": JUDGE}, calculate_output="plain * judge")
RECIPE = GrpoRecipe(
    learning_rate=1e-5, batch_size=8, micro_batch_size=8, steps=1, num_generations=8, max_completion_length=16
)
TASK = GeneratedDataset(name="rulings")


def settings(**more) -> WorkerSettings:
    return WorkerSettings(judge_url="http://127.0.0.1:9/v1", judge_key=SecretStr("the-key"), **more)


def spec(grader, **more) -> RunSpec:
    return RunSpec(name="r", model=StarterModel(), dataset=TASK, grader=grader, recipe=RECIPE, **more)


@pytest.mark.parametrize(
    ("run", "key"),
    [
        (spec(PLAIN), ""),
        (spec(JUDGE), "the-key"),
        (spec(BOTH), "the-key"),
        (spec(PLAIN, draft_grader=JUDGE), "the-key"),
        (spec(PLAIN, independent_graders=[PLAIN, BOTH]), "the-key"),
        (spec(PLAIN, evaluation=EvaluationPlan(guard=Guard(dataset=TASK, grader=JUDGE))), "the-key"),
    ],
)
def test_the_judges_key_goes_only_to_runs_that_ask_it(run, key):
    assert judge_key_for(run, settings()) == key


def test_settings_become_what_engines_read():
    found = settings(judge_model="m", judge_seconds=7, judge_concurrency=3, python_seconds=2)
    assert judge_of(found).model_dump() == {
        "url": "http://127.0.0.1:9/v1",
        "model": "m",
        "seconds": 7,
        "concurrency": 3,
    }
    assert sandbox_of(found).seconds == 2
    assert judge_of(WorkerSettings()) is None
    assert "the-key" not in judge_of(found).model_dump_json()
    bench_of(found).close()
