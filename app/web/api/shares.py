"""Share links over REST."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field

from app.http_json import StrictRoute
from app.models import Milestone, Share
from app.protocol import Message
from app.web import sharing
from app.web.api.examples import SHARES
from app.web.api.milestones import milestone_at
from app.web.deps import AssessmentDep, PartsDep, SessionDep
from app.web.security import own_origin

router = APIRouter(tags=["assessments"], route_class=StrictRoute)


class NewShare(Message):
    milestone: int | None = None
    """Number of the recommendation; the latest where left out."""
    label: str = ""
    """For whom the link is."""
    days: Annotated[float, Field(gt=0)] | None = None
    """How long it is valid; the service's own setting where left out."""
    with_notes: bool = False
    """Whether notes and evidence links are shown."""


class ShareView(BaseModel):
    id: UUID
    milestone: int
    label: str
    with_notes: bool
    state: str
    """valid, revoked or expired."""
    created_at: datetime
    expires_at: datetime
    last_seen_at: datetime | None


class MadeShare(ShareView):
    url: str
    """Shown this once: only its hash is kept."""


@router.post("/assessments/{assessment_id}/shares", status_code=201, summary="Make a read-only share link")
def create_share(
    request: Request,
    body: Annotated[NewShare, Body(openapi_examples=SHARES)],
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
) -> MadeShare:
    milestone = milestone_at(assessment, body.milestone)
    days = parts.settings.share_days if body.days is None else body.days
    wanted = sharing.Wanted(days, body.label, body.with_notes)
    share, token = sharing.new_share(session, parts.settings, milestone, wanted)
    url = f"{own_origin(parts.settings, request.headers.get('host', ''))}/s/{token}"
    return MadeShare(**_view(share, milestone).model_dump(), url=url)


@router.get("/assessments/{assessment_id}/shares", summary="An assessment's share links, newest first")
def list_shares(assessment: AssessmentDep, session: SessionDep) -> list[ShareView]:
    return [_view(share, milestone) for share, milestone in sharing.shares_of(session, assessment)]


@router.delete(
    "/assessments/{assessment_id}/shares/{share_id}", status_code=204, summary="Revoke a share link"
)
def revoke_share(assessment: AssessmentDep, session: SessionDep, share_id: UUID) -> None:
    sharing.revoke(session, assessment, share_id)


def _view(share: Share, milestone: Milestone) -> ShareView:
    return ShareView(
        id=share.id,
        milestone=milestone.number,
        label=share.label,
        with_notes=share.with_notes,
        state=sharing.state_of(share),
        created_at=share.created_at,
        expires_at=share.expires_at,
        last_seen_at=share.last_seen_at,
    )
