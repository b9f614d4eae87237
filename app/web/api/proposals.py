"""Proposals: answers and measurements that a description states or a look found, to accept or dismiss."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, StringConstraints

from app.errors import Conflict
from app.http_json import StrictRoute
from app.models import Assessment, Proposal
from app.protocol import Message
from app.web import inspected, inspecting, proposing
from app.web.deps import AssessmentDep, ItsRulebookDep, PartsDep, SessionDep
from app.web.describing import describe

router = APIRouter(tags=["assessments"], route_class=StrictRoute)


class Description(Message):
    description: str | None = None
    """Without one, the assessment's own."""


class ProposalView(BaseModel):
    id: UUID
    question: str
    """Or a measurement of the rulebook; its `answer` is a number then."""
    answer: Any
    because: str
    source: str
    made_at: datetime
    settled_at: datetime | None
    accepted: bool | None
    """None while it waits, and where a newer reading took its place."""
    contradicts: bool
    """Whether it waits and was found, where the answer there was told and is another."""


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
        proposals=[_view(each, contradicts=False) for each in outcome.proposals],
        agreeing=outcome.agreeing,
        dropped=outcome.dropped,
    )


class Inspected(Message):
    dataset: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """The id of a brought dataset, or `generated:<name>`."""


INSPECTED = {"generated": {"summary": "A generated one", "value": {"dataset": "generated:rulings"}}}


@router.put("/assessments/{assessment_id}/dataset", summary="Link a dataset, and let it propose answers")
def link_dataset(
    assessment_id: UUID,
    parts: PartsDep,
    body: Annotated[Inspected, Body(openapi_examples=INSPECTED)],
) -> list[ProposalView]:
    """What it says about the data waits as proposals, each with its figure; putting it again looks again.

    Another dataset that was linked before is unlinked, and what waits from that one is withdrawn.
    """
    inspecting.inspect(parts, assessment_id, body.dataset)
    with parts.database.reading() as session, session.begin():
        assessment = session.get_one(Assessment, assessment_id)
        source = inspected.source_of(assessment)
        waiting = proposing.waiting(session, assessment)
        return [view(each, assessment) for each in waiting if each.source == source]


@router.delete("/assessments/{assessment_id}/dataset", status_code=204, summary="Unlink the dataset")
def unlink_dataset(assessment: AssessmentDep, session: SessionDep) -> None:
    """What waits from it is withdrawn; what was accepted stays."""
    inspecting.unlink(session, assessment)


@router.get("/assessments/{assessment_id}/proposals", summary="Proposed answers, oldest first")
def list_proposals(
    assessment: AssessmentDep,
    session: SessionDep,
    waiting: Annotated[bool, Query(description="Only those not settled yet.")] = False,
) -> list[ProposalView]:
    found = proposing.all_of(session, assessment)
    return [view(each, assessment) for each in found if not (waiting and each.settled_at)]


@router.post("/assessments/{assessment_id}/proposals/{proposal_id}/accept", summary="Answer as proposed")
def accept_proposal(
    proposal_id: UUID,
    assessment: AssessmentDep,
    session: SessionDep,
    rulebook: ItsRulebookDep,
    replace: Annotated[bool, Query(description="Also where the question has an answer.")] = False,
) -> ProposalView:
    found = proposing.find(session, assessment, proposal_id)
    answered = proposing.replaces_something(assessment, found)
    if answered and not replace and found.settled_at is None:
        raise Conflict(f"{found.question} has an answer or a value; add `?replace=true` to replace it.")
    proposing.accept(assessment, found, rulebook, replaces=None)
    return view(found, assessment)


@router.post("/assessments/{assessment_id}/proposals/{proposal_id}/dismiss", summary="Leave a proposal")
def dismiss_proposal(proposal_id: UUID, assessment: AssessmentDep, session: SessionDep) -> ProposalView:
    found = proposing.find(session, assessment, proposal_id)
    proposing.leave(found)
    return view(found, assessment)


def view(proposal: Proposal, assessment: Assessment) -> ProposalView:
    waits = proposal.settled_at is None
    return _view(proposal, contradicts=waits and proposing.contradicts(assessment, proposal))


def _view(proposal: Proposal, contradicts: bool) -> ProposalView:
    told = {name: getattr(proposal, name) for name in ProposalView.model_fields if name != "contradicts"}
    return ProposalView(**told, contradicts=contradicts)
