"""Stored graders and trained reward models as lists to choose from."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import NamedGrader, Run
from app.protocol import Grader, RunState


def grader_choices(session: Session) -> list[tuple[str, str, Grader]]:
    """Value, label and spec: the newest version of each name first, then the older ones, both by name."""
    newest_first = select(NamedGrader).order_by(NamedGrader.name, NamedGrader.version.desc())
    newest: list[NamedGrader] = []
    older: list[NamedGrader] = []
    names: set[str] = set()
    for each in session.scalars(newest_first):
        (older if each.name in names else newest).append(each)
        names.add(each.name)
    return [(f"grader:{each.id}", label(each), each.spec) for each in (*newest, *older)]


def trained_reward_models(session: Session) -> list[tuple[str, str]]:
    """Run id and name, the latest first."""
    done = select(Run).where(Run.state == RunState.SUCCEEDED).order_by(Run.ended_at.desc()).limit(200)
    return [(str(run.id), run.spec.name) for run in session.scalars(done) if run.kind == "reward_model"]


def label(grader: NamedGrader) -> str:
    return f"{grader.name}, version {grader.version}"
