"""Does a query parse, and does it return the same rows as the right one on a database made for it?"""

import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from app.graders.answer import Answer
from app.graders.outcomes import CannotGrade
from app.graders.template import NothingToFill, fill
from app.protocol import GraderError, Outcome, Score, Sql

SECONDS = 2.0
"""For each query, and for building the database."""

MOST_ROWS = 10_000
MOST_BYTES = 10_000_000
"""Of the rows that a query returns, as they lie in memory, and of the database that a fixture builds."""

LONGEST_QUERY = 20_000
STEPS_BETWEEN_LOOKS = 1000

STATEMENTS = (exp.Query, exp.DML, exp.DDL)

READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
BUILDS_NOT = {
    sqlite3.SQLITE_ATTACH,
    sqlite3.SQLITE_DETACH,
    sqlite3.SQLITE_PRAGMA,
    sqlite3.SQLITE_CREATE_VTABLE,
    sqlite3.SQLITE_DROP_VTABLE,
    sqlite3.SQLITE_SAVEPOINT,
}
"""Savepoints among them: what they could bring back lies in memory, beside the pages that are counted."""

FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer"}

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
}
"""A value's length among them: the few operations that no clock interrupts stay short, and one row small."""

Rows = list[tuple[Any, ...]]


class BadFixture(Exception):
    """The database or the right query cannot be used."""


class _BadQuery(Exception):
    """The answer's fault."""


def grade_sql(grader: Sql, answers: Sequence[Answer]) -> list[Outcome]:
    if grader.fixture is None:
        return [_outcome(grader, None, answer) for answer in answers]
    try:
        with _database(grader.fixture) as database:
            return [_outcome(grader, database, answer) for answer in answers]
    except BadFixture as error:
        return [GraderError(why=str(error)) for _ in answers]


def check_fixture(fixture: str) -> None:
    """Raises BadFixture."""
    with _database(fixture):
        pass


def _outcome(grader: Sql, database: sqlite3.Connection | None, answer: Answer) -> Outcome:
    try:
        if database is None:
            return Score(value=float(_parses(_query(grader.input, answer))))
        return Score(value=_same(grader, database, answer))
    except (NothingToFill, CannotGrade) as error:
        return GraderError(why=str(error))


def _query(template: str, answer: Answer) -> str:
    return fill(template, answer.text, answer.item).strip().rstrip(";").strip()


def _parses(query: str) -> bool:
    """One whole statement; a word alone is an expression to SQL, and no answer."""
    if len(query) > LONGEST_QUERY:
        return False
    try:
        found = sqlglot.parse(query, dialect="sqlite", error_level=sqlglot.ErrorLevel.RAISE)
    except (SqlglotError, RecursionError, ValueError):
        return False
    if len(found) != 1 or not isinstance(found[0], STATEMENTS):
        return False
    return not isinstance(found[0], exp.Select) or bool(found[0].expressions)


def _same(grader: Sql, database: sqlite3.Connection, answer: Answer) -> float:
    if grader.reference is None:
        raise CannotGrade("a grader with a fixture needs a reference, the right query")
    try:
        right = _rows(database, _query(grader.reference, answer))
    except _BadQuery as error:
        raise CannotGrade(f"the reference query fails: {error}") from None
    query = _query(grader.input, answer)
    try:
        given = _rows(database, query) if _parses(query) else None
    except _BadQuery:
        given = None
    if given is None:
        return 0.0
    return float(given == right if grader.ordered else Counter(given) == Counter(right))


def _rows(database: sqlite3.Connection, query: str) -> Rows:
    with _time_limit(database):
        try:
            return _bounded(database.execute(query))
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            raise _BadQuery(str(error)[:200]) from None


def _bounded(rows: Iterator[tuple[Any, ...]]) -> Rows:
    """One row at a time: many at once could fill the memory between two looks."""
    found: Rows = []
    held = 0
    for row in rows:
        held += sys.getsizeof(row) + sum(map(sys.getsizeof, row))
        if len(found) == MOST_ROWS:
            raise _BadQuery(f"it returns more than {MOST_ROWS:,} rows")
        if held > MOST_BYTES:
            raise _BadQuery(f"its rows take more than {MOST_BYTES // 1_000_000} MB")
        found.append(tuple(_rounded(value) for value in row))
    return found


def _rounded(value: Any) -> Any:
    """Sums of the same numbers in another order differ in their last digits."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


@contextmanager
def _database(fixture: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)) as database:
        for what, most in LIMITS.items():
            database.setlimit(what, most)
        _cap(database)
        database.set_authorizer(_may_build)
        try:
            with _time_limit(database):
                database.executescript(fixture)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise BadFixture(_why_not_built(error)) from None
        database.set_authorizer(_may_read)
        yield database


def _cap(database: sqlite3.Connection) -> None:
    (page,) = database.execute("PRAGMA page_size").fetchone()
    for schema in ("main", "temp"):
        database.execute(f"PRAGMA {schema}.max_page_count = {MOST_BYTES // page}")


def _why_not_built(error: Exception) -> str:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        most = MOST_BYTES // 1_000_000
        return f"the fixture builds a database of more than {most} MB; make it with fewer or shorter rows"
    return f"the fixture does not build a SQLite database: {error}"


def _may_build(action: int, first: str | None, second: str | None, *_: Any) -> int:
    return sqlite3.SQLITE_DENY if action in BUILDS_NOT or _is_forbidden(action, second) else sqlite3.SQLITE_OK


def _may_read(action: int, first: str | None, second: str | None, *_: Any) -> int:
    return sqlite3.SQLITE_OK if action in READS and not _is_forbidden(action, second) else sqlite3.SQLITE_DENY


def _is_forbidden(action: int, function: str | None) -> bool:
    return action == sqlite3.SQLITE_FUNCTION and str(function).lower() in FORBIDDEN_FUNCTIONS


@contextmanager
def _time_limit(database: sqlite3.Connection) -> Iterator[None]:
    deadline = time.monotonic() + SECONDS
    database.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)
