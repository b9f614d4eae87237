"""Pages of what an assessment was before: recommendations, scenarios, every change, and the way back."""

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from starlette.responses import RedirectResponse

from app.errors import Problem
from app.models import Assessment, Change, Milestone
from app.web import assessing
from app.web.answer_form import FormDep
from app.web.comparing import DRAFT, name_of
from app.web.deps import AssessmentDep, ItsRulebookDep, SessionDep, render
from app.web.differing import change_in_words, differences, title_of, weights_differ
from app.web.pages.whatif import named

router = APIRouter()

PAGE = 25
"""Changes shown at once."""


@router.get("/assessments/{assessment_id}/history")
def history(
    request: Request, assessment: AssessmentDep, session: SessionDep, rulebook: ItsRulebookDep, page: int = 1
) -> Response:
    pages = max(1, -(-assessment.change_count // PAGE))
    page = min(max(page, 1), pages)
    rows = session.scalars(
        select(Change)
        .where(Change.assessment_id == assessment.id)
        .order_by(Change.number.desc())
        .limit(PAGE)
        .offset((page - 1) * PAGE)
    )
    latest = assessing.latest(assessment)
    return render(
        request,
        "history.html",
        assessment=assessment,
        milestones=[(each, name_of(each)) for each in reversed(assessment.milestones)],
        draft=f"{DRAFT}{assessment.id}",
        changed=assessing.changed_since(assessment, latest, rulebook) if latest else [],
        changes=[(change, change_in_words(change, rulebook)) for change in rows],
        page=page,
        pages=pages,
    )


# Going back


@router.get("/assessments/{assessment_id}/milestones/{number}/restore")
def restore_page(
    request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep, number: int
) -> Response:
    milestone = assessing.at_number(assessment, number)
    again = assessing.restorable(milestone, rulebook)
    present, latest = assessing.answers(assessment), assessing.latest(assessment)
    return render(
        request,
        "history_restore.html",
        assessment=assessment,
        milestone=milestone,
        called=name_of(milestone),
        changes=[
            *differences(present, again.answers, rulebook),
            *weights_differ(assessment.weights, again.weights, rulebook),
        ],
        same=(present, assessment.weights) == (again.answers, again.weights),
        left_out=[title_of(question, rulebook) for question in again.left_out],
        measured=assessment.measurements != milestone.measurements,
        unsaved=assessing.changed_since(assessment, latest, rulebook) if latest else [],
        latest=latest,
    )


@router.post("/assessments/{assessment_id}/milestones/{number}/restore")
def restore(assessment: AssessmentDep, rulebook: ItsRulebookDep, number: int) -> Response:
    assessing.restore(assessment, assessing.at_number(assessment, number), rulebook)
    return RedirectResponse(f"/assessments/{assessment.id}/check", 303)


# Scenarios: another name, or none any more


@router.get("/assessments/{assessment_id}/scenarios/{number}")
def scenario_page(request: Request, assessment: AssessmentDep, number: int) -> Response:
    scenario = assessing.scenario_of(assessment, number)
    return _scenario(request, assessment, scenario, scenario.label)


@router.post("/assessments/{assessment_id}/scenarios/{number}")
def rename(request: Request, assessment: AssessmentDep, number: int, form: FormDep) -> Response:
    scenario = assessing.scenario_of(assessment, number)
    label, problems = named(form)
    if problems:
        return _scenario(request, assessment, scenario, form.get("label", ""), problems)
    scenario.label = label
    return RedirectResponse(f"/assessments/{assessment.id}/history", 303)


@router.get("/assessments/{assessment_id}/scenarios/{number}/delete")
def delete_page(request: Request, assessment: AssessmentDep, number: int) -> Response:
    scenario = assessing.scenario_of(assessment, number)
    return render(request, "scenario_delete.html", assessment=assessment, scenario=scenario)


@router.post("/assessments/{assessment_id}/scenarios/{number}/delete")
def delete(assessment: AssessmentDep, number: int) -> Response:
    assessment.milestones.remove(assessing.scenario_of(assessment, number))
    return RedirectResponse(f"/assessments/{assessment.id}/history", 303)


def _scenario(
    request: Request,
    assessment: Assessment,
    scenario: Milestone,
    label: str,
    problems: list[Problem] | None = None,
) -> Response:
    return render(
        request,
        "scenario.html",
        422 if problems else 200,
        assessment=assessment,
        scenario=scenario,
        label=label,
        problems=problems or [],
    )
