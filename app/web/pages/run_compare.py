"""Runs side by side: chosen from the list by ticking, shown with what differs first."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import InvalidInput, NotFound
from app.models import Run
from app.web import comparing_runs, evaluation_words, run_words
from app.web.comparing_runs import FEWEST, MOST
from app.web.deps import SessionDep, render
from app.web.spreadsheet import csv_file

router = APIRouter()

Ids = Annotated[list[str], Query(max_length=20)]
LISTED = 50


def wanted(ids: Sequence[str]) -> list[UUID]:
    """From `?ids=a&ids=b` as the list sends it, and from `?ids=a,b` as links are written."""
    parts = [part.strip() for each in ids for part in each[:400].split(",") if part.strip()]
    try:
        return list(dict.fromkeys(UUID(part) for part in parts))
    except ValueError:
        raise NotFound("One of these is not the id of a run; choose the runs from the list.") from None


@router.get("/runs/compare")
def compare_runs(
    request: Request,
    session: SessionDep,
    ids: Ids = [],  # noqa: B006 - FastAPI copies it
    by: Annotated[str, Query(max_length=10)] = "step",
    every: Annotated[bool, Query(alias="all")] = False,
) -> Response:
    chosen = wanted(ids)
    if not FEWEST <= len(chosen) <= MOST:
        return _picker(request, session, chosen)
    found = comparing_runs.columns(session, chosen)
    table = comparing_runs.setting_table(found)
    return render(
        request,
        "run_compare.html",
        columns=found,
        overlays=comparing_runs.overlays(session, found, by_time=by == "time"),
        by="time" if by == "time" else "step",
        rows=table if every else [row for row in table if row.differs],
        differing=sum(row.differs for row in table),
        total=len(table),
        every=every,
        query=",".join(str(each) for each in chosen),
        percent=run_words.percent,
        reach=evaluation_words.reach,
    )


@router.get("/runs/compare.csv")
def compare_csv(session: SessionDep, ids: Ids) -> Response:
    chosen = wanted(ids)
    if not FEWEST <= len(chosen) <= MOST:
        raise InvalidInput(f"Name {FEWEST} to {MOST} runs, as in ?ids=...,...")
    return csv_file(comparing_runs.as_rows(comparing_runs.columns(session, chosen)), "runs.csv")


def _picker(request: Request, session: Session, chosen: Sequence[UUID]) -> Response:
    problem = ""
    if len(chosen) == 1:
        problem = f"Choose at least {FEWEST} runs to compare."
    elif len(chosen) > MOST:
        problem = f"At most {MOST} runs fit side by side; {len(chosen)} are chosen."
    newest = session.scalars(select(Run).order_by(Run.created_at.desc()).limit(LISTED))
    return render(
        request,
        "run_compare_pick.html",
        InvalidInput.status if problem else 200,
        found=[run for run in newest if run.kind not in ("starter", "probe")],
        chosen=set(chosen),
        problem=problem,
        fewest=FEWEST,
        most=MOST,
    )
