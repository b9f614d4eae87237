"""Two to four results side by side: recommendations, scenarios, or an assessment's present answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.advisor.advice import Recommendation
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.errors import InvalidInput, NotFound, Problem
from app.models import Assessment, Milestone
from app.rulebooks import Rulebooks
from app.web import assessing
from app.web.differing import NOT_KNOWN, answer_in_words, project_of, told
from app.web.whatif import BANDS, PLANS, Verdict, verdict_of

FEWEST, MOST = 2, 4

DRAFT = "draft:"
"""Before an assessment's id: its present answers, advised on now."""

NOT_ASKED = "Not asked"


@dataclass(frozen=True)
class Column:
    id: str
    assessment: Assessment
    milestone: Milestone | None
    """None for present answers."""
    answers: Mapping[str, Any]
    weights: Mapping[str, float]
    advice: Recommendation
    rulebook: Rulebook

    @property
    def kind(self) -> Literal["decision", "scenario", "draft"]:
        if self.milestone is None:
            return "draft"
        return "scenario" if self.milestone.kind == "scenario" else "decision"

    @property
    def label(self) -> str:
        """Which result of the assessment it is."""
        if self.milestone is None:
            return "Present answers"
        return name_of(self.milestone)

    @property
    def address(self) -> str:
        if self.milestone is None:
            return f"/assessments/{self.assessment.id}/check"
        return f"/assessments/{self.assessment.id}/result?number={self.milestone.number}"


def name_of(milestone: Milestone) -> str:
    if milestone.kind == "scenario":
        return f"Scenario “{milestone.label}”"
    return f"Recommendation {milestone.number}"


def wanted(ids: Sequence[str]) -> list[str]:
    """Each id once, whether given one by one or separated by commas."""
    return list(dict.fromkeys(one.strip() for given in ids for one in given.split(",") if one.strip()))


def columns(session: Session, rulebooks: Rulebooks, ids: Sequence[str]) -> list[Column]:
    """Raises InvalidInput for too few or too many, NotFound for what is not there."""
    if not FEWEST <= len(ids) <= MOST:
        what = f"give from {FEWEST} to {MOST}: ids of recommendations, scenarios or assessments"
        raise InvalidInput(
            f"{FEWEST} to {MOST} results can be compared at once.", (Problem(where="ids", what=what),)
        )
    return [_column(session, rulebooks, one) for one in ids]


def _column(session: Session, rulebooks: Rulebooks, one: str) -> Column:
    if one.startswith(DRAFT):
        return _draft(_assessment(session, one.removeprefix(DRAFT)), session, rulebooks)
    milestone = session.get(Milestone, key) if (key := _key(one)) else None
    if milestone is None:
        assessment = _assessment(session, one)
        milestone = assessing.latest(assessment)
        if milestone is None:
            raise NotFound(
                f"“{assessment.name}” has no recommendation yet: check its answers and ask for one."
            )
    else:
        assessment = _assessment(session, str(milestone.assessment_id))
    return Column(
        id=str(milestone.id),
        assessment=assessment,
        milestone=milestone,
        answers=milestone.answers,
        weights=milestone.weights,
        advice=milestone.recommendation,
        rulebook=rulebooks.of(session, milestone.rulebook_checksum),
    )


def _draft(assessment: Assessment, session: Session, rulebooks: Rulebooks) -> Column:
    rulebook = rulebooks.of(session, assessment.rulebook_checksum)
    answers = assessing.answers(assessment)
    return Column(
        id=f"{DRAFT}{assessment.id}",
        assessment=assessment,
        milestone=None,
        answers=answers,
        weights=assessment.weights,
        advice=recommend(
            project_of(answers, assessment.weights, rulebook, measurements=assessment.measurements), rulebook
        ),
        rulebook=rulebook,
    )


def _assessment(session: Session, given: str) -> Assessment:
    key = _key(given)
    found = session.get(Assessment, key) if key else None
    if found is None:
        raise NotFound("One of the results to compare is not there: it may have been deleted.")
    return found


def _key(given: str) -> UUID | None:
    try:
        return UUID(given)
    except ValueError:
        return None


