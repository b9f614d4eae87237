"""Pages of a decision record: as read and printed, as files, and what people decided about it."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app.advisor.markdown import markdown
from app.errors import InvalidInput, NotFound, Problem
from app.models import Assessment, Milestone
from app.protocol import Name
from app.web.advice_shown import scale
from app.web.answer_form import FormDep
from app.web.assessing import at_number, latest, numbered
from app.web.confirmed import newest_first
from app.web.deps import AssessmentDep, Parts, PartsDep, SessionDep, render
from app.web.etags import decision_token
from app.web.ladder import ladder
from app.web.records import (
    STATUSES,
    Decided,
    Status,
    csv_of,
    decide,
    json_of,
    record_of,
    review_due,
)
from app.web.security import own_origin

router = APIRouter()


@router.get("/assessments/{assessment_id}/record")
def record_page(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    number: int | None = None,
) -> Response:
    milestone = numbered(assessment, number)
    if milestone is None:
        return RedirectResponse(f"/assessments/{assessment.id}/check", 303)
    return _page(request, assessment, milestone, session, parts, _values(milestone))


def _page(
    request: Request,
    assessment: Assessment,
    milestone: Milestone,
    session: Session,
    parts: Parts,
    values: Mapping[str, str],
    problems: tuple[Problem, ...] = (),
    clash: bool = False,
) -> Response:
    """`values` fill the form; with `clash` they are what was typed over something newer."""
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    record = record_of(session, milestone, rulebook, site_of(request, parts))
    others = session.scalars(
        select(Milestone)
        .where(
            or_(Milestone.status.in_(("accepted", "superseded")), Milestone.id == milestone.supersedes_id),
            Milestone.id != milestone.id,
            Milestone.kind == "decision",
        )
        .order_by(Milestone.created_at.desc())
        .limit(50)
    )
    return render(
        request,
        "record.html",
        409 if clash else 422 if problems else 200,
        assessment=assessment,
        milestone=milestone,
        record=record,
        rungs=ladder(session, assessment, milestone) if milestone.kind == "decision" else [],
        climbing=milestone is latest(assessment),
        confirmed=bool(newest_first(session, milestone.id)),
        text=markdown(record),
        factors=milestone.recommendation.factors,
        scale=scale(milestone.recommendation),
        values=values,
        loaded=decision_token(milestone),
        clash=clash,
        problems=problems,
        statuses=[(status, status.capitalize()) for status in STATUSES],
        earlier=[("", "Nothing"), *((str(each.id), _named(each)) for each in others)],
        overdue=review_due(assessment) is milestone,
    )


def _named(milestone: Milestone) -> str:
    return f"{milestone.name}, number {milestone.number} of {milestone.created_at:%Y-%m-%d}"


def _values(milestone: Milestone) -> dict[str, str]:
    return {
        "status": milestone.status,
        "owner": milestone.owner,
        "review_by": milestone.review_by.isoformat() if milestone.review_by else "",
        "supersedes": str(milestone.supersedes_id or ""),
    }


@router.post("/assessments/{assessment_id}/record")
def record_decision(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    form: FormDep,
    number: int,
) -> Response:
    milestone = at_number(assessment, number)
    typed = _values(milestone) | form
    stale = form.get("loaded", decision_token(milestone)) != decision_token(milestone)
    if stale and any(typed[name] != stored for name, stored in _values(milestone).items()):
        return _page(request, assessment, milestone, session, parts, typed, clash=True)
    try:
        decide(session, assessment, milestone, _decided(session, form))
    except InvalidInput as error:
        return _page(request, assessment, milestone, session, parts, typed, error.problems)
    return RedirectResponse(f"/assessments/{assessment.id}/record?number={number}", 303)


def _decided(session: Session, form: Mapping[str, str]) -> Decided:
    problems: list[Problem] = []
    owner = form.get("owner", "")
    try:
        owner = TypeAdapter(Name).validate_python(owner) if owner else ""
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        problems.append(Problem(where="owner", what=f"The name cannot be used: {what}."))
    decided = Decided(
        status=_status(form.get("status", ""), problems),
        owner=owner,
        review_by=_day(form.get("review_by", ""), problems),
        supersedes=_superseded(session, form.get("supersedes", ""), problems),
    )
    if problems:
        raise InvalidInput("The decision cannot be recorded like this.", tuple(problems))
    return decided


def _status(text: str, problems: list[Problem]) -> Status:
    found = next((status for status in STATUSES if status == text), None)
    if found is None:
        problems.append(Problem(where="status", what=f"Choose one of {', '.join(STATUSES)}."))
    return found or "proposed"


def _day(text: str, problems: list[Problem]) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        problems.append(Problem(where="review_by", what="Write the day as year-month-day: 2027-03-31."))
        return None


def _superseded(session: Session, text: str, problems: list[Problem]) -> Milestone | None:
    if not text:
        return None
    try:
        found = session.get(Milestone, UUID(text))
    except ValueError:
        found = None
    if found is None:
        problems.append(Problem(where="supersedes", what="Choose one of the decisions in the list."))
    return found


# As files


@router.get("/assessments/{assessment_id}/record.md")
def record_markdown(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    number: int | None = None,
) -> Response:
    milestone = chosen(assessment, number)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    text = markdown(record_of(session, milestone, rulebook, site_of(request, parts)))
    return _file(text, "text/markdown; charset=utf-8", f"decision-record-{milestone.number}.md")


@router.get("/assessments/{assessment_id}/record.json")
def record_json(
    assessment: AssessmentDep, session: SessionDep, parts: PartsDep, number: int | None = None
) -> Response:
    milestone = chosen(assessment, number)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    body = json_of(session, milestone, rulebook)
    return _file(body, "application/json", f"decision-record-{milestone.number}.json")


@router.get("/assessments/{assessment_id}/contributions.csv")
def contributions_csv(
    assessment: AssessmentDep, session: SessionDep, parts: PartsDep, number: int | None = None
) -> Response:
    milestone = chosen(assessment, number)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    text = csv_of(milestone, rulebook)
    return _file(text, "text/csv; charset=utf-8; header=present", f"contributions-{milestone.number}.csv")


def _file(content: str | bytes, kind: str, name: str) -> Response:
    return Response(
        content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def chosen(assessment: Assessment, number: int | None) -> Milestone:
    found = numbered(assessment, number)
    if found is None:
        raise NotFound("There is no recommendation yet: check the answers and ask for one.")
    return found


def site_of(request: Request, parts: Parts) -> str:
    return own_origin(parts.settings, request.headers.get("host", ""))
