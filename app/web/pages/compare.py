"""The page that puts two to four results side by side, and the one where they are picked."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import InvalidInput, NotFound
from app.models import Assessment, Milestone
from app.web.advice_shown import scale, share
from app.web.comparing import FEWEST, MOST, as_rows, columns, comparison, name_of, wanted
from app.web.deps import PartsDep, SessionDep, render
from app.web.spreadsheet import csv_file

router = APIRouter()

Ids = Annotated[list[str], Query(max_length=100, default_factory=list)]

LISTED = 50
"""Assessments that can be picked from, those that changed last."""


@router.get("/compare")
def compare(request: Request, session: SessionDep, parts: PartsDep, ids: Ids, only: str = "") -> Response:
    chosen = wanted(ids)
    if not FEWEST <= len(chosen) <= MOST:
        return _picker(request, session, chosen)
    try:
        found = columns(session, parts.rulebooks, chosen)
    except NotFound as error:
        return _picker(request, session, chosen, error.sentence, error.status)
    told = comparison(found)
    differing = [row for row in told.answers if row.differs]
    return render(
        request,
        "compare.html",
        columns=found,
        told=told,
        rows=differing if only == "differences" else told.answers,
        differing=len(differing),
        only=only == "differences",
        scale=max(scale(column.advice) for column in found),
        share=share,
        query=",".join(chosen),
    )


@router.get("/compare.csv")
def compare_csv(session: SessionDep, parts: PartsDep, ids: Ids) -> Response:
    return csv_file(as_rows(columns(session, parts.rulebooks, wanted(ids))), "comparison.csv")


def _picker(
    request: Request, session: Session, chosen: Sequence[str], problem: str = "", status: int = 200
) -> Response:
    if not problem and len(chosen) > MOST:
        problem, status = (
            f"At most {MOST} results fit side by side; {len(chosen)} are chosen.",
            InvalidInput.status,
        )
    if not problem and len(chosen) == 1:
        problem, status = f"Choose at least {FEWEST} results to compare.", InvalidInput.status
    rows = session.scalars(
        select(Assessment)
        .where(Assessment.milestones.any())
        .order_by(Assessment.updated_at.desc())
        .limit(LISTED)
    )
    return render(
        request,
        "compare_pick.html",
        status,
        groups=[(row, _choices(row, chosen)) for row in rows],
        problem=problem,
        most=MOST,
        fewest=FEWEST,
    )


def _choices(assessment: Assessment, chosen: Sequence[str]) -> list[tuple[Milestone, str, bool]]:
    """Newest first: each with its name, and whether it is ticked."""
    latest = assessment.decisions[-1:]
    ticked = {each.id for each in latest if str(assessment.id) in chosen}
    return [
        (each, name_of(each), each.id in ticked or str(each.id) in chosen)
        for each in reversed(assessment.milestones)
    ]
