"""Settings: keys for programs, the worker's health, and leaving."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import now
from app.errors import Problem, Unavailable
from app.models import ApiKey, Run
from app.protocol import WorkerHealth
from app.web import run_words, security
from app.web.deps import SessionDep, SettingsDep, SweepDep, WorkerDep, render

router = APIRouter()

LONGEST_NAME = 80


@dataclass(frozen=True)
class Asked:
    """The worker's health, or why it is not known."""

    health: WorkerHealth | None
    away: str = ""


def ask(worker: WorkerDep, sweep: SweepDep) -> Asked:
    """Asked before the request's transaction begins."""
    if sweep.worker_away is not None:
        return Asked(None, sweep.worker_away)
    try:
        return Asked(worker.health())
    except Unavailable as error:
        return Asked(None, error.sentence)


AskedDep = Annotated[Asked, Depends(ask)]


@router.get("/settings")
def show_settings(request: Request, asked: AskedDep, session: SessionDep, settings: SettingsDep) -> Response:
    return _page(request, asked, session, settings)


def _page(
    request: Request,
    asked: Asked,
    session: Session,
    settings: SettingsDep,
    *,
    problems: tuple[Problem, ...] = (),
    name: str = "",
    created: str = "",
) -> Response:
    queued = [*asked.health.running, *asked.health.queued] if asked.health else []
    return render(
        request,
        "settings.html",
        422 if problems else 200,
        keys=list(session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc()))),
        now=now(),
        problems=problems,
        wanted=name,
        created=created,
        days=settings.api_key_days,
        health=asked.health,
        away=asked.away,
        names={run_id: run.spec.name for run_id in queued if (run := session.get(Run, run_id))},
        size=run_words.size,
        may_sign_out=settings.sign_in == "required",
    )


@router.post("/settings/keys")
def create_key(
    request: Request,
    asked: AskedDep,
    session: SessionDep,
    settings: SettingsDep,
    name: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """The answer is the page itself: the key is in it, this once, and in no address and no history."""
    wanted = name.strip()
    if not wanted or len(wanted) > LONGEST_NAME or not wanted.isprintable():
        what = f"Enter a name of up to {LONGEST_NAME} characters, so that you know later what uses the key."
        return _page(
            request, asked, session, settings, problems=(Problem(where="name", what=what),), name=name
        )
    _, key = security.new_key(session, wanted, settings.api_key_days)
    response = _page(request, asked, session, settings, created=key)
    response.headers["Cache-Control"] = "no-store"
    return response


@router.post("/settings/keys/{key_id}/revoke")
def revoke_key(key_id: str, session: SessionDep) -> Response:
    security.revoke_key(session, key_id)
    return RedirectResponse("/settings", 303)
