"""Confirmed decisions: what full runs showed about the advice they followed."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.http_json import StrictRoute
from app.models import Confirmation
from app.outcome import RULE, Outcome
from app.web import confirmed
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.calibration_cases import Cases, cases
from app.web.confirmed import Summary
from app.web.deps import SessionDep

router = APIRouter(tags=["confirmations"], route_class=StrictRoute)


class ConfirmationView(BaseModel):
    id: UUID
    assessment_id: UUID
    milestone_id: UUID
    name: str
    """Of the assessment, when it was advised."""
    number: int
    """Of the recommendation."""
    run_id: UUID
    """The last run of the plan; it may be deleted by now."""
    made_at: datetime
    sentence: str
    outcome: Outcome


class SummaryView(Summary):
    rule: str = RULE


@router.get("/confirmations", summary="Confirmed decisions, newest first")
def list_confirmations(
    session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[ConfirmationView]:
    found, following = page_of(session, Confirmation, limit, cursor)
    return Page(items=[_view(one) for one in confirmed.decisions(session, found)], next=following)


@router.get("/confirmations/summary", summary="How often the advice held, by band and by rung")
def show_summary(session: SessionDep) -> SummaryView:
    told = confirmed.summary(each.outcome for each in confirmed.newest_first(session))
    return SummaryView(**dict(told))


@router.get("/confirmations/cases", summary="Answers and outcomes as calibration cases")
def export_cases(
    session: SessionDep,
    names: Annotated[bool, Query(description="With the assessments' names.")] = False,
    notes: Annotated[bool, Query(description="With the notes and links beside the answers.")] = False,
) -> Cases:
    """Names and notes are left out unless asked for. `outcome` is `not_known` where the run does not tell."""
    return cases(confirmed.decisions(session, confirmed.newest_first(session)), names, notes)


def _view(one: confirmed.Decided) -> ConfirmationView:
    return ConfirmationView(
        id=one.confirmation.id,
        assessment_id=one.milestone.assessment_id,
        milestone_id=one.milestone.id,
        name=one.milestone.name,
        number=one.milestone.number,
        run_id=one.confirmation.run_id,
        made_at=one.confirmation.made_at,
        sentence=confirmed.said(one.outcome),
        outcome=one.outcome,
    )
