"""What a run waits for: here, the reward model that grades it."""

from uuid import UUID, uuid4

import pytest

from app.protocol import (
    EndEvent,
    EvaluationPlan,
    GrpoRecipe,
    Multi,
    RewardModelGrader,
    RewardModelRecipe,
    RunSpec,
    RunState,
    StarterModel,
    UploadedDataset,
)
from app.run_dir import Accepted, create_run_dir
from app.worker.followed_run import FollowedRun
from app.worker.predecessors import Blocked, CannotStart, reward_models_of

PAIRS = UploadedDataset(sha256="0" * 64)
REWARD = RewardModelRecipe(learning_rate=1e-4, batch_size=8, micro_batch_size=8, epochs=1, max_length=64)
GRPO = GrpoRecipe(
    learning_rate=1e-5,
    batch_size=8,
    micro_batch_size=8,
    steps=2,
    num_generations=4,
    max_completion_length=8,
)


@pytest.fixture
def make(tmp_path):
    def made(recipe, grader=None, state=None):
        spec = RunSpec(
            name="people’s taste",
            model=StarterModel(),
            dataset=PAIRS,
            recipe=recipe,
            grader=grader,
            evaluation=EvaluationPlan(),
        )
        accepted = Accepted(order=1, at=0.0)
        run_id = uuid4()
        run_dir = create_run_dir(tmp_path, run_id, spec, accepted)
        if state:
            log = run_dir.event_log()
            log.append(EndEvent(state=state, steps_done=1, total_steps=1, reason="no pairs"))
            log.close()
        run = FollowedRun(run_id, run_dir, spec, accepted)
        run.catch_up()
        return run

    return made


def asks(run_id: UUID) -> Multi:
    """The reward model may be any part of a grader."""
    part = RewardModelGrader(name="people", run=run_id)
    return Multi(name="all", graders={"people": part}, calculate_output="people")


def test_a_graded_run_is_given_the_folder_of_its_reward_model(make):
    reward = make(REWARD, state=RunState.SUCCEEDED)
    reward.dir.model_dir.mkdir()
    found = reward_models_of(make(GRPO, asks(reward.id)), {reward.id: reward})
    assert found == {str(reward.id): str(reward.dir.model_dir)}


def test_it_waits_while_the_reward_model_is_not_there(make):
    reward = make(REWARD)
    graded = make(GRPO, asks(reward.id))
    with pytest.raises(Blocked, match="Waits for the reward model of “people’s taste”"):
        reward_models_of(graded, {reward.id: reward})
    with pytest.raises(Blocked, match="has not arrived yet"):
        reward_models_of(graded, {})


def test_it_fails_with_the_reason_when_there_will_be_none(make):
    reward = make(REWARD, state=RunState.FAILED)
    with pytest.raises(CannotStart, match="failed: no pairs"):
        reward_models_of(make(GRPO, asks(reward.id)), {reward.id: reward})


def test_a_run_that_trains_no_reward_model_cannot_grade(make):
    other = make(GRPO, asks(uuid4()), state=RunState.SUCCEEDED)
    with pytest.raises(CannotStart, match="trains no reward model"):
        reward_models_of(make(GRPO, asks(other.id)), {other.id: other})
