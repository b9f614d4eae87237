"""How runs end that do not reach their last step."""

import os
import signal
import time

import pytest

from app.protocol import EvaluationPlan, StringCheck
from app.worker.launchers.local import Engine
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

ENDLESS = 100_000


def test_a_cancelled_run_stops_at_the_next_step_without_a_model(engines, micro_model, demonstrations):
    run_dir = engines.prepare(grpo_recipe(steps=ENDLESS), micro_model, demonstrations, SAYS_E)
    process = engines.start(run_dir)
    engines.until(run_dir, process, "metric")
    run_dir.request_cancel()
    ended = engines.wait(run_dir, process)
    assert ended.end.state.value == "cancelled"
    assert ended.end.reason == f"Cancelled after {ended.end.steps_done} of {ENDLESS} steps."
    assert not run_dir.model_dir.exists()


def test_a_wish_to_stop_is_heard_at_the_next_token_of_an_evaluation(engines, micro_model, demonstrations):
    plan = EvaluationPlan(items=20, max_completion_length=100_000)
    run_dir = engines.prepare(sft_recipe(), micro_model, demonstrations, NAMES_THE_COLOUR, plan)
    process = engines.start(run_dir)
    while "evaluating" not in run_dir.events_file.read_text() if run_dir.events_file.exists() else True:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    ended = engines.wait(run_dir, process)
    assert ended.exit_status == -signal.SIGTERM, "nobody but the worker cancels: the run can be started again"
    assert run_dir.verdict() is None
    assert ended.happenings("evaluation") == ended.happenings("metric") == []


def test_a_killed_engine_leaves_a_free_lock_and_no_verdict(engines, micro_model, demonstrations):
    run_dir = engines.prepare(sft_recipe(epochs=1000), micro_model, demonstrations, NAMES_THE_COLOUR)
    process = engines.start(run_dir)
    engines.until(run_dir, process, "metric")
    process.kill()
    process.wait()
    assert run_dir.verdict() is None
    assert not Engine(run_dir).is_running()
    assert not run_dir.model_dir.exists()


def test_an_absurd_learning_rate_is_told_as_divergence(engines, micro_model, demonstrations):
    recipe = sft_recipe(learning_rate=1.0, max_grad_norm=100.0, epochs=12, lr_scheduler="constant")
    ended = engines.run(recipe, micro_model, demonstrations, NAMES_THE_COLOUR)
    assert "loss_climbs" in {finding.rule for finding in ended.happenings("health")}


def test_a_loss_that_is_no_number_is_null_and_ends_the_run(engines, broken_model, demonstrations):
    ended = engines.run(sft_recipe(), broken_model, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.state.value == "failed"
    assert ended.end.reason.startswith("The training diverged")
    assert None in ended.metrics("grad_norm")
    assert [(f.rule, f.level) for f in ended.happenings("health")] == [("not_finite", "stop")]
    assert not ended.dir.model_dir.exists()


def test_a_grader_that_cannot_grade_ends_the_run_and_no_answer_counts_as_wrong(
    engines, micro_model, demonstrations
):
    grader = StringCheck(name="deep", reference="{{ item.colour.shade }}")
    ended = engines.run(grpo_recipe(), micro_model, demonstrations, grader)
    assert ended.end.state.value == "failed"
    assert "the row has no `item.colour.shade`" in ended.end.reason
    before = ended.evaluation("before")
    assert (before.errors, before.sampled.n) == (10, 0)
    assert ended.happenings("metric") == []
    assert ended.end.log_tail is not None
