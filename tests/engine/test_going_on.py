"""A run that was paused or lost goes on from its newest checkpoint that verifies, as if nothing had been."""

import signal

import pytest

from app.engine.checkpoints import MANIFEST, published
from app.protocol import EvaluationPlan, Limits
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, Ended, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

RECIPE = sft_recipe(epochs=2, batch_size=8, micro_batch_size=4, lr_scheduler="cosine")

UNCHECKED = EvaluationPlan(items=10, max_completion_length=8, checks=0)
"""No best checkpoint is kept beside the newest."""


@pytest.fixture(scope="module")
def uninterrupted(engines, micro_model, demonstrations) -> Ended:
    return engines.run(RECIPE, micro_model, demonstrations, NAMES_THE_COLOUR, UNCHECKED)


@pytest.fixture(scope="module")
def paused(engines, micro_model, demonstrations) -> Ended:
    """At its limit of steps, in the middle of the second epoch, with a checkpoint of every step."""
    limits = Limits(steps=15)
    run_dir = engines.prepare(RECIPE, micro_model, demonstrations, NAMES_THE_COLOUR, UNCHECKED, limits=limits)
    return engines.again(run_dir, checkpoint_seconds=0, why="")


@pytest.fixture(scope="module")
def at_the_pause(paused) -> dict:
    last = paused.dir.events(limit=100_000)[-1].what
    return {"last": last, "steps": [each.step for each in published(paused.dir)], "spent": paused.dir.spent}


@pytest.fixture(scope="module")
def resumed(engines, paused, at_the_pause) -> Ended:
    """After a bit of its newest checkpoint flipped."""
    optimizer = paused.dir.checkpoints_dir / "15" / "optimizer.pt"
    content = bytearray(optimizer.read_bytes())
    content[len(content) // 2] ^= 1
    optimizer.write_bytes(content)
    paused.dir.write_limits(Limits(steps=1000))
    return engines.again(paused.dir, checkpoint_seconds=0)


def test_a_limit_pauses_with_a_checkpoint_and_says_how_to_go_on(at_the_pause):
    assert at_the_pause["last"].state.value == "paused"
    assert at_the_pause["last"].limit == "steps"
    assert "15 steps was reached after 15 of 24 steps" in at_the_pause["last"].detail
    assert at_the_pause["spent"].training_seconds > 0


def test_the_newest_two_checkpoints_are_kept(at_the_pause):
    assert at_the_pause["steps"] == [14, 15]


def test_a_checkpoint_with_a_flipped_bit_is_passed_over_and_said_so(resumed):
    (line,) = [log.line for log in resumed.happenings("log") if "cannot be trusted" in log.line]
    assert "step 15" in line
    assert "optimizer.pt has other content" in line
    assert [event.from_step for event in resumed.happenings("resume")] == [14]


def test_training_goes_on_as_if_it_had_not_been_paused(uninterrupted, resumed):
    assert resumed.end.state.value == "succeeded", resumed.end
    told = {metric.step: metric.values["loss"] for metric in resumed.steps}
    expected = {metric.step: metric.values["loss"] for metric in uninterrupted.steps}
    assert told == pytest.approx(expected, rel=1e-4)


def test_the_starting_model_is_measured_once(resumed):
    assert [event.evaluation.when for event in resumed.happenings("evaluation")] == ["before", "after"]


def test_only_the_model_is_left_in_the_end(resumed):
    assert resumed.dir.model_dir.is_dir()
    assert published(resumed.dir) == []


def test_grpo_pauses_where_asked_and_goes_on_with_the_next_prompts(engines, micro_model, prompts):
    run_dir = engines.prepare(
        grpo_recipe(steps=100_000, batch_size=16), micro_model, prompts, SAYS_E, limits=Limits(minutes=5)
    )
    process = engines.start(run_dir)
    engines.until(run_dir, process, "metric")
    run_dir.request_pause()
    ended = engines.wait(run_dir, process)
    last = run_dir.events(limit=100_000)[-1].what
    (checkpoint,) = ended.happenings("checkpoint")
    assert (last.state.value, last.limit) == ("paused", None)
    assert f"goes on from the checkpoint of step {checkpoint.step}" in last.detail

    run_dir.forget_pause()
    run_dir.write_limits(Limits(steps=checkpoint.step + 2))
    engines.again(run_dir, attempt=2)
    steps = [metric.step for metric in ended.steps]
    assert steps == list(range(1, checkpoint.step + 3))
    assert [(r.from_step, r.attempt) for r in ended.happenings("resume")] == [(checkpoint.step, 2)]


def test_a_process_ended_from_outside_saves_and_leaves_no_verdict(engines, micro_model, demonstrations):
    run_dir = engines.prepare(sft_recipe(epochs=1000), micro_model, demonstrations, NAMES_THE_COLOUR)
    process = engines.start(run_dir)
    engines.until(run_dir, process, "metric")
    process.send_signal(signal.SIGTERM)
    ended = engines.wait(run_dir, process)
    assert ended.exit_status == -signal.SIGTERM
    assert run_dir.verdict() is None
    (checkpoint,) = published(run_dir)
    assert (checkpoint.path / MANIFEST).is_file()


def test_the_best_checkpoint_by_its_held_out_score_becomes_the_model(engines, micro_model, demonstrations):
    plan = EvaluationPlan(items=10, max_completion_length=8, checks=4)
    ended = engines.run(
        sft_recipe(epochs=2), micro_model, demonstrations, NAMES_THE_COLOUR, plan, keep="best"
    )
    assert ended.end.state.value == "succeeded", ended.end
    scores = {made.step: made.score for made in ended.happenings("checkpoint") if made.score is not None}
    assert ended.end.kept_step == max(scores, key=lambda step: (scores[step], -step))
    (best,) = published(ended.dir)
    assert best.step == ended.end.kept_step


def test_a_finding_that_stops_a_run_keeps_its_best_checkpoint(engines, micro_model, demonstrations):
    recipe = sft_recipe(learning_rate=1.0, max_grad_norm=100.0, epochs=12, lr_scheduler="constant")
    run_dir = engines.prepare(recipe, micro_model, demonstrations, NAMES_THE_COLOUR, on_finding="stop")
    ended = engines.again(run_dir, checkpoint_seconds=0, why="")
    assert ended.end.state.value == "failed"
    finding = next(found for found in ended.happenings("health") if found.level == "stop")
    assert ended.end.reason.startswith(finding.sentence)
    assert ended.end.reason.endswith(f"The model of step {ended.end.kept_step} is kept.")
    assert ended.end.kept_step <= finding.step
    assert ended.dir.model_dir.is_dir()
