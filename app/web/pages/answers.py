"""Pages where an assessment is answered: one question a page, and everything to check."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from app.advisor.quick import deciding
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Factor, Question
from app.errors import NotFound, Problem
from app.models import Assessment
from app.web import answer_form, conflicts, etags
from app.web.answer_form import FormDep
from app.web.assessing import answer, asked, project, shown_of, standing, withdraw
from app.web.deps import AssessmentDep, ItsRulebookDep, SessionDep, render
from app.web.proposing import basis_of, contradictions, still_found
from app.web.weighing import own_points, shares_of

router = APIRouter()

RETURNS = {
    "check": "/check",
    "overview": "",
    "result": "/result",
    "quick": "/quick",
    "rest": "/quick?rest=true",
}
"""Where a question leads on to that was not reached from the one before it."""


# One question


@router.get("/assessments/{assessment_id}/q/{question_id}")
def question_page(
    request: Request, assessment: AssessmentDep, question_id: str, rulebook: ItsRulebookDep, then: str = ""
) -> Response:
    factor, question = _question(rulebook, question_id)
    given = next((row for row in assessment.answers if row.question == question_id), None)
    values = (
        answer_form.shown(given.answer, question.kind) if given else answer_form.unanswered(question.kind)
    )
    values |= {"revision": etags.token(given)}
    return _question_form(request, assessment, rulebook, factor, question, values, then)


@router.post("/assessments/{assessment_id}/q/{question_id}")
def answer_question(
    request: Request, assessment: AssessmentDep, question_id: str, rulebook: ItsRulebookDep, form: FormDep
) -> Response:
    factor, question = _question(rulebook, question_id)
    then = form.get("then", "")
    stored = next((row for row in assessment.answers if row.question == question_id), None)
    form = conflicts.settled(stored, form, question.kind)
    given, problems = answer_form.read(
        form, question.kind, frozenset(choice.id for choice in question.choices)
    )
    problems = problems or answer_form.misnamed(given, question.kind, rulebook.tables)
    if problems:
        values = answer_form.unanswered(question.kind) | form
        return _question_form(request, assessment, rulebook, factor, question, values, then, problems)
    given = still_found(stored, given)
    if stored and conflicts.clash(stored, form, given):
        return render(
            request,
            "conflict.html",
            409,
            assessment=assessment,
            question=question,
            theirs=conflicts.side(stored.answer, question),
            mine=conflicts.side(given, question),
            saved=stored.updated_at,
            revision=etags.token(stored),
            typed=conflicts.typed_again(form),
        )
    answer(assessment, question_id, given)
    return RedirectResponse(_after(assessment, rulebook, question, then), 303)


@router.post("/assessments/{assessment_id}/measured/{question_id}/leave")
def leave_out(assessment: AssessmentDep, question_id: str, rulebook: ItsRulebookDep) -> Response:
    """What was measured stops counting, as nobody can answer it otherwise."""
    question = rulebook.questions.get(question_id)
    if question is None or not question.measured_only:
        raise NotFound("There is nothing measured here; change the answer to the question instead.")
    withdraw(assessment, question_id, why="left out")
    return RedirectResponse(f"/assessments/{assessment.id}/check", 303)


def _question(rulebook: Rulebook, question_id: str) -> tuple[Factor, Question]:
    for factor, question in asked(rulebook):
        if question.id == question_id:
            return factor, question
    raise NotFound("There is no such question in the rulebook.")


def _after(assessment: Assessment, rulebook: Rulebook, question: Question, then: str) -> str:
    base = f"/assessments/{assessment.id}"
    ids = [each.id for _, each in asked(rulebook)]
    following = ids.index(question.id) + 1
    if then in RETURNS:
        return base + RETURNS[then]
    return f"{base}/q/{ids[following]}" if following < len(ids) else f"{base}/weights"


def _back(base: str, before: str, then: str) -> str:
    if then in ("quick", "rest"):
        return f"{base}/quick?stop=true"
    return base + RETURNS[then] if then in RETURNS else before


def _question_form(
    request: Request,
    assessment: Assessment,
    rulebook: Rulebook,
    factor: Factor,
    question: Question,
    values: Mapping[str, str],
    then: str,
    problems: list[Problem] | None = None,
) -> Response:
    base = f"/assessments/{assessment.id}"
    ids = [each.id for _, each in asked(rulebook)]
    number = ids.index(question.id) + 1
    before = f"{base}/q/{ids[number - 2]}" if number > 1 else base
    return render(
        request,
        "question.html",
        422 if problems else 200,
        assessment=assessment,
        question=question,
        factor=factor,
        sources=[rulebook.evidence[source] for source in question.sources],
        entries=answer_form.entries(question.kind, rulebook.tables),
        values=values,
        problems=problems or [],
        number=number,
        total=len(ids),
        then=then if then in RETURNS else "",
        quick=len(deciding(rulebook)) if then in ("quick", "rest") else 0,
        back=_back(base, before, then),
    )


# Everything, to check


@router.get("/assessments/{assessment_id}/check")
def check(
    request: Request, assessment: AssessmentDep, session: SessionDep, rulebook: ItsRulebookDep
) -> Response:
    count = standing(assessment, rulebook)
    stored = {row.question: row.answer for row in assessment.answers}
    factors = [
        {
            "id": factor.id,
            "title": factor.title,
            "answers": [_given(question, stored) for question in shown_of(factor, stored)],
        }
        for factor in rulebook.factors
    ]
    shares = shares_of(assessment.weights or own_points(rulebook))
    return render(
        request,
        "check.html",
        assessment=assessment,
        factors=factors,
        count=count,
        total=len(asked(rulebook)),
        weights=[(factor.title, shares[factor.id]) for factor in rulebook.factors],
        own_weights=bool(assessment.weights),
        against=len(contradictions(session, assessment, rulebook)),
        contradictions=rulebook.contradictions(project(assessment, rulebook)),
    )


def _given(question: Question, stored: Mapping[str, Any]) -> dict[str, object]:
    if question.id not in stored:
        return {"question": question, "given": False, "label": "Not answered", "note": "", "evidence": ""}
    values = answer_form.shown(stored[question.id], question.kind)
    labels = {choice.id: choice.label for choice in question.choices}
    return {
        "question": question,
        "given": True,
        "label": answer_form.in_words(stored[question.id], question.kind, labels),
        "basis": basis_of(stored[question.id]),
        "note": values["note"],
        "evidence": values["evidence"],
    }
