"""Letting both methods try: the form, the pilot's page, cancelling and deleting it."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, BackgroundTasks, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import pilots
from app.errors import Conflict, InvalidInput, Problem, RateLimited
from app.models import Assessment, Pilot, Run
from app.pilots import ARMS, PilotPlan
from app.protocol import OVER, ProbeRecipe
from app.web import pilot_form, pilot_shown
from app.web.deps import (
    AssessmentDep,
    SessionDep,
    SettingsDep,
    SweepDep,
    Typed,
    render,
)
from app.web.launch_values import text
from app.web.pages.asking import Asking, AskingDep, beside_fields, key_of
from app.web.pilot_deps import PilotDep, PilotViewDep
from app.web.pilot_proposals import waiting_of
from app.web.recipe_settings import PROBE
from app.web.run_words import duration, percent

router = APIRouter()


# Asking for one


@router.get("/assessments/{assessment_id}/pilot")
def ask_pilot(asking: AskingDep, assessment: AssessmentDep) -> Response:
    return _form(asking, _filled_in(asking, assessment))


@router.post("/assessments/{assessment_id}/pilot")
def launch_pilot(
    form: Typed,  # read before the transaction begins
    asking: AskingDep,
    assessment: AssessmentDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    """The button of the result page names nothing: then it is launched with everything as chosen before."""
    if not form.get("model"):
        if live := _live(session, assessment):
            return RedirectResponse(f"/pilots/{live.id}", 303)
        if asking.before is None:
            return RedirectResponse(f"/assessments/{assessment.id}/pilot", 303)
        form = _filled_in(asking, assessment)
    base, plan = asking.read(_as_probe(form)), pilot_form.read(form)
    problems = [*base.problems, *plan.problems]
    if problems or plan.plan is None:
        return _form(asking, form, problems)
    try:
        pilot, _ = pilot_form.launch(
            session, asking.stock, assessment, base.specs[0], plan.plan, settings, key_of(form)
        )
    except (InvalidInput, RateLimited, Conflict) as error:
        return _form(asking, form, beside_fields(error))
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/pilots/{pilot.id}", 303)


def _live(session: Session, assessment: Assessment) -> Pilot | None:
    """Pressed twice, it is one pilot."""
    going = select(Run.pilot_id).where(Run.pilot_id.is_not(None), Run.state.not_in(OVER))
    return session.scalars(
        select(Pilot).where(Pilot.assessment_id == assessment.id, Pilot.id.in_(going))
    ).first()


def _filled_in(asking: Asking, assessment: Assessment) -> dict[str, str]:
    """With everything as it was chosen before, where it was."""
    plan = PilotPlan(minutes=pilot_form.usual_minutes(asking.before), arms=list(ARMS))
    named = {"name": pilot_form.name_for(assessment.name)}
    return {**asking.defaults, **pilot_form.values(plan), **named}


def _as_probe(form: Mapping[str, str]) -> dict[str, str]:
    """Model, dataset and grader are asked for as a probe asks for them."""
    usual = {f"probe.{each.name}": text(getattr(ProbeRecipe(), each.name)) for each in PROBE}
    return {**usual, **{key: value for key, value in form.items() if not key.startswith("probe.")}}


def _form(asking: Asking, form: Mapping[str, str], problems: Sequence[Problem] = ()) -> Response:
    plan = pilot_form.read(form).plan
    return asking.page(
        "pilot_new.html",
        form,
        problems,
        arms=[(arm, title) for arm, title in ARMS.items() if arm != "sft"],
        promise=pilot_form.promise(plan) if plan else "",
    )


# One pilot


@router.get("/pilots/{pilot_id}")
def show_pilot(request: Request, view: PilotViewDep, session: SessionDep) -> Response:
    assessment = session.get(Assessment, view.assessment_id) if view.assessment_id else None
    return render(
        request,
        "pilot.html",
        view=view,
        assessment=assessment,
        proposed=waiting_of(session, view.id),
        arms=pilot_shown.arms(view.reading),
        differences=pilot_shown.differences(view.reading),
        ways=pilot_shown.ways(view.reading),
        costs=pilot_shown.costs(view),
        duration=duration,
        percent=percent,
        points=pilot_shown.points_of,
        titles=ARMS,
    )


@router.get("/pilots/{pilot_id}/cancel")
def ask_cancel(request: Request, view: PilotViewDep) -> Response:
    if view.is_over:
        return RedirectResponse(f"/pilots/{view.id}", 303)
    return render(request, "pilot_cancel.html", view=view)


@router.post("/pilots/{pilot_id}/cancel")
def cancel_pilot(pilot: PilotDep, session: SessionDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    """One that ended meanwhile is left as it is."""
    try:
        pilots.cancel(session, pilot)
    except Conflict:
        return RedirectResponse(f"/pilots/{pilot.id}", 303)
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/pilots/{pilot.id}", 303)


@router.get("/pilots/{pilot_id}/delete")
def ask_delete(request: Request, view: PilotViewDep) -> Response:
    return render(request, "pilot_delete.html", view=view)


@router.post("/pilots/{pilot_id}/delete")
def delete_pilot(pilot: PilotDep, session: SessionDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    pilots.delete(session, pilot)
    tasks.add_task(sweep.wake)
    return RedirectResponse("/runs", 303)
