"""Pages of suggested answers: describing the project, and what was proposed, to accept or to leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Question
from app.errors import AssistantAway, Conflict, InvalidInput, Problem
from app.models import Assessment, Proposal
from app.web import answer_form, proposing
from app.web.answer_form import FormDep
from app.web.deps import AssessmentDep, ItsRulebookDep, PartsDep, SessionDep, render
from app.web.describing import describe

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


@dataclass(frozen=True)
class Shown:
    proposal: Proposal
    question: Question
    suggested: str
    present: str
    """The answer there is, in words; empty for none."""
    revision: int
    source: str


@router.get("/assessments/{assessment_id}/proposals")
def proposals(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    rulebook: ItsRulebookDep,
    agreeing: int | None = None,
    dropped: int = 0,
) -> Response:
    """Both counts come from a description that was just read."""
    told = ""
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
    """What is ticked is accepted; what became another answer meanwhile stays, and is shown again."""
    waiting = proposing.waiting(session, assessment)
    left = next((each for each in waiting if str(each.id) == form.get("leave")), None)
    if left is not None:
        proposing.leave(left)
        return RedirectResponse(f"/assessments/{assessment.id}/proposals", 303)
    ticked = [each for each in waiting if form.get(f"accept-{each.id}")]
    problems = [Problem(where="", what="Tick the answers that you accept.")] if not ticked else []
    for each in ticked:
        try:
            proposing.accept(assessment, each, rulebook, _revision(form, each))
        except Conflict as error:
            problems.append(Problem(where=f"accept-{each.id}", what=error.sentence))
    if problems:
        return _page(request, session, assessment, rulebook, problems, 409 if ticked else 422)
    left_over = len(ticked) < len(waiting)
    return RedirectResponse(f"/assessments/{assessment.id}{'/proposals' if left_over else ''}", 303)


def _revision(form: Mapping[str, str], proposal: Proposal) -> int:
    seen = form.get(f"seen-{proposal.id}", "0")
    return int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else 0


def _page(
    request: Request,
    session: Session,
    assessment: Assessment,
    rulebook: Rulebook,
    problems: Sequence[Problem] = (),
    status: int = 200,
    told: str = "",
) -> Response:
    fitting = [each for each in proposing.all_of(session, assessment) if proposing.fits(each, rulebook)]
    shown = [_shown(each, assessment, rulebook) for each in fitting]
    order = list(rulebook.questions)
    shown.sort(key=lambda each: order.index(each.question.id))
    return render(
        request,
        "proposals.html",
        status,
        assessment=assessment,
        waiting=[each for each in shown if each.proposal.settled_at is None],
        settled=[each for each in shown if each.proposal.settled_at is not None],
        problems=problems,
        told=told,
    )


def _shown(proposal: Proposal, assessment: Assessment, rulebook: Rulebook) -> Shown:
    question = rulebook.questions[proposal.question]
    labels = {choice.id: choice.label for choice in question.choices}
    row = next((row for row in assessment.answers if row.question == question.id), None)
    return Shown(
        proposal=proposal,
        question=question,
        suggested=answer_form.in_words(proposal.answer, question.kind, labels),
        present=answer_form.in_words(row.answer, question.kind, labels) if row else "",
        revision=row.revision if row else 0,
        source=proposing.source_in_words(proposal.source),
    )
