"""Pages of suggested answers: describing the project, and what was proposed, to accept or to leave."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.advisor.rulebook import Rulebook
from app.errors import AssistantAway, Conflict, InvalidInput, Problem
from app.models import Assessment
from app.web import inspecting, proposals_shown, proposing
from app.web.answer_form import FormDep
from app.web.deps import AssessmentDep, ItsRulebookDep, PartsDep, SessionDep, render
from app.web.describing import describe
from app.web.profile_words import coded

router = APIRouter()


# Describing the project


@router.get("/assessments/{assessment_id}/describe")
def describe_page(
    request: Request, assessment: AssessmentDep, session: SessionDep, parts: PartsDep
) -> Response:
    return render(
        request,
        "describe.html",
        assessment=assessment,
        assistant=parts.assistant,
        description=assessment.description,
        waiting=len(proposing.waiting(session, assessment)),
        problems=[],
    )


@router.post("/assessments/{assessment_id}/describe")
async def propose_answers(request: Request, assessment_id: UUID, parts: PartsDep, form: FormDep) -> Response:
    """No transaction of its own: the endpoint is asked between two."""
    typed = form.get("description", "")
    try:
        outcome = await describe(parts, assessment_id, typed)
    except (AssistantAway, InvalidInput) as error:
        return await run_in_threadpool(_again, request, parts, assessment_id, typed, error)
    dropped = sum(outcome.dropped.values())
    address = f"/assessments/{assessment_id}/proposals?agreeing={outcome.agreeing}&dropped={dropped}"
    return RedirectResponse(address, 303)


def _again(
    request: Request,
    parts: PartsDep,
    assessment_id: UUID,
    typed: str,
    error: AssistantAway | InvalidInput,
) -> Response:
    """The page with all that was typed, and why nothing came of it."""
    with parts.database.reading() as session:
        assessment = session.get_one(Assessment, assessment_id)
        waiting = len(proposing.waiting(session, assessment))
    return render(
        request,
        "describe.html",
        error.status,
        assessment=assessment,
        assistant=parts.assistant,
        description=typed,
        waiting=waiting,
        problems=[Problem(where="description", what=error.sentence)],
    )


# What was proposed


@router.get("/assessments/{assessment_id}/proposals")
def proposals(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    rulebook: ItsRulebookDep,
    agreeing: int | None = None,
    dropped: int = 0,
    inspected: bool = False,
) -> Response:
    """Both counts come from a description that was just read, `inspected` from a dataset just looked at."""
    told = inspecting.outcome(session, assessment) if inspected else ""
    if agreeing is not None and not proposing.waiting(session, assessment):
        told = "The description gave no new answers. "
    if agreeing is not None and agreeing > 0:
        told += f"{agreeing} agreed with your answers. "
    if dropped > 0:
        told += (
            f"{dropped} could not be used: no such question or choice, or a sentence that is not in the text."
        )
    return _page(request, session, assessment, rulebook, told=told)


@router.post("/assessments/{assessment_id}/proposals")
def settle(
    request: Request, assessment: AssessmentDep, session: SessionDep, rulebook: ItsRulebookDep, form: FormDep
) -> Response:
    """What is ticked or taken is accepted; what became another answer meanwhile stays, and is shown again.

    Of several for the same question the latest counts.
    """
    waiting = proposing.waiting(session, assessment)
    left = next((each for each in waiting if str(each.id) == form.get("leave")), None)
    if left is not None:
        proposing.leave(left)
        return RedirectResponse(f"/assessments/{assessment.id}/proposals", 303)
    wanted = [each for each in waiting if form.get(f"accept-{each.id}") or form.get("take") == str(each.id)]
    problems = [Problem(where="", what="Tick the answers that you accept.")] if not wanted else []
    for each in reversed(wanted):
        try:
            proposing.accept(assessment, each, rulebook, form.get(f"seen-{each.id}", "0"))
        except Conflict as error:
            problems.append(Problem(where=f"accept-{each.id}", what=error.sentence))
    if problems:
        return _page(request, session, assessment, rulebook, problems, 409 if wanted else 422)
    left_over = len(wanted) < len(waiting)
    return RedirectResponse(f"/assessments/{assessment.id}{'/proposals' if left_over else ''}", 303)


def _page(
    request: Request,
    session: Session,
    assessment: Assessment,
    rulebook: Rulebook,
    problems: Sequence[Problem] = (),
    status: int = 200,
    told: str = "",
) -> Response:
    every = proposals_shown.shown(session, assessment, rulebook)
    waiting = [each for each in every if each.proposal.settled_at is None]
    return render(
        request,
        "proposals.html",
        status,
        assessment=assessment,
        contradicting=[each for each in waiting if each.contradicts],
        waiting=[each for each in waiting if not each.contradicts],
        settled=[each for each in every if each.proposal.settled_at is not None],
        problems=problems,
        coded=coded,
        told=told,
    )
