"""Two stored rulebooks beside each other: what differs, and what that does to every assessment in store."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.advisor.difference import Difference, Effect, Level, Told, differences, effect_on, level_of
from app.models import Assessment, StoredAnswer, StoredRulebook
from app.protocol import Message
from app.rulebooks import Rulebooks
from app.web.deps import readable

HEADINGS = {
    "questions": "Questions and answers",
    "effects": "Effects and weights",
    "gates": "Gates",
    "verdict": "How answers become a verdict",
    "plan": "Plans, stages and risks",
    "compute": "Compute",
    "other": "Other files",
    "evidence": "Evidence",
    "examples": "Worked examples",
    "words": "Words",
}


class Moved(Message):
    """One assessment under both rulebooks."""

    assessment: UUID
    name: str
    effect: Effect


class Comparison(Message):
    before: str
    after: str
    """Checksums."""
    level: Level
    """How far the version has to rise from one to the other."""
    differences: tuple[Difference, ...]
    assessments: tuple[Moved, ...]
    """Changed methods first; empty where the later rulebook cannot be read."""
    assessments_in_store: int


def compared(
    session: Session, rulebooks: Rulebooks, before: StoredRulebook, after: StoredRulebook, most: int
) -> Comparison:
    """Of the assessments the `most` last changed."""
    found = _between(tuple(before.files.items()), tuple(after.files.items()))
    old, new = (readable(rulebooks, session, each.checksum) for each in (before, after))
    moved = []
    if new is not None:
        moved = [
            Moved(assessment=key, name=name, effect=effect_on(told, old, new))
            for key, name, told in _last_changed(session, most)
        ]
    moved.sort(key=_most_changed)
    return Comparison(
        before=before.checksum,
        after=after.checksum,
        level=level_of(found),
        differences=found,
        assessments=tuple(moved),
        assessments_in_store=session.scalar(select(func.count()).select_from(Assessment)) or 0,
    )


Texts = tuple[tuple[str, str], ...]


@lru_cache(maxsize=8)
def _between(before: Texts, after: Texts) -> tuple[Difference, ...]:
    """Kept for the next look at the same two: reading thirty files takes as long as most of the rest."""
    return differences(dict(before), dict(after))


def _last_changed(session: Session, most: int) -> Iterator[tuple[UUID, str, Told]]:
    """As plain columns: rows of the mapper take longer than the advice."""
    shown = select(Assessment.id, Assessment.name, Assessment.weights, Assessment.measurements)
    rows = session.execute(shown.order_by(Assessment.updated_at.desc()).limit(most)).all()
    answers: dict[UUID, dict[str, Any]] = defaultdict(dict)
    last = select(Assessment.id).order_by(Assessment.updated_at.desc()).limit(most)
    given = select(StoredAnswer.assessment_id, StoredAnswer.question, StoredAnswer.answer)
    for key, question, answer in session.execute(given.where(StoredAnswer.assessment_id.in_(last))):
        answers[key][question] = answer
    for key, name, weights, measurements in rows:
        told = {"answers": answers[key], "weights": weights or None, "measurements": measurements}
        yield key, name, told


def _most_changed(moved: Moved) -> tuple[int, float]:
    effect = moved.effect
    shift = abs(effect.after.lean - effect.before.lean) if effect.before else 0.0
    return -effect.turns, -shift


@dataclass(frozen=True)
class Group:
    title: str
    differences: list[Difference]


def grouped(found: Sequence[Difference]) -> list[Group]:
    groups = [Group(title, [each for each in found if each.kind == kind]) for kind, title in HEADINGS.items()]
    return [group for group in groups if group.differences]
