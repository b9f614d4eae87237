"""Proposals as pages show them: in words, with where they come from, beside what stands there now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Measurement, Question
from app.datasets import generated
from app.models import Assessment, Dataset, Pilot, Proposal, Run
from app.web import answer_form, proposing
from app.web.answer_form import unwrapped
from app.web.named_datasets import generated_name


@dataclass(frozen=True)
class Source:
    words: str
    href: str = ""
    """Empty where there is no page of it, or none any more."""


@dataclass(frozen=True)
class Present:
    """What stands there now."""

    words: str
    basis: str
    """The rung it stands on; empty for a measurement, which its kind tells."""
    note: str = ""


@dataclass(frozen=True)
class Shown:
    proposal: Proposal
    title: str
    text: str
    suggested: str
    basis: str
    source: Source
    present: Present | None
    seen: str
    contradicts: bool


MEASURED_BY = {"dataset": "inspected", "run": "probed", "pilot": "piloted"}
"""Where a measurement comes from says its rung better than what is usual for it: a probe sees lengths too."""


def shown(session: Session, assessment: Assessment, rulebook: Rulebook) -> list[Shown]:
    """All that the rulebook still takes: questions in the order they are asked, then measurements."""
    order = [*rulebook.questions, *rulebook.measurements]
    found = [each for each in proposing.all_of(session, assessment) if proposing.fits(each, rulebook)]
    found.sort(key=lambda each: order.index(each.question))
    return [_shown(session, assessment, each, rulebook) for each in found]


def _shown(session: Session, assessment: Assessment, proposal: Proposal, rulebook: Rulebook) -> Shown:
    measurement = rulebook.measurements.get(proposal.question)
    if measurement:
        title = text = measurement.title
        basis = MEASURED_BY.get(proposal.source.partition(":")[0], str(measurement.rung))
        suggested, present = in_words(measurement, proposal.answer), _measured(assessment, measurement)
    else:
        question = rulebook.questions[proposal.question]
        title, text, basis = question.title, question.text, str(proposing.basis_of(proposal.answer))
        suggested, present = _said(question, proposal.answer), _answered(assessment, question)
    return Shown(
        proposal=proposal,
        title=title,
        text=text,
        suggested=suggested,
        basis=basis,
        source=source_of(session, proposal.source),
        present=present,
        seen=proposing.seen(assessment, proposal),
        contradicts=proposing.contradicts(assessment, proposal),
    )


def _said(question: Question, answer: Any) -> str:
    labels: Mapping[str, str] = {choice.id: choice.label for choice in question.choices}
    return answer_form.in_words(answer, question.kind, labels)


def _answered(assessment: Assessment, question: Question) -> Present | None:
    row = proposing.row_of(assessment, question.id)
    if row is None:
        return None
    given = unwrapped(row.answer)
    # The reason why a question does not apply is told with the answer itself.
    note = "" if given.get("choice") == answer_form.NOT_APPLICABLE else str(given.get("note") or "")
    return Present(_said(question, row.answer), proposing.basis_of(row.answer), note)


def _measured(assessment: Assessment, measurement: Measurement) -> Present | None:
    value = assessment.measurements.get(measurement.id)
    return None if value is None else Present(in_words(measurement, value), "")


def in_words(measurement: Measurement, value: float) -> str:
    """Shares in per cent, by the rulebook's own title; everything else as the number it is."""
    if "share" in measurement.title.lower():
        return f"{100 * value:.3g}\N{NO-BREAK SPACE}%"
    return f"{value:,.4g}" if value < 10_000 else f"{value:,.0f}"


# Where they come from


def source_of(session: Session, source: str) -> Source:
    """By its name and with its page, as far as it is still there."""
    kind, _, key = source.partition(":")
    known = _by_id(session, kind, UUID(key)) if _is_uuid(key) else None
    return known or Source(proposing.source_in_words(source))


def _by_id(session: Session, kind: str, key: UUID) -> Source | None:
    if kind == "dataset":
        return _dataset(session, key)
    if kind == "run" and (run := session.get(Run, key)):
        return Source(f"the probe “{run.spec.name}”", f"/runs/{key}")
    if kind == "pilot" and (pilot := session.get(Pilot, key)):
        return Source(f"the pilot “{pilot.name}”", f"/pilots/{key}")
    return None


def _dataset(session: Session, key: UUID) -> Source | None:
    if name := generated_name(key):
        return Source(f"the dataset “{generated.TASKS[name].title}”", f"/datasets/generated/{name}")
    dataset = session.get(Dataset, key)
    return Source(f"the dataset “{dataset.name}”", f"/datasets/{key}") if dataset else None


def _is_uuid(key: str) -> bool:
    try:
        UUID(key)
    except ValueError:
        return False
    return True
