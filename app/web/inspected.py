"""What a linked dataset proposes to an assessment, whenever the dataset is looked at anew."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor.answers import Budget, Project
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.models import Assessment, Dataset, Proposal
from app.protocol import DatasetSummary
from app.rulebooks import Rulebooks
from app.web import assessing, proposing
from app.web.deps import readable
from app.web.inspected_answers import Inspection, limit_of
from app.web.proposing import Suggestion

CHECKERS = ("exact_match", "run_it", "judge_with_rubric", "logged_outcome")


def suggestions(summary: DatasetSummary, project: Project, rulebook: Rulebook) -> list[Suggestion]:
    """Those that the rulebook takes; none without a profile that tells what the dataset holds."""
    profile = summary.profile
    if profile is None or profile.content is None:
        return []
    told = {question: answer.choice for question, answer in project.answers.items()}
    limit, whose = _limit(project, rulebook)
    inspection = Inspection(
        summary=summary,
        profile=profile,
        content=profile.content,
        has_examples=told.get("D1") not in (None, "under_10"),
        has_checker=told.get("D3") in CHECKERS,
        limit=limit,
        whose_limit=whose,
    )
    return [each for each in inspection.suggestions() if proposing.fits(each, rulebook)]


def _limit(project: Project, rulebook: Rulebook) -> tuple[int | None, str]:
    money = project.answers.get("C2")
    if money and isinstance(money.quantity, Budget) and money.quantity.longest_rollout:
        return money.quantity.longest_rollout, "the longest answer you allow"
    return limit_of(recommend(project, rulebook)), "the limit of the present plan"


def propose(
    session: Session, assessment: Assessment, rulebook: Rulebook, summary: DatasetSummary, again: bool
) -> list[Proposal]:
    """By the dataset that the assessment is linked to; `again` also what was left before."""
    found = suggestions(summary, assessing.project(assessment, rulebook), rulebook)
    return proposing.propose(session, assessment, source_of(assessment), found, again)


def source_of(assessment: Assessment) -> str:
    return f"dataset:{assessment.dataset_id}"


def refresh(session: Session, rulebooks: Rulebooks, dataset: Dataset) -> None:
    """A new profile of a dataset takes the place of what the one before proposed."""
    linked = select(Assessment).where(Assessment.dataset_id == dataset.id).with_for_update()
    for assessment in session.scalars(linked):
        rulebook = readable(rulebooks, session, assessment.rulebook_checksum)
        if rulebook is not None:
            propose(session, assessment, rulebook, dataset.summary, again=False)
