"""The page over all confirmed decisions: how often the advice held."""

from fastapi import APIRouter, Request, Response

from app.outcome import RULE
from app.web import confirmed
from app.web.deps import AssessmentDep, SessionDep, render
from app.web.pages.records import chosen
from app.web.spreadsheet import csv_file

router = APIRouter()


@router.get("/confirmed")
def all_confirmed(request: Request, session: SessionDep) -> Response:
    found = confirmed.newest_first(session)
    told = confirmed.summary(each.outcome for each in found)
    groups = [("All", [told.all]), ("By band of the advice", told.by_band)]
    groups += [("By rung of the evidence", told.by_rung)]
    return render(
        request,
        "confirmed.html",
        decided=confirmed.decisions(session, found),
        summary=told,
        groups=[(title, tallies) for title, tallies in groups if any(tally.n for tally in tallies)],
        rule=RULE,
        words=confirmed,
    )


@router.get("/confirmed.csv")
def all_as_csv(session: SessionDep) -> Response:
    decided = confirmed.decisions(session, confirmed.newest_first(session))
    return csv_file(confirmed.rows(decided), "confirmed.csv")


@router.get("/assessments/{assessment_id}/confirmation.csv")
def one_as_csv(assessment: AssessmentDep, session: SessionDep, number: int | None = None) -> Response:
    milestone = chosen(assessment, number)
    found = confirmed.newest_first(session, milestone.id)
    decided = confirmed.decisions(session, found)
    return csv_file(confirmed.rows(decided), f"confirmation-{milestone.number}.csv")
