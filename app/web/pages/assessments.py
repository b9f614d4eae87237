"""Pages about assessments: all of them, a new one, one's standing, and its end."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from starlette.responses import RedirectResponse

from app import runs
from app.advisor.advice import PlanId
from app.advisor.quick import deciding
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Example
from app.assistant import Assistant
from app.errors import Problem
from app.models import Assessment, Run
from app.protocol import Name
from app.web import inspecting
from app.web.answer_form import FormDep
from app.web.assessing import answer, asked, begun, changed_since, latest, project, standing
from app.web.deps import (
    AssessmentDep,
    ItsReadableRulebookDep,
    PartsDep,
    RulebookDep,
    SessionDep,
    readable,
    render,
)
from app.web.proposing import contradictions, waiting
from app.web.records import review_due

router = APIRouter()

ASSESSMENTS_PER_PAGE = 25
LONGEST_DESCRIPTION = 2000

STARTS = {"blank": "", "quick": "/quick", "describe": "/describe", "example": ""}
"""Ways to begin, and where each leads after the assessment is made."""

PLANS: dict[PlanId, str] = {
    "sft": "SFT",
    "grpo": "GRPO",
    "sft_then_grpo": "SFT, then GRPO",
    "reward_model_then_grpo": "Reward model, then GRPO",
    "not_yet": "Do not train yet",
}


# All of them


@router.get("/assessments")
def assessments(
    request: Request,
    session: SessionDep,
    parts: PartsDep,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    pages = max(1, -(-(session.scalar(select(func.count(Assessment.id))) or 0) // ASSESSMENTS_PER_PAGE))
    page = min(page, pages)
    newest = select(Assessment).order_by(Assessment.updated_at.desc(), Assessment.id)
    here = newest.limit(ASSESSMENTS_PER_PAGE).offset((page - 1) * ASSESSMENTS_PER_PAGE)
    found = session.scalars(here).all()
    theirs = {
        checksum: readable(parts.rulebooks, session, checksum)
        for checksum in {each.rulebook_checksum for each in found}
    }
    rows = [_row(each, theirs[each.rulebook_checksum]) for each in found]
    total = len(asked(parts.rulebook))
    return render(request, "assessments.html", rows=rows, total=total, page=page, pages=pages)


def _row(assessment: Assessment, rulebook: Rulebook | None) -> dict[str, object]:
    """Counted by the rulebook it stands on; None where that cannot be read."""
    milestone = latest(assessment)
    return {
        "id": assessment.id,
        "name": assessment.name,
        "updated": assessment.updated_at,
        "answered": standing(assessment, rulebook).answered if rulebook else None,
        "total": len(asked(rulebook)) if rulebook else None,
        "plan": milestone.recommendation.plan if milestone else None,
        "due": review_due(assessment),
    }


@router.get("/assessments/new")
def new_page(
    request: Request, rulebook: RulebookDep, parts: PartsDep, example: str = "", start: str = ""
) -> Response:
    known = {case.id for case in rulebook.examples}
    values = {"example": example if example in known else ""}
    if start in STARTS:
        values["start"] = start
    return _new_form(request, rulebook, parts.assistant, values)


@router.post("/assessments/new")
def new(
    request: Request, session: SessionDep, rulebook: RulebookDep, parts: PartsDep, form: FormDep
) -> Response:
    problems = _naming_problems(form)
    start = form.get("start", "example")
    wanted = form.get("example") if start == "example" else None
    example = next((case for case in rulebook.examples if case.id == wanted), None)
    if problems:
        return _new_form(request, rulebook, parts.assistant, form, problems)
    description = form.get("description", "") or (example.description if example else "")
    assessment = begun(TypeAdapter(Name).validate_python(form["name"]), description, rulebook)
    session.add(assessment)
    for question, given in (example.answers if example else {}).items():
        answer(assessment, question, given)
    session.flush()
    return RedirectResponse(f"/assessments/{assessment.id}{STARTS.get(start, '')}", 303)


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


def _by_plan(rulebook: Rulebook) -> list[tuple[str, list[Example]]]:
    """The worked examples under what each is advised, in the order of the rulebook."""
    groups: dict[str, list[Example]] = {}
    for case in rulebook.examples:
        groups.setdefault(PLANS[case.plan], []).append(case)
    return list(groups.items())


def _new_form(
    request: Request,
    rulebook: Rulebook,
    assistant: Assistant,
    values: Mapping[str, str],
    problems: list[Problem] | None = None,
) -> Response:
    values = {"name": "", "description": "", "example": ""} | dict(values)
    values.setdefault("start", "example" if values["example"] else "blank")
    return render(
        request,
        "assessments_new.html",
        422 if problems else 200,
        values=values,
        total=len(asked(rulebook)),
        most=len(deciding(rulebook)),
        examples=_by_plan(rulebook),
        assistant=assistant,
        problems=problems or [],
    )


# One of them


@router.get("/assessments/{assessment_id}")
def overview(
    request: Request, session: SessionDep, assessment: AssessmentDep, rulebook: ItsReadableRulebookDep
) -> Response:
    if rulebook is None:
        return render(request, "assessments_outdated.html", assessment=assessment)
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
        standing=recommend(project(assessment, rulebook), rulebook),
        questions=rulebook.questions,
        proposed=len(waiting(session, assessment)),
        against=len(contradictions(session, assessment, rulebook)),
        linked=inspecting.linked(session, assessment),
        chosen=inspecting.chosen_by(assessment.dataset_id),
        datasets=inspecting.datasets(session),
        milestone=milestone,
        scenarios=[each for each in assessment.milestones if each.kind == "scenario"],
        changed=milestone is not None and bool(changed_since(assessment, milestone, rulebook)),
    )


def _tasks(assessment: Assessment, rulebook: Rulebook) -> list[dict[str, object]]:
    base = f"/assessments/{assessment.id}"
    met = {row.question for row in assessment.answers}
    tasks = []
    for factor in rulebook.factors:
        ids = [question.id for question in factor.asked]
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
