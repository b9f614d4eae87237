"""What somebody or something suggests, answers and measurements: each waits until it is accepted or left.

Where a suggestion comes from makes no difference here: a description, a dataset, a probe, a pilot. It names
its source, says in `because` what it rests on, and states its basis in the answer where that is not "told".
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor.advice import Basis
from app.advisor.rulebook import Rulebook
from app.advisor.rungs import RUNGS
from app.database import now
from app.errors import Conflict, InvalidInput, NotFound
from app.models import Assessment, Proposal, Run, StoredAnswer
from app.protocol import RunSpec
from app.web import assessing
from app.web.answer_form import LONGEST_NOTE, unwrapped
from app.web.run_words import model_words

SOURCES = {"description": "the description", "dataset": "a dataset", "run": "a probe", "pilot": "a pilot"}
"""A source is one of these kinds, or a kind and an id: `dataset:<id>`."""

MEASURING = ("run", "pilot")
"""Kinds of source of which a later one takes the place of the earlier ones."""


@dataclass(frozen=True)
class Suggestion:
    question: str
    """Or a measurement of the rulebook."""
    answer: Any
    """In the wire form, such as `Rulebook.read` takes it; of a measurement the number."""
    because: str


def source_in_words(source: str) -> str:
    return SOURCES[source.partition(":")[0]]


def subject(session: Session, spec: RunSpec) -> str:
    """Which model was measured, and by which grader, in words."""
    before = session.get(Run, spec.starts_from) if spec.starts_from else None
    model = f"the model of “{before.spec.name}”" if before else model_words(spec.model)
    return f"of {model}, graded by “{spec.grader.name}”" if spec.grader else f"of {model}"


def have_spoken(session: Session, sources: Iterable[str]) -> bool:
    """Whether anything was ever proposed from one of these."""
    found = select(Proposal.id).where(Proposal.source.in_(list(sources))).limit(1)
    return session.scalar(found) is not None


def is_measurement(answer: Any) -> bool:
    """No answer to a question is a number by itself."""
    return isinstance(answer, int | float) and not isinstance(answer, bool)


def propose(
    session: Session,
    assessment: Assessment,
    source: str,
    suggestions: Iterable[Suggestion],
    again: bool = False,
) -> list[Proposal]:
    """The proposals that wait now from this source: a new reading of it takes the place of the one before.

    What is already answered so is not proposed, unless it would rest on better evidence; nor is what the
    user left, word for word, unless they asked for it `again`. So saying the same twice is saying it once.
    What an earlier probe or pilot found about the same waits no longer: the latest speaks.
    """
    suggestions, every = list(suggestions), all_of(session, assessment)
    mine = [each for each in every if each.source == source]
    before = [each for each in mine if each.settled_at is None]
    left = [] if again else [_said(each) for each in mine if each.settled_at and each.accepted is False]
    made = []
    for suggested in suggestions:
        if suggested in left or _adds_nothing(assessment, suggested):
            continue
        same = next((each for each in before if _said(each) == suggested), None)
        made.append(same or _new(session, assessment, source, suggested))
    withdraw(each for each in before if each not in made)
    withdraw(_outdone(every, source, {suggested.question for suggested in suggestions}))
    session.flush()
    return made


def _outdone(every: Iterable[Proposal], source: str, questions: Set[str]) -> list[Proposal]:
    """What waits about these questions from other sources of a kind that measures one model after another."""
    kind = source.partition(":")[0]
    others = [each for each in every if each.source != source and each.source.partition(":")[0] == kind]
    open_ones = [each for each in others if each.settled_at is None and each.question in questions]
    return open_ones if kind in MEASURING else []


def withdraw(proposals: Iterable[Proposal]) -> None:
    """Nobody settled them: a newer reading did, or their source is not looked at any more."""
    for each in proposals:
        each.settled_at, each.accepted = now(), None


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


def row_of(assessment: Assessment, question: str) -> StoredAnswer | None:
    return next((row for row in assessment.answers if row.question == question), None)


def _adds_nothing(assessment: Assessment, suggested: Suggestion) -> bool:
    if is_measurement(suggested.answer):
        return bool(assessment.measurements.get(suggested.question) == suggested.answer)
    row = row_of(assessment, suggested.question)
    return row is not None and _agrees(row.answer, suggested.answer) and not _is_surer(suggested.answer, row)


def _agrees(present: Any, suggested: Any) -> bool:
    one, other = unwrapped(present), unwrapped(suggested)
    return all(one.get(key) == other.get(key) for key in ("choice", "quantity"))


def _is_surer(suggested: Any, row: StoredAnswer) -> bool:
    return RUNGS.index(basis_of(suggested)) > RUNGS.index(basis_of(row.answer))


def basis_of(answer: Any) -> Basis:
    basis: Basis = unwrapped(answer).get("basis", "told")
    return basis


def still_found(row: StoredAnswer | None, given: Any) -> Any:
    """An answer of which the note alone was changed stands on what it stood on before."""
    basis = basis_of(row.answer) if row else "told"
    if row is None or basis == "told" or not _agrees(row.answer, given):
        return given
    return {**unwrapped(given), "basis": basis}


def contradicts(assessment: Assessment, proposal: Proposal) -> bool:
    """Whether something was found that the answer there is denies.

    An answer that is not known yet denies nothing, and neither does an older reading of the same kind.
    """
    row = row_of(assessment, proposal.question)
    found = "told" if is_measurement(proposal.answer) else basis_of(proposal.answer)
    if row is None or found in ("told", basis_of(row.answer)):
        return False
    given = unwrapped(row.answer)
    is_known = given.get("choice") is not None or bool(given.get("quantity"))
    return is_known and not _agrees(row.answer, proposal.answer)


def all_of(session: Session, assessment: Assessment) -> Sequence[Proposal]:
    """Oldest first."""
    mine = select(Proposal).where(Proposal.assessment_id == assessment.id)
    return session.scalars(mine.order_by(Proposal.made_at, Proposal.id)).all()


def waiting(session: Session, assessment: Assessment) -> list[Proposal]:
    return [each for each in all_of(session, assessment) if each.settled_at is None]


def contradictions(session: Session, assessment: Assessment, rulebook: Rulebook) -> list[Proposal]:
    """Those that wait to be settled."""
    open_ones = waiting(session, assessment)
    return [each for each in open_ones if contradicts(assessment, each) and fits(each, rulebook)]


def find(session: Session, assessment: Assessment, proposal_id: UUID) -> Proposal:
    found = session.get(Proposal, proposal_id)
    if found is None or found.assessment_id != assessment.id:
        raise NotFound("There is no such proposal for this assessment.")
    return found


def fits(proposal: Proposal | Suggestion, rulebook: Rulebook) -> bool:
    """Whether the rulebook takes this: it may be another by now, or the user's own with other questions."""
    part = "measurements" if is_measurement(proposal.answer) else "answers"
    try:
        rulebook.read({part: {proposal.question: proposal.answer}})
    except InvalidInput:
        return False
    return True


