"""Pages about assessments: all of them, a new one, one's standing, and its end."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from starlette.responses import RedirectResponse

from app import runs
from app.advisor.rulebook import Rulebook
from app.errors import Problem
from app.models import Assessment, Run
from app.protocol import Name
from app.web.answer_form import FormDep
from app.web.assessing import answer, asked, changed_since, latest, standing
from app.web.deps import AssessmentDep, ItsRulebookDep, RulebookDep, SessionDep, render
from app.web.records import review_due

router = APIRouter()

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
        "due": review_due(assessment),
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
        rulebook_checksum=rulebook.checksum,
        answers=[],
        milestones=[],
    )
    session.add(assessment)
    for question, given in (example.answers if example else {}).items():
        answer(assessment, question, given)
    session.flush()
    return RedirectResponse(f"/assessments/{assessment.id}", 303)


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
def overview(request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep) -> Response:
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
        scenarios=[each for each in assessment.milestones if each.kind == "scenario"],
        changed=milestone is not None and bool(changed_since(assessment, milestone, rulebook)),
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
    return RedirectResponse("/assessments", 303)
