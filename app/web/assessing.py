"""What becomes of an assessment, for pages and API: answered, counted, frozen with its recommendation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.advisor.answers import Project
from app.advisor.difference import LeftOpen, carried
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Factor, Question
from app.database import now
from app.errors import Conflict, InvalidInput, NotFound
from app.models import Assessment, Change, Milestone, StoredAnswer
from app.web.answer_form import unwrapped


@dataclass(frozen=True)
class Standing:
    answered: int
    unknown: int
    """Declared: “I don't know yet”."""
    not_applicable: int
    open: int
    """Never asked, or skipped."""


def asked(rulebook: Rulebook) -> list[tuple[Factor, Question]]:
    """Every question in the order in which it is asked, with its factor."""
    return [(factor, question) for factor in rulebook.factors for question in factor.asked]


def shown_of(factor: Factor, answers: Mapping[str, object]) -> list[Question]:
    """What only a measurement answers is shown once it is there."""
    return [each for each in factor.questions if each.id in answers or not each.measured_only]


def begun(name: str, description: str, rulebook: Rulebook) -> Assessment:
    """A new one without answers, on the rulebook in force."""
    return Assessment(
        name=name,
        description=description,
        rulebook_version=rulebook.version,
        rulebook_checksum=rulebook.checksum,
        answers=[],
        milestones=[],
    )


def answer(assessment: Assessment, question: str, given: object, why: str = "") -> StoredAnswer:
    """`given` is in the wire form; the same answer again changes nothing."""
    row = next((row for row in assessment.answers if row.question == question), None)
    if row is None:
        row = StoredAnswer(question=question, answer=given, revision=1, updated_at=now())
        assessment.answers.append(row)
        _remember(assessment, question, None, given, why)
    elif row.answer != given:
        _remember(assessment, question, row.answer, given, why)
        row.answer, row.revision, row.updated_at = given, row.revision + 1, now()
    return row


def withdraw(assessment: Assessment, question: str, why: str = "") -> None:
    """As if it had never been answered, except that history knows."""
    row = next((row for row in assessment.answers if row.question == question), None)
    if row is not None:
        assessment.answers.remove(row)
        _remember(assessment, question, row.answer, None, why)


def change(assessment: Assessment, field: str, value: Any, why: str = "") -> None:
    """`field` is `name`, `description`, `weights` or `measurements`."""
    before = getattr(assessment, field)
    if value != before:
        setattr(assessment, field, value)
        _remember(assessment, field, before, value, why)


def link(assessment: Assessment, dataset_id: UUID | None, before: str | None, after: str | None) -> None:
    """`before` and `after` are what the datasets are called, for history; None for none."""
    if dataset_id != assessment.dataset_id:
        assessment.dataset_id = dataset_id
        _remember(assessment, "dataset", before, after, "")


def _remember(assessment: Assessment, what: str, before: Any, after: Any, why: str) -> None:
    assessment.updated_at = now()
    assessment.change_count = (assessment.change_count or 0) + 1
    made = Change(number=assessment.change_count, at=now(), what=what, before=before, after=after, why=why)
    assessment.changes.add(made)


def answers(assessment: Assessment) -> dict[str, Any]:
    return {row.question: row.answer for row in assessment.answers}


def latest(assessment: Assessment) -> Milestone | None:
    return assessment.decisions[-1] if assessment.decisions else None


def numbered(assessment: Assessment, number: int | None) -> Milestone | None:
    """A recommendation or scenario by its number; without one the latest recommendation, if any."""
    return latest(assessment) if number is None else at_number(assessment, number)


def at_number(assessment: Assessment, number: int) -> Milestone:
    found = next((each for each in assessment.milestones if each.number == number), None)
    if found is None:
        raise NotFound(f"There is no recommendation number {number} here.")
    return found


def scenario_of(assessment: Assessment, number: int) -> Milestone:
    """Raises Conflict for a recommendation, which is neither renamed nor deleted."""
    found = at_number(assessment, number)
    if found.kind != "scenario":
        raise Conflict(f"Number {number} is a recommendation; only scenarios can be renamed or deleted.")
    return found


def standing(assessment: Assessment, rulebook: Rulebook) -> Standing:
    ids = {question.id for _, question in asked(rulebook)}
    given = [unwrapped(row.answer) for row in assessment.answers if row.question in ids]
    unknown = sum(each.get("choice") is None and not each.get("quantity") for each in given)
    not_applicable = sum(each.get("choice") == "not_applicable" for each in given)
    return Standing(
        answered=len(given) - unknown - not_applicable,
        unknown=unknown,
        not_applicable=not_applicable,
        open=len(ids) - len(given),
    )


def project(assessment: Assessment, rulebook: Rulebook) -> Project:
    return rulebook.read(
        {
            "answers": answers(assessment),
            "weights": assessment.weights or None,
            "measurements": assessment.measurements,
            "name": assessment.name,
            "description": assessment.description,
        }
    )


def freeze(session: Session, assessment: Assessment, rulebook: Rulebook, label: str = "") -> Milestone:
    """A recommendation that later changes of answers or rules never move."""
    milestone = _frozen(
        assessment, rulebook, answers(assessment), assessment.weights, assessment.measurements
    )
    milestone.label = label
    session.flush()
    return milestone


