"""Pages where an assessment is answered: one question a page, the weights, and everything to check."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Factor, Question
from app.errors import NotFound, Problem
from app.models import Assessment
from app.web import answer_form, conflicts
from app.web.advice_shown import share
from app.web.answer_form import FormDep
from app.web.assessing import answer, asked, change, standing
from app.web.deps import AssessmentDep, ItsRulebookDep, render

router = APIRouter()


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
    values |= {"revision": str(given.revision if given else 0)}
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
    if problems:
        values = answer_form.unanswered(question.kind) | form
        return _question_form(request, assessment, rulebook, factor, question, values, then, problems)
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
            revision=stored.revision,
            typed=conflicts.typed_again(form),
        )
    answer(assessment, question_id, given)
    return RedirectResponse(_after(assessment, rulebook, question, then), 303)


def _question(rulebook: Rulebook, question_id: str) -> tuple[Factor, Question]:
    for factor, question in asked(rulebook):
        if question.id == question_id:
            return factor, question
    raise NotFound("There is no such question in the rulebook.")


def _after(assessment: Assessment, rulebook: Rulebook, question: Question, then: str) -> str:
    base = f"/assessments/{assessment.id}"
    ids = [each.id for _, each in asked(rulebook)]
    following = ids.index(question.id) + 1
    if then == "check":
        return f"{base}/check"
    return f"{base}/q/{ids[following]}" if following < len(ids) else f"{base}/weights"


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
        entries=answer_form.QUANTITIES.get(question.kind, ()),
        values=values,
        problems=problems or [],
        number=number,
        total=len(ids),
        returns=then == "check",
        back=f"{base}/check" if then == "check" else before,
    )


# Weights


@router.get("/assessments/{assessment_id}/weights")
def weights_page(
    request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep, then: str = ""
) -> Response:
    points = assessment.weights or _own_weights(rulebook)
    return _weights_form(request, assessment, rulebook, {k: f"{v:g}" for k, v in points.items()}, then)


@router.post("/assessments/{assessment_id}/weights")
def set_weights(
    request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep, form: FormDep
) -> Response:
    then = form.get("then", "")
    if form.get("reset"):
        change(assessment, "weights", {})
    else:
        points, problems = _points(form, rulebook)
        if problems:
            return _weights_form(request, assessment, rulebook, form, then, problems)
        change(assessment, "weights", {} if points == _own_weights(rulebook) else points)
    return RedirectResponse(f"/assessments/{assessment.id}/check", 303)


def _own_weights(rulebook: Rulebook) -> dict[str, float]:
    return {factor.id: round(factor.weight * 100, 6) for factor in rulebook.factors}


def _points(form: Mapping[str, str], rulebook: Rulebook) -> tuple[dict[str, float], list[Problem]]:
    points, problems = {}, []
    for factor in rulebook.factors:
        text = form.get(factor.id, "").replace(",", ".")
        fits = len(text) <= 12 and answer_form.NUMBER.fullmatch(text)
        points[factor.id] = float(text) if fits else -1.0
        if not 0 <= points[factor.id] <= 100:
            what = f"{factor.title}: enter a number from 0 to 100."
            problems.append(Problem(where=f"weight-{factor.id}", what=what))
    if not problems and not any(points.values()):
        first = rulebook.factors[0].id
        problems.append(Problem(where=f"weight-{first}", what="At least one factor must have more than 0."))
    return points, problems


def _weights_form(
    request: Request,
    assessment: Assessment,
    rulebook: Rulebook,
    values: Mapping[str, str],
    then: str,
    problems: list[Problem] | None = None,
) -> Response:
    base = f"/assessments/{assessment.id}"
    return render(
        request,
        "weights.html",
        422 if problems else 200,
        assessment=assessment,
        factors=rulebook.factors,
        shares=_shares(assessment.weights or _own_weights(rulebook)),
        values={factor.id: values.get(factor.id, "") for factor in rulebook.factors},
        problems=problems or [],
        returns=then == "check",
        back=f"{base}/check" if then == "check" else base,
    )


def _shares(points: Mapping[str, float]) -> dict[str, str]:
    total = sum(points.values())
    return {factor: share(value / total) for factor, value in points.items()}


# Everything, to check


@router.get("/assessments/{assessment_id}/check")
def check(request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep) -> Response:
    count = standing(assessment, rulebook)
    stored = {row.question: row.answer for row in assessment.answers}
    factors = [
        {
            "id": factor.id,
            "title": factor.title,
            "answers": [_given(question, stored) for question in factor.questions],
        }
        for factor in rulebook.factors
    ]
    shares = _shares(assessment.weights or _own_weights(rulebook))
    return render(
        request,
        "check.html",
        assessment=assessment,
        factors=factors,
        count=count,
        total=len(asked(rulebook)),
        weights=[(factor.title, shares[factor.id]) for factor in rulebook.factors],
        own_weights=bool(assessment.weights),
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
        "note": values["note"],
        "evidence": values["evidence"],
    }
