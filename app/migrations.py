"""The database's schema: where it stands, bringing it up to date, and a copy beforehand."""

import sqlite3
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from app.database import Database
from app.errors import Unavailable

VERSIONS = Path(__file__).parent.parent / "alembic"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS))
    return config


@cache
def head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def require_head(database: Database) -> None:
    found, wanted = revision(database), head()
    if found != wanted:
        raise Unavailable(
            f"The database is at schema {found or 'none'} and this version needs {wanted}; "
            "run `tuning-fork migrate`."
        )


def migrate(database: Database, to: str = "head") -> None:
    config = _config()
    with database.engine.execution_options(writes=True).connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        connection.commit()


def back_up(database_url: str) -> Path | None:
    """A copy of a SQLite database beside it, named by the time; None where there is nothing to copy."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database or not Path(url.database).exists():
        return None
    original = Path(url.database)
    copy = original.with_name(f"{original.stem}.{datetime.now(UTC):%Y%m%dT%H%M%S}.backup.db")
    source, target = sqlite3.connect(original), sqlite3.connect(copy)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
    return copy
