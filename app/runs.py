"""The verbs of runs: launch, retry, cancel, delete. They change rows, and the sweep tells the worker."""

from collections.abc import Iterable
from uuid import UUID, uuid4, uuid5

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.advisor.advice import Recommendation
from app.errors import Conflict, InvalidInput, Problem, RateLimited
from app.graders.parts import reward_model_runs
from app.models import Assessment, Dataset, Milestone, Removal, Run
from app.outcome import is_as_advised
from app.protocol import OVER, RewardModelGrader, RunSpec, RunState, problems_with_advanced
from app.run_view import RunView, Standing, left_a_model, standing, view, words
from app.settings import WebSettings
from app.wishes import limit_that_paused, limits_in_force, pause, resume, set_priority

__all__ = [
    "RunView",
    "Standing",
    "cancel",
    "delete",
    "launch",
    "left_a_model",
    "limit_that_paused",
    "limits_in_force",
    "pause",
    "plan_runs",
    "resume",
    "retry",
    "set_priority",
    "standing",
    "view",
    "words",
]

NO_DATASET = "there is no uploaded dataset with this hash"

KEYED_RUNS = UUID("6f1f2f0e-6f0b-4a51-9f55-6c1f0d7c1f3e")
"""Run ids made from an Idempotency-Key live in this namespace: the same key always names the same runs."""


# Launching


FIRST_STAGE = UUID(int=0)
"""In a plan, a reward model grader's run: the reward model of the stage before, whose id is not known yet."""


def plan_runs(plan: list[RunSpec], key: str | None = None) -> list[tuple[UUID, RunSpec]]:
    """A run id for every stage; each starts from the stage before, or is graded by its reward model."""
    ids = [uuid5(KEYED_RUNS, f"{key}/{n}") if key else uuid4() for n in range(len(plan))]
    chained = [_after(spec, plan[n - 1], ids[n - 1]) if n else spec for n, spec in enumerate(plan)]
    return list(zip(ids, chained, strict=True))


def _after(spec: RunSpec, before: RunSpec, before_id: UUID) -> RunSpec:
    if before.recipe.kind != "reward_model":
        return spec.model_copy(update={"starts_from": before_id})
    if isinstance(spec.grader, RewardModelGrader) and spec.grader.run == FIRST_STAGE:
        return spec.model_copy(update={"grader": spec.grader.model_copy(update={"run": before_id})})
    return spec


def launch(
    session: Session,
    plan: list[RunSpec],
    settings: WebSettings,
    *,
    assessment: Assessment | None = None,
    override_reason: str | None = None,
    key: str | None = None,
    pilot: tuple[UUID, str] | None = None,
) -> tuple[list[Run], bool]:
    """The rows of a plan's runs, and whether they are new. The sweep hands them to the worker afterwards.

    `pilot`: the one they belong to, and the arm; it tries both methods, so it overrides no advice.
    """
    planned = plan_runs(plan, key)
    known = _launched_before(session, planned)
    if known:
        return known, False
    _check_plan(session, plan, settings)
    milestone = assessment.decisions[-1] if assessment and assessment.decisions else None
    if plan[-1].recipe.kind == "probe":
        milestone = None  # it follows no advice: it finds out whether the advice holds
    if pilot is None:
        _check_advice(plan, milestone, override_reason)
    rows = [
        Run(
            id=run_id,
            spec=spec,
            state=RunState.REQUESTED,
            assessment_id=assessment.id if assessment else None,
            milestone_id=milestone.id if milestone else None,
            pilot_id=pilot[0] if pilot else None,
            arm=pilot[1] if pilot else "",
            stage=n,
            stages=len(planned),
            starts_from=spec.starts_from,
            advised=milestone.recommendation.method if milestone else None,
            override_reason=override_reason or None,
        )
        for n, (run_id, spec) in enumerate(planned, 1)
    ]
    try:
        with session.begin_nested():
            session.add_all(rows)
    except IntegrityError:
        # The same key, a moment earlier: its runs are the answer.
        return _launched_before(session, planned), False
    return rows, True


