"""Stored graders: created, changed by new versions, deleted whole, and what trying them last found."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.database import now
from app.errors import Conflict, InvalidInput, NotFound, Problem
from app.models import NamedGrader, Run
from app.protocol import AttackReport, ExpertAgreement, Grader, Name, Trial, TrialReport
from app.worker_client import WorkerClient

KEYED = UUID("2d4c6b1a-59d1-4c39-9a0a-3c1f4f8a7b52")
"""Ids made from an Idempotency-Key live in this namespace."""

RUNS_LOOKED_THROUGH = 500

NAME: TypeAdapter[str] = TypeAdapter(Name)
GRADER: TypeAdapter[Grader] = TypeAdapter(Grader)


class KeptReport(BaseModel):
    """What trying a version last found; attacks and agreement may be of different days."""

    attacks: AttackReport | None = None
    attacked_at: datetime | None = None
    attacked_on: str = ""
    """What the rows were, in words."""
    agreement: ExpertAgreement | None = None
    compared_at: datetime | None = None


# Storing


def check(worker: WorkerClient, spec: Grader) -> None:
    """Asked of the worker, which has what reads patterns and programs; no transaction may be open."""
    try:
        NAME.validate_python(spec.name)
    except ValidationError as error:
        what = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise InvalidInput(
            "This grader cannot be used.", (Problem(where="grader.name", what=what),)
        ) from None
    worker.try_grader(Trial(grader=spec))


def create(
    session: Session, spec: Grader, note: str = "", key: str | None = None
) -> tuple[NamedGrader, bool]:
    """The grader's first version, and whether it is new; the same key again answers with the same one."""
    grader_id = uuid5(KEYED, key) if key else uuid4()
    known = session.get(NamedGrader, grader_id)
    if known is not None:
        if (known.spec, known.note) != (spec, note):
            raise Conflict("This Idempotency-Key was used before for something else; choose another.")
        return known, False
    taken = Conflict(
        f"There is a grader named “{spec.name}” already: add a version to it, or choose another name.",
        (Problem(where="grader.name", what="is taken"),),
    )
    if versions(session, spec.name):
        raise taken
    return _added(
        session, NamedGrader(id=grader_id, name=spec.name, version=1, spec=spec, note=note), taken
    ), True


def add_version(session: Session, grader: NamedGrader, spec: Grader, note: str = "") -> NamedGrader:
    """Earlier versions stay as they are, and so do the runs that were launched with them."""
    if spec.name != grader.name:
        what = f"must stay “{grader.name}”; to rename it, make a new grader"
        raise InvalidInput("A version keeps its grader's name.", (Problem(where="grader.name", what=what),))
    newest = versions(session, grader.name)[0]
    if newest.spec == spec:
        raise Conflict(f"This is what version {newest.version} says already; nothing was changed.")
    taken = Conflict("Another version was added at this moment; look at it and try again.")
    number = newest.version + 1
    return _added(session, NamedGrader(name=grader.name, version=number, spec=spec, note=note), taken)


def _added(session: Session, row: NamedGrader, taken: Conflict) -> NamedGrader:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise taken from None
    return row


def find(session: Session, grader_id: UUID) -> NamedGrader:
    found = session.get(NamedGrader, grader_id)
    if found is None:
        raise NotFound("There is no grader here: it may have been deleted.")
    return found


def versions(session: Session, name: str) -> list[NamedGrader]:
    """Newest first."""
    of_name = select(NamedGrader).where(NamedGrader.name == name).order_by(NamedGrader.version.desc())
    return list(session.scalars(of_name))


def newest_of_each(session: Session) -> list[NamedGrader]:
    """By name."""
    return list(session.scalars(select(NamedGrader).where(is_newest()).order_by(NamedGrader.name)))


def is_newest() -> ColumnElement[bool]:
    last = select(NamedGrader.name, func.max(NamedGrader.version)).group_by(NamedGrader.name)
    return tuple_(NamedGrader.name, NamedGrader.version).in_(last)


def delete(session: Session, grader: NamedGrader) -> None:
    """All versions. Runs are not asked: each has its own copy in its spec."""
    for version in versions(session, grader.name):
        session.delete(version)


def used_by(session: Session, spec: Grader) -> list[Run]:
    """The latest runs that were launched with exactly this grader."""
    recent = session.scalars(select(Run).order_by(Run.created_at.desc()).limit(RUNS_LOOKED_THROUGH))
    return [run for run in recent if spec in run.spec.all_graders][:10]


# What changed


@dataclass(frozen=True)
class Changed:
    field: str
    before: str
    after: str


def changes(before: Grader, after: Grader) -> list[Changed]:
    """Field by field, those of parts by their path."""
    old, new = _flat(before), _flat(after)
    return [
        Changed(field, old.get(field, ""), new.get(field, ""))
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
    ]


def _flat(spec: Grader) -> dict[str, str]:
    return dict(_leaves("", GRADER.dump_python(spec, mode="json", by_alias=True)))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list) and value:
        inside = value.items() if isinstance(value, dict) else enumerate(value, 1)
        for key, each in inside:
            yield from _leaves(f"{path}.{key}" if path else str(key), each)
    elif value is not None:
        yield path, str(value)


# What trying it found


def report_of(grader: NamedGrader) -> KeptReport:
    """Empty where nothing was tried, or where an earlier version of the program wrote it in another form."""
    try:
        return KeptReport.model_validate(grader.report or {})
    except ValidationError:
        return KeptReport()


def keep_report(grader: NamedGrader, found: TrialReport, rows_from: str = "") -> None:
    kept = report_of(grader)
    if found.attacks:
        attacked = {"attacks": found.attacks, "attacked_at": now(), "attacked_on": rows_from}
        kept = kept.model_copy(update=attacked)
    if found.agreement:
        kept = kept.model_copy(update={"agreement": found.agreement, "compared_at": now()})
    grader.report = kept.model_dump(mode="json", exclude_none=True)


def in_words(report: KeptReport) -> list[str]:
    """For a list: `attacked: holds`, `2 of 9 attacks pay`, `agreement 0.83 on 120`."""
    said = []
    if attacks := report.attacks:
        paying, tried = len(attacks.paying), sum(attack.n > 0 for attack in attacks.attacks)
        said.append(
            f"{paying} of {tried} attacks {'pays' if paying == 1 else 'pay'}"
            if paying
            else {"holds": "attacked: holds", "unclear": "attacked: unclear"}.get(attacks.verdict, "")
        )
    if (agreed := report.agreement) and agreed.spearman is not None:
        said.append(f"agreement {agreed.spearman:.2f} on {agreed.n}")
    return said


def lasted(seconds: float) -> str:
    """Down to the microsecond: one grading takes little, and training asks for thousands."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"
