"""Launching a probe: at once where everything is known, else from a small form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.errors import Conflict, InvalidInput, NotFound, Problem, RateLimited
from app.models import Assessment, Dataset, Run
from app.protocol import OVER, RunSpec
from app.web import launch_words, probe_form
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
from app.web.pages.launch import origins
from app.web.recipe_settings import PROBE

router = APIRouter()


@dataclass(frozen=True)
class Asking:
    """What the form needs around it."""

    request: Request
    session: Session
    stock: Stock
    assessment: Assessment | None
    before: RunSpec | None
    """As it was chosen before, where it was."""

    @property
    def action(self) -> str:
        return f"/assessments/{self.assessment.id}/probe" if self.assessment else "/runs/probe"

    @property
    def graders(self) -> probe_form.Graders:
        stored, trained = grader_choices(self.session), trained_reward_models(self.session)
        return probe_form.graders(stored, trained, self.before)

    @property
    def defaults(self) -> dict[str, str]:
        if self.before is not None:
            return probe_form.values(self.before, self.graders)
        linked = probe_form.linked_dataset(self.session, self.assessment) if self.assessment else None
        return probe_form.defaults(self.assessment.name if self.assessment else "the starter model", linked)


# From an assessment


@router.get("/assessments/{assessment_id}/probe")
def ask_probe(
    request: Request,
    stock: StockDep,
    assessment: AssessmentDep,
    rulebook: ItsReadableRulebookDep,
    session: SessionDep,
) -> Response:
    known = probe_form.known(session, assessment, rulebook)
    asking = Asking(request, session, stock, assessment, known)
    return _form(asking, asking.defaults)


@router.post("/assessments/{assessment_id}/probe")
def probe_assessment(
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
    """The form of the result page names nothing: then it is launched as everything was chosen before."""
    if live := _live(session, assessment):
        return RedirectResponse(f"/runs/{live.id}", 303)
    known = probe_form.known(session, assessment, rulebook)
    asking = Asking(request, session, stock, assessment, known)
    if form.get("model"):
        return _launch_typed(asking, form, settings, sweep, tasks)
    if known is None:
        return RedirectResponse(asking.action, 303)
    return _launch(asking, known, form, settings, sweep, tasks)


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
    starts = origins(asking.session, form)
    datasets = list(asking.session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))
    reading = probe_form.read(form, {value: run.spec for value, run in starts.items()}, asking.graders)
    return render(
        asking.request,
        "probe_new.html",
        422 if problems else 200,
        action=asking.action,
        assessment=asking.assessment,
        form=form,
        problems=problems,
        settings=PROBE,
        defaults=asking.defaults,
        model_options=launch_words.model_options(asking.stock.models, starts),
        models_unknown=not asking.stock.known,
        dataset_options=launch_words.probe_options(asking.stock.datasets, datasets),
        grader_options=[("", "Choose one"), *asking.graders.choices],
        promise=probe_form.promise(asking.session, reading.specs[0]) if reading.specs else "",
        key=form.get("key") or str(uuid4()),
    )


def _launch_typed(
    asking: Asking,
    form: Mapping[str, str],
    settings: SettingsDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    starts = {value: run.spec for value, run in origins(asking.session, form).items()}
    reading = probe_form.read(form, starts, asking.graders)
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
    key = f"form/{form['key'][:64]}" if form.get("key") else None
    try:
        launched, _ = runs.launch(asking.session, [spec], settings, assessment=asking.assessment, key=key)
    except (InvalidInput, RateLimited, Conflict) as error:
        problems = [Problem(where=each.where.rpartition(".")[2], what=each.what) for each in error.problems]
        typed = dict(form) if form.get("model") else asking.defaults
        return _form(asking, typed, problems or [Problem(where="", what=error.sentence)])
    tasks.add_task(sweep.wake)
    return RedirectResponse(f"/runs/{launched[0].id}", 303)
