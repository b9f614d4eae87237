"""What can be done with a run: pause, go on, try again, stop, let it go first, delete."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Form, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from app import runs
from app.errors import Conflict, Problem, TuningForkError
from app.models import Run
from app.protocol import Limits
from app.web import launch_form, run_life
from app.web.deps import RunDep, SessionDep, SettingsDep, SweepDep, Typed, render
from app.web.launch_problems import place_of, words_of
from app.web.launch_values import limit_values
from app.web.pages.runs import successor
from app.web.run_settings import LIMITS

router = APIRouter()


def _back(run: Run) -> Response:
    return RedirectResponse(f"/runs/{run.id}", 303)


# Pausing and going on


@router.post("/runs/{run_id}/pause")
def pause_run(run: RunDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    if not run.state.is_over:
        runs.pause(run)
        tasks.add_task(sweep.wake)
    return _back(run)


@router.get("/runs/{run_id}/resume")
def ask_resume(request: Request, run: RunDep, session: SessionDep) -> Response:
    """The limits it goes on with; the one that paused it must rise."""
    if run.state.is_over:
        return _back(run)
    return _ask_limits(request, session, run, limit_values(runs.limits_in_force(run)))


@router.post("/runs/{run_id}/resume")
def resume_run(
    request: Request,
    form: Typed,
    run: RunDep,
    session: SessionDep,
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    """Without limits in the form it goes on with those it has."""
    problems: list[Problem] = []
    limits = _limits(form, problems) if any(key.startswith("limits.") for key in form) else None
    if problems:
        return _ask_limits(request, session, run, form, problems)
    try:
        runs.resume(session, run, limits)
    except Conflict as error:
        paused_by = runs.limit_that_paused(session, run)
        where = f"limits.{paused_by}" if paused_by else ""
        return _ask_limits(request, session, run, form, [Problem(where=where, what=_sentence(run, error))])
    tasks.add_task(sweep.wake)
    return _back(run)


def _sentence(run: Run, error: TuningForkError) -> str:
    if "limit" in error.sentence:
        return "The run would pause again at once: enter a higher limit, or leave it empty."
    return error.sentence


def _limits(form: dict[str, str], problems: list[Problem]) -> Limits | None:
    typed = launch_form.read_settings(form, "limits", LIMITS, problems)
    try:
        return Limits.model_validate({name: value for name, value in typed.items() if value is not None})
    except ValidationError as error:
        for each in error.errors(include_url=False):
            where = place_of({**each, "loc": ("limits", *each["loc"])}, "")
            problems.append(Problem(where=where, what=words_of(each, where)))
        return None


def _ask_limits(
    request: Request,
    session: SessionDep,
    run: Run,
    form: dict[str, str],
    problems: list[Problem] | None = None,
) -> Response:
    view = runs.view(session, run)
    return render(
        request,
        "run_resume.html",
        422 if problems else 200,
        run=run,
        form=form,
        problems=problems or [],
        settings=LIMITS,
        paused_by=runs.limit_that_paused(session, run),
        used=run_life.used(view, runs.limits_in_force(run)),
        words=runs.words(run),
    )


@router.post("/runs/{run_id}/retry")
def retry_run(
    run: RunDep, session: SessionDep, settings: SettingsDep, sweep: SweepDep, tasks: BackgroundTasks
) -> Response:
    again = runs.retry(session, run, settings)
    session.flush()
    tasks.add_task(sweep.wake)
    return _back(again)


@router.post("/runs/{run_id}/priority")
def prioritize_run(
    run: RunDep,
    priority: Annotated[int, Form(ge=-1, le=1)],
    sweep: SweepDep,
    tasks: BackgroundTasks,
) -> Response:
    if not run.state.is_over:
        runs.set_priority(run, priority)
        tasks.add_task(sweep.wake)
    return _back(run)


# Stopping and deleting


@router.get("/runs/{run_id}/cancel")
def ask_cancel(request: Request, run: RunDep, session: SessionDep) -> Response:
    if run.state.is_over or run.cancel_requested:
        return _back(run)
    return render(
        request, "run_cancel.html", run=run, successor=successor(session, run), words=runs.words(run)
    )


@router.post("/runs/{run_id}/cancel")
def cancel_run(run: RunDep, session: SessionDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    if not run.state.is_over:
        runs.cancel(session, run)
        tasks.add_task(sweep.wake)
    return _back(run)


@router.get("/runs/{run_id}/delete")
def ask_delete(request: Request, run: RunDep, session: SessionDep) -> Response:
    return render(request, "run_delete.html", run=run, successor=successor(session, run))


@router.post("/runs/{run_id}/delete")
def delete_run(run: RunDep, session: SessionDep, sweep: SweepDep, tasks: BackgroundTasks) -> Response:
    runs.delete(session, run)
    tasks.add_task(sweep.wake)
    return RedirectResponse("/runs", 303)