# Settling


def seen(assessment: Assessment, proposal: Proposal) -> str:
    """Names what accepting would replace, as it stands; "0" where nothing does."""
    if is_measurement(proposal.answer):
        return str(assessment.measurements.get(proposal.question, "0"))
    row = row_of(assessment, proposal.question)
    return str(row.revision) if row else "0"


def replaces_something(assessment: Assessment, proposal: Proposal) -> bool:
    if is_measurement(proposal.answer):
        return proposal.question in assessment.measurements
    return row_of(assessment, proposal.question) is not None


def accept(assessment: Assessment, proposal: Proposal, rulebook: Rulebook, replaces: str | None) -> None:
    """Answers the question, or notes the measurement; accepting twice is accepting once.

    `replaces` is what `seen` told of the answer that may be replaced, None for whichever there is.
    Raises Conflict where it is another by now, so that nothing is ever overwritten unseen.
    """
    if proposal.accepted:
        return
    if proposal.settled_at is not None:
        raise Conflict("This proposal was left or replaced by a newer one; answer the question itself.")
    if not fits(proposal, rulebook):
        raise Conflict("The rulebook has changed since: this proposal does not fit its question any more.")
    if replaces is not None and replaces != seen(assessment, proposal):
        raise Conflict(f"{_named(proposal)} by now: look at it before you replace it.")
    why = f"suggested from {source_in_words(proposal.source)}: {proposal.because}"
    if is_measurement(proposal.answer):
        measured = {**assessment.measurements, proposal.question: proposal.answer}
        assessing.change(assessment, "measurements", measured, why)
    else:
        row = row_of(assessment, proposal.question)
        assessing.answer(assessment, proposal.question, _with_ground(row, proposal), why)
    proposal.settled_at, proposal.accepted = now(), True


def _named(proposal: Proposal) -> str:
    if is_measurement(proposal.answer):
        return f"The measurement {proposal.question} has another value"
    return f"Question {proposal.question} has another answer"


def leave(proposal: Proposal) -> None:
    """Leaving twice is leaving once; raises Conflict for what counts already."""
    if proposal.accepted:
        raise Conflict("This proposal was accepted; change the answer to the question instead.")
    if proposal.settled_at is None:
        proposal.settled_at, proposal.accepted = now(), False


def _with_ground(row: StoredAnswer | None, proposal: Proposal) -> dict[str, Any]:
    """The answer with a note of what it rests on; what the user had noted and linked stays."""
    given = unwrapped(proposal.answer)
    present = unwrapped(row.answer) if row else {}
    noted, ground = _noted(present), f"“{proposal.because}”"
    if noted and basis_of(given) != "told":
        noted = f"{noted}\n{ground}"
    mine = {"evidence": present["evidence"]} if present.get("evidence") else {}
    return {**given, "note": (noted or ground)[:LONGEST_NOTE], **mine}


def _noted(present: dict[str, Any]) -> str:
    """The user's own note. That of "does not apply" is the reason for that, which ends with it."""
    if present.get("choice") == "not_applicable":
        return ""
    lines = str(present.get("note") or "").split("\n")
    of_ground = basis_of(present) != "told" and lines[-1].startswith("“")
    return "\n".join(lines[:-1] if of_ground else lines)
