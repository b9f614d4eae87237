"""A pilot as page and API show it: what runs now, what was measured, and what that does to the advice."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app import pilots, runs
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.confirming import attempts
from app.models import Assessment, Pilot, Report, Run
from app.pilots import Arm, PilotPlan
from app.protocol import HealthEvent, RunState
from app.run_view import Standing, evaluations
from app.web import assessing
from app.web.pilot_advice import PilotAdvice, advise
from app.web.pilot_pace import Timed, Trained, trained
from app.web.piloting import PilotReading, Told, read
from app.web.run_words import count_of, duration, listed

POPULAR = "10 to 20 times"
"""How much slower GRPO is popularly said to be."""


PilotState = Literal["waiting", "running", "finished", "cancelled", "empty"]


class PilotRun(BaseModel):
    arm: Arm
    seed: int
    stage: int
    stages: int
    minutes: float
    """Its budget of training."""
    standing: Standing


class Estimated(BaseModel):
    """What the advice expects of the user's own project, before anything is measured."""

    per_row: float
    per_token: float
    sentence: str
    popular: str = POPULAR


class PilotView(BaseModel):
    id: UUID
    name: str
    assessment_id: UUID | None
    milestone_id: UUID | None
    created_at: datetime
    plan: PilotPlan
    state: PilotState
    is_over: bool
    sentence: str
    """What a director could read aloud: what runs now, or the verdict."""
    seconds_left: float | None
    """Of training; measuring comes to it."""
    runs: list[PilotRun]
    reading: PilotReading
    estimated: Estimated | None
    advice: PilotAdvice | None


class PilotSummary(BaseModel):
    """One line of a list."""

    id: UUID
    name: str
    assessment_id: UUID | None
    created_at: datetime
    plan: PilotPlan
    state: PilotState
    is_over: bool
    words: str


def summary(session: Session, pilot: Pilot) -> PilotSummary:
    found = pilots.runs_of(session, pilot)
    over = sum(run.state.is_over for run in found)
    is_over = over == len(found)
    state = _state(found, is_over)
    return PilotSummary(
        id=pilot.id,
        name=pilot.name,
        assessment_id=pilot.assessment_id,
        created_at=pilot.created_at,
        plan=PilotPlan.model_validate(pilot.plan),
        state=state,
        is_over=is_over,
        words=WORDS[state] if is_over else f"{WORDS[state]}: {_over(over, len(found))}",
    )


LISTED = 20


def newest(session: Session) -> list[PilotSummary]:
    found = session.scalars(select(Pilot).order_by(Pilot.created_at.desc()).limit(LISTED))
    return [summary(session, pilot) for pilot in found]


WORDS = {
    "waiting": "Waiting",
    "running": "Running",
    "finished": "Finished",
    "cancelled": "Cancelled",
    "empty": "Its runs were deleted",
}


def _over(over: int, whole: int) -> str:
    return f"{over} of {count_of(whole, 'run')} {'is' if over == 1 else 'are'} over"


def view(session: Session, pilot: Pilot, rulebook: Rulebook | None) -> PilotView:
    """`rulebook`: that of its assessment, where there still is one and it can be read."""
    plan = PilotPlan.model_validate(pilot.plan)
    found = pilots.runs_of(session, pilot)
    reading = reading_of(session, plan, found)
    shown = [_run(session, run, plan) for run in found]
    is_over = all(run.state.is_over for run in found)
    left = None if is_over else _seconds_left(shown)
    assessment = session.get(Assessment, pilot.assessment_id) if pilot.assessment_id else None
    project = assessing.project(assessment, rulebook) if assessment and rulebook else None
    state = _state(found, is_over)
    advice = advise(rulebook, project, reading.outcome) if rulebook and project and reading.outcome else None
    return PilotView(
        id=pilot.id,
        name=pilot.name,
        assessment_id=pilot.assessment_id,
        milestone_id=pilot.milestone_id,
        created_at=pilot.created_at,
        plan=plan,
        state=state,
        is_over=is_over,
        sentence=reading.sentence if is_over and found else _now(shown, left),
        seconds_left=left,
        runs=shown,
        reading=reading,
        estimated=_estimated(assessment, rulebook),
        advice=advice,
    )


