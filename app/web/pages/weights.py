"""The page where the five factors are weighed: by points, by a preset, or by rank."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from app.advisor.rulebook import Rulebook
from app.errors import Problem
from app.models import Assessment
from app.web.answer_form import FormDep
from app.web.assessing import change
from app.web.deps import AssessmentDep, ItsRulebookDep, render
from app.web.etags import weights_token
from app.web.weighing import (
    Points,
    as_points,
    moved,
    own_points,
    points_by_rank,
    ranked,
    read_points,
    segments,
    shares_of,
    typed,
)

router = APIRouter()

NOT_SAVED = "Not saved yet: “Continue” saves."


@router.get("/assessments/{assessment_id}/weights")
def weights_page(
    request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep, then: str = ""
) -> Response:
    loaded = weights_token(assessment)
    return _page(request, assessment, rulebook, assessment.weights or own_points(rulebook), then, loaded)


@router.post("/assessments/{assessment_id}/weights")
def set_weights(
    request: Request, assessment: AssessmentDep, rulebook: ItsRulebookDep, form: FormDep
) -> Response:
    """Saves, unless one of the page's other buttons asked for other numbers to look at first."""
    then, loaded = form.get("then", ""), form.get("loaded", "")
    suggested = _suggested(form, rulebook)
    if suggested:
        return _page(request, assessment, rulebook, suggested, then, loaded, said=NOT_SAVED)
    points, problems = (own_points(rulebook), []) if form.get("reset") else read_points(form, rulebook)
    if problems:
        kept = assessment.weights or own_points(rulebook)
        return _page(request, assessment, rulebook, kept, then, loaded, values=form, problems=problems)
    if form.get("look"):
        return _page(request, assessment, rulebook, points, then, loaded, said=NOT_SAVED)
    weights = {} if points == own_points(rulebook) else points
    if loaded and loaded != weights_token(assessment) and weights != assessment.weights:
        return _clash(request, assessment, rulebook, points, then)
    change(assessment, "weights", weights)
    return RedirectResponse(f"/assessments/{assessment.id}/check", 303)


def _clash(
    request: Request, assessment: Assessment, rulebook: Rulebook, points: Points, then: str
) -> Response:
    """What was typed stays in the form, beside what somebody else saved; saving again is a decision."""
    stored = shares_of(assessment.weights or own_points(rulebook))
    named = ", ".join(f"{factor.title} {stored[factor.id]}" for factor in rulebook.factors)
    changed = f"The weights were changed while this page was open. Stored now: {named}."
    said = f"{changed} Yours below are not saved yet."
    loaded = weights_token(assessment)
    return _page(request, assessment, rulebook, points, then, loaded, said=said, clash=True)


def _suggested(form: Mapping[str, str], rulebook: Rulebook) -> dict[str, float] | None:
    """Points of the preset that was chosen, or of the order after a factor was moved."""
    preset = next((each for each in rulebook.presets if each.id == form.get("preset")), None)
    if preset:
        return as_points(preset.weights)
    factors = [factor.id for factor in rulebook.factors]
    order = form.get("order", "").split()
    if sorted(order) != sorted(factors):
        return None
    for button, places in (("up", -1), ("down", 1)):
        if form.get(button) in factors:
            order = moved(order, form[button], places)
    return points_by_rank(order)


def _page(
    request: Request,
    assessment: Assessment,
    rulebook: Rulebook,
    points: Points,
    then: str,
    loaded: str,
    *,
    values: Mapping[str, str] | None = None,
    problems: list[Problem] | None = None,
    said: str = "",
    clash: bool = False,
) -> Response:
    base = f"/assessments/{assessment.id}"
    shown = typed(points) if values is None else values
    titles = {factor.id: factor.title for factor in rulebook.factors}
    return render(
        request,
        "weights.html",
        409 if clash else 422 if problems else 200,
        assessment=assessment,
        factors=rulebook.factors,
        shares=shares_of(points),
        values={factor: shown.get(factor, "") for factor in titles},
        segments=segments(points, rulebook),
        ranking=[(factor, titles[factor]) for factor in ranked(points)],
        presets=[(preset, shares_of(preset.weights)) for preset in rulebook.presets],
        problems=problems or [],
        said=said,
        clash=clash,
        loaded=loaded,
        returns=then == "check",
        back=f"{base}/check" if then == "check" else base,
    )
