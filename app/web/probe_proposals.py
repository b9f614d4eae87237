"""What a probe suggests for its assessment: base success and what gates look at, each with its figure."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor.answers import Project
from app.advisor.rulebook import Rulebook
from app.database import Database
from app.models import Assessment, Proposal, Report, Run
from app.protocol import ProbeEvent, ProbeReport, RunState
from app.rulebooks import Rulebooks
from app.web import assessing
from app.web.deps import readable
from app.web.evaluation_words import counted, reach
from app.web.probe_facts import grading_seconds, measurements
from app.web.probe_words import between, bin_of, borders_inside, fails_often, failures, points, usual_group
from app.web.proposing import Suggestion, have_spoken, propose, subject
from app.web.run_words import listed, percent


def suggestions(
    report: ProbeReport, probe: str, project: Project, rulebook: Rulebook
) -> Iterator[Suggestion]:
    """`probe` says which it was; what is measured is proposed by the names of the rulebook."""
    answer = {"choice": bin_of(report.passed.value), "basis": "probed"}
    yield Suggestion("D5", answer, f"{probe} found {_success(report)}")
    found, because = measurements(report, project, rulebook), _reasons(report)
    for measured, value in found.items():
        yield Suggestion(measured, value, f"{probe} found {because[measured]}")


def _success(report: ProbeReport) -> str:
    passed = report.passed
    said = (
        f"{percent(passed.value)} right: {counted(passed)} answers to {len(report.prompts)} prompts, "
        f"95 % interval {reach(passed.interval)}."
    )
    if fails_often(report):
        said += f" It rests on few: {failures(report)}."
    borders = borders_inside(passed.interval.low, passed.interval.high)
    if not borders:
        return said
    reached = listed([percent(border, 0) for border in borders])
    return f"{said} That reaches over {reached}, so the answer next to this one is possible too."


def _reasons(report: ProbeReport) -> dict[str, str]:
    usual, limit = usual_group(report), f"{report.max_completion_length:,} tokens"
    found = {
        "dead_groups": f"that in {percent(usual.share)} of groups of {usual.group} all answers score the "
        f"same ({percent(usual.all_wrong)} all wrong, {percent(usual.all_right)} all right).",
        "clipped_share": f"that {percent(report.clipped)} of the answers were cut at {limit}.",
        "answer_length_share": f"that 19 of 20 answers are no longer than {report.lengths.p95:g} of {limit}.",
        "grader_cost_share": f"that grading takes {1000 * grading_seconds(report):.1f} ms an answer. A whole "
        "GRPO run waits that long for each; steps, prompts and tries are those told with the budget, else "
        "the usual ones.",
    }
    if (difference := report.difference) is not None:
        chance = ""
        if difference.low < 0 <= difference.high:
            chance = " That may be chance" + (", so they count as no worse." if difference.value < 0 else ".")
        found["demonstrations_minus_base"] = (
            f"that the examples score {points(difference.value)} against the model under the same grader, "
            f"{between(difference)}.{chance}"
        )
    return found


# Once it is through


class Heed:
    """Proposes what probes found, each once. Called by the sweep, whenever it has copied something."""

    def __init__(self, database: Database, rulebooks: Rulebooks) -> None:
        self._database = database
        self._rulebooks = rulebooks
        self._done: set[UUID] = set()

    def __call__(self) -> None:
        with self._database.reading() as session:
            found = [run_id for run_id in _through(session) if run_id not in self._done]
        for run_id in found:
            with self._database.writing() as session, session.begin():
                _propose(session, run_id, self._rulebooks)
            self._done.add(run_id)


def _through(session: Session) -> list[UUID]:
    """Probes of an assessment that succeeded and have proposed nothing yet, the first launched first."""
    reports = select(Report.run_id).where(Report.kind == "probe")
    runs = session.scalars(
        select(Run.id)
        .where(Run.id.in_(reports), Run.assessment_id.is_not(None), Run.state == RunState.SUCCEEDED)
        .order_by(Run.created_at)
    ).all()
    if not runs:
        return []
    made = session.scalars(select(Proposal.source).where(Proposal.source.in_(map(source_of, runs))))
    known = set(made)
    return [run_id for run_id in runs if source_of(run_id) not in known]


def source_of(run_id: UUID) -> str:
    return f"run:{run_id}"


def _propose(session: Session, run_id: UUID, rulebooks: Rulebooks) -> None:
    run = session.get(Run, run_id)
    assessment = session.get(Assessment, run.assessment_id, with_for_update=True) if run else None
    of_run = select(Report).where(Report.run_id == run_id, Report.kind == "probe")
    report = session.scalars(of_run.order_by(Report.seq.desc()).limit(1)).first()
    if run is None or assessment is None or report is None or not isinstance(report.what, ProbeEvent):
        return
    rulebook = readable(rulebooks, session, assessment.rulebook_checksum)
    if rulebook is None:
        return
    if have_spoken(session, map(source_of, _later(session, run))):
        return
    probe = f"The probe “{run.spec.name}” {subject(session, run.spec)},"
    project = assessing.project(assessment, rulebook)
    found = suggestions(report.what.report, probe, project, rulebook)
    propose(session, assessment, source_of(run_id), found)


def _later(session: Session, run: Run) -> Sequence[UUID]:
    """Runs of the same assessment, launched after this one."""
    same = select(Run.id).where(Run.assessment_id == run.assessment_id, Run.created_at > run.created_at)
    return session.scalars(same).all()


def waiting_of(session: Session, run: Run) -> list[Proposal]:
    """What this probe found and nobody has settled."""
    mine = select(Proposal).where(Proposal.source == source_of(run.id), Proposal.settled_at.is_(None))
    return list(session.scalars(mine))
