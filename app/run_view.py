"""What a page and the API show of a run: where it stands in words, its curves, and before against after."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.graders.comparison import mcnemar
from app.models import Report, Run
from app.protocol import (
    CheckpointEvent,
    EndEvent,
    Evaluation,
    EvaluationEvent,
    HealthEvent,
    Method,
    MetricEvent,
    ProbeEvent,
    ProbeReport,
    ProgressEvent,
    ResumeEvent,
    RunSpec,
    RunState,
    SampleEvent,
    StateEvent,
    told_once,
)

MOST_POINTS = 2000
"""Per curve. A screen is not wider; each bucket keeps its lowest and highest point, so spikes survive."""

SAMPLES_SHOWN = 10

RECENT_STEPS = 50
"""The time left is judged by so many logged steps: the first ones are slower."""

WORDS = {
    RunState.REQUESTED: "Waiting for the worker to take it",
    RunState.WAITING: "Waiting for the run it starts from",
    RunState.QUEUED: "Waiting for its turn",
    RunState.STARTING: "Starting: loading the model and the data",
    RunState.RUNNING: "Training",
    RunState.EVALUATING: "Measuring on held-out items",
    RunState.PAUSING: "Pausing",
    RunState.PAUSED: "Paused",
    RunState.CANCELLING: "Stopping",
    RunState.SUCCEEDED: "Succeeded",
    RunState.FAILED: "Failed",
    RunState.CANCELLED: "Cancelled",
}


PROBING = "Probing: the model answers, the grader scores"


class Phase(BaseModel):
    """How far a phase without training steps has come."""

    name: str
    done: int
    total: int


class Standing(BaseModel):
    """Where a run stands now; also the `status` event of its live stream."""

    id: UUID
    name: str
    kind: str
    state: RunState
    is_over: bool
    words: str
    detail: str | None
    cancel_requested: bool
    wish: str | None
    """`pause` or `resume`, until the worker has confirmed it."""
    priority: int
    attempt: int
    step: int
    total_steps: int | None
    minutes: float | None
    """Budget of training, where the run has one: then it ends by these, and not by its steps."""
    progress: float
    """Share of the training done, 0 to 1: of its minutes, else of its steps."""
    phase: Phase | None
    elapsed_seconds: float | None
    """Between the engine's first and latest event, by its own clock."""
    eta_seconds: float | None
    """Of training, without the evaluation after it; of a probe, of its present phase."""
    last_seq: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Point(BaseModel):
    step: int
    value: float


class Change(BaseModel):
    """Right before against right after, on the same items; exact two-sided McNemar p."""

    sampled_gain: float
    sampled_p: float
    greedy_gain: float
    greedy_p: float


class Failure(BaseModel):
    reason: str
    log_tail: str | None


class Spent(BaseModel):
    """What a run has used so far, over all its attempts, by the times of its events."""

    training_minutes: float
    """Measuring before and after, waiting and pauses are not counted."""
    gpu_hours: float
    """Of one device, from each start until its pause or end."""


class RunView(Standing):
    spec: RunSpec
    stage: int
    stages: int
    starts_from: UUID | None
    assessment_id: UUID | None
    milestone_id: UUID | None
    pilot_id: UUID | None
    """The pilot that it is part of, and as which arm."""
    arm: str
    advised: Method | None
    override_reason: str | None
    metrics: dict[str, list[Point]]
    """By TRL's names."""
    before: Evaluation | None
    after: Evaluation | None
    comparison: Change | None
    findings: list[HealthEvent]
    samples: list[SampleEvent]
    failure: Failure | None
    guard_before: Evaluation | None
    guard_after: Evaluation | None
    checkpoints: list[CheckpointEvent]
    """Newest first."""
    resumes: list[ResumeEvent]
    kept_step: int | None
    """Which step the model is from; None: the last, or there is none."""
    probe: ProbeReport | None
    """What a probe found, once it is through."""
    spent: Spent


def words(run: Run) -> str:
    if run.cancel_requested and not run.state.is_over:
        return WORDS[RunState.CANCELLING]
    if run.wish and not run.state.is_over:
        return WORDS[RunState.PAUSING if run.wish == "pause" else RunState.QUEUED]
    if run.kind == "probe" and run.state is RunState.EVALUATING:
        return PROBING
    return WORDS[run.state]


def standing(session: Session, run: Run) -> Standing:
    recent = [] if run.state.is_over else _reports(session, run, "metric", newest=RECENT_STEPS)
    return Standing(**_standing(session, run, recent, _reports(session, run, *TURNS)))


TURNS = ("state", "resume")
"""Where one phase ends and another begins."""


TOLD = ("state", "resume", "metric", "evaluation", "probe", "health", "checkpoint", "end")
"""What a view is made of, read at once; of the rest only the newest."""


