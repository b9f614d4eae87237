"""The ladder of evidence under one recommendation: what is known on each rung, and what climbs to it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import run_view
from app.models import Assessment, Milestone, Pilot, Proposal, Report, Run
from app.protocol import ProbeEvent, RunState
from app.web import confirmed, inspecting
from app.web.proposals_shown import Source
from app.web.run_words import count_of


@dataclass(frozen=True)
class Known:
    text: str
    href: str = ""
    at_once: bool = False
    """Done by one click, where everything it needs is known."""


@dataclass(frozen=True)
class Rung:
    id: str
    title: str
    about: str
    """What it settles."""
    known: tuple[Known, ...]
    action: Known | None
    """What climbs to it, or on."""
    counts: bool
    """Whether the recommendation stands on it."""
    is_next: bool = False
    """The lowest rung that it does not stand on."""


def ladder(session: Session, assessment: Assessment, milestone: Milestone) -> list[Rung]:
    """Five rungs, lowest first. What counts is what the frozen recommendation knew; the rest is as of now."""
    rungs = [
        _told(assessment, milestone),
        _inspected(session, assessment, milestone),
        _probed(session, assessment, milestone),
        _piloted(session, assessment, milestone),
        _confirmed(session, assessment, milestone),
    ]
    following = next((rung.id for rung in rungs if not rung.counts), None)
    return [replace(rung, is_next=rung.id == following) for rung in rungs]


def _resting(milestone: Milestone, basis: str) -> int:
    return sum(part.basis == basis for part in milestone.recommendation.contributions)


def _answers(count: int) -> str:
    return f"{count_of(count, 'answer')} {'rests' if count == 1 else 'rest'} on it"


def _told(assessment: Assessment, milestone: Milestone) -> Rung:
    coverage = milestone.recommendation.coverage
    said = f"{coverage.answered} of {coverage.total} questions answered"
    if coverage.unknown:
        said += f", {coverage.unknown} not known yet"
    action = Known("Answer what is open", f"/assessments/{assessment.id}/check") if coverage.unknown else None
    return Rung("told", "Told", "The questionnaire.", (Known(f"{said}."),), action, counts=True)


def _inspected(session: Session, assessment: Assessment, milestone: Milestone) -> Rung:
    linked = inspecting.linked(session, assessment)
    known = [Known(_sentence(linked), linked.href)] if linked else []
    count = _resting(milestone, "inspected") + _measurements(session, milestone, "dataset")
    action = Known("Inspect it again" if linked else "Link a dataset", f"/assessments/{assessment.id}#data")
    about = "How much data there is, and of what kind."
    return _measured(
        "inspected", about, known, _standing(session, assessment, "dataset", count), action, count
    )


def _measured(
    rung: str, about: str, known: list[Known], standing: Iterator[Known], action: Known, count: int
) -> Rung:
    """`count` answers and measurements of the recommendation rest on it."""
    return Rung(rung, rung.capitalize(), about, (*known, *standing), action, counts=count > 0)


def _sentence(source: Source) -> str:
    return f"{source.words[0].upper()}{source.words[1:]}"


def _probed(session: Session, assessment: Assessment, milestone: Milestone) -> Rung:
    made = session.scalars(
        select(Run).where(Run.assessment_id == assessment.id).order_by(Run.created_at.desc())
    )
    newest = next((run for run in made if run.kind == "probe"), None)
    known = [Known(_found_by(session, newest), f"/runs/{newest.id}")] if newest else []
    count = _resting(milestone, "probed") + _measurements(session, milestone, "run")
    action = Known(
        "Probe again" if newest else "Probe the model", f"/assessments/{assessment.id}/probe", True
    )
    about = "Whether the model sometimes succeeds, so that GRPO has something to learn from."
    return _measured("probed", about, known, _standing(session, assessment, "run", count), action, count)


def _found_by(session: Session, run: Run) -> str:
    told = session.scalars(
        select(Report.what).where(Report.run_id == run.id, Report.kind == "probe").order_by(Report.seq.desc())
    ).first()
    if run.state == RunState.SUCCEEDED and isinstance(told, ProbeEvent):
        passed = told.report.passed
        return f"{passed.right:,} of {passed.n:,} sampled answers passed"
    return f"Probe: {run_view.words(run).lower()}"


def _piloted(session: Session, assessment: Assessment, milestone: Milestone) -> Rung:
    pilots = session.scalars(
        select(Pilot).where(Pilot.assessment_id == assessment.id).order_by(Pilot.created_at.desc())
    ).all()
    known = [Known(_course_of(session, pilots[0]), f"/pilots/{pilots[0].id}")] if pilots else []
    count = _resting(milestone, "piloted") + _measurements(session, milestone, "pilot")
    found = [p.answer_label for p in milestone.recommendation.contributions if p.basis == "piloted"]
    known += [Known(f"{label}.") for label in found[:1]]
    action = Known("Let both try again" if pilots else "Let both try", f"/assessments/{assessment.id}/pilot")
    about = "Which method moves the score further in the same time."
    return _measured("piloted", about, known, _standing(session, assessment, "pilot", count), action, count)


def _course_of(session: Session, pilot: Pilot) -> str:
    of_pilot = session.scalars(select(Run.state).where(Run.pilot_id == pilot.id)).all()
    over = sum(state.is_over for state in of_pilot)
    return pilot.name if over == len(of_pilot) else f"{pilot.name}: {over} of {len(of_pilot)} runs are over"


def _confirmed(session: Session, assessment: Assessment, milestone: Milestone) -> Rung:
    found = confirmed.newest_first(session, milestone.id)
    known = [Known(confirmed.said(each.outcome)) for each in found[:1]] or _training(session, milestone)
    more = len(found) - 1
    if more > 0:
        known.append(Known(f"{count_of(more, 'earlier training')} followed it too."))
    if found:
        known.append(Known("In the decision record", confirmed.record_at(milestone)))
    can_train = bool(milestone.recommendation.plan.stages)
    action = Known("Train again" if found else "Launch the training", f"/assessments/{assessment.id}/launch")
    return Rung(
        "confirmed",
        "Confirmed",
        "Whether the advice held: the full run, measured before and after.",
        tuple(known),
        action if can_train else None,
        counts=bool(found),
    )


def _training(session: Session, milestone: Milestone) -> list[Known]:
    """What has been launched and is not confirmed: the newest run."""
    made = session.scalars(
        select(Run)
        .where(Run.milestone_id == milestone.id, Run.pilot_id.is_(None))
        .order_by(Run.created_at.desc(), Run.stage.desc())
    )
    trained = [run for run in made if run.kind != "probe"]
    going = [run for run in trained if run.state not in (RunState.WAITING, RunState.REQUESTED)]
    return [
        Known(f"{run.spec.name}: {run_view.words(run).lower()}", f"/runs/{run.id}")
        for run in (going or trained)[:1]
    ]


def _standing(session: Session, assessment: Assessment, kind: str, count: int) -> Iterator[Known]:
    """What of it counts already, and what waits to be accepted."""
    if count:
        yield Known(f"{_answers(count)}.")
    waiting = session.scalars(
        select(Proposal.source).where(Proposal.assessment_id == assessment.id, Proposal.settled_at.is_(None))
    )
    if waits := sum(source.partition(":")[0] == kind for source in waiting):
        verb = "waits" if waits == 1 else "wait"
        yield Known(
            f"{count_of(waits, 'proposed answer')} {verb} for you", f"/assessments/{assessment.id}/proposals"
        )


def _measurements(session: Session, milestone: Milestone, kind: str) -> int:
    """Measurements that counted, by where they were proposed from; the last accepted one stands."""
    accepted = session.execute(
        select(Proposal.question, Proposal.source)
        .where(
            Proposal.assessment_id == milestone.assessment_id,
            Proposal.accepted.is_(True),
            Proposal.settled_at <= milestone.created_at,
        )
        .order_by(Proposal.settled_at)
    )
    standing = {question: source for question, source in accepted if question in milestone.measurements}
    return sum(source.partition(":")[0] == kind for source in standing.values())