def _launched_before(session: Session, planned: list[tuple[UUID, RunSpec]]) -> list[Run]:
    # One statement sees one moment: asked one by one, a launch that commits in between would seem half there.
    wanted = select(Run).where(Run.id.in_([run_id for run_id, _ in planned])).order_by(Run.stage)
    known = list(session.scalars(wanted))
    if not known:
        return []
    if [(run.id, run.spec) for run in known] != planned:
        raise Conflict("This Idempotency-Key was used before to launch something else; choose another.")
    return known


def _check_plan(session: Session, plan: list[RunSpec], settings: WebSettings) -> None:
    problems = [p for n, spec in enumerate(plan) for p in _problems_of_stage(session, n, spec)]
    if len(plan) > 1 and any(spec.recipe.kind == "probe" for spec in plan):
        what = "a probe trains no model for a next stage to start from; launch it by itself"
        problems.append(Problem(where="plan", what=what))
    if problems:
        raise InvalidInput("This plan cannot be launched.", tuple(problems))
    refuse_beyond_limit(session, len(plan), settings)


def refuse_beyond_limit(session: Session, more: int, settings: WebSettings) -> None:
    live = session.scalar(select(func.count()).select_from(Run).where(Run.state.not_in(OVER))) or 0
    if live + more > settings.max_live_runs:
        raise RateLimited(
            f"{live} runs are not over yet, {more} would come to them and at most "
            f"{settings.max_live_runs} may be; wait, cancel one, or launch fewer."
        )


def _problems_of_stage(session: Session, n: int, spec: RunSpec) -> Iterable[Problem]:
    where = f"plan.{n}"
    if spec.recipe.kind == "starter":
        yield Problem(where=f"{where}.recipe.kind", what="the worker trains the starter model by itself")
    for problem in problems_with_advanced(spec.recipe):
        yield Problem(where=f"{where}.{problem.where}", what=problem.what)
    if n and spec.starts_from:
        yield Problem(where=f"{where}.starts_from", what="leave it out; a stage starts from the one before")
    if not n and spec.starts_from:
        yield from _problems_of_start(session, where, spec.starts_from)
    if spec.continues and session.get(Run, spec.continues) is None:
        yield Problem(where=f"{where}.continues", what="there is no run with this id; leave it out")
    if spec.dataset and spec.dataset.kind == "uploaded":
        yield from _problems_of_dataset(session, where, spec, spec.dataset.sha256)
    guard = spec.evaluation.guard
    if guard and guard.dataset.kind == "uploaded" and _uploaded(session, guard.dataset.sha256) is None:
        yield Problem(where=f"{where}.evaluation.guard.dataset", what=NO_DATASET)


def _problems_of_start(session: Session, where: str, starts_from: UUID) -> Iterable[Problem]:
    before = session.get(Run, starts_from)
    if before is None:
        yield Problem(where=f"{where}.starts_from", what="there is no run with this id")
    elif before.kind == "probe":
        yield Problem(where=f"{where}.starts_from", what="that run is a probe, which trains no model")
    elif before.state.is_over and not left_a_model(session, before):
        yield Problem(where=f"{where}.starts_from", what=f"that run is {before.state}; it left no model")


def _problems_of_dataset(session: Session, where: str, spec: RunSpec, sha256: str) -> Iterable[Problem]:
    dataset = _uploaded(session, sha256)
    if dataset is None:
        yield Problem(where=f"{where}.dataset", what=NO_DATASET)
    elif spec.recipe.kind == "sft" and not dataset.summary.demonstrations + dataset.summary.texts:
        yield Problem(
            where=f"{where}.dataset", what="SFT needs demonstrations and this dataset has only prompts"
        )


def _uploaded(session: Session, sha256: str) -> Dataset | None:
    return session.scalars(select(Dataset).where(Dataset.sha256 == sha256)).first()


def _check_advice(plan: list[RunSpec], milestone: Milestone | None, reason: str | None) -> None:
    if milestone is None or reason:
        return
    advice, chosen = milestone.recommendation, [spec.recipe.kind for spec in plan]
    if not is_as_advised(advice, chosen):
        raise InvalidInput(
            f"{_advice_in_words(advice)}; this launches {', then '.join(map(_named, chosen))}.",
            (Problem(where="override_reason", what="say why, so that the record can tell"),),
        )


