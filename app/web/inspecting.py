"""Linking a dataset to an assessment: it is looked at, and what it says waits as proposals."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.datasets import generated
from app.errors import InvalidInput, NotFound, Problem, RulebookGone
from app.models import Assessment, Dataset, Proposal
from app.protocol import DatasetSummary, GeneratedDataset, ProfileOrder
from app.web import assessing, bringing, inspected, proposals_shown, proposing
from app.web.deps import Parts, readable
from app.web.named_datasets import generated_id, generated_name
from app.web.proposals_shown import Source

GENERATED = "generated:"
LISTED = 200
"""Datasets or assessments to choose from, the newest."""


def inspect(parts: Parts, assessment_id: UUID, chosen: str) -> list[Proposal]:
    """Links the dataset, in place of any other, and proposes what it says; what was left before as well.

    `chosen` is the id of a brought dataset, or `generated:<name>`. The worker is asked outside transactions.
    """
    dataset_id = id_of(chosen)
    summary = _summary(parts, dataset_id)
    with parts.database.writing() as session, session.begin():
        assessment = session.get(Assessment, assessment_id, with_for_update=True)
        if assessment is None:
            raise NotFound("There is no assessment here: it may have been deleted.")
        rulebook = readable(parts.rulebooks, session, assessment.rulebook_checksum)
        if rulebook is None:
            raise RulebookGone(
                "Its rulebook cannot be read any more; upgrade the assessment to go on with it.",
                at=f"/assessments/{assessment.id}/upgrade",
            )
        _link(session, assessment, dataset_id)
        return inspected.propose(session, assessment, rulebook, summary, again=True)


def id_of(chosen: str) -> UUID:
    """Raises InvalidInput for what can be no dataset."""
    name = chosen.removeprefix(GENERATED)
    if chosen.startswith(GENERATED) and name in generated.NAMES:
        return generated_id(name)
    try:
        return UUID(chosen)
    except ValueError:
        what = "Choose a dataset: the id of one you brought, or generated:<name> for a generated one."
        raise InvalidInput(what, (Problem(where="dataset", what=what),)) from None


def chosen_by(dataset_id: UUID | None) -> str | None:
    """The opposite of `id_of`."""
    if dataset_id is None:
        return None
    name = generated_name(dataset_id)
    return f"{GENERATED}{name}" if name else str(dataset_id)


def _summary(parts: Parts, dataset_id: UUID) -> DatasetSummary:
    """With a profile that tells what is asked here: an earlier version's is made anew."""
    if name := generated_name(dataset_id):
        return parts.worker.dataset(GeneratedDataset.model_validate({"name": name}))
    dataset = bringing.dataset_of(parts, dataset_id)
    if dataset.summary.profile and dataset.summary.profile.content:
        return dataset.summary
    return bringing.profiled(parts, dataset_id, ProfileOrder()).summary


def unlink(session: Session, assessment: Assessment) -> None:
    """What waits from it is withdrawn; what was accepted stays."""
    if assessment.dataset_id:
        _link(session, assessment, None)


def _link(session: Session, assessment: Assessment, dataset_id: UUID | None) -> None:
    before = linked(session, assessment)
    if before and assessment.dataset_id != dataset_id:
        source = inspected.source_of(assessment)
        waiting = proposing.waiting(session, assessment)
        proposing.withdraw(each for each in waiting if each.source == source)
    after = proposals_shown.source_of(session, f"dataset:{dataset_id}") if dataset_id else None
    words = [each.words if each else None for each in (before, after)]
    assessing.link(assessment, dataset_id, *words)


# For pages


def linked(session: Session, assessment: Assessment) -> Source | None:
    """What the assessment is linked to; without a page where it was deleted."""
    if assessment.dataset_id is None:
        return None
    return proposals_shown.source_of(session, inspected.source_of(assessment))


Named = tuple[str, str]
"""An id and what it is called."""


def datasets(session: Session) -> list[Named]:
    """What `id_of` takes, with its name."""
    newest = select(Dataset.id, Dataset.name).order_by(Dataset.created_at.desc()).limit(LISTED)
    own = [(str(row.id), row.name) for row in session.execute(newest)]
    made = [(f"{GENERATED}{name}", f"{task.title}, generated") for name, task in generated.TASKS.items()]
    return [*own, *made]


def assessments(session: Session, dataset_id: UUID) -> tuple[list[Named], list[Named]]:
    """Those linked to the dataset, and others that could be, newest first."""
    newest = select(Assessment.id, Assessment.name).order_by(Assessment.updated_at.desc()).limit(LISTED)
    mine = newest.where(Assessment.dataset_id == dataset_id)
    others = newest.where(Assessment.dataset_id.is_distinct_from(dataset_id))
    found = [[(str(row.id), row.name) for row in session.execute(each)] for each in (mine, others)]
    return found[0], found[1]


def outcome(session: Session, assessment: Assessment) -> str:
    """What looking at the linked dataset came to, in one sentence."""
    source = linked(session, assessment)
    if source is None:
        return ""
    waiting = proposing.waiting(session, assessment)
    mine = [each for each in waiting if each.source == inspected.source_of(assessment)]
    against = sum(proposing.contradicts(assessment, each) for each in mine)
    named = f"{source.words[0].upper()}{source.words[1:]} was inspected"
    if not mine:
        return f"{named}: it says nothing that your answers do not say already."
    said = f"{named}: {len(mine)} {'proposal waits' if len(mine) == 1 else 'proposals wait'}"
    if not against:
        return f"{said}, and none contradicts you."
    return f"{said}, and {against} {'contradicts' if against == 1 else 'contradict'} what you told."
