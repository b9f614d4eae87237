"""Where a user starts each day: what is open, what is training, what came out, and what needs attention."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Assessment, Report, Run
from app.protocol import OVER, HealthEvent, RunState
from app.web.confirmed import often_held
from app.web.deps import RulebookDep, SessionDep, render
from app.web.pages.runs import held_out_share, lines
from app.web.records import review_due

router = APIRouter()

SHOWN = 5


@dataclass(frozen=True)
class Alert:
    run: Run
    sentence: str


@router.get("/home")
def home(request: Request, rulebook: RulebookDep, session: SessionDep) -> Response:
    assessments = list(session.scalars(select(Assessment).order_by(Assessment.updated_at.desc())))
    active = list(
        session.scalars(select(Run).where(Run.state.not_in(OVER)).order_by(Run.created_at, Run.stage))
    )
    over = list(
        session.scalars(select(Run).where(Run.state.in_(OVER)).order_by(Run.ended_at.desc()).limit(20))
    )
    ended = [run for run in over if run.kind != "starter"]
    results = ended[:SHOWN]
    return render(
        request,
        "home.html",
        drafts=[each for each in assessments if not each.decisions][:SHOWN],
        decided=[each for each in assessments if each.decisions][:SHOWN],
        questions=len(rulebook.asked),
        active=lines(session, [run for run in active if run.kind != "starter"]),
        results=lines(session, results),
        shares={run.id: held_out_share(session, run) for run in results},
        paused=[run for run in active if run.state == RunState.PAUSED and not run.wish],
        alerts=alerts(session, active, ended),
        reviews=[(each, due) for each in assessments if (due := review_due(each))][:SHOWN],
        starter=starter_run(session),
        often=often_held(session),
        nothing_yet=not assessments and not results and all(run.kind == "starter" for run in active),
    )


def alerts(session: Session, active: Sequence[Run], ended: Sequence[Run]) -> list[Alert]:
    """What asks for somebody's attention: recent failures, and findings of runs that still go on."""
    failed = [
        Alert(run, run.detail or "It failed without saying why.")
        for run in ended
        if run.state == RunState.FAILED
    ]
    findings = [Alert(run, what.sentence) for run in active for what in _findings(session, run)[-1:]]
    return [*findings, *failed][:SHOWN]


def _findings(session: Session, run: Run) -> list[HealthEvent]:
    found = session.scalars(
        select(Report.what).where(Report.run_id == run.id, Report.kind == "health").order_by(Report.seq)
    )
    return [what for what in found if isinstance(what, HealthEvent)]


def starter_run(session: Session) -> Run | None:
    """The run that prepares the starter model, while it goes on or after it failed."""
    recent = session.scalars(select(Run).order_by(Run.created_at.desc()).limit(200))
    starter = next((run for run in recent if run.kind == "starter"), None)
    return starter if starter and starter.state != RunState.SUCCEEDED else None
