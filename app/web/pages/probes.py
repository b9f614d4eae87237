"""Launching a probe: at once where everything is known, else from a small form."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.errors import Conflict, InvalidInput, NotFound, Problem, RateLimited
from app.models import Assessment, Run
from app.protocol import OVER, RunSpec
from app.web import probe_form
from app.web.deps import (
    AssessmentDep,
    SessionDep,
    SettingsDep,
    SweepDep,
    Typed,
)
from app.web.launch_stock import StockDep
from app.web.pages.asking import Asking, AskingDep, beside_fields, key_of
from app.web.recipe_settings import PROBE

router = APIRouter()


def _action(asking: Asking) -> str:
    return f"/assessments/{asking.assessment.id}/probe" if asking.assessment else "/runs/probe"


# From an assessment


@router.get("/assessments/{assessment_id}/probe")
def ask_probe(asking: AskingDep) -> Response:
    return _form(asking, asking.defaults)


@router.post("/assessments/{assessment_id}/probe")
def probe_assessment(
    form: Typed,  # read before the transaction begins
    asking: AskingDep,
    assessment: AssessmentDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    """The form of the result page names nothing: then it is launched as everything was chosen before."""
    if live := _live(session, assessment):
        return RedirectResponse(f"/runs/{live.id}", 303)
    if form.get("model"):
        return _launch_typed(asking, form, settings, sweep, tasks)
    if asking.before is None:
        return RedirectResponse(_action(asking), 303)
    return _launch(asking, asking.before, form, settings, sweep, tasks)


def _live(session: Session, assessment: Assessment) -> Run | None:
    """Pressed twice, it is one probe."""
    alive = select(Run).where(Run.assessment_id == assessment.id, Run.state.not_in(OVER))
    return next((run for run in session.scalars(alive) if run.kind == "probe"), None)


# By itself


@router.get("/runs/probe")
def ask_probe_freely(
    request: Request,
    stock: StockDep,
    session: SessionDep,
    like: Annotated[UUID | None, Query()] = None,
) -> Response:
    asking = Asking(request, session, stock, None, _as(session, like))
    return _form(asking, asking.defaults | ({"like": str(like)} if like else {}))


@router.post("/runs/probe")
def probe_freely(
    request: Request,
    stock: StockDep,
    form: Typed,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    asking = Asking(request, session, stock, None, _as(session, _uuid(form.get("like", ""))))
    return _launch_typed(asking, form, settings, sweep, tasks)


def _as(session: Session, like: UUID | None) -> RunSpec | None:
    """A probe with the settings of an earlier run."""
    if like is None:
        return None
    run = session.get(Run, like)
    if run is None:
        raise NotFound("There is no run here to probe like: it may have been deleted.")
    if run.spec.grader is None or run.spec.dataset is None:
        raise Conflict("This run has no grader, and a probe needs one; fill in the form of a new probe.")
    return probe_form.like(run, run.spec.name.removeprefix("Probe: "))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


# The form, and what comes of it


def _form(asking: Asking, form: Mapping[str, str], problems: Sequence[Problem] = ()) -> Response:
    specs = asking.read(form).specs
    return asking.page(
        "probe_new.html",
        form,
        problems,
        action=_action(asking),
        settings=PROBE,
        defaults=asking.defaults,
        promise=probe_form.promise(asking.session, specs[0]) if specs else "",
    )


def _launch_typed(
    asking: Asking,
    form: Mapping[str, str],
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    reading = asking.read(form)
    if reading.problems:
        return _form(asking, form, reading.problems)
    return _launch(asking, reading.specs[0], form, settings, sweep, tasks)


def _launch(
    asking: Asking,
    spec: RunSpec,
    form: Mapping[str, str],
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    try:
        launched, _ = runs.launch(
            asking.session, [spec], settings, assessment=asking.assessment, key=key_of(form)
        )
    except (InvalidInput, RateLimited, Conflict) as error:
        return _form(asking, form if form.get("model") else asking.defaults, beside_fields(error))
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/runs/{launched[0].id}", 303)
