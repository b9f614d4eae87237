"""What a route may ask for: session, settings, rulebook, worker, a row or 404, a rendered page."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response
from fastapi.templating import Jinja2Templates
from sqlalchemy.orm import Session

from app import __version__
from app.advisor.rulebook import Rulebook
from app.assistant import Assistant
from app.database import Database
from app.errors import Conflict, NotFound, RulebookGone
from app.models import Assessment, Dataset, Run
from app.rulebooks import Rulebooks
from app.settings import WebSettings
from app.sweep import Sweep
from app.web.security import Limiter
from app.worker_client import WorkerClient


@dataclass(frozen=True)
class Parts:
    """Everything that create_app wired, for as long as the service lives."""

    settings: WebSettings
    database: Database
    rulebooks: Rulebooks
    worker: WorkerClient
    assistant: Assistant
    templates: Jinja2Templates
    sweep: Sweep
    limiter: Limiter
    """Of anonymous recommendations."""
    login_limiter: Limiter
    share_limiter: Limiter
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set on the shutdown signal: live streams end themselves, since an open one would block the exit."""

    @property
    def rulebook(self) -> Rulebook:
        """The one in force."""
        return self.rulebooks.active


async def parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


PartsDep = Annotated[Parts, Depends(parts)]


async def settings(parts: PartsDep) -> WebSettings:
    return parts.settings


FIELDS_AT_MOST = 300


async def database(parts: PartsDep) -> Database:
    return parts.database


async def rulebook(parts: PartsDep) -> Rulebook:
    return parts.rulebook


async def worker(parts: PartsDep) -> WorkerClient:
    return parts.worker


async def sweep(parts: PartsDep) -> Sweep:
    return parts.sweep


SettingsDep = Annotated[WebSettings, Depends(settings)]
DatabaseDep = Annotated[Database, Depends(database)]
RulebookDep = Annotated[Rulebook, Depends(rulebook)]
WorkerDep = Annotated[WorkerClient, Depends(worker)]
SweepDep = Annotated[Sweep, Depends(sweep)]


def session(request: Request, database: DatabaseDep) -> Iterator[Session]:
    """One transaction a request, committed before the answer leaves."""
    begin = database.reading if request.method in ("GET", "HEAD") else database.writing
    with begin() as session, session.begin():
        yield session


def reading(database: DatabaseDep) -> Iterator[Session]:
    """For a POST that keeps nothing: it need not wait for those who write."""
    with database.reading() as session, session.begin():
        yield session


SessionDep = Annotated[Session, Depends(session, scope="function")]
ReadingDep = Annotated[Session, Depends(reading, scope="function")]


async def typed(request: Request) -> dict[str, str]:
    """The form as text by field name; a file sent in place of a text is nothing."""
    form = await request.form(max_fields=FIELDS_AT_MOST)
    return {key: value for key, value in form.items() if isinstance(value, str)}


Typed = Annotated[dict[str, str], Depends(typed)]


def assessment(assessment_id: UUID, request: Request, session: SessionDep) -> Assessment:
    """Locked while it changes: two tabs that answer or freeze at the same moment take turns."""
    changes = request.method not in ("GET", "HEAD")
    return _assessment(session, assessment_id, changes)


def looked_at(assessment_id: UUID, session: ReadingDep) -> Assessment:
    return _assessment(session, assessment_id, changes=False)


def _assessment(session: Session, assessment_id: UUID, changes: bool) -> Assessment:
    found = session.get(Assessment, assessment_id, with_for_update=changes)
    if found is None:
        raise NotFound("There is no assessment here: it may have been deleted.")
    return found


AssessmentDep = Annotated[Assessment, Depends(assessment)]
LookedAtDep = Annotated[Assessment, Depends(looked_at)]
"""Of a POST that keeps nothing."""


def its_rulebook(assessment: AssessmentDep, session: SessionDep, parts: PartsDep) -> Rulebook:
    try:
        return parts.rulebooks.of(session, assessment.rulebook_checksum)
    except Conflict as error:
        raise RulebookGone(
            f"{error.sentence} What was recommended stays; upgrade the assessment to go on with it.",
            at=f"/assessments/{assessment.id}/upgrade",
        ) from error


def its_readable_rulebook(assessment: AssessmentDep, session: SessionDep, parts: PartsDep) -> Rulebook | None:
    return readable(parts.rulebooks, session, assessment.rulebook_checksum)


def readable(rulebooks: Rulebooks, session: Session, checksum: str) -> Rulebook | None:
    """None where this version of the program cannot read it."""
    try:
        return rulebooks.of(session, checksum)
    except Conflict:
        return None


def dataset(dataset_id: UUID, session: SessionDep) -> Dataset:
    found = session.get(Dataset, dataset_id)
    if found is None:
        raise NotFound("There is no dataset here: it may have been deleted.")
    return found


def run(run_id: UUID, request: Request, sweep: SweepDep, session: SessionDep) -> Run:
    """Looking at a run brings its copy up to date first; the session has not begun its transaction yet."""
    if request.method in ("GET", "HEAD"):
        sweep.look(run_id)
    found = session.get(Run, run_id)
    if found is None:
        raise NotFound("There is no run here: it may have been deleted.")
    return found


ItsRulebookDep = Annotated[Rulebook, Depends(its_rulebook)]
"""That of the assessment in the address, which may be older than the one in force."""
ItsReadableRulebookDep = Annotated[Rulebook | None, Depends(its_readable_rulebook)]
"""The same, or None where this version of the program cannot read it any more."""
DatasetDep = Annotated[Dataset, Depends(dataset)]
RunDep = Annotated[Run, Depends(run)]


def render(request: Request, name: str, status_code: int = 200, **context: object) -> Response:
    parts: Parts = request.app.state.parts
    always = {
        "version": __version__,
        "rulebook_version": parts.rulebook.version,
        "rulebook_checksum": parts.rulebook.checksum,
        "worker_away": parts.sweep.worker_away is not None,
        "signed_in": request.state.principal is not None,
    }
    return parts.templates.TemplateResponse(request, name, always | context, status_code=status_code)
