"""Rulebooks in store: the shipped one, one of the owner's, and assessments that stay on theirs."""

import pytest
from sqlalchemy import select

from app.advisor.rulebook import Rulebook
from app.database import Database
from app.errors import BrokenRulebook, Conflict
from app.main import read_rulebook, rulebook_files
from app.models import Assessment, StoredRulebook
from app.rulebooks import Rulebooks


@pytest.fixture
def database(database_url: str):
    database = Database(database_url)
    yield database
    database.close()


def other(version: str) -> dict[str, str]:
    files = rulebook_files()
    own = f'version = "{read_rulebook().version}"'
    return files | {"decision.toml": files["decision.toml"].replace(own, f'version = "{version}"')}


def shipped(database: Database, files: dict[str, str]) -> Rulebooks:
    return Rulebooks(database, Rulebook.parse(files), files)


def test_the_shipped_rulebook_is_kept_and_in_force(database: Database) -> None:
    for _ in range(2):
        assert shipped(database, rulebook_files()).active.checksum == read_rulebook().checksum
    with database.reading() as session:
        assert [stored.version for stored in session.scalars(select(StoredRulebook))] == [
            read_rulebook().version
        ]


def test_an_assessment_from_before_rulebooks_were_kept_stands_on_the_shipped_one(database: Database) -> None:
    with database.writing() as session, session.begin():
        session.add(Assessment(name="old", rulebook_version="1.0.0", answers=[], milestones=[]))
    shipped(database, rulebook_files())
    with database.reading() as session:
        assert session.scalars(select(Assessment)).one().rulebook_checksum == read_rulebook().checksum


def test_a_new_product_version_brings_its_rulebook_and_keeps_the_old_one(database: Database) -> None:
    shipped(database, rulebook_files())
    later = shipped(database, other("9.0.0"))
    assert later.active.version == "9.0.0"
    with database.reading() as session:
        assert later.of(session, read_rulebook().checksum).version == read_rulebook().version


def test_the_owners_rulebook_stays_in_force_when_the_product_brings_another(database: Database) -> None:
    rulebooks = shipped(database, rulebook_files())
    files = other("1.2.100")
    with database.writing() as session, session.begin():
        own = Rulebook.parse(files)
        stored = StoredRulebook(
            checksum=own.checksum, version=own.version, files=files, shipped=False, published_at=None
        )
        session.add(stored)
        rulebooks.publish(session, stored)
    assert rulebooks.active.version == "1.2.100"
    assert shipped(database, other("9.0.0")).active.version == "1.2.100"


def test_a_rulebook_that_cannot_be_read_any_more_is_told_and_named(database: Database) -> None:
    rulebooks = shipped(database, rulebook_files())
    with database.writing() as session, session.begin():
        session.add(
            StoredRulebook(checksum="0" * 64, version="0.9.0", files={}, shipped=True, published_at=None)
        )
    with database.reading() as session, pytest.raises(Conflict, match=r"Rulebook 0\.9\.0"):
        rulebooks.of(session, "0" * 64)
    with database.reading() as session, pytest.raises(Conflict, match="not in store"):
        rulebooks.of(session, "1" * 64)


@pytest.mark.parametrize("spoilt", ["", "claims = 3", "[[claims]]\nid = 'R1'\nolder = 'shape'", "= no TOML"])
def test_a_stored_rulebook_outlives_changes_of_the_files_that_only_document(
    database: Database, spoilt: str
) -> None:
    rulebooks = shipped(database, rulebook_files())
    files = other("0.9.0")
    del files["monitors.toml"], files["claims.toml"]
    if spoilt:
        files["claims.toml"] = spoilt
    with database.writing() as session, session.begin():
        stored = StoredRulebook(
            checksum="c" * 64, version="0.9.0", files=files, shipped=False, published_at=None
        )
        session.add(stored)
    with database.reading() as session:
        rulebook = rulebooks.of(session, "c" * 64)
    assert (rulebook.monitors, rulebook.claims) == ((), ())
    assert len(rulebook.examples) == len(read_rulebook().examples)
    with pytest.raises(BrokenRulebook, match=r"claims\.toml|monitors\.toml"):
        Rulebook.parse(files)


def test_a_stored_rulebook_without_its_rules_cannot_be_read(database: Database) -> None:
    files = other("0.9.0")
    del files["gates.toml"], files["claims.toml"]
    with pytest.raises(BrokenRulebook, match=r"gates\.toml"):
        Rulebook.stored(files)