def view(session: Session, run: Run) -> RunView:
    told = _reports(session, run, *TOLD)
    states = [report for report in told if report.kind in TURNS]
    recent = [report for report in told if report.kind == "metric"][-RECENT_STEPS:]
    measured = _measured(told)
    before, after = measured.get(("main", "before")), measured.get(("main", "after"))
    end = next(iter(_of(EndEvent, told)), None)
    return RunView(
        **_standing(session, run, recent, states),
        spec=run.spec,
        stage=run.stage,
        stages=run.stages,
        starts_from=run.starts_from,
        assessment_id=run.assessment_id,
        milestone_id=run.milestone_id,
        pilot_id=run.pilot_id,
        arm=run.arm,
        advised=run.advised,
        override_reason=run.override_reason,
        metrics=curves(told_once(report.what for report in told)),
        before=before,
        after=after,
        comparison=_change(before, after),
        findings=_of(HealthEvent, told),
        samples=_of(SampleEvent, _reports(session, run, "sample", newest=SAMPLES_SHOWN)),
        failure=_failure(run, end),
        guard_before=measured.get(("guard", "before")),
        guard_after=measured.get(("guard", "after")),
        checkpoints=_checkpoints(_of(CheckpointEvent, told)),
        resumes=_of(ResumeEvent, told),
        kept_step=end.kept_step if end else None,
        probe=next((what.report for what in _of(ProbeEvent, told)), None),
        spent=_spent(session, run, states),
    )


def left_a_model(session: Session, run: Run) -> bool:
    """As far as its events tell, for an engine keeps the model before it measures it."""
    if run.state is RunState.SUCCEEDED:
        return run.kind != "probe"
    states = [what.state for what in _of(StateEvent, _reports(session, run, "state"))]
    trained = states[states.index(RunState.RUNNING) :] if RunState.RUNNING in states else []
    return run.state.is_over and RunState.EVALUATING in trained


def device(session: Session, run: Run) -> str:
    """What it ran on, as the driver names it; empty where it did not say."""
    return next((end.device for end in _of(EndEvent, _reports(session, run, "end"))), "")


def evaluations(session: Session, run: Run) -> dict[tuple[str, str], Evaluation]:
    """The latest of each task and time: `main` or `guard`, `before` or `after`."""
    return _measured(_reports(session, run, "evaluation"))


def _measured(told: Iterable[Report]) -> dict[tuple[str, str], Evaluation]:
    found = [what.evaluation for what in _of(EvaluationEvent, told)]
    return {(each.task, each.when): each for each in found}


def _checkpoints(told: Sequence[CheckpointEvent]) -> list[CheckpointEvent]:
    """One a step, as it was told last."""
    by_step = {each.step: each for each in told}
    return [by_step[step] for step in sorted(by_step, reverse=True)]


AT_WORK = (RunState.STARTING, RunState.RUNNING, RunState.EVALUATING, RunState.PAUSING, RunState.CANCELLING)


def spent(session: Session, run: Run) -> Spent:
    return _spent(session, run, _reports(session, run, "state"))


def _spent(session: Session, run: Run, states: Sequence[Report]) -> Spent:
    """From what the events tell; an open phase counts up to the latest event."""
    turns = [(report, report.what.state) for report in states if isinstance(report.what, StateEvent)]
    last = _latest(session, run)
    ends = [report for report, _ in turns[1:]] + ([last] if last else [])
    working = training = 0.0
    for (began, state), ended in zip(turns, ends, strict=False):
        if state in AT_WORK:
            took = max(0.0, _worked_until(session, state, ended) - began.at)
            working += took
            training += took if state is RunState.RUNNING else 0.0
    return Spent(training_minutes=training / 60, gpu_hours=working / 3600)


def _worked_until(session: Session, state: RunState, ended: Report) -> float:
    """Unix seconds. A process that was lost worked until its last event: when its loss was found, and the run
    queued again, may be hours later, as after a night without power."""
    found = ended.what.state if isinstance(ended.what, StateEvent) else None
    was_lost = found is RunState.QUEUED or (found is RunState.STARTING and state is not found)
    before = session.get(Report, (ended.run_id, ended.seq - 1)) if was_lost else None
    return before.at if before else ended.at


def curves(metrics: list[MetricEvent]) -> dict[str, list[Point]]:
    return {name: thinned(points) for name, points in _series(metrics).items()}


def every_point(session: Session, run: Run) -> dict[str, list[Point]]:
    """By TRL's names, as a file holds them: a screen's worth is not enough there."""
    return _series(told_once(report.what for report in _reports(session, run, "metric", "resume")))


def _series(metrics: Iterable[MetricEvent]) -> dict[str, list[Point]]:
    series: dict[str, list[Point]] = {}
    for metric in metrics:
        for name, value in metric.values.items():
            if value is not None:
                series.setdefault(name, []).append(Point(step=metric.step, value=value))
    return series


