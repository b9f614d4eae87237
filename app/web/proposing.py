"""Answers that somebody or something suggests: each waits until it is accepted or left, and then is history.

Where a suggestion comes from makes no difference here: a description, a dataset, a probe, a pilot. It names
its source, says in `because` what it rests on, and states its basis in the answer where that is not "told".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor.rulebook import Rulebook
from app.database import now
from app.errors import Conflict, InvalidInput, NotFound
from app.models import Assessment, Proposal, StoredAnswer
from app.web import assessing
from app.web.answer_form import LONGEST_NOTE, unwrapped

SOURCES = {"description": "the description", "dataset": "a dataset", "run": "a run"}
"""A source is one of these kinds, or a kind and an id: `dataset:<id>`."""


@dataclass(frozen=True)
class Suggestion:
    question: str
    answer: Any
    """In the wire form, such as `Rulebook.read` takes it."""
    because: str


def source_in_words(source: str) -> str:
    return SOURCES[source.partition(":")[0]]


def propose(
    session: Session, assessment: Assessment, source: str, suggestions: Iterable[Suggestion]
) -> list[Proposal]:
    """The proposals that wait now from this source: a new reading of it takes the place of the one before.

    What is already answered so is not proposed, unless it would rest on better evidence.
    """
    before = [each for each in waiting(session, assessment) if each.source == source]
    made = []
    for suggested in suggestions:
        if _adds_nothing(_row(assessment, suggested.question), suggested.answer):
            continue
        same = next((each for each in before if _said(each) == suggested), None)
        made.append(same or _new(session, assessment, source, suggested))
    for gone in before:
        if gone not in made:
            gone.settled_at, gone.accepted = now(), False
    session.flush()
    return made


def _new(session: Session, assessment: Assessment, source: str, suggested: Suggestion) -> Proposal:
    made = Proposal(
        assessment_id=assessment.id,
        question=suggested.question,
        answer=suggested.answer,
        because=suggested.because,
        source=source,
        made_at=now(),
    )
    session.add(made)
    return made


def _said(proposal: Proposal) -> Suggestion:
    return Suggestion(proposal.question, proposal.answer, proposal.because)


def _row(assessment: Assessment, question: str) -> StoredAnswer | None:
    return next((row for row in assessment.answers if row.question == question), None)


def _adds_nothing(row: StoredAnswer | None, suggested: Any) -> bool:
    if row is None:
        return False
    present, wanted = unwrapped(row.answer), unwrapped(suggested)
    same = all(present.get(key) == wanted.get(key) for key in ("choice", "quantity"))
    return same and wanted.get("basis", "told") in ("told", present.get("basis", "told"))


def all_of(session: Session, assessment: Assessment) -> Sequence[Proposal]:
    """Oldest first."""
    mine = select(Proposal).where(Proposal.assessment_id == assessment.id)
    return session.scalars(mine.order_by(Proposal.made_at, Proposal.id)).all()


def waiting(session: Session, assessment: Assessment) -> list[Proposal]:
    return [each for each in all_of(session, assessment) if each.settled_at is None]


def find(session: Session, assessment: Assessment, proposal_id: UUID) -> Proposal:
    found = session.get(Proposal, proposal_id)
    if found is None or found.assessment_id != assessment.id:
        raise NotFound("There is no such proposal for this assessment.")
    return found


def fits(proposal: Proposal, rulebook: Rulebook) -> bool:
    """Whether the assessment's rulebook, which may be another by now, still takes this answer."""
    try:
        rulebook.read({"answers": {proposal.question: proposal.answer}})
    except InvalidInput:
        return False
    return True


# Settling


def accept(assessment: Assessment, proposal: Proposal, rulebook: Rulebook, replaces: int | None) -> None:
    """Answers the question; accepting twice is accepting once.

    `replaces` is the revision of the answer that may be replaced, 0 for none and None for whichever there is.
    Raises Conflict where the answer is another by now, so that none is ever overwritten unseen.
    """
    if proposal.accepted:
        return
    if proposal.settled_at is not None:
        raise Conflict("This proposal was left or replaced by a newer one; answer the question itself.")
    if not fits(proposal, rulebook):
        raise Conflict("The rulebook has changed since: this proposal does not fit its question any more.")
    row = _row(assessment, proposal.question)
    if replaces is not None and replaces != (row.revision if row else 0):
        raise Conflict(
            f"Question {proposal.question} has another answer by now: look at it before you replace it."
        )
    why = f"suggested from {source_in_words(proposal.source)}: {proposal.because}"
    assessing.answer(assessment, proposal.question, _with_ground(row, proposal), why=why)
    proposal.settled_at, proposal.accepted = now(), True


def leave(proposal: Proposal) -> None:
    """Leaving twice is leaving once; raises Conflict for what counts already."""
    if proposal.accepted:
        raise Conflict("This proposal was accepted; change the answer to the question instead.")
    proposal.settled_at, proposal.accepted = proposal.settled_at or now(), False


def _with_ground(row: StoredAnswer | None, proposal: Proposal) -> dict[str, Any]:
    """The answer with a note of what it rests on; what the user had noted and linked stays."""
    given = unwrapped(proposal.answer)
    present = unwrapped(row.answer) if row else {}
    # The note of "does not apply" is the reason for that, which ends with it.
    kept = ("evidence",) if present.get("choice") == "not_applicable" else ("note", "evidence")
    mine = {key: present[key] for key in kept if present.get(key)}
    return {"note": f"“{proposal.because}”"[:LONGEST_NOTE]} | given | mine
