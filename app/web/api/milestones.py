"""Frozen recommendations: their records as files, and what people decided about them."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Request, Response
from pydantic import Field

from app.advisor.markdown import markdown
from app.errors import InvalidInput, Problem
from app.http_json import StrictRoute
from app.models import Assessment, Milestone
from app.protocol import Message, Name
from app.web.api.assessments import MilestoneView, latest_of, milestone_view
from app.web.api.examples import DECISIONS
from app.web.assessing import numbered
from app.web.deps import AssessmentDep, PartsDep, SessionDep
from app.web.records import Decided, Status, csv_of, decide, json_of, record_of
from app.web.security import own_origin

router = APIRouter(tags=["assessments"], route_class=StrictRoute)


class Decision(Message):
    """What is left out stays as it is; null takes a day, an owner or a predecessor away."""

    status: Status | None = None
    owner: Name | None = None
    review_by: Annotated[date, Field(strict=False)] | None = None
    supersedes_id: Annotated[UUID, Field(strict=False)] | None = None
    """The `id` of an earlier recommendation, of any assessment."""


@router.patch(
    "/assessments/{assessment_id}/milestones/{number}", summary="Accept, reject, own or date a recommendation"
)
def decide_on(
    number: int,
    body: Annotated[Decision, Body(openapi_examples=DECISIONS)],
    assessment: AssessmentDep,
    session: SessionDep,
) -> MilestoneView:
    """Accepting one marks what it supersedes as superseded: the one it names, and earlier accepted ones."""
    milestone = milestone_at(assessment, number)
    given = {name: getattr(body, name) for name in body.model_fields_set}
    present: dict[str, Any] = {
        "status": milestone.status,
        "owner": milestone.owner,
        "review_by": milestone.review_by,
        "supersedes_id": milestone.supersedes_id,
    }
    wanted = present | given
    earlier = session.get(Milestone, wanted["supersedes_id"]) if wanted["supersedes_id"] else None
    if earlier is None and given.get("supersedes_id"):
        what = "there is no recommendation with this id"
        raise InvalidInput("Nothing was changed.", (Problem(where="supersedes_id", what=what),))
    decided = Decided(
        wanted["status"] or milestone.status, wanted["owner"] or "", wanted["review_by"], earlier
    )
    decide(session, assessment, milestone, decided)
    return milestone_view(milestone)


MARKDOWN: dict[int | str, Any] = {200: {"content": {"text/markdown": {}}}}
JSON: dict[int | str, Any] = {200: {"content": {"application/json": {}}}}
CSV: dict[int | str, Any] = {200: {"content": {"text/csv": {}}}}


@router.get(
    "/assessments/{assessment_id}/record.md",
    summary="The decision record as Markdown",
    response_class=Response,
    responses=MARKDOWN,
)
def record_markdown(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    number: int | None = None,
) -> Response:
    """Of the latest recommendation, or of the one with that `number`."""
    milestone = milestone_at(assessment, number)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    site = own_origin(parts.settings, request.headers.get("host", ""))
    text = markdown(record_of(session, milestone, rulebook, site))
    return Response(text, media_type="text/markdown; charset=utf-8")


@router.get(
    "/assessments/{assessment_id}/record.json",
    summary="The decision as JSON that decides again, for `POST /assessments/import`",
    response_class=Response,
    responses=JSON,
)
def record_json(
    assessment: AssessmentDep, session: SessionDep, parts: PartsDep, number: int | None = None
) -> Response:
    milestone = milestone_at(assessment, number)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    return Response(json_of(session, milestone, rulebook), media_type="application/json")


@router.get(
    "/assessments/{assessment_id}/contributions.csv",
    summary="What each answer added to the lean, as CSV",
    response_class=Response,
    responses=CSV,
)
def contributions_csv(
    assessment: AssessmentDep, session: SessionDep, parts: PartsDep, number: int | None = None
) -> Response:
    milestone = milestone_at(assessment, number)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    return Response(csv_of(milestone, rulebook), media_type="text/csv; charset=utf-8")


def milestone_at(assessment: Assessment, number: int | None) -> Milestone:
    return numbered(assessment, number) or latest_of(assessment)
