"""Links that show one frozen recommendation to whoever has them: made, opened, revoked."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database import Database, now
from app.errors import Gone, InvalidInput, NotFound, Problem
from app.models import Assessment, Milestone, Share
from app.protocol import Name
from app.settings import WebSettings
from app.web.security import SEEN_AGAIN_AFTER, hashed

LONGEST_LABEL = 120


@dataclass(frozen=True)
class Wanted:
    days: float
    label: str = ""
    with_notes: bool = False


def new_share(
    session: Session, settings: WebSettings, milestone: Milestone, wanted: Wanted
) -> tuple[Share, str]:
    """The row and, this once, the token: 256 random bits, of which only the hash is kept."""
    problems = []
    if not 0 < wanted.days <= settings.share_max_days:
        what = f"A link is valid for up to {settings.share_max_days:g} days: enter a number from 1."
        problems.append(Problem(where="days", what=what))
    try:
        TypeAdapter(Name).validate_python(wanted.label or "-")
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        problems.append(Problem(where="label", what=f"“For whom” cannot be used: {what}."))
    if problems:
        raise InvalidInput("The link cannot be made.", tuple(problems))
    token = secrets.token_urlsafe(32)
    share = Share(
        hash=hashed(token),
        milestone_id=milestone.id,
        label=wanted.label,
        with_notes=wanted.with_notes,
        created_at=now(),
        expires_at=now() + timedelta(days=wanted.days),
    )
    session.add(share)
    session.flush()
    return share, token


def shares_of(session: Session, assessment: Assessment) -> list[tuple[Share, Milestone]]:
    """Newest first."""
    rows = session.execute(
        select(Share, Milestone)
        .join(Milestone, Share.milestone_id == Milestone.id)
        .where(Milestone.assessment_id == assessment.id)
        .order_by(Share.created_at.desc())
    )
    return [(share, milestone) for share, milestone in rows]


def revoke(session: Session, assessment: Assessment, share_id: UUID) -> None:
    share = session.get(Share, share_id)
    own = {milestone.id for milestone in assessment.milestones}
    if share is None or share.milestone_id not in own:
        raise NotFound("There is no such share link here.")
    share.revoked_at = share.revoked_at or now()


def state_of(share: Share) -> Literal["valid", "revoked", "expired"]:
    if share.revoked_at is not None:
        return "revoked"
    return "expired" if share.expires_at <= now() else "valid"


def opened(session: Session, token: str) -> tuple[Share, Milestone]:
    """Found by its hash, so that how long the search takes says nothing about other tokens."""
    share = session.scalar(select(Share).where(Share.hash == hashed(token)))
    milestone = session.get(Milestone, share.milestone_id) if share else None
    if share is None or milestone is None:
        raise NotFound(
            "There is nothing under this link: it may have been copied only in part, or what "
            "it showed was deleted."
        )
    match state_of(share):
        case "revoked":
            raise Gone("This link was revoked. Ask whoever sent it for a new one.")
        case "expired":
            raise Gone("This link has expired. Ask whoever sent it for a new one.")
    return share, milestone


def note_opening(database: Database, share: Share) -> None:
    """Written at most once a minute: looking at a page should not cost a write each time."""
    if share.last_seen_at is not None and now() - share.last_seen_at < SEEN_AGAIN_AFTER:
        return
    with database.writing() as session, session.begin():
        session.execute(update(Share).where(Share.id == share.id).values(last_seen_at=now()))
