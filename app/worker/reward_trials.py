"""Trying graders that ask a reward model: in a process of the engine, which may import torch."""

import subprocess
import sys
from uuid import UUID

from pydantic import ValidationError

from app.errors import InvalidInput, NotFound, Problem, Unavailable
from app.graders.parts import asks_judge, reward_model_runs
from app.protocol import Grader, RewardModelGrader, RunState, Trial, TrialOrder, TrialReport, TrialResult
from app.worker.grading import judge_of, sandbox_of
from app.worker.launchers.local import environment
from app.worker.trial_runs import THREADS, Surroundings

MODULE = "app.engine.grade_once"


def reward_models(grader: Grader, around: Surroundings) -> dict[str, str]:
    """Where the reward models are that it asks. Raises InvalidInput where one is not there to be asked."""
    asked = reward_model_runs([grader])
    where = "grader.run" if isinstance(grader, RewardModelGrader) else "grader"
    problems = tuple(Problem(where=where, what=what) for run in asked if (what := _missing(run, around)))
    if problems:
        raise InvalidInput("This grader cannot be used.", problems)
    return {str(run): str(around.model_of(run)) for run in asked}


def _missing(run: UUID, around: Surroundings) -> str | None:
    try:
        status = around.supervisor.status(run)
    except NotFound:
        return "there is no such run on this worker; choose a finished reward-model run"
    if status.spec.recipe.kind != "reward_model":
        return f"“{status.spec.name}” trains no reward model; choose a reward-model run"
    if status.state is not RunState.SUCCEEDED or around.model_of(run) is None:
        return f"“{status.spec.name}” has no finished model: its state is {status.state.value}"
    return None


def try_with_models(trial: Trial, models: dict[str, str], around: Surroundings) -> TrialReport:
    settings = around.settings
    order = TrialOrder.model_validate(
        {
            "trial": trial,
            "reward_models": models,
            "device": around.device,
            "judge": judge_of(settings),
            "sandbox": sandbox_of(settings),
        }
    )
    key = settings.judge_key.get_secret_value() if asks_judge(trial.grader) else ""
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE],
            input=order.model_dump_json(by_alias=True).encode(),
            capture_output=True,
            cwd=around.data_dir.models,
            env=environment(THREADS, around.device, online=False, judge_key=key),
            timeout=settings.trying_seconds,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"The reward model did not answer within {settings.trying_seconds:g} seconds; try fewer answers, "
            "or raise TUNING_FORK_WORKER_TRYING_SECONDS."
        ) from None
    return _report(done.stdout)


def _report(said: bytes) -> TrialReport:
    try:
        result = TrialResult.model_validate_json(said)
    except ValidationError:
        raise Unavailable(
            "The process that asks the reward model ended without an answer, as it does when memory runs out."
        ) from None
    if result.report is None:
        raise InvalidInput(result.why, (Problem(where="grader", what=result.why),))
    return result.report