# What is compared


class Compared(BaseModel):
    """One of the results."""

    id: str
    assessment: UUID
    name: str
    """The assessment's."""
    kind: Literal["decision", "scenario", "draft"]
    number: int | None
    label: str
    made_at: datetime | None
    rulebook_version: str
    rulebook_checksum: str
    verdict: Verdict
    weights: dict[str, float]
    """Shares of the whole."""
    contributions: dict[str, float]
    """To the lean, by factor."""


class Answered(BaseModel):
    """One question over all results, in their order."""

    question: str
    title: str
    differs: bool
    answers: list[Any]
    """In the wire form; null where it is unknown or was not asked."""
    words: list[str]
    asked: list[bool]
    """Whether the rulebook of that result has the question."""


class Comparison(BaseModel):
    same_rulebook: bool
    results: list[Compared]
    answers: list[Answered]
    """Those that differ first."""


def comparison(found: Sequence[Column]) -> Comparison:
    return Comparison(
        same_rulebook=len({column.rulebook.checksum for column in found}) == 1,
        results=[_compared(column) for column in found],
        answers=answered(found),
    )


def _compared(column: Column) -> Compared:
    milestone, advice = column.milestone, column.advice
    return Compared(
        id=column.id,
        assessment=column.assessment.id,
        name=column.assessment.name,
        kind=column.kind,
        number=milestone.number if milestone else None,
        label=column.label,
        made_at=milestone.created_at if milestone else None,
        rulebook_version=column.rulebook.version,
        rulebook_checksum=column.rulebook.checksum,
        verdict=verdict_of(advice),
        weights={factor.id: factor.weight for factor in advice.factors},
        contributions={factor.id: factor.contribution for factor in advice.factors},
    )


def answered(found: Sequence[Column]) -> list[Answered]:
    titles = {
        question.id: question.title
        for column in found
        for factor in column.rulebook.factors
        for question in assessing.shown_of(factor, column.answers)
    }
    rows = [_answered(question, title, found) for question, title in titles.items()]
    return sorted(rows, key=lambda row: not row.differs)


def _answered(question: str, title: str, found: Sequence[Column]) -> Answered:
    asked = [question in column.rulebook.questions for column in found]
    given = [column.answers.get(question) if has else None for column, has in zip(found, asked, strict=True)]
    words = [
        answer_in_words(wire, question, column.rulebook) if has else NOT_ASKED
        for wire, column, has in zip(given, found, asked, strict=True)
    ]
    return Answered(
        question=question,
        title=title,
        differs=len({(has, told(wire)) for has, wire in zip(asked, given, strict=True)}) > 1,
        answers=[None if word == NOT_KNOWN else wire for wire, word in zip(given, words, strict=True)],
        words=words,
        asked=asked,
    )


# As a table for a spreadsheet


def as_rows(found: Sequence[Column]) -> list[Sequence[object]]:
    """One column a result."""
    return [
        ("", *(f"{column.assessment.name}: {column.label}" for column in found)),
        *_summary(found),
        *((row.title, *row.words) for row in answered(found)),
    ]


def _summary(found: Sequence[Column]) -> list[Sequence[object]]:
    advice = [column.advice for column in found]
    rows: list[Sequence[object]] = [
        ("Made at", *(c.milestone.created_at.isoformat() if c.milestone else "" for c in found)),
        ("Rulebook", *(column.rulebook.version for column in found)),
        ("Method", *(one.method.upper() for one in advice)),
        ("Plan", *(PLANS[one.plan.id] for one in advice)),
        ("How firm", *(BANDS[one.band] for one in advice)),
        ("Ready", *("yes" if one.readiness == "ready" else "fix first" for one in advice)),
        ("Lean", *(one.lean for one in advice)),
    ]
    for place, factor in enumerate(advice[0].factors):
        rows.append(
            (f"{factor.title}: part of the lean", *(one.factors[place].contribution for one in advice))
        )
    for place, factor in enumerate(advice[0].factors):
        rows.append((f"{factor.title}: weight", *(one.factors[place].weight for one in advice)))
    return rows
