"""What a finished pilot suggests for its assessment: one answer with its figures, proposed once."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import pilots
from app.database import Database
from app.models import Assessment, Pilot, Proposal, Run
from app.pilots import PilotPlan
from app.protocol import OVER
from app.rulebooks import Rulebooks
from app.web.deps import readable
from app.web.pilot_advice import QUESTION, because, choices_of
from app.web.pilot_view import reading_of
from app.web.proposing import Suggestion, have_spoken, propose, subject


class Heed:
    """Proposes what pilots found, each once. Called by the sweep, whenever it has copied something."""

    def __init__(self, database: Database, rulebooks: Rulebooks) -> None:
        self._database = database
        self._rulebooks = rulebooks
        self._done: dict[UUID, int] = {}
        """With how many runs, as a run that failed may be tried again."""

    def __call__(self) -> None:
        with self._database.reading() as session:
            found = [each for each in _over(session) if self._done.get(each[0]) != each[1]]
        for pilot_id, tried in found:
            with self._database.writing() as session, session.begin():
                _propose(session, pilot_id, self._rulebooks)
            self._done[pilot_id] = tried


def source_of(pilot_id: UUID) -> str:
    return f"pilot:{pilot_id}"


def _over(session: Session) -> list[tuple[UUID, int]]:
    """Pilots of an assessment whose runs are over and that have proposed nothing yet, with how many runs."""
    going = select(Run.pilot_id).where(Run.pilot_id.is_not(None), Run.state.not_in(OVER))
    mine = select(Pilot.id, func.count(Run.id)).join(Run, Run.pilot_id == Pilot.id)
    mine = mine.where(Pilot.assessment_id.is_not(None), Pilot.id.not_in(going)).group_by(Pilot.id)
    found = [(pilot_id, tried) for pilot_id, tried in session.execute(mine.order_by(Pilot.created_at))]
    sources = [source_of(pilot_id) for pilot_id, _ in found]
    known = set(session.scalars(select(Proposal.source).where(Proposal.source.in_(sources))))
    return [each for each in found if source_of(each[0]) not in known]


def _propose(session: Session, pilot_id: UUID, rulebooks: Rulebooks) -> None:
    pilot = session.get(Pilot, pilot_id)
    if pilot is None or pilot.assessment_id is None:
        return
    assessment = session.get(Assessment, pilot.assessment_id, with_for_update=True)
    rulebook = readable(rulebooks, session, assessment.rulebook_checksum) if assessment else None
    if assessment is None or rulebook is None:
        return
    plan = PilotPlan.model_validate(pilot.plan)
    launched = pilots.runs_of(session, pilot)
    reading = reading_of(session, plan, launched)
    if reading.outcome in choices_of(rulebook) and not have_spoken(session, _later(session, pilot)):
        answer = {"choice": reading.outcome, "basis": "piloted"}
        which = f"The pilot “{pilot.name}” {subject(session, launched[0].spec)},"
        suggested = Suggestion(QUESTION, answer, because(reading, which))
        propose(session, assessment, source_of(pilot_id), [suggested])


def _later(session: Session, pilot: Pilot) -> list[str]:
    """Pilots of the same assessment that were launched after this one, as sources."""
    same = select(Pilot.id).where(Pilot.assessment_id == pilot.assessment_id)
    return [source_of(each) for each in session.scalars(same.where(Pilot.created_at > pilot.created_at))]


def waiting_of(session: Session, pilot_id: UUID) -> list[Proposal]:
    """What this pilot found and nobody has settled."""
    mine = select(Proposal).where(Proposal.source == source_of(pilot_id), Proposal.settled_at.is_(None))
    return list(session.scalars(mine))
