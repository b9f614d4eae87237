"""Pages about assessments: what was asked and answered, one question a page, and what it led to."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from starlette.responses import RedirectResponse

from app import runs
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Factor, Question
from app.database import now
from app.errors import NotFound, Problem
from app.models import Assessment, Milestone, Run
from app.protocol import Name
from app.web import answer_form
from app.web.advice_shown import (
    cut,
    first_of_all,
    grouped,
    hours,
    numbers_of,
    scale,
    share,
    with_gates_named,
)
from app.web.assessing import answer, answers, asked, freeze, latest, record_of, standing
from app.web.deps import AssessmentDep, RulebookDep, SessionDep, render

router = APIRouter()

FormDep = Annotated[dict[str, str], Depends(answer_form.typed)]

LONGEST_DESCRIPTION = 2000


# All of them


@router.get("/assessments")
def assessments(request: Request, session: SessionDep, rulebook: RulebookDep) -> Response:
    rows = session.scalars(select(Assessment).order_by(Assessment.updated_at.desc()))
    return render(
        request, "assessments.html", rows=[_row(row, rulebook) for row in rows], total=len(asked(rulebook))
    )


def _row(assessment: Assessment, rulebook: Rulebook) -> dict[str, object]:
    milestone = latest(assessment)
    return {
        "id": assessment.id,
        "name": assessment.name,
        "updated": assessment.updated_at,
        "answered": standing(assessment, rulebook).answered,
        "total": len(asked(rulebook)),
        "plan": milestone.recommendation.plan if milestone else None,
    }


@router.get("/assessments/new")
def new_page(request: Request, rulebook: RulebookDep, example: str = "") -> Response:
    known = {case.id for case in rulebook.examples}
    return _new_form(
        request, rulebook, {"name": "", "description": "", "example": example if example in known else ""}
    )


@router.post("/assessments/new")
def new(request: Request, session: SessionDep, rulebook: RulebookDep, form: FormDep) -> Response:
    problems = _naming_problems(form)
    example = next((case for case in rulebook.examples if case.id == form.get("example")), None)
    if problems:
        return _new_form(request, rulebook, form, problems)
    assessment = Assessment(
        name=TypeAdapter(Name).validate_python(form["name"]),
        description=form.get("description", "") or (example.description if example else ""),
        rulebook_version=rulebook.version,
        answers=[],
        milestones=[],
    )
    session.add(assessment)
    for question, given in (example.answers if example else {}).items():
        answer(assessment, question, given)
    session.flush()
    return _see(f"/assessments/{assessment.id}")


def _naming_problems(form: Mapping[str, str]) -> list[Problem]:
    problems = []
    if not form.get("name"):
        problems.append(Problem(where="name", what="Enter a name, so that you find the assessment again."))
    else:
        try:
            TypeAdapter(Name).validate_python(form["name"])
        except ValidationError as error:
            what = error.errors()[0]["msg"].removeprefix("Value error, ")
            problems.append(Problem(where="name", what=f"The name cannot be used: {what}."))
    if len(form.get("description", "")) > LONGEST_DESCRIPTION:
        what = f"The description has {len(form['description']):,} characters; {LONGEST_DESCRIPTION:,} fit."
        problems.append(Problem(where="description", what=what))
    return problems


def _new_form(
    request: Request, rulebook: Rulebook, values: Mapping[str, str], problems: list[Problem] | None = None
) -> Response:
    options = [{"value": "", "text": "Nothing: answer every question yourself"}, {"or": True}]
    options += [
        {"value": case.id, "text": case.title, "hint": case.description} for case in rulebook.examples
    ]
    values = {"name": "", "description": "", "example": ""} | dict(values)
    return render(
        request,
        "assessments_new.html",
        422 if problems else 200,
        values=values,
        options=options,
        problems=problems or [],
    )


# One of them


@router.get("/assessments/{assessment_id}")
def overview(request: Request, assessment: AssessmentDep, rulebook: RulebookDep) -> Response:
    count = standing(assessment, rulebook)
    milestone = latest(assessment)
    met = {row.question for row in assessment.answers}
    pending = next((question.id for _, question in asked(rulebook) if question.id not in met), None)
    return render(
        request,
        "assessments_overview.html",
        assessment=assessment,
        count=count,
        total=len(asked(rulebook)),
        tasks=_tasks(assessment, rulebook),
        next_question=pending,
        milestone=milestone,
        changed=milestone is not None and bool(_changed(assessment, milestone, rulebook)),
    )


def _tasks(assessment: Assessment, rulebook: Rulebook) -> list[dict[str, object]]:
    base = f"/assessments/{assessment.id}"
    met = {row.question for row in assessment.answers}
    tasks = []
    for factor in rulebook.factors:
        ids = [question.id for question in factor.questions]
        done = sum(question in met for question in ids)
        first = next((question for question in ids if question not in met), ids[0])
        tasks.append(
            {
                "title": factor.title,
                "about": factor.about,
                "href": f"{base}/q/{first}",
                "status": _status(done, len(ids)),
                "done": done == len(ids),
            }
        )
    own = bool(assessment.weights)
    tasks.append(
        {
            "title": "Weights",
            "about": "How much each factor counts. The rulebook’s own are fine for most.",
            "href": f"{base}/weights",
            "status": "Your own" if own else "The rulebook’s own",
            "done": True,
        }
    )
    tasks.append(
        {
            "title": "Check answers and get the recommendation",
            "about": "Possible at any time: what is not answered counts as unknown.",
            "href": f"{base}/check",
            "status": "",
            "done": True,
        }
    )
    return tasks


def _status(done: int, total: int) -> str:
    if done == total:
        return "Completed"
    return f"{done} of {total}" if done else "Not yet started"


@router.get("/assessments/{assessment_id}/delete")
def delete_page(request: Request, session: SessionDep, assessment: AssessmentDep) -> Response:
    launched = session.scalar(select(func.count()).where(Run.assessment_id == assessment.id))
    return render(request, "assessments_delete.html", assessment=assessment, runs=launched)


@router.post("/assessments/{assessment_id}/delete")
def delete(session: SessionDep, assessment: AssessmentDep) -> Response:
    runs.delete_assessment(session, assessment)
    return _see("/assessments")


# One question


@router.get("/assessments/{assessment_id}/q/{question_id}")
def question_page(
    request: Request, assessment: AssessmentDep, question_id: str, rulebook: RulebookDep, then: str = ""
) -> Response:
    factor, question = _question(rulebook, question_id)
    given = next((row for row in assessment.answers if row.question == question_id), None)
    values = (
        answer_form.shown(given.answer, question.kind) if given else answer_form.unanswered(question.kind)
    )
    return _question_form(request, assessment, rulebook, factor, question, values, then)


@router.post("/assessments/{assessment_id}/q/{question_id}")
def answer_question(
    request: Request, assessment: AssessmentDep, question_id: str, rulebook: RulebookDep, form: FormDep
) -> Response:
    factor, question = _question(rulebook, question_id)
    then = form.get("then", "")
    given, problems = answer_form.read(
        form, question.kind, frozenset(choice.id for choice in question.choices)
    )
    if problems:
        values = answer_form.unanswered(question.kind) | form
        return _question_form(request, assessment, rulebook, factor, question, values, then, problems)
    answer(assessment, question_id, given)
    return _see(_after(assessment, rulebook, question, then))


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
    request: Request, assessment: AssessmentDep, rulebook: RulebookDep, then: str = ""
) -> Response:
    points = assessment.weights or _own_weights(rulebook)
    return _weights_form(request, assessment, rulebook, {k: f"{v:g}" for k, v in points.items()}, then)


@router.post("/assessments/{assessment_id}/weights")
def set_weights(
    request: Request, assessment: AssessmentDep, rulebook: RulebookDep, form: FormDep
) -> Response:
    then = form.get("then", "")
    if form.get("reset"):
        assessment.weights = {}
    else:
        points, problems = _points(form, rulebook)
        if problems:
            return _weights_form(request, assessment, rulebook, form, then, problems)
        assessment.weights = {} if points == _own_weights(rulebook) else points
    assessment.updated_at = now()
    return _see(f"/assessments/{assessment.id}/check")


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


# Check answers, and what follows from them


@router.get("/assessments/{assessment_id}/check")
def check(request: Request, assessment: AssessmentDep, rulebook: RulebookDep) -> Response:
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


@router.post("/assessments/{assessment_id}/result")
def recommend_now(session: SessionDep, assessment: AssessmentDep, rulebook: RulebookDep) -> Response:
    milestone = latest(assessment)
    if milestone is None or _changed(assessment, milestone, rulebook):
        freeze(session, assessment, rulebook)
    return _see(f"/assessments/{assessment.id}/result")


@router.get("/assessments/{assessment_id}/result")
def result(
    request: Request, assessment: AssessmentDep, rulebook: RulebookDep, number: int | None = None
) -> Response:
    milestone = _milestone(assessment, number)
    if milestone is None:
        return _see(f"/assessments/{assessment.id}/check")
    r = milestone.recommendation
    ahead = r.method if r.decided_by != "gate" else r.lean_method
    for_grpo = r.acceptability
    near, overall = (
        (for_grpo.near, for_grpo.all) if ahead == "grpo" else (1 - for_grpo.near, 1 - for_grpo.all)
    )
    current = milestone is latest(assessment)
    return render(
        request,
        "result.html",
        assessment=assessment,
        milestone=milestone,
        milestones=assessment.milestones,
        current=current,
        changed=_changed(assessment, milestone, rulebook) if current else [],
        sources=rulebook.evidence,
        scale=scale(r),
        first=first_of_all(r),
        numbers=numbers_of(r),
        cut=cut,
        grouped=grouped,
        named=lambda sentence: with_gates_named(sentence, r.gates),
        leader=ahead,
        hours=hours,
        near=share(near),
        overall=share(overall),
        warnings=[gate for gate in r.gates if gate.state == "holds" and gate.effect == "warn"],
    )


@router.get("/assessments/{assessment_id}/record")
def record_page(
    request: Request, assessment: AssessmentDep, rulebook: RulebookDep, number: int | None = None
) -> Response:
    milestone = _milestone(assessment, number)
    if milestone is None:
        return _see(f"/assessments/{assessment.id}/check")
    return render(
        request,
        "record.html",
        assessment=assessment,
        milestone=milestone,
        text=record_of(assessment, milestone, rulebook),
    )


@router.get("/assessments/{assessment_id}/record.md")
def record_file(assessment: AssessmentDep, rulebook: RulebookDep, number: int | None = None) -> Response:
    milestone = _milestone(assessment, number)
    if milestone is None:
        raise NotFound("There is no recommendation yet: check the answers and ask for one.")
    return Response(
        record_of(assessment, milestone, rulebook),
        media_type="text/markdown; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="decision-record-{milestone.number}.md"'},
    )


def _milestone(assessment: Assessment, number: int | None) -> Milestone | None:
    if number is None:
        return latest(assessment)
    found = next((each for each in assessment.milestones if each.number == number), None)
    if found is None:
        raise NotFound(f"There is no recommendation number {number} here.")
    return found


def _changed(assessment: Assessment, milestone: Milestone, rulebook: Rulebook) -> list[str]:
    """What is different from when the recommendation was made, in words."""
    present = answers(assessment)
    changed = [
        question.title
        for _, question in asked(rulebook)
        if present.get(question.id) != milestone.answers.get(question.id)
    ]
    if assessment.weights != milestone.weights:
        changed.append("the weights")
    if rulebook.checksum != milestone.rulebook_checksum:
        changed.append("the rulebook itself")
    return changed


def _see(path: str) -> Response:
    return RedirectResponse(path, status_code=303)
