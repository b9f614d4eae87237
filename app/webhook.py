"""Tells an address of the operator's choice that a run has ended: a few tries, each claimed beforehand."""

import logging
from datetime import timedelta
from uuid import UUID

import httpx
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import Database, now
from app.models import Confirmation, Run
from app.protocol import OVER
from app.settings import WebSettings

log = logging.getLogger("tuning_fork.webhook")

PAUSES = (0, 30, 120, 600, 3600)
"""Seconds after the end of a run before each try; then we give up."""

OLDEST = timedelta(days=1)
"""A webhook that is set today does not tell of last month's runs."""


def _claim(session: Session, run: Run) -> bool:
    """Of several replicas of the web, one makes this try."""
    tried = run.notify_attempts
    claimed = session.execute(
        update(Run)
        .where(Run.id == run.id, Run.notify_attempts == tried)
        .values(notify_attempts=tried + 1)
        .returning(Run.id)
    )
    return claimed.first() is not None


def _confirmation(found: Confirmation) -> dict[str, object]:
    """What the run showed about the recommendation it followed."""
    outcome = found.outcome
    return {
        "verdict": outcome.verdict,
        "advised": outcome.advised,
        "trained": outcome.trained,
        "against_the_advice": outcome.is_override,
        "before": outcome.score.before.value,
        "after": outcome.score.after.value,
    }


class Webhook:
    def __init__(self, settings: WebSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._url = settings.webhook_url
        self._site = settings.public_url or f"http://{settings.host}:{settings.port}"
        self._http = httpx.Client(
            timeout=httpx.Timeout(5, connect=3),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
            verify=self._url.startswith("https:"),  # reading all certificates takes a while
        )

    def close(self) -> None:
        self._http.close()

    def due(self, database: Database) -> list[UUID]:
        if not self._url:
            return []
        ended = select(Run.id, Run.spec, Run.ended_at, Run.notify_attempts).where(
            Run.notified_at.is_(None),
            Run.ended_at > now() - OLDEST,
            Run.notify_attempts < len(PAUSES),
            Run.state.in_(OVER),
        )
        with database.reading() as session:
            return [
                row.id
                for row in session.execute(ended)
                if row.spec.recipe.kind != "starter"
                and now() >= row.ended_at + timedelta(seconds=PAUSES[row.notify_attempts])
            ]

    def tell(self, database: Database, run_id: UUID) -> None:
        with database.writing() as session, session.begin():
            run = session.get(Run, run_id)
            if run is None or not _claim(session, run):
                return
            message: dict[str, object] = {"event": "run.ended", "run": self._summary(run)}
            if found := session.scalar(select(Confirmation).where(Confirmation.run_id == run_id)):
                message["confirmation"] = _confirmation(found)
        try:
            self._http.post(self._url, json=message).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the webhook about run %s was not delivered: %s", run_id, type(error).__name__)
            return
        with database.writing() as session, session.begin():
            session.execute(update(Run).where(Run.id == run_id).values(notified_at=now()))

    def _summary(self, run: Run) -> dict[str, object]:
        return {
            "id": str(run.id),
            "name": run.spec.name,
            "kind": run.kind,
            "state": run.state.value,
            "detail": run.detail,
            "steps_done": run.steps_done,
            "ended_at": run.ended_at.isoformat() if run.ended_at else None,
            "url": f"{self._site}/runs/{run.id}",
        }
