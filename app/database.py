"""The database: column types, naming, and sessions that begin the way each engine needs."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import DateTime, Dialect, Engine, MetaData, Text, Uuid, create_engine, event, types
from sqlalchemy import Enum as EnumColumn
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

T = TypeVar("T")


def now() -> datetime:
    return datetime.now(UTC)


class UtcDateTime(types.TypeDecorator[datetime]):
    """SQLite forgets time zones even when asked to keep them."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Document(types.TypeDecorator[Any]):
    """A value of any pydantic type as JSON text: text, because a record must come back byte for byte."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self.adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self.adapter.dump_json(value, by_alias=True).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self.adapter.validate_json(value)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcDateTime(),
        UUID: Uuid(),
        str: Text(),
        Enum: EnumColumn(Enum, native_enum=False, values_callable=lambda cls: [item.value for item in cls]),
    }


class Database:
    """The engine and its two ways to begin: reading, and writing.

    SQLite upgrades a read lock to a write lock only if nobody wrote in between, and fails at once
    otherwise, so a transaction that will write must say so at its start (BEGIN IMMEDIATE).
    """

    def __init__(self, url: str) -> None:
        self.engine = _sqlite(url) if make_url(url).get_backend_name() == "sqlite" else _postgresql(url)
        self.reading: Callable[[], Session] = sessionmaker(self.engine, expire_on_commit=False)
        self.writing: Callable[[], Session] = sessionmaker(
            self.engine.execution_options(writes=True), expire_on_commit=False
        )

    def close(self) -> None:
        self.engine.dispose()


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": 5})

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver's own transaction control begins late and leaks savepoints.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "busy_timeout=5000", "foreign_keys=ON", "synchronous=FULL"):
            connection.cursor().execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: str) -> Engine:
    options = "-c statement_timeout=5000 -c idle_in_transaction_session_timeout=30000"
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": 3, "options": options},
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_timeout=5,
    )