def reading_of(session: Session, plan: PilotPlan, found: Sequence[Run]) -> PilotReading:
    return read([_told(session, run) for run in found], plan.arms, plan.seeds)


def _estimated(assessment: Assessment | None, rulebook: Rulebook | None) -> Estimated | None:
    if assessment is None or rulebook is None:
        return None
    cost = recommend(assessing.project(assessment, rulebook), rulebook).cost
    return Estimated(per_row=cost.ratio, per_token=cost.per_token, sentence=cost.sentence)


# Where it stands


def _run(session: Session, run: Run, plan: PilotPlan) -> PilotRun:
    return PilotRun(
        arm=next(arm for arm in pilots.ARMS if arm == run.arm),
        seed=run.spec.seed,
        stage=run.stage,
        stages=run.stages,
        minutes=run.spec.train_minutes or plan.minutes,
        standing=runs.standing(session, run),
    )


def _state(found: Sequence[Run], is_over: bool) -> PilotState:
    if not found:
        return "empty"
    if not is_over:
        return "running" if any(run.started_at for run in found) else "waiting"
    return "cancelled" if any(run.state is RunState.CANCELLED for run in found) else "finished"


def _seconds_left(shown: Sequence[PilotRun]) -> float:
    open_ones = [run for run in shown if not run.standing.is_over]
    return sum(_left_of(run) for run in open_ones)


def _left_of(run: PilotRun) -> float:
    known = run.standing.eta_seconds
    return 60 * run.minutes if known is None else known


AT_WORK = (RunState.STARTING, RunState.RUNNING, RunState.EVALUATING)


def _now(shown: Sequence[PilotRun], left: float | None) -> str:
    if not shown:
        return "Its runs were deleted, so nothing of it can be shown any more."
    over = sum(run.standing.is_over for run in shown)
    going = [run for run in shown if run.standing.state in AT_WORK]
    done = _over(over, len(shown))
    what = listed(
        [f"{_titled(run)}: {run.standing.words[0].lower()}{run.standing.words[1:]}" for run in going]
    )
    rest = f"; about {duration(left)} of training are left, and measuring comes to it" if left else ""
    return f"{what or 'Waiting for the worker'}. {done}{rest}."


def _titled(run: PilotRun) -> str:
    stage = f", stage {run.stage} of {run.stages}" if run.stages > 1 else ""
    return f"{pilots.ARMS[run.arm]}{stage}"


# What its runs told


def _told(session: Session, run: Run) -> Told:
    measured = evaluations(session, run)
    health = session.scalars(_reports(run, "health"))
    return Told(
        id=run.id,
        arm=next(arm for arm in pilots.ARMS if arm == run.arm),
        seed=run.spec.seed,
        stage=run.stage,
        spec=run.spec,
        state=run.state,
        before=measured.get(("main", "before")),
        after=measured.get(("main", "after")),
        trained=_REMEMBERED.of(session, run),
        findings=tuple(each.what for each in health if isinstance(each.what, HealthEvent)),
    )


def _reports(run: Run, *kinds: str) -> Select[Report]:
    return select(Report).where(Report.run_id == run.id, Report.kind.in_(kinds)).order_by(Report.seq)


class _Remembered:
    """A short training tells thousands of steps, and what is told never changes: each is added up once."""

    MOST = 200

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[tuple[UUID, int], ...], Trained] = OrderedDict()
        self._lock = Lock()

    def of(self, session: Session, run: Run) -> Trained:
        """With what it goes on from: a retry keeps what was trained before its checkpoint."""
        tries = list(reversed(attempts(session, run)))
        key = tuple((each.id, each.last_seq) for each in tries)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        kinds = ("state", "resume", "metric", "checkpoint")
        told = [report for each in tries for report in session.scalars(_reports(each, *kinds))]
        found = trained([Timed(each.at, each.what) for each in told])
        with self._lock:
            self._found[key] = found
            if len(self._found) > self.MOST:
                self._found.popitem(last=False)
        return found


_REMEMBERED = _Remembered()
