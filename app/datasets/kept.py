"""A dataset as the worker keeps it: the original, its rows in one form, where they stood, and the split."""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from app.datasets.rows import Row, Split
from app.datasets.splitting import held_out_rows, parted
from app.errors import Conflict
from app.protocol import StoredSplit

CANONICAL = "rows.jsonl"
"""One row a line, as `Row` writes itself: read without judging anything again."""
ORIGINAL = "original"
SPLIT = "split.json"
LINES = "lines.u64"
SUMMARY = "summary.json"
REFUSAL = "refusal.json"
LOOK = "look.json"
REPAIRED = "repaired.jsonl"
REPORT = "report.json"


def read_kept(rows_file: Path, held_out_items: int) -> Split:
    """Raises Conflict where the rows are no longer those that were checked."""
    order = order_of(rows_file.parent)
    with rows_file.open("rb") as file:
        if order.rows_sha256 and order.rows_sha256 != hashlib.file_digest(file, "sha256").hexdigest():
            raise Conflict(
                "The dataset's file was changed on the worker after its rows were checked; upload it again."
            )
    return parted(list(kept_rows(rows_file)), held_out_rows(order, held_out_items))


def kept_rows(rows_file: Path) -> Iterator[Row]:
    with rows_file.open("rb") as file:
        for line in file:
            yield Row.model_validate_json(line)


def write_row(row: Row) -> bytes:
    return row.model_dump_json(exclude_defaults=True).encode() + b"\n"


def order_of(folder: Path) -> StoredSplit:
    return StoredSplit.model_validate_json((folder / SPLIT).read_bytes())


def lines_of(folder: Path) -> "array[int]":
    """Where each row stood in the original."""
    lines = array("Q")
    lines.frombytes((folder / LINES).read_bytes())
    return lines


def page(folder: Path, offset: int, limit: int) -> list[Row]:
    rows: list[Row] = []
    with (folder / CANONICAL).open("rb") as file:
        for number, line in enumerate(file):
            if number >= offset + limit:
                break
            if number >= offset:
                rows.append(Row.model_validate_json(line))
    return rows
