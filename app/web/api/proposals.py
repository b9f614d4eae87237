"""Proposals: answers suggested from a description of the project, to accept or to dismiss."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel

from app.errors import Conflict
from app.http_json import StrictRoute
from app.models import Proposal
from app.protocol import Message
from app.web import proposing
from app.web.deps import AssessmentDep, ItsRulebookDep, PartsDep, SessionDep
from app.web.describing import describe

router = APIRouter(tags=["assessments"], route_class=StrictRoute)


class Description(Message):
    description: str | None = None
    """Without one, the assessment's own."""


class ProposalView(BaseModel):
    id: UUID
    question: str
    answer: Any
    because: str
    source: str
    made_at: datetime
    settled_at: datetime | None
    accepted: bool | None


class Proposed(BaseModel):
    proposals: list[ProposalView]
    agreeing: int
    """Suggested, and answered so already."""
    dropped: Mapping[str, int]
    """How many could not be used, by reason."""


EXAMPLE = {
    "a_project": {
        "summary": "A few sentences",
        "value": {"description": "We draft rulings. A program compares each with the known outcome."},
    }
}


@router.post(
    "/assessments/{assessment_id}/describe", summary="Let the assistant propose answers from a description"
)
async def describe_project(
    assessment_id: UUID, parts: PartsDep, body: Annotated[Description, Body(openapi_examples=EXAMPLE)]
) -> Proposed:
    """The description goes to the endpoint that the operator set up, and nowhere else. Nothing is answered
    by this: each proposal counts once it is accepted."""
    outcome = await describe(parts, assessment_id, body.description)
    return Proposed(
        proposals=[_view(each) for each in outcome.proposals],
        agreeing=outcome.agreeing,
        dropped=outcome.dropped,
    )


@router.get("/assessments/{assessment_id}/proposals", summary="Proposed answers, oldest first")
def list_proposals(
    assessment: AssessmentDep,
    session: SessionDep,
    waiting: Annotated[bool, Query(description="Only those not settled yet.")] = False,
) -> list[ProposalView]:
    found = proposing.all_of(session, assessment)
    return [_view(each) for each in found if not (waiting and each.settled_at)]


@router.post("/assessments/{assessment_id}/proposals/{proposal_id}/accept", summary="Answer as proposed")
def accept_proposal(
    proposal_id: UUID,
    assessment: AssessmentDep,
    session: SessionDep,
    rulebook: ItsRulebookDep,
    replace: Annotated[bool, Query(description="Also where the question has an answer.")] = False,
) -> ProposalView:
    found = proposing.find(session, assessment, proposal_id)
    answered = any(row.question == found.question for row in assessment.answers)
    if answered and not replace and found.settled_at is None:
        raise Conflict(f"Question {found.question} has an answer; add `?replace=true` to replace it.")
    proposing.accept(assessment, found, rulebook, replaces=None)
    return _view(found)


@router.post("/assessments/{assessment_id}/proposals/{proposal_id}/dismiss", summary="Leave a proposal")
def dismiss_proposal(proposal_id: UUID, assessment: AssessmentDep, session: SessionDep) -> ProposalView:
    found = proposing.find(session, assessment, proposal_id)
    proposing.leave(found)
    return _view(found)


def _view(proposal: Proposal) -> ProposalView:
    return ProposalView.model_validate(proposal, from_attributes=True)
