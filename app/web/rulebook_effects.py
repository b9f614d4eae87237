"""Two stored rulebooks beside each other: what differs, and what that does to every assessment in store."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.advisor.difference import Difference, Effect, Level, differences, effect_on, level_of
from app.models import Assessment, StoredRulebook
from app.protocol import Message
from app.rulebooks import Rulebooks
from app.web.assessing import told
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
    found = differences(before.files, after.files)
    old, new = (readable(rulebooks, session, each.checksum) for each in (before, after))
    moved = []
    if new is not None:
        rows = session.scalars(select(Assessment).order_by(Assessment.updated_at.desc()).limit(most))
        moved = [
            Moved(assessment=row.id, name=row.name, effect=effect_on(told(row), old, new)) for row in rows
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
