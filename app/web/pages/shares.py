"""Pages about share links: one assessment's, and what somebody sees who opens one."""

from collections.abc import Mapping
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app.errors import Gone, InvalidInput, NotFound, Problem
from app.models import Assessment
from app.web.advice_shown import scale
from app.web.answer_form import NUMBER, FormDep
from app.web.assessing import at_number, numbered
from app.web.deps import AssessmentDep, Parts, PartsDep, SessionDep, render
from app.web.pages.records import site_of
from app.web.records import record_of
from app.web.sharing import Wanted, new_share, note_opening, opened, revoke, shares_of, state_of

router = APIRouter()

CLOSED_TO_ROBOTS = {
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@router.get("/robots.txt")
def robots() -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /s/\n")


# One assessment's links


@router.get("/assessments/{assessment_id}/share")
def share_page(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    number: int | None = None,
) -> Response:
    chosen = numbered(assessment, number)
    if chosen is None:
        return RedirectResponse(f"/assessments/{assessment.id}/check", 303)
    values = {
        "number": str(chosen.number),
        "label": "",
        "days": f"{parts.settings.share_days:g}",
        "notes": "",
    }
    return _page(request, assessment, session, parts, values)


@router.post("/assessments/{assessment_id}/share")
def create_share(
    request: Request, assessment: AssessmentDep, session: SessionDep, parts: PartsDep, form: FormDep
) -> Response:
    """The answer is the page itself: the link is in it, this once, and in no address and no history."""
    days = form.get("days", "")
    number = form.get("number", "")
    wanted = Wanted(
        days=float(days) if len(days) < 9 and NUMBER.fullmatch(days) else 0,
        label=form.get("label", ""),
        with_notes=form.get("notes") == "yes",
    )
    milestone = at_number(
        assessment, int(number) if len(number) < 9 and number.isascii() and number.isdecimal() else 0
    )
    try:
        _, token = new_share(session, parts.settings, milestone, wanted)
    except InvalidInput as error:
        return _page(request, assessment, session, parts, form, error.problems)
    return _page(request, assessment, session, parts, form, link=f"{site_of(request, parts)}/s/{token}")


def _page(
    request: Request,
    assessment: Assessment,
    session: Session,
    parts: Parts,
    values: Mapping[str, str],
    problems: tuple[Problem, ...] = (),
    link: str = "",
) -> Response:
    named = [(str(m.number), _named(m.number, m.label, m.kind)) for m in reversed(assessment.milestones)]
    response = render(
        request,
        "share.html",
        422 if problems else 200,
        assessment=assessment,
        values={"number": "", "label": "", "days": "", "notes": ""} | dict(values),
        milestones=named,
        shares=[(share, milestone, state_of(share)) for share, milestone in shares_of(session, assessment)],
        most_days=parts.settings.share_max_days,
        problems=problems,
        link=link,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _named(number: int, label: str, kind: str) -> str:
    what = "Scenario" if kind == "scenario" else "Recommendation"
    return f"{what} {number}: {label}" if label else f"{what} {number}"


@router.post("/assessments/{assessment_id}/share/{share_id}/revoke")
def revoke_share(assessment: AssessmentDep, session: SessionDep, share_id: UUID) -> Response:
    revoke(session, assessment, share_id)
    return RedirectResponse(f"/assessments/{assessment.id}/share", 303)


# What a link shows


@router.get("/s/{token}")
def shared(request: Request, token: str, session: SessionDep, parts: PartsDep) -> Response:
    """Of the private site it links to nothing, and it sets no cookie."""
    if request.state.principal is None:
        parts.share_limiter.take(request.client.host if request.client else "unknown")
    try:
        share, milestone = opened(session, token)
    except (NotFound, Gone) as error:
        response = render(request, "shared_closed.html", error.status, sentence=error.sentence)
    else:
        rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
        note_opening(parts.database, share)
        response = render(
            request,
            "shared.html",
            milestone=milestone,
            record=record_of(session, milestone, rulebook, with_notes=share.with_notes, outside=True),
            scale=scale(milestone.recommendation),
            share=share,
        )
    response.headers.update(CLOSED_TO_ROBOTS)
    return response
