"""Lists in pages, newest first; the cursor says after which row the next page begins."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from app.errors import InvalidInput, Problem
from app.models import Assessment, Confirmation, Dataset, NamedGrader, Pilot, Run

T = TypeVar("T")
Row = TypeVar("Row", Assessment, Confirmation, Dataset, NamedGrader, Pilot, Run)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Limit = Annotated[int, Query(ge=1, le=200, description="Rows a page.")]
Cursor = Annotated[str | None, Query(max_length=60, description="`next` of the page before.")]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None
    """Give it as `cursor` to get the page after this one; null on the last page."""


def page_of(
    session: Session, table: type[Row], limit: int, cursor: str | None, *which: ColumnElement[bool]
) -> tuple[list[Row], str | None]:
    when = table.made_at if issubclass(table, Confirmation) else table.created_at
    rows = select(table).where(*which).order_by(when.desc(), table.id.desc()).limit(limit + 1)
    if cursor is not None:
        rows = rows.where(tuple_(when, table.id) < tuple_(*_position(cursor)))
    found = list(session.scalars(rows))
    more = len(found) > limit
    return found[:limit], _cursor(found[limit - 1]) if more else None


def _cursor(row: Assessment | Confirmation | Dataset | NamedGrader | Pilot | Run) -> str:
    when = row.made_at if isinstance(row, Confirmation) else row.created_at
    return f"{(when - EPOCH) // timedelta(microseconds=1)}-{row.id.hex}"


def _position(cursor: str) -> tuple[datetime, UUID]:
    parts = re.fullmatch(r"(\d{1,16})-([0-9a-f]{32})", cursor, re.ASCII)
    if parts is None:
        raise InvalidInput(
            "This is not a cursor.", (Problem(where="cursor", what="give `next` of the page before"),)
        )
    return EPOCH + timedelta(microseconds=int(parts[1])), UUID(parts[2])
