"""What a run needs before it can start: the model it goes on from, its dataset, and where both lie."""

from collections.abc import Mapping
from uuid import UUID

from app.graders.parts import reward_model_runs
from app.protocol import DatasetRef, RunState
from app.worker.dataset_store import DatasetStore
from app.worker.followed_run import FollowedRun
from app.worker.model_store import ModelStore
from app.worker.starter_run import needs_starter, starter_attempts


class Blocked(Exception):
    """Another run has to finish first."""


class CannotStart(Exception):
    """What the run needs will never be there."""


def predecessor_of(run: FollowedRun, runs: Mapping[UUID, FollowedRun]) -> FollowedRun | None:
    """The run whose model this one starts from, if it starts from one.

    One that waits for it needs it to succeed. One that came after its end takes the model that it left, also
    where a finding stopped it or where it was cancelled while measuring.
    """
    if needs_starter(run.spec):
        attempts = starter_attempts(runs)
        found, title = (attempts[-1] if attempts else None), "the starter model"
    elif run.spec.starts_from:
        found = runs.get(run.spec.starts_from)
        title = f"the run it starts from, “{found.spec.name}”," if found else "the run it starts from"
    else:
        return None
    if found is None:
        raise Blocked(f"Waits for {title}, which has not arrived yet.")
    if run.accepted.starts_from_ended and found.end and found.dir.model_dir.is_dir():
        return found
    return _finished(found, title)


def reward_models_of(run: FollowedRun, runs: Mapping[UUID, FollowedRun]) -> dict[str, str]:
    """Their directories. Raises Blocked while one is not there yet, CannotStart if it never will be."""
    found: dict[str, str] = {}
    for run_id in reward_model_runs(run.spec.all_graders):
        grades = runs.get(run_id)
        title = f"the reward model of “{grades.spec.name}”," if grades else "the run of its reward model"
        if grades is None:
            raise Blocked(f"Waits for {title}, which has not arrived yet.")
        if grades.spec.recipe.kind != "reward_model":
            raise CannotStart(f"Not started, because “{grades.spec.name}” trains no reward model.")
        found[str(run_id)] = str(_finished(grades, title).dir.model_dir)
    return found


def _finished(found: FollowedRun, title: str) -> FollowedRun:
    if found.end is None:
        raise Blocked(f"Waits for {title.removesuffix(',')}.")
    if found.end.state is RunState.CANCELLED:
        raise CannotStart(f"Not started, because {title} was cancelled.")
    if found.end.state is RunState.FAILED:
        raise CannotStart(f"Not started, because {title} failed: {found.end.reason or 'no reason given'}")
    if not found.dir.model_dir.is_dir():
        raise CannotStart(f"Not started, because {title} left no model behind.")
    return found


def model_dir_of(run: FollowedRun, before: FollowedRun | None, models: ModelStore) -> str | None:
    if before:
        return str(before.dir.model_dir)
    if run.spec.model.kind != "local":
        return None
    found = models.find(run.spec.model.name)
    if found is None:
        raise CannotStart(f"The model {run.spec.model.name} is no longer in the worker's models folder.")
    return str(found)


def dataset_file_of(run: FollowedRun, datasets: DatasetStore) -> str | None:
    return _file_of(run.spec.dataset, datasets, "The dataset")


def guard_file_of(run: FollowedRun, datasets: DatasetStore) -> str | None:
    guard = run.spec.evaluation.guard
    return _file_of(guard.dataset if guard else None, datasets, "The guard task's dataset")


def _file_of(ref: DatasetRef | None, datasets: DatasetStore, what: str) -> str | None:
    if ref is None or ref.kind == "generated":
        return None
    found = datasets.find(ref.sha256)
    if found is None:
        raise CannotStart(f"{what} is no longer on the worker; upload it again.")
    return str(found)


def run_dir_continued(run: FollowedRun, runs: Mapping[UUID, FollowedRun]) -> str | None:
    """Without the earlier run, or without a sound checkpoint in it, the run begins at the start."""
    earlier = runs.get(run.spec.continues) if run.spec.continues else None
    if earlier is None:
        return None
    if earlier.end is None:
        raise Blocked(f"Waits for the run it continues, “{earlier.spec.name}”, to end.")
    return str(earlier.dir.path)
