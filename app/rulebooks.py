"""The rulebooks in store: the one in force, and the earlier ones that assessments still stand on."""

import logging
from collections.abc import Mapping, Sequence

from sqlalchemy import event, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.advisor.difference import differences, level_of, numbers, risen
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.rulebook import Rulebook
from app.database import Database, now
from app.errors import BrokenRulebook, Conflict, InvalidInput, NotFound, Problem
from app.models import Assessment, StoredRulebook

log = logging.getLogger("tuning_fork.rulebooks")


class Rulebooks:
    """Parsing takes a third of a second, so each rulebook is parsed once and kept."""

    def __init__(self, database: Database, shipped: Rulebook, files: Mapping[str, str]) -> None:
        self.shipped = shipped
        self._parsed = {shipped.checksum: shipped}
        with database.reading() as session:
            known = session.get(StoredRulebook, shipped.checksum) is not None
        if not known:
            _store(database, shipped, files)
        with database.reading() as session:
            self.active = self._readable(session, _in_force(session) or shipped.checksum)
        """What new assessments begin under, and what advice without an assessment is given by."""

    def _readable(self, session: Session, checksum: str) -> Rulebook:
        """The shipped one stands in for one that this version of the program cannot read any more."""
        try:
            return self.of(session, checksum)
        except Conflict as error:
            log.warning("%s The shipped rulebook %s stands in.", error.sentence, self.shipped.version)
            return self.shipped

    def of(self, session: Session, checksum: str) -> Rulebook:
        """Raises Conflict where this version of the program cannot read that rulebook any more."""
        if checksum not in self._parsed:
            self._parsed[checksum] = _parsed(session, checksum)
        return self._parsed[checksum]

    def add(
        self, session: Session, rulebook: Rulebook, files: Mapping[str, str], note: str
    ) -> StoredRulebook:
        """As a draft. Raises InvalidInput where its version is taken, or too low for what it changes."""
        stored = session.get(StoredRulebook, rulebook.checksum)
        if stored is not None:
            raise Conflict(f"Exactly these files are in store already, as rulebook {stored.version}.")
        based_on = session.get_one(StoredRulebook, self.active.checksum)
        _check_version(rulebook, files, based_on, session.scalars(select(StoredRulebook.version)).all())
        stored = StoredRulebook(
            checksum=rulebook.checksum,
            version=rulebook.version,
            files=dict(files),
            shipped=False,
            note=note,
            published_at=None,
        )
        session.add(stored)
        session.flush()
        self._parsed[rulebook.checksum] = rulebook
        return stored

    def publish(self, session: Session, stored: StoredRulebook) -> Rulebook:
        """Puts it in force, once this is committed, for what begins from then on; the older ones stay.

        Raises Conflict where it cannot be read.
        """
        rulebook = self.of(session, stored.checksum)
        stored.published_at = now()

        @event.listens_for(session, "after_commit", once=True)
        def put_in_force(_: Session) -> None:
            self.active = rulebook

        return rulebook

    def delete(self, session: Session, stored: StoredRulebook) -> None:
        """Raises Conflict for all but drafts that nothing stands on."""
        if stored.shipped:
            raise Conflict("This rulebook comes with the program and cannot be deleted.")
        if stored.published_at is not None or standing_on(session, stored.checksum):
            raise Conflict("This rulebook was published: what was decided under it needs it, so it stays.")
        session.delete(stored)
        self._parsed.pop(stored.checksum, None)


def find(session: Session, checksum: str) -> StoredRulebook:
    stored = session.get(StoredRulebook, checksum)
    if stored is None:
        raise NotFound("There is no rulebook with this checksum: it may have been a draft that was deleted.")
    return stored


def standing_on(session: Session, checksum: str) -> int:
    """How many assessments."""
    return session.scalar(select(func.count()).where(Assessment.rulebook_checksum == checksum)) or 0


def read(files: Mapping[str, str]) -> Rulebook:
    """An uploaded rulebook, tried out; raises InvalidInput naming every problem by file and key."""
    try:
        rulebook = Rulebook.parse(files)
        _try(rulebook)
    except BrokenRulebook as error:
        problems = error.problems or (Problem(where="", what=error.sentence),)
        raise InvalidInput("This rulebook cannot be used; nothing was stored.", problems) from error
    return rulebook


def _try(rulebook: Rulebook) -> None:
    """Every answer by itself and every example: what cannot be advised on must not wait for a user."""
    projects = [
        {question.id: choice.id}
        for question in rulebook.questions.values()
        if question.kind == "choice"
        for choice in question.choices
    ]
    for answers in [{}, *projects, *(dict(example.answers) for example in rulebook.examples)]:
        try:
            recommend(rulebook.read({"answers": answers}), rulebook)
        except (ArithmeticError, LookupError, TypeError, ValueError, StopIteration) as error:
            raise BrokenRulebook(f"With the answers {answers} nothing can be advised: {error!r}.") from error
    recommend(rulebook.read({"answers": {}}), rulebook, include=EVERYTHING)


def _check_version(
    rulebook: Rulebook, files: Mapping[str, str], based_on: StoredRulebook, taken: Sequence[str]
) -> None:
    level = level_of(differences(based_on.files, files))
    least = risen(based_on.version, level)
    if numbers(rulebook.version) >= numbers(least) and rulebook.version not in taken:
        return
    free = least
    while free in taken:
        free = risen(free, "patch")
    problem = (
        f"{rulebook.version} is taken" if rulebook.version in taken else f"{rulebook.version} is too low"
    )
    what = f"{problem}: {WHY[level]} {based_on.version}, in force now, so the version must be {free} or more"
    raise InvalidInput(
        f"The version of this rulebook must be {free} or higher; nothing was stored.",
        (Problem(where="decision.toml: version", what=what),),
    )


WHY = {
    "major": "questions or answers are gone or renamed since",
    "minor": "effects, gates or questions differ from those of",
    "patch": "only words differ from those of",
}
"""Why the version must rise so far; the version it is measured against follows."""


def _parsed(session: Session, checksum: str) -> Rulebook:
    stored = session.get(StoredRulebook, checksum)
    if stored is None:
        raise Conflict("The rulebook this was answered under is not in store any more.")
    try:
        return Rulebook.stored(stored.files)
    except BrokenRulebook as error:
        raise Conflict(
            f"Rulebook {stored.version} cannot be read by this version of Tuning Fork ({error.sentence})."
        ) from error


def _in_force(session: Session) -> str | None:
    return session.scalar(
        select(StoredRulebook.checksum)
        .where(StoredRulebook.published_at.is_not(None))
        .order_by(StoredRulebook.published_at.desc())
        .limit(1)
    )


def _store(database: Database, shipped: Rulebook, files: Mapping[str, str]) -> None:
    """A new version of the product brings its rulebook, which takes over unless the owner has their own."""
    try:
        with database.writing() as session, session.begin():
            in_force = _in_force(session)
            before = session.get(StoredRulebook, in_force) if in_force else None
            session.add(
                StoredRulebook(
                    checksum=shipped.checksum,
                    version=shipped.version,
                    files=dict(files),
                    shipped=True,
                    published_at=now() if before is None or before.shipped else None,
                )
            )
            # Answered before rulebooks were kept: this is the first one that can be named.
            unnamed = update(Assessment).where(Assessment.rulebook_checksum == "")
            session.execute(unnamed.values(rulebook_checksum=shipped.checksum))
    except IntegrityError:
        pass  # another process that starts at the same moment was faster
