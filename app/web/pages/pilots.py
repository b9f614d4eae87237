"""Letting both methods try: the form, the pilot's page, cancelling and deleting it."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from fastapi import APIRouter, BackgroundTasks, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import pilots
from app.errors import Conflict, InvalidInput, Problem, RateLimited
from app.models import Assessment, Dataset, Pilot, Run
from app.pilots import ARMS, PilotPlan
from app.protocol import OVER, ProbeRecipe, RunSpec
from app.web import launch_words, pilot_form, pilot_shown, probe_form
from app.web.deps import (
    AssessmentDep,
    ItsReadableRulebookDep,
    SessionDep,
    SettingsDep,
    SweepDep,
    Typed,
    render,
)
from app.web.grader_choices import grader_choices, trained_reward_models
from app.web.launch_stock import Stock, StockDep
from app.web.launch_values import text
from app.web.pages.launch import origins
from app.web.pilot_deps import PilotDep, PilotViewDep
from app.web.pilot_proposals import waiting_of
from app.web.recipe_settings import PROBE
from app.web.run_words import duration, percent

router = APIRouter()


# Asking for one


@router.get("/assessments/{assessment_id}/pilot")
def ask_pilot(
    request: Request,
    stock: StockDep,
    assessment: AssessmentDep,
    rulebook: ItsReadableRulebookDep,
    session: SessionDep,
) -> Response:
    known = probe_form.known(session, assessment, rulebook)
    return _form(request, session, stock, assessment, known, _filled_in(session, assessment, known))


@router.post("/assessments/{assessment_id}/pilot")
def launch_pilot(
    request: Request,
    stock: StockDep,
    form: Typed,
    assessment: AssessmentDep,
    rulebook: ItsReadableRulebookDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    """The button of the result page names nothing: then it is launched with everything as chosen before."""
    known = probe_form.known(session, assessment, rulebook)
    if not form.get("model"):
        if live := _live(session, assessment):
            return RedirectResponse(f"/pilots/{live.id}", 303)
        if known is None:
            return RedirectResponse(f"/assessments/{assessment.id}/pilot", 303)
        form = _filled_in(session, assessment, known)
    graders = _graders(session, known)
    starts = {value: run.spec for value, run in origins(session, form).items()}
    base, plan = probe_form.read(_as_probe(form), starts, graders), pilot_form.read(form)
    problems = [*base.problems, *plan.problems]
    if not problems and plan.plan is not None:
        try:
            pilot = _launch(session, stock, assessment, form, base.specs[0], plan.plan, settings)
        except (InvalidInput, RateLimited, Conflict) as error:
            problems = [_beside(each) for each in error.problems] or [Problem(where="", what=error.sentence)]
        else:
            tasks.add_task(sweep.wake)
            return RedirectResponse(f"/pilots/{pilot.id}", 303)
    return _form(request, session, stock, assessment, known, form, problems)


def _launch(
    session: Session,
    stock: Stock,
    assessment: Assessment,
    form: Mapping[str, str],
    base: RunSpec,
    plan: PilotPlan,
    settings: SettingsDep,
) -> Pilot:
    pilot_form.refuse_without_demonstrations(stock.datasets.get(form.get("dataset", "").partition(":")[2]))
    chosen = launch_words.chosen_in(form, stock.models, stock.datasets)
    advice = assessment.decisions[-1].recommendation if assessment.decisions else None
    terms = pilot_form.terms(base, chosen, base.name, advice)
    key = f"form/{form['key'][:64]}" if form.get("key") else None
    pilot, _ = pilots.launch(
        session,
        base.name,
        plan,
        pilot_form.arms_of(terms, plan),
        settings,
        assessment=assessment,
        key=key,
    )
    return pilot


def _beside(problem: Problem) -> Problem:
    return Problem(where=problem.where.rpartition(".")[2], what=problem.what)


def _live(session: Session, assessment: Assessment) -> Pilot | None:
    """Pressed twice, it is one pilot."""
    going = select(Run.pilot_id).where(Run.pilot_id.is_not(None), Run.state.not_in(OVER))
    return session.scalars(
        select(Pilot).where(Pilot.assessment_id == assessment.id, Pilot.id.in_(going))
    ).first()


def _graders(session: Session, known: RunSpec | None) -> probe_form.Graders:
    return probe_form.graders(grader_choices(session), trained_reward_models(session), known)


def _filled_in(session: Session, assessment: Assessment, known: RunSpec | None) -> dict[str, str]:
    """With everything as it was chosen before, where it was."""
    if known is not None:
        base = probe_form.values(known, _graders(session, known))
    else:
        base = probe_form.defaults(assessment.name, probe_form.linked_dataset(session, assessment))
    plan = PilotPlan(minutes=pilot_form.usual_minutes(known), arms=list(ARMS))
    named = {"name": f"Pilot: {assessment.name}"[:90].strip(), "tuning": "full"}
    return {**base, **pilot_form.values(plan), **named}


def _as_probe(form: Mapping[str, str]) -> dict[str, str]:
    """Model, dataset and grader are asked for as a probe asks for them."""
    usual = {f"probe.{each.name}": text(getattr(ProbeRecipe(), each.name)) for each in PROBE}
    return {**usual, **{key: value for key, value in form.items() if not key.startswith("probe.")}}


def _form(
    request: Request,
    session: Session,
    stock: Stock,
    assessment: Assessment,
    known: RunSpec | None,
    form: Mapping[str, str],
    problems: Sequence[Problem] = (),
) -> Response:
    datasets = list(session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))
    plan = pilot_form.read(form).plan
    return render(
        request,
        "pilot_new.html",
        422 if problems else 200,
        assessment=assessment,
        form=form,
        problems=problems,
        arms=[(arm, title) for arm, title in ARMS.items() if arm != "sft"],
        model_options=launch_words.model_options(stock.models, origins(session, form)),
        models_unknown=not stock.known,
        dataset_options=launch_words.probe_options(stock.datasets, datasets),
        grader_options=[("", "Choose one"), *_graders(session, known).choices],
        promise=pilot_form.promise(plan) if plan else "",
        key=form.get("key") or str(uuid4()),
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
