"""What became of a recommendation: its decision record, what people decided, and what the runs found."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import __version__, run_view
from app.advisor import decision_file
from app.advisor.record import Confirmed, Filing, Record, compose
from app.advisor.rulebook import Rulebook
from app.database import now
from app.errors import Conflict, InvalidInput, Problem
from app.graders.comparison import mcnemar
from app.models import Assessment, Confirmation, Milestone, Report, Run
from app.outcome import TrainedStage
from app.protocol import Evaluation, EvaluationEvent, Share
from app.web.assessing import frozen
from app.web.confirmed import change, device_time, level, newest_first, said
from app.web.run_words import duration, percent

Status = Literal["proposed", "accepted", "rejected", "deprecated", "superseded"]
STATUSES: tuple[Status, ...] = get_args(Status)

LONGEST_OWNER = 120

OPEN = ("proposed", "accepted")
"""Statuses under which a review can be due."""


# The record and its exports


def record_of(
    session: Session,
    milestone: Milestone,
    rulebook: Rulebook,
    site: str = "",
    with_notes: bool = True,
    outside: bool = False,
) -> Record:
    """`rulebook` is the one it was frozen under. Runs are linked under `site`, where that is given.

    For readers from `outside` no other assessment is named.
    """
    return compose(
        frozen(milestone, rulebook),
        milestone.recommendation,
        rulebook,
        filing_of(session, milestone, outside),
        stages_run(session, milestone, site),
        with_notes,
        [told_when(each) for each in newest_first(session, milestone.id)],
    )


def json_of(session: Session, milestone: Milestone, rulebook: Rulebook) -> bytes:
    filing = filing_of(session, milestone)
    filed = decision_file.Filed(
        number=filing.number,
        date=filing.decided_on,
        status=filing.status,
        owner=filing.owner,
        review_by=filing.review_by,
        supersedes=filing.supersedes,
        superseded_by=filing.superseded_by,
    )
    found = [each.outcome.model_dump(mode="json") for each in newest_first(session, milestone.id)]
    return decision_file.to_json(
        frozen(milestone, rulebook), milestone.recommendation, filed, __version__, found
    )


def csv_of(milestone: Milestone, rulebook: Rulebook) -> str:
    return decision_file.to_csv(frozen(milestone, rulebook), milestone.recommendation)


def filing_of(session: Session, milestone: Milestone, outside: bool = False) -> Filing:
    earlier = session.get(Milestone, milestone.supersedes_id) if milestone.supersedes_id else None
    later = session.scalar(
        select(Milestone)
        .where(Milestone.supersedes_id == milestone.id, Milestone.status == "accepted")
        .order_by(Milestone.created_at.desc())
        .limit(1)
    )
    return Filing(
        status=milestone.status,
        decided_on=milestone.created_at.date().isoformat(),
        owner=milestone.owner,
        review_by=milestone.review_by.isoformat() if milestone.review_by else "",
        supersedes=called(earlier, milestone if outside else None) if earlier else "",
        superseded_by=called(later, milestone if outside else None)
        if later and milestone.status == "superseded"
        else "",
        number=milestone.number,
        note=milestone.label
        if milestone.kind == "decision"
        else f"A scenario, not a decision: {milestone.label}",
    )


def called(milestone: Milestone, seen_from: Milestone | None = None) -> str:
    """The name of its assessment is left out where it is `seen_from` another."""
    made = milestone.created_at.date().isoformat()
    elsewhere = seen_from is not None and seen_from.assessment_id != milestone.assessment_id
    of = "another assessment" if elsewhere else f"“{milestone.name}”"
    return f"recommendation {milestone.number} of {of}, {made}"


# What the runs found


def told_when(confirmation: Confirmation) -> str:
    return f"{said(confirmation.outcome)} Confirmed on {confirmation.made_at.date().isoformat()}."


def stages_run(session: Session, milestone: Milestone, site: str) -> tuple[Confirmed, ...]:
    """A row for each stage of the plan, with the newest run of it; what a deleted run had shown stays."""
    stages = milestone.recommendation.plan.stages
    runs = session.scalars(
        select(Run).where(Run.milestone_id == milestone.id, Run.pilot_id.is_(None)).order_by(Run.created_at)
    )
    newest = {run.stage: run for run in runs if run.kind != "probe"}
    last = newest_first(session, milestone.id)[:1]
    kept = {stage.stage: stage for each in last for stage in each.outcome.stages}
    return tuple(
        _stage_run(session, stage.title, newest[number], site)
        if number in newest
        else _remembered(stage.title, kept.get(number))
        for number, stage in enumerate(stages, 1)
    )


def _remembered(title: str, stage: TrainedStage | None) -> Confirmed:
    """The run is gone, or there was none."""
    if stage is None:
        return Confirmed(title)
    score = stage.score
    return Confirmed(
        title,
        "",
        f"{stage.name} (deleted)",
        level(score.before) if score else "not measured",
        level(score.after) if score else "not measured",
        change(score) if score else "not measured",
        device_time(stage.device_hours),
    )


def _stage_run(session: Session, stage: str, run: Run, site: str) -> Confirmed:
    link = f"{site}/runs/{run.id}" if site else ""
    if not run.state.is_over:
        words = run_view.words(run).lower()
        return Confirmed(stage, link, run.spec.name, words, words, words, words)
    found = session.scalars(
        select(Report.what).where(Report.run_id == run.id, Report.kind == "evaluation").order_by(Report.seq)
    )
    measured = [what.evaluation for what in found if isinstance(what, EvaluationEvent)]
    before = next((each for each in measured if each.when == "before" and each.task == "main"), None)
    after = next((each for each in measured if each.when == "after" and each.task == "main"), None)
    spent = (run.ended_at - run.started_at).total_seconds() if run.ended_at and run.started_at else None
    return Confirmed(
        stage,
        link,
        run.spec.name,
        _share(before.sampled) if before else "not measured",
        _share(after.sampled) if after else run_view.words(run).lower(),
        _change(before, after),
        duration(spent) or "not known",
    )


def _share(share: Share) -> str:
    low, high = percent(share.interval.low, 0), percent(share.interval.high, 0)
    return f"{percent(share.value)} ({low} to {high}, {share.n} items)"


def _change(before: Evaluation | None, after: Evaluation | None) -> str:
    if before is None or after is None or len(before.sampled_outcomes) != len(after.sampled_outcomes):
        return "not measured"
    points = 100 * (after.sampled.value - before.sampled.value)
    chance = mcnemar(before.sampled_outcomes, after.sampled_outcomes)
    return f"{points:+.1f} points, p = {chance:.2g}".replace("-", "−")


# What people decide


@dataclass(frozen=True)
class Decided:
    status: str
    """One of `STATUSES`."""
    owner: str
    review_by: date | None
    supersedes: Milestone | None


def decide(
    session: Session, assessment: Assessment, milestone: Milestone, decided: Decided
) -> list[Milestone]:
    """Answers what this supersedes from now on. The recommendation itself never changes."""
    if milestone.kind != "decision":
        raise Conflict("A scenario is not decided on: recommend from its answers first.")
    problems = _problems(assessment, milestone, decided)
    if problems:
        raise InvalidInput("The decision cannot be recorded like this.", tuple(problems))
    milestone.status, milestone.owner = decided.status, decided.owner
    milestone.review_by = decided.review_by
    milestone.supersedes_id = decided.supersedes.id if decided.supersedes else None
    replaced = _replaced(session, assessment, milestone) if milestone.status == "accepted" else []
    for each in replaced:
        each.status = "superseded"
    if replaced and milestone.supersedes_id is None:
        milestone.supersedes_id = replaced[-1].id
    return replaced


def _problems(assessment: Assessment, milestone: Milestone, decided: Decided) -> list[Problem]:
    problems = []
    newer = [e for e in assessment.decisions if e.number > milestone.number and e.status == "accepted"]
    if decided.status == "accepted" and newer:
        what = (
            f"Recommendation {newer[-1].number} is newer and accepted: reject or deprecate that one first, "
            "or leave this one as it is."
        )
        problems.append(Problem(where="status", what=what))
    if decided.supersedes is milestone:
        problems.append(Problem(where="supersedes", what="A recommendation cannot supersede itself."))
    return problems


def _replaced(session: Session, assessment: Assessment, milestone: Milestone) -> list[Milestone]:
    """Accepted before it: earlier ones of the same assessment, and the one it names."""
    earlier = [e for e in assessment.decisions if e.number < milestone.number and e.status == "accepted"]
    named = session.get(Milestone, milestone.supersedes_id) if milestone.supersedes_id else None
    if named is not None and named.status == "accepted" and named not in earlier:
        earlier.append(named)
    return earlier


def review_due(assessment: Assessment) -> Milestone | None:
    """The newest recommendation whose review is overdue and that still counts."""
    today = now().date()
    due = [e for e in assessment.decisions if e.status in OPEN and e.review_by and e.review_by < today]
    return due[-1] if due else None