def thinned(points: list[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points: the lowest and the highest of each bucket, in order."""
    if len(points) <= most:
        return points
    buckets = most // 2
    kept: list[Point] = []
    for i in range(buckets):
        bucket = points[i * len(points) // buckets : (i + 1) * len(points) // buckets]
        ends = {min(bucket, key=_value).step, max(bucket, key=_value).step}
        kept += [point for point in bucket if point.step in ends][:2]
    return kept


def _value(point: Point) -> float:
    return point.value


def _standing(
    session: Session, run: Run, recent: Sequence[Report], states: Sequence[Report]
) -> dict[str, object]:
    total, budget = run.total_steps, run.spec.train_minutes
    used = None if budget is None or run.state.is_over else _spent(session, run, states).training_minutes
    return {
        "id": run.id,
        "name": run.spec.name,
        "kind": run.kind,
        "state": run.state,
        "is_over": run.state.is_over,
        "words": words(run),
        "detail": run.detail,
        "cancel_requested": run.cancel_requested,
        "wish": run.wish,
        "priority": run.priority,
        "attempt": run.attempt,
        "step": run.steps_done,
        "total_steps": total,
        "minutes": budget,
        "progress": _progress(run) if used is None or budget is None else min(1.0, used / budget),
        "phase": None if run.state.is_over else _phase(session, run),
        "elapsed_seconds": _elapsed(session, run, states),
        "eta_seconds": _time_left(session, run, recent, states, used),
        "last_seq": run.last_seq,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
    }


def _progress(run: Run) -> float:
    return min(1.0, run.steps_done / run.total_steps) if run.total_steps else 0.0


def _time_left(
    session: Session, run: Run, recent: Sequence[Report], states: Sequence[Report], used: float | None
) -> float | None:
    """Where minutes were planned, what they leave; else by how long the latest steps took, without a pause or
    a lost process between them."""
    if run.state.is_over:
        return None
    if used is not None and run.spec.train_minutes is not None:
        return max(0.0, 60 * (run.spec.train_minutes - used))
    turned = states[-1].seq if states else 0
    since = [report for report in recent if report.seq > turned]
    return _eta(since, run.total_steps) or _eta_of_probe(session, run)


def _reports(session: Session, run: Run, *kinds: str, newest: int | None = None) -> list[Report]:
    of_run = select(Report).where(Report.run_id == run.id, Report.kind.in_(kinds))
    if newest is None:
        return list(session.scalars(of_run.order_by(Report.seq)))
    return list(session.scalars(of_run.order_by(Report.seq.desc()).limit(newest)))[::-1]


H = TypeVar("H")


def _of(kind: type[H], told: Iterable[Report]) -> list[H]:
    return [report.what for report in told if isinstance(report.what, kind)]


def _latest(session: Session, run: Run) -> Report | None:
    return session.get(Report, (run.id, run.last_seq)) if run.last_seq else None


def _phase(session: Session, run: Run) -> Phase | None:
    """The latest progress, unless a later event says that its phase is over."""
    latest = session.scalars(
        select(Report)
        .where(Report.run_id == run.id, Report.kind.in_(("progress", "state", "metric", "evaluation")))
        .order_by(Report.seq.desc())
        .limit(1)
    ).first()
    if latest is None or not isinstance(latest.what, ProgressEvent):
        return None
    return Phase(name=latest.what.phase, done=latest.what.done, total=latest.what.total)


def _elapsed(session: Session, run: Run, states: Sequence[Report]) -> float | None:
    if run.started_at and run.ended_at:
        return max(0.0, (run.ended_at - run.started_at).total_seconds())
    first = next((report for report in states if _is_start(report)), None)
    last = _latest(session, run)
    return max(0.0, last.at - first.at) if first and last else None


def _is_start(report: Report) -> bool:
    return isinstance(report.what, StateEvent) and report.what.state == RunState.STARTING


def _eta(recent: Sequence[Report], total: int | None) -> float | None:
    steps = [(r.at, r.what.step) for r in recent if isinstance(r.what, MetricEvent)]
    if not total or len(steps) < 2 or steps[-1][1] <= steps[0][1]:
        return None
    (began, first), (latest, last) = steps[0], steps[-1]
    return max(0.0, (latest - began) / (last - first) * (total - last))


def _eta_of_probe(session: Session, run: Run) -> float | None:
    """Of answering, or of grading: by the pace since the phase began to tell."""
    if run.kind != "probe" or (phase := _phase(session, run)) is None:
        return None
    told = _reports(session, run, "progress", newest=RECENT_STEPS)
    points = [
        (report.at, report.what.done)
        for report in told
        if isinstance(report.what, ProgressEvent) and report.what.phase == phase.name
    ]
    (began, first), (latest, last) = points[0], points[-1]
    return max(0.0, (latest - began) / (last - first) * (phase.total - last)) if last > first else None


def _change(before: Evaluation | None, after: Evaluation | None) -> Change | None:
    if before is None or after is None:
        return None
    if len(before.sampled_outcomes) != len(after.sampled_outcomes):
        return None
    return Change(
        sampled_gain=after.sampled.value - before.sampled.value,
        sampled_p=mcnemar(before.sampled_outcomes, after.sampled_outcomes),
        greedy_gain=after.greedy.value - before.greedy.value,
        greedy_p=mcnemar(before.greedy_outcomes, after.greedy_outcomes),
    )


def _failure(run: Run, end: EndEvent | None) -> Failure | None:
    if run.state != RunState.FAILED:
        return None
    tail = end.log_tail if end else None
    return Failure(reason=run.detail or "The run failed without saying why.", log_tail=tail)
