"""What a run cannot be asked for as it stands, each with a sentence that says why."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from app.errors import Conflict, InvalidInput, Problem
from app.graders.parts import reward_model_runs
from app.protocol import Limits, RunSpec, is_raised
from app.worker.followed_run import FollowedRun


def refuse_circle(run_id: UUID, spec: RunSpec, runs: Mapping[UUID, FollowedRun]) -> None:
    """A run may arrive before the one that it starts from, so two could wait for each other."""
    before = spec.starts_from
    while before != run_id:
        if not (known := runs.get(before) if before else None):
            return
        before = known.spec.starts_from
    what = "this run would wait for itself; name an earlier run"
    raise InvalidInput("This run could never start.", (Problem(where="starts_from", what=what),))


def refuse_other_settings(spec: RunSpec, runs: Mapping[UUID, FollowedRun]) -> None:
    """A checkpoint is only good for the training that it was saved from."""
    earlier = runs.get(spec.continues) if spec.continues else None
    if earlier is None:
        return
    free = {"name": "", "continues": None, "limits": Limits(), "starts_from": None}
    if earlier.spec.model_copy(update=free) != spec.model_copy(update=free):
        what = "only a run with the same settings can be continued; launch this one without `continues`"
        raise InvalidInput("This run could never start.", (Problem(where="continues", what=what),))


def refuse_start_from_probe(spec: RunSpec, runs: Mapping[UUID, FollowedRun]) -> None:
    before = runs.get(spec.starts_from) if spec.starts_from else None
    if before and before.spec.recipe.kind == "probe":
        what = f"“{before.spec.name}” is a probe, which trains no model; name a run that trained one"
        raise InvalidInput("This run could never start.", (Problem(where="starts_from", what=what),))


def refuse_to_look_before(spec: RunSpec) -> None:
    """A preflight makes a training small, and a first batch is what a trainer would learn from."""
    if spec.recipe.kind == "probe":
        what = "a probe trains nothing, so there is nothing to look at before it; launch it"
        raise InvalidInput("This run cannot be checked.", (Problem(where="spec.recipe.kind", what=what),))


def refuse_over(run: FollowedRun) -> None:
    if run.end:
        raise Conflict(f"This run is already over: it {run.end.state.value}.")


def refuse_to_pause(run: FollowedRun) -> None:
    refuse_over(run)
    if run.spec.recipe.kind == "probe":
        raise Conflict("A probe keeps nothing halfway, so it cannot be paused; cancel it, and probe again.")
    if run.has_been_cancelled:
        raise Conflict("This run is being cancelled; it cannot be paused any more.")
    if run.is_paused:
        raise Conflict("This run is already paused.")


def refuse_to_resume(run: FollowedRun, limits: Limits | None) -> None:
    if run.end:
        raise Conflict(f"This run is already over: it {run.end.state.value}; retry it instead.")
    if run.has_been_cancelled:
        raise Conflict("This run is being cancelled; it cannot be resumed any more.")
    if not run.is_paused:
        raise Conflict("Only a paused run can be resumed, and this one is not paused.")
    if run.limit and not is_raised(run.limit, run.limits_in_force, limits or run.limits_in_force):
        raise Conflict(
            f"This run was paused by its limit `{run.limit}`; resume it with `limits` in which that one "
            "is higher or left out."
        )


def refuse_while_needed(run: FollowedRun, others: Iterable[FollowedRun]) -> None:
    """By a run that starts from it, goes on from its checkpoint, or is graded by its model."""
    for other in others:
        if not other.is_over and other.spec.starts_from == run.id:
            raise Conflict(f"The run “{other.spec.name}” starts from this one; cancel it first.")
        if other.spec.continues == run.id and not (other.is_over or other.saved):
            raise Conflict(f"The run “{other.spec.name}” goes on from this one; cancel it first.")
        if not other.is_over and run.id in reward_model_runs(other.spec.all_graders):
            raise Conflict(f"The run “{other.spec.name}” is graded by this one's model; cancel it first.")


def refuse_while_read(sha256: str, runs: Iterable[FollowedRun]) -> None:
    """An upload is needed until every run on it is over."""
    for run in runs:
        if not run.is_over and sha256 in run.spec.uploads:
            raise Conflict(f"The run “{run.spec.name}” still uses this dataset; cancel it first.")
