"""The one background loop between us and the worker: hands over, copies, adopts, removes and notifies."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from app import wishes
from app.confirming import confirm, confirm_missed
from app.copying import conclude, keep, sync, without_nul
from app.database import Database, now
from app.errors import Conflict, NotFound, TuningForkError, Unavailable, WorkerAway
from app.models import Removal, Run
from app.protocol import OVER, EventPage, RunSpec, RunState, RunStatus
from app.settings import WebSettings
from app.webhook import Webhook
from app.worker_client import AT_ONCE, QUICK, WorkerClient

log = logging.getLogger("tuning_fork.runs")

LOST = "The worker had this run and no longer knows it; launch it again."

LOOK_AGAIN_AFTER = 0.5
"""Seconds. Many watchers of one run cost the worker no more than one."""


class Sweep:
    def __init__(
        self,
        settings: WebSettings,
        database: Database,
        worker: WorkerClient,
        heed: Callable[[], None] = lambda: None,
    ) -> None:
        """`heed` is called after something may have been copied: it draws conclusions from what is there."""
        self.worker_away: str | None = None
        """Why the worker could not be reached when last asked."""
        self.uploading = threading.Lock()
        """A dataset is not removed from the worker while the same one may be arriving."""
        self._settings = settings
        self._database = database
        self._worker = worker
        self._heed = heed
        self._webhook = Webhook(settings)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked: dict[UUID, float] = {}
        self._looking = threading.Lock()
        self._missing_since: dict[UUID, float] = {}
        self._looked_back = False

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
        if not self._looked_back:
            confirm_missed(self._database)
            self._looked_back = True
        try:
            self._talk_to_the_worker()
        except Unavailable as error:
            self.worker_away = error.sentence
        else:
            self.worker_away = None
        self._notify()

    def _talk_to_the_worker(self) -> None:
        # Cancels and removals come first: they make room on a full disk, which refuses what comes after.
        push_cancels(self._database, self._worker)
        self._remove("run")
        push_launches(self._database, self._worker)
        push_wishes(self._database, self._worker)
        with self.uploading:
            self._remove("dataset")
        # Asked after the removals: what was removed in between must not be adopted again.
        statuses = {status.id: status for status in self._worker.runs()}
        self._adopt(statuses)
        for run_id in self._behind(statuses):
            self._sync(run_id)
        self._heed()

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
            self._heed()
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
            with _left_for_the_next_turn(f"copying run {run_id}"):
                sync(self._database, self._worker, run_id, timeout)
            confirm(self._database, run_id)
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
                # At once: one that is over long since must not count among those that are not.
                self._sync(status.id)

    def _adopt_one(self, status: RunStatus) -> None:
        run = Run(id=status.id, spec=status.spec, state=RunState.QUEUED, starts_from=status.spec.starts_from)
        run.accepted_at = now()
        try:
            with self._database.writing() as session, session.begin():
                session.add(run)
        except IntegrityError:
            return  # Another replica was faster.

    def _remove(self, kind: str) -> None:
        with self._database.reading() as session:
            keys = list(session.scalars(select(Removal.key).where(Removal.kind == kind)))
        for key in keys:
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


# Handing over


def push_cancels(database: Database, worker: WorkerClient) -> None:
    with database.reading() as session:
        cancels = list(session.scalars(select(Run.id).where(Run.cancel_requested, Run.state.not_in(OVER))))
    for run_id in cancels:
        with _left_for_the_next_turn(f"cancelling run {run_id}"):
            _push_cancel(database, worker, run_id)


def push_launches(database: Database, worker: WorkerClient) -> None:
    with database.reading() as session:
        launches = list(
            session.execute(
                select(Run.id, Run.spec)
                .where(Run.accepted_at.is_(None), Run.state.not_in(OVER), ~Run.cancel_requested)
                .order_by(Run.created_at, Run.stage)
            )
        )
    for run_id, spec in launches:
        _push_launch(database, worker, run_id, spec)


def push_wishes(database: Database, worker: WorkerClient) -> None:
    with database.reading() as session:
        wished = list(wishes.outstanding(session))
    for wish in wished:
        with _left_for_the_next_turn(f"the wish to {wish.what} run {wish.run_id}"):
            _push_wish(database, worker, wish)


@contextmanager
def _left_for_the_next_turn(what: str) -> Iterator[None]:
    """What the worker cannot do now keeps nothing else from being done; an absent worker does."""
    try:
        yield
    except WorkerAway:
        raise
    except Unavailable as error:
        log.warning("%s is left for the next turn: %s", what, error.sentence)


def _push_launch(database: Database, worker: WorkerClient, run_id: UUID, spec: RunSpec) -> None:
    try:
        status = worker.put_run(run_id, spec)
    except WorkerAway:
        raise
    except Unavailable as error:
        _keep_waiting(database, run_id, error.sentence)
        return
    except TuningForkError as error:
        reasons = "; ".join(f"{p.where}: {p.what}" for p in error.problems[:5])
        refusal = f"The worker refused this run. {error.sentence} {reasons}".strip()
        with database.writing() as session, session.begin():
            if (run := session.get(Run, run_id)) and run.accepted_at is None:
                conclude(run, RunState.FAILED, without_nul(refusal))
        return
    with database.writing() as session, session.begin():
        keep(session, run_id, EventPage(status=status, events=[]))


def _keep_waiting(database: Database, run_id: UUID, why: str) -> None:
    """Its page shows why, until the worker takes it and tells where it stands."""
    with database.writing() as session, session.begin():
        if (run := session.get(Run, run_id)) and run.accepted_at is None:
            run.detail = without_nul(f"The worker cannot take it yet; it is asked again and again. {why}")


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