def _advice_in_words(advice: Recommendation) -> str:
    stages = ", then ".join(_named(stage.method) for stage in advice.plan.stages)
    if advice.readiness == "ready":
        return f"The advice is {stages}"
    first = "; ".join(blocker.title for blocker in advice.blockers)
    return f"The advice is to fix something first ({first})"


def _named(kind: str) -> str:
    return "a reward model" if kind == "reward_model" else kind.upper()


def retry(session: Session, run: Run, settings: WebSettings) -> Run:
    """A new run that goes on from the newest sound checkpoint of one that failed or was cancelled.

    Raises Conflict where there is nothing to retry, or where it is being retried already.
    """
    if run.state not in (RunState.FAILED, RunState.CANCELLED):
        raise Conflict(
            f"Only a run that failed or was cancelled can be retried; this one: {words(run).lower()}."
        )
    if live := next((each for each in _retries(session, run.id) if not each.state.is_over), None):
        raise Conflict(f"This run is already being retried, as “{live.spec.name}”.")
    before = run.starts_from and _latest_try(session, run.starts_from)
    changed = {"continues": run.id, "starts_from": before, "limits": run.limits or run.spec.limits}
    spec = run.spec.model_copy(update=changed)
    _check_plan(session, [spec], settings)
    again = Run(
        id=uuid4(),
        spec=spec,
        state=RunState.REQUESTED,
        assessment_id=run.assessment_id,
        milestone_id=run.milestone_id,
        pilot_id=run.pilot_id,
        arm=run.arm,
        stage=run.stage,
        stages=run.stages,
        starts_from=before,
        advised=run.advised,
        override_reason=run.override_reason,
        priority=run.priority,
    )
    session.add(again)
    return again


def _retries(session: Session, run_id: UUID) -> list[Run]:
    """Oldest first."""
    there = session.scalars(select(Run).order_by(Run.created_at))
    return [each for each in there if each.spec.continues == run_id]


def _latest_try(session: Session, run_id: UUID) -> UUID:
    """A later stage starts from what became of the stage before it, however often that was retried."""
    while retries := _retries(session, run_id):
        run_id = retries[-1].id
    return run_id


# Ending


def cancel(session: Session, run: Run) -> None:
    """Recorded in the row; the sweep tells the worker until it has confirmed."""
    if run.state.is_over:
        raise Conflict(f"This run is already over: {words(run).lower()}.")
    run.cancel_requested = True


def delete(session: Session, run: Run) -> None:
    if not run.state.is_over:
        raise Conflict("This run is not over yet; cancel it first.")
    for live in session.scalars(select(Run).where(Run.state.not_in(OVER))):
        _refuse_while_needed(run, live)
    _remember_removal(session, "run", str(run.id))
    session.delete(run)


def _refuse_while_needed(run: Run, live: Run) -> None:
    if live.starts_from == run.id:
        raise Conflict(f"The run “{live.spec.name}” starts from this one; cancel that first.")
    if live.spec.continues == run.id and not live.steps_done:
        raise Conflict(
            "A retry of this run is about to go on from its checkpoint; wait, or cancel that first."
        )
    if run.id in reward_model_runs(live.spec.all_graders):
        raise Conflict(f"The run “{live.spec.name}” is graded by this one's model; cancel that first.")


def delete_dataset(session: Session, dataset: Dataset) -> None:
    live = session.scalars(select(Run).where(Run.state.not_in(OVER)))
    if any(dataset.sha256 in run.spec.uploads for run in live):
        raise Conflict("A run that is not over yet uses this dataset; cancel it first.")
    session.delete(dataset)
    session.flush()
    if _uploaded(session, dataset.sha256) is None:
        _remember_removal(session, "dataset", dataset.sha256)


def delete_assessment(session: Session, assessment: Assessment) -> None:
    """Its runs stay: they are work of their own."""
    session.delete(assessment)


def _remember_removal(session: Session, kind: str, key: str) -> None:
    if session.get(Removal, key) is None:
        session.add(Removal(key=key, kind=kind))


def forget_removal(session: Session, key: str) -> None:
    """The same dataset is being brought again."""
    if row := session.get(Removal, key):
        session.delete(row)
