"""The verbs that touch both database and worker: launch, retry, cancel, delete, and keeping our copy true."""

import logging
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

import httpx
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from app import wishes
from app.database import Database, now
from app.errors import Conflict, InvalidInput, NotFound, Problem, RateLimited, TuningForkError, WorkerAway
from app.models import Assessment, Dataset, Milestone, Removal, Report, Run
from app.protocol import (
    EndEvent,
    EventPage,
    MetricEvent,
    ResumeEvent,
    RewardModelGrader,
    RunEvent,
    RunSpec,
    RunState,
    RunStatus,
    StateEvent,
    problems_with_advanced,
)
from app.run_view import RunView, Standing, standing, view, words
from app.settings import WebSettings
from app.webhook import Webhook
from app.wishes import limit_that_paused, limits_in_force, pause, resume, set_priority
from app.worker_client import AT_ONCE, QUICK, WorkerClient

__all__ = [
    "RunView",
    "Standing",
    "Sweep",
    "cancel",
    "delete",
    "launch",
    "limit_that_paused",
    "limits_in_force",
    "pause",
    "plan_runs",
    "push",
    "resume",
    "retry",
    "set_priority",
    "standing",
    "sync",
    "view",
    "words",
]

log = logging.getLogger("tuning_fork.runs")

KEYED_RUNS = UUID("6f1f2f0e-6f0b-4a51-9f55-6c1f0d7c1f3e")
"""Run ids made from an Idempotency-Key live in this namespace: the same key always names the same runs."""

PAGE = 1000
LOST = "The worker had this run and no longer knows it; launch it again."

