"""The rulebooks in store: the one in force, and the earlier ones that assessments still stand on."""

from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.advisor.rulebook import Rulebook
from app.database import Database, now
from app.errors import BrokenRulebook, Conflict
from app.models import Assessment, StoredRulebook


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
            self.active = self.of(session, _in_force(session) or shipped.checksum)
        """What new assessments begin under, and what advice without an assessment is given by."""

    def of(self, session: Session, checksum: str) -> Rulebook:
        """Raises Conflict where this version of the program cannot read that rulebook any more."""
        if checksum not in self._parsed:
            self._parsed[checksum] = _parsed(session, checksum)
        return self._parsed[checksum]

    def publish(self, session: Session, stored: StoredRulebook) -> Rulebook:
        """Puts it in force for what begins from now on; raises Conflict where it cannot be read."""
        rulebook = self.of(session, stored.checksum)
        stored.published_at = now()
        self.active = rulebook
        return rulebook


def _parsed(session: Session, checksum: str) -> Rulebook:
    stored = session.get(StoredRulebook, checksum)
    if stored is None:
        raise Conflict("The rulebook this was answered under is not in store any more: upgrade to go on.")
    try:
        return Rulebook.parse(stored.files)
    except BrokenRulebook as error:
        raise Conflict(
            f"Rulebook {stored.version}, under which this was answered, cannot be read by this version "
            f"of Tuning Fork ({error.sentence}): upgrade to go on."
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
