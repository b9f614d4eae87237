"""Runs migrations: on the database given in code, or on the one the web settings name."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, text

from app import models  # the tables register themselves on Base
from app.database import Base, Database, Document, UtcDateTime
from app.settings import WebSettings

assert models.Run.metadata is Base.metadata


def plain_types(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Versions must not import the app: history would change with it."""
    if kind == "type" and isinstance(item, Document):
        return "sa.Text()"
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=plain_types,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two services starting together: one migrates, the other waits and finds nothing to do.
            connection.execute(text("SELECT pg_advisory_xact_lock(7461001)"))
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    database = Database(WebSettings().resolved_database_url())
    with database.engine.execution_options(writes=True).connect() as connection:
        migrate(connection)
        connection.commit()
    database.close()