def keep_scenario(
    session: Session,
    assessment: Assessment,
    beside: Milestone,
    rulebook: Rulebook,
    tried: Mapping[str, Any],
    weights: Mapping[str, float],
    label: str,
) -> Milestone:
    """Frozen with the rulebook and the measurements of the result it was tried beside; nothing else moves."""
    milestone = _frozen(assessment, rulebook, tried, weights, beside.measurements)
    milestone.kind, milestone.label = "scenario", label
    session.flush()
    return milestone


def _frozen(
    assessment: Assessment,
    rulebook: Rulebook,
    given: Mapping[str, Any],
    weights: Mapping[str, float],
    measurements: Mapping[str, float],
) -> Milestone:
    told = rulebook.read(
        {
            "answers": given,
            "weights": weights or None,
            "measurements": measurements,
            "name": assessment.name,
            "description": assessment.description,
        }
    )
    milestone = Milestone(
        number=assessment.milestones[-1].number + 1 if assessment.milestones else 1,
        created_at=now(),
        rulebook_version=rulebook.version,
        rulebook_checksum=rulebook.checksum,
        answers=dict(given),
        weights=dict(weights),
        measurements=dict(measurements),
        recommendation=recommend(told, rulebook, include=EVERYTHING),
        name=assessment.name,
        description=assessment.description,
        kind="decision",
    )
    assessment.milestones.append(milestone)
    return milestone


@dataclass(frozen=True)
class Restorable:
    """What of a milestone can be the present answers again."""

    answers: dict[str, Any]
    weights: dict[str, float]
    left_out: list[str]
    """Questions whose answers the present rulebook does not take."""


def restorable(milestone: Milestone, rulebook: Rulebook) -> Restorable:
    """`rulebook` is the one the assessment stands on now."""
    taken = {
        question: given for question, given in milestone.answers.items() if _takes(rulebook, question, given)
    }
    fits = milestone.weights.keys() in ({factor.id for factor in rulebook.factors}, set())
    left_out = [question for question in milestone.answers if question not in taken]
    return Restorable(taken, dict(milestone.weights) if fits else {}, left_out)


def _takes(rulebook: Rulebook, question: str, given: Any) -> bool:
    try:
        rulebook.read({"answers": {question: given}})
    except InvalidInput:
        return False
    return True


def restore(assessment: Assessment, milestone: Milestone, rulebook: Rulebook) -> None:
    """Its answers and weights become the present ones; what they replace stays in history."""
    again = restorable(milestone, rulebook)
    kind = "scenario" if milestone.kind == "scenario" else "recommendation"
    why = f"restored from {kind} {milestone.number}"
    for question in [row.question for row in assessment.answers if row.question not in again.answers]:
        withdraw(assessment, question, why)
    for question, given in again.answers.items():
        answer(assessment, question, given, why)
    change(assessment, "weights", again.weights, why)


def changed_since(assessment: Assessment, milestone: Milestone, rulebook: Rulebook) -> list[str]:
    """What is different from when the recommendation was made, in words."""
    present = answers(assessment)
    changed = [
        question.title
        for question in rulebook.questions.values()
        if present.get(question.id) != milestone.answers.get(question.id)
    ]
    if assessment.weights != milestone.weights:
        changed.append("the weights")
    if assessment.measurements != milestone.measurements:
        changed.append("the measurements")
    if rulebook.checksum != milestone.rulebook_checksum:
        changed.append("the rulebook itself")
    return changed


def told(assessment: Assessment) -> dict[str, Any]:
    """Answers, weights and measurements in their JSON form, which every rulebook reads its own way."""
    return {
        "answers": answers(assessment),
        "weights": assessment.weights or None,
        "measurements": assessment.measurements,
    }


def upgrade(
    session: Session, assessment: Assessment, before: Rulebook | None, after: Rulebook
) -> tuple[LeftOpen, ...]:
    """Freezes what stands, then moves to `after`; answers that it does not know are left open.

    `before` is None where it cannot be read any more: the frozen milestones then are what is left of it.
    """
    if before is not None:
        newest = latest(assessment)
        if newest is None or changed_since(assessment, newest, before):
            freeze(session, assessment, before, f"Before rulebook {after.version}")
    kept, left_open = carried(told(assessment), after, before)
    why = f"Rulebook {assessment.rulebook_version} to {after.version}"
    for row in [row for row in assessment.answers if row.question not in kept["answers"]]:
        _remember(assessment, row.question, row.answer, None, why)
        assessment.answers.remove(row)
    change(assessment, "weights", kept["weights"] or {}, why)
    change(assessment, "measurements", kept["measurements"], why)
    _remember(assessment, "rulebook", assessment.rulebook_version, after.version, "")
    assessment.rulebook_version, assessment.rulebook_checksum = after.version, after.checksum
    session.flush()
    return left_open


def frozen(milestone: Milestone, rulebook: Rulebook) -> Project:
    """The project as it was; `rulebook` is the one the milestone was frozen under."""
    return rulebook.read(
        {
            "answers": milestone.answers,
            "weights": milestone.weights or None,
            "measurements": milestone.measurements,
            "name": milestone.name,
            "description": milestone.description,
        }
    )