LOOK_AGAIN_AFTER = 0.5
"""Seconds. Many watchers of one run cost the worker no more than one."""


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
) -> tuple[list[Run], bool]:
    """The rows of a plan's runs, and whether they are new. The sweep hands them to the worker afterwards."""
    planned = plan_runs(plan, key)
    known = _launched_before(session, planned)
    if known:
        return known, False
    _check_plan(session, plan, settings)
    milestone = assessment.decisions[-1] if assessment and assessment.decisions else None
    _check_advice(plan, milestone, override_reason)
    rows = [
        Run(
            id=run_id,
            spec=spec,
            state=RunState.REQUESTED,
            assessment_id=assessment.id if assessment else None,
            milestone_id=milestone.id if milestone else None,
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
    if problems:
        raise InvalidInput("This plan cannot be launched.", tuple(problems))
    live = session.scalar(select(func.count()).select_from(Run).where(Run.state.not_in(_OVER))) or 0
    if live + len(plan) > settings.max_live_runs:
        raise RateLimited(
            f"{live} runs are not over yet and at most {settings.max_live_runs} may be; wait, or cancel one."
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
    if spec.dataset and spec.dataset.kind == "uploaded":
        yield from _problems_of_dataset(session, where, spec, spec.dataset.sha256)


def _problems_of_start(session: Session, where: str, starts_from: UUID) -> Iterable[Problem]:
    before = session.get(Run, starts_from)
    if before is None:
        yield Problem(where=f"{where}.starts_from", what="there is no run with this id")
    elif before.state in (RunState.FAILED, RunState.CANCELLED):
        yield Problem(where=f"{where}.starts_from", what=f"that run is {before.state}; it left no model")


def _problems_of_dataset(session: Session, where: str, spec: RunSpec, sha256: str) -> Iterable[Problem]:
    dataset = session.scalars(select(Dataset).where(Dataset.sha256 == sha256)).first()
    if dataset is None:
        yield Problem(where=f"{where}.dataset", what="there is no uploaded dataset with this hash")
    elif spec.recipe.kind == "sft" and not dataset.summary.demonstrations + dataset.summary.texts:
        yield Problem(
            where=f"{where}.dataset", what="SFT needs demonstrations and this dataset has only prompts"
        )


def _check_advice(plan: list[RunSpec], milestone: Milestone | None, reason: str | None) -> None:
    if milestone is None or reason:
        return
    advised, chosen = milestone.recommendation.method, plan[-1].recipe.kind
    if chosen != advised:
        raise InvalidInput(
            f"The advice is {advised.upper()} and this launches {chosen.upper()}.",
            (Problem(where="override_reason", what="say why, so that the record can tell"),),
        )


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
    spec = run.spec.model_copy(update={"continues": run.id, "starts_from": before})
    _check_plan(session, [spec], settings)
    again = Run(
        id=uuid4(),
        spec=spec,
        state=RunState.REQUESTED,
        assessment_id=run.assessment_id,
        milestone_id=run.milestone_id,
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
    waiting = session.scalars(select(Run).where(Run.starts_from == run.id, Run.state.not_in(_OVER))).first()
    if waiting is not None:
        raise Conflict(f"The run “{waiting.spec.name}” starts from this one; cancel that first.")
    if any(not each.state.is_over and not each.steps_done for each in _retries(session, run.id)):
        raise Conflict(
            "A retry of this run is about to go on from its checkpoint; wait, or cancel that first."
        )
    _remember_removal(session, "run", str(run.id))
    session.delete(run)


def delete_dataset(session: Session, dataset: Dataset) -> None:
    users = session.scalars(select(Run).where(Run.state.not_in(_OVER)))
    if any(_uses(run.spec, dataset.sha256) for run in users):
        raise Conflict("A run that is not over yet learns from this dataset; cancel it first.")
    session.delete(dataset)
    session.flush()
    if session.scalars(select(Dataset).where(Dataset.sha256 == dataset.sha256)).first() is None:
        _remember_removal(session, "dataset", dataset.sha256)


def delete_assessment(session: Session, assessment: Assessment) -> None:
    """Its runs stay: they are work of their own."""
    session.delete(assessment)


def _uses(spec: RunSpec, sha256: str) -> bool:
    return spec.dataset is not None and spec.dataset.kind == "uploaded" and spec.dataset.sha256 == sha256


def _remember_removal(session: Session, kind: str, key: str) -> None:
    if session.get(Removal, key) is None:
        session.add(Removal(key=key, kind=kind))


def conclude(run: Run, state: RunState, reason: str | None = None) -> None:
    """A verdict of our own, where the worker cannot give one. A later event of the run overrules it."""
    run.state, run.detail, run.ended_at = state, reason, now()


# Copying


def sync(database: Database, worker: WorkerClient, run_id: UUID, timeout: httpx.Timeout = QUICK) -> None:
    """Copy the events we lack. Asking happens outside any transaction, and copying twice changes nothing."""
    while True:
        with database.reading() as session:
            after = session.scalar(select(Run.last_seq).where(Run.id == run_id))
        if after is None:
            return
        page = worker.events(run_id, after, PAGE, timeout)
        with database.writing() as session, session.begin():
            keep(session, run_id, page)
        if len(page.events) < PAGE:
            return


def keep(session: Session, run_id: UUID, page: EventPage) -> None:
    """Two watchers may hold the same page: the row lock orders them, the primary key stops a second copy."""
    run = session.get(Run, run_id, with_for_update=True)
    if run is None:
        return
    run.accepted_at = run.accepted_at or now()
    for event in page.events:
        if event.seq == run.last_seq + 1:
            _keep_event(session, run, event)
    if page.status.last_seq == run.last_seq:
        _follow(run, page.status)


def _keep_event(session: Session, run: Run, event: RunEvent) -> None:
    session.add(Report(run_id=run.id, seq=event.seq, at=event.at, kind=event.what.kind, what=event.what))
    run.last_seq = event.seq
    match event.what:
        case ResumeEvent(from_step=step, attempt=attempt):
            run.steps_done, run.attempt = step, attempt
        case StateEvent(state=state, detail=detail):
            run.state, run.detail, run.ended_at = state, _text(detail), None
            if state == RunState.STARTING:
                run.started_at = run.started_at or _when(event)
        case MetricEvent(step=step, total_steps=total):
            run.steps_done, run.total_steps = max(run.steps_done, step), total
        case EndEvent() as end:
            run.state, run.detail, run.ended_at = RunState(end.state), _text(end.reason), _when(event)
            run.steps_done, run.total_steps = end.steps_done, end.total_steps or run.total_steps


def _follow(run: Run, status: RunStatus) -> None:
    """What the worker says of a run whose events we all have; events speak for a run that is over."""
    if run.state.is_over and not status.state.is_over:
        return
    run.state, run.attempt = status.state, status.attempt
    if status.state.is_over:
        run.ended_at = run.ended_at or now()
        run.detail = run.detail or _text(status.detail)
    else:
        run.detail = _text(status.detail)


def _when(event: RunEvent) -> datetime:
    """By the engine's clock, but never in our future."""
    try:
        return min(now(), datetime.fromtimestamp(event.at, UTC))
    except (OverflowError, ValueError, OSError):
        return now()


def _text(given: str | None) -> str | None:
    """PostgreSQL cannot keep NUL, and a broken worker may send it."""
    return given.replace("\x00", "\ufffd") if given else None


# Handing over


def push(database: Database, worker: WorkerClient) -> None:
    """Hand over what the worker has not confirmed: launches, cancellations and other wishes."""
    with database.reading() as session:
        launches = list(
            session.execute(
                select(Run.id, Run.spec)
                .where(Run.accepted_at.is_(None), Run.state.not_in(_OVER), ~Run.cancel_requested)
                .order_by(Run.created_at, Run.stage)
            )
        )
        cancels = list(session.scalars(select(Run.id).where(Run.cancel_requested, Run.state.not_in(_OVER))))
    for run_id, spec in launches:
        _push_launch(database, worker, run_id, spec)
    for run_id in cancels:
        _push_cancel(database, worker, run_id)
    with database.reading() as session:
        wished = list(wishes.outstanding(session))
    for wish in wished:
        _push_wish(database, worker, wish)


def _push_launch(database: Database, worker: WorkerClient, run_id: UUID, spec: RunSpec) -> None:
    try:
        status = worker.put_run(run_id, spec)
    except WorkerAway:
        raise
    except TuningForkError as error:
        reasons = "; ".join(f"{p.where}: {p.what}" for p in error.problems[:5])
        refusal = f"The worker refused this run. {error.sentence} {reasons}".strip()
        with database.writing() as session, session.begin():
            if (run := session.get(Run, run_id)) and run.accepted_at is None:
                conclude(run, RunState.FAILED, _text(refusal))
        return
    with database.writing() as session, session.begin():
        keep(session, run_id, EventPage(status=status, events=[]))


def _push_cancel(database: Database, worker: WorkerClient, run_id: UUID) -> None:
    try:
        status = worker.cancel(run_id)
    except NotFound:
        with database.writing() as session, session.begin():
            if (run := session.get(Run, run_id)) and not run.state.is_over and run.accepted_at is None:
                conclude(run, RunState.CANCELLED)
        return
    except Conflict:
        return  # It ended by itself; its last events are on their way.
    with database.writing() as session, session.begin():
        keep(session, run_id, EventPage(status=status, events=[]))


def _push_wish(database: Database, worker: WorkerClient, wish: wishes.Wish) -> None:
    status = wishes.ask(worker, wish)
    with database.writing() as session, session.begin():
        if run := session.get(Run, wish.run_id):
            wishes.settle(run, wish)
        if status:
            keep(session, wish.run_id, EventPage(status=status, events=[]))


_OVER = tuple(state for state in RunState if state.is_over)


class Sweep:
    """The one background loop: hands over, copies, adopts, removes and notifies."""

    def __init__(self, settings: WebSettings, database: Database, worker: WorkerClient) -> None:
        self.worker_away: str | None = None
        """Why the worker could not be reached when last asked."""
        self.uploading = threading.Lock()
        """A dataset is not removed from the worker while the same one may be arriving."""
        self._settings = settings
        self._database = database
        self._worker = worker
        self._webhook = Webhook(settings)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked: dict[UUID, float] = {}
        self._looking = threading.Lock()
        self._missing_since: dict[UUID, float] = {}

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="sweep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=5)
        self._webhook.close()

    def wake(self) -> None:
        """Sweep now instead of at the next turn: something waits to be handed over."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.once()
            except Exception:
                log.exception("the sweep failed; it goes on at its next turn")
            self._wake.wait(self._settings.sync_seconds)
            self._wake.clear()

    def once(self) -> None:
        try:
            self._talk_to_the_worker()
        except WorkerAway as error:
            self.worker_away = error.sentence
        else:
            self.worker_away = None
        self._notify()

    def _talk_to_the_worker(self) -> None:
        push(self._database, self._worker)
        self._remove()
        # Asked after the removals: what was removed in between must not be adopted again.
        statuses = {status.id: status for status in self._worker.runs()}
        self._adopt(statuses)
        for run_id in self._behind(statuses):
            self._sync(run_id)

    def look(self, run_id: UUID) -> None:
        """Bring one run's copy up to date because somebody is looking at it."""
        if self.worker_away is not None or not self._my_turn(run_id):
            return
        with self._database.reading() as session:
            row = session.execute(select(Run.state, Run.accepted_at).where(Run.id == run_id)).first()
        if row is None or row.state.is_over or row.accepted_at is None:
            return
        try:
            self._sync(run_id, AT_ONCE)
        except WorkerAway as error:
            self.worker_away = error.sentence

    def _my_turn(self, run_id: UUID) -> bool:
        with self._looking:
            due = time.monotonic() - self._looked.get(run_id, 0.0) >= LOOK_AGAIN_AFTER
            if due:
                self._looked[run_id] = time.monotonic()
        return due

    def _sync(self, run_id: UUID, timeout: httpx.Timeout = QUICK) -> None:
        try:
            sync(self._database, self._worker, run_id, timeout)
        except NotFound:
            self._miss(run_id)
        except SQLAlchemyError:
            log.exception("run %s could not be copied; the next sweep tries again", run_id)
        else:
            self._missing_since.pop(run_id, None)

    def _miss(self, run_id: UUID) -> None:
        """A worker that just came back may find its runs a moment later; one that lost them never will."""
        since = self._missing_since.setdefault(run_id, time.monotonic())
        if time.monotonic() - since < self._settings.lost_run_seconds:
            return
        with self._database.writing() as session, session.begin():
            run = session.get(Run, run_id)
            if run is not None and run.accepted_at is not None and not run.state.is_over:
                conclude(run, RunState.FAILED, LOST)

    def _behind(self, statuses: dict[UUID, RunStatus]) -> list[UUID]:
        """Runs that are not over, and runs of which the worker has events we lack."""
        with self._database.reading() as session:
            rows = session.execute(
                select(Run.id, Run.state, Run.last_seq).where(Run.accepted_at.is_not(None))
            ).all()
        return [
            row.id
            for row in rows
            if not row.state.is_over or (row.id in statuses and statuses[row.id].last_seq > row.last_seq)
        ]

    def _adopt(self, statuses: dict[UUID, RunStatus]) -> None:
        """Runs that the worker made itself (the starter), or that an older backup of ours has forgotten."""
        with self._database.reading() as session:
            known = set(session.scalars(select(Run.id)))
            removed = set(session.scalars(select(Removal.key)))
        for status in statuses.values():
            if status.id not in known and str(status.id) not in removed:
                self._adopt_one(status)

    def _adopt_one(self, status: RunStatus) -> None:
        run = Run(id=status.id, spec=status.spec, state=RunState.QUEUED, starts_from=status.spec.starts_from)
        run.accepted_at = now()
        try:
            with self._database.writing() as session, session.begin():
                session.add(run)
        except IntegrityError:
            return  # Another replica was faster.

    def _remove(self) -> None:
        with self.uploading:
            with self._database.reading() as session:
                removals = list(session.execute(select(Removal.kind, Removal.key)))
            for kind, key in removals:
                self._remove_one(kind, key)

    def _remove_one(self, kind: str, key: str) -> None:
        try:
            if kind == "run":
                self._worker.delete_run(UUID(key))
            else:
                self._worker.delete_dataset(key)
        except WorkerAway:
            raise
        except TuningForkError as error:
            log.warning("the worker does not delete %s %s yet: %s", kind, key, error.sentence)
            return
        with self._database.writing() as session, session.begin():
            if row := session.get(Removal, key):
                session.delete(row)

    def _notify(self) -> None:
        for run_id in self._webhook.due(self._database):
            self._webhook.tell(self._database, run_id)


def forget_removal(session: Session, key: str) -> None:
    """The same dataset is being brought again."""
    if row := session.get(Removal, key):
        session.delete(row)
