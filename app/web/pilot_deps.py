"""What routes about one pilot may ask for: its row or 404, and everything that is shown of it."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import select

from app.advisor.rulebook import Rulebook
from app.errors import NotFound
from app.models import Assessment, Pilot, Run
from app.protocol import OVER
from app.web.deps import Parts, PartsDep, SessionDep, readable
from app.web.pilot_view import PilotView, view


def pilot(pilot_id: UUID, request: Request, parts: PartsDep, session: SessionDep) -> Pilot:
    """Looking at it brings the copies of its live runs up to date first; no transaction has begun yet."""
    if request.method in ("GET", "HEAD"):
        _look(parts, pilot_id)
    found = session.get(Pilot, pilot_id)
    if found is None:
        raise NotFound("There is no pilot here: it may have been deleted.")
    return found


def _look(parts: Parts, pilot_id: UUID) -> None:
    with parts.database.reading() as session:
        live = session.scalars(select(Run.id).where(Run.pilot_id == pilot_id, Run.state.not_in(OVER))).all()
    for run_id in live:
        parts.sweep.look(run_id)


PilotDep = Annotated[Pilot, Depends(pilot)]


def its_rulebook(pilot: PilotDep, session: SessionDep, parts: PartsDep) -> Rulebook | None:
    """That of its assessment; None where either is gone."""
    assessment = session.get(Assessment, pilot.assessment_id) if pilot.assessment_id else None
    return readable(parts.rulebooks, session, assessment.rulebook_checksum) if assessment else None


PilotRulebookDep = Annotated[Rulebook | None, Depends(its_rulebook)]


def shown(pilot: PilotDep, session: SessionDep, rulebook: PilotRulebookDep) -> PilotView:
    return view(session, pilot, rulebook)


PilotViewDep = Annotated[PilotView, Depends(shown)]
