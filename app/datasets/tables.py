"""Rows of a CSV or Parquet file as objects, streamed: never the whole file in memory."""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

from app.datasets.gathering import of_the_file

MOST_COLUMNS = 1000
BATCH_ROWS = 256
"""Of a Parquet file at once: a few kilobytes on disk can stand for gigabytes."""
DELIMITERS = (",", ";", "\t", "|")

Delimiter = Literal[",", ";", "\t", "|"]
Numbered = Iterator[tuple[int, dict[str, Any] | str]]


# CSV


def csv_rows(path: Path, delimiter: str, max_line_bytes: int) -> Numbered:
    """Each row by the line it begins on. An empty cell is None: a missing value is not an empty text."""
    with path.open("rb") as file:
        reader = csv.reader(_text_lines(file, max_line_bytes), delimiter=delimiter, strict=True)
        csv.field_size_limit(max_line_bytes)
        rows = _cells(reader)
        _, header = next(rows, (1, []))
        names = _names(header)
        for number, cells in rows:
            if not any(cells):
                continue
            yield number, _problem_with_cells(cells, names) or _filled(names, cells)


def delimiter_of(path: Path) -> Delimiter | None:
    """The one that splits the header and agrees best with the lines after it."""
    with path.open("rb") as file:
        start = file.read(1 << 16).decode("utf-8-sig", "replace")
    best, most = None, 1
    for candidate in DELIMITERS:
        columns = _columns_by(start, candidate)
        if columns > most:
            best, most = candidate, columns
    return cast("Delimiter | None", best)


def _columns_by(start: str, delimiter: str) -> int:
    """How many columns the header has, if most of the first rows have as many; else 0."""
    lines = io.StringIO(start, newline="")
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        rows = [cells for cells, _ in zip(reader, range(20), strict=False) if cells]
    except csv.Error:
        rows = []
    if not rows:
        return len(start.partition("\n")[0].split(delimiter))
    agreeing = sum(len(cells) == len(rows[0]) for cells in rows)
    return len(rows[0]) if agreeing * 2 > len(rows) else 0


def _cells(reader: Any) -> Iterator[tuple[int, list[str]]]:
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise of_the_file(_csv_problem(str(error), number)) from None
        yield number, cells


def _csv_problem(said: str, number: int) -> str:
    if "unexpected end" in said or "field larger" in said:
        return f"a quotation mark that opens on line {number} is never closed; close it or double it"
    if "new-line" in said:
        return "its lines end with a carriage return alone; save it with line feeds (LF or CRLF)"
    return f"line {number} is not CSV: {said}; quote texts that hold the delimiter and double quotation marks"


def _text_lines(lines: Iterable[bytes], max_line_bytes: int) -> Iterator[str]:
    file = cast(io.BufferedReader, lines)
    number = 0
    while line := file.readline(max_line_bytes + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) > max_line_bytes:
            raise of_the_file(f"line {number} is longer than {max_line_bytes:,} bytes; shorten its texts")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield line.decode("utf-8", "surrogateescape")


def _names(header: list[str]) -> list[str]:
    names = [name.strip() for name in header]
    if not any(names):
        raise of_the_file("it has no header; name the columns in the first line")
    if len(names) > MOST_COLUMNS:
        raise of_the_file(
            f"it has {len(names):,} columns, and at most {MOST_COLUMNS:,} are read; leave some out"
        )
    for number, name in enumerate(names, start=1):
        if not name or not name.isprintable():
            raise of_the_file(f"column {number} has no name that can be read; name it in the first line")
        if name in names[: number - 1]:
            raise of_the_file(f"two columns are called `{name[:80]}`; give each its own name")
    return names


def _problem_with_cells(cells: list[str], names: list[str]) -> str | None:
    if len(cells) != len(names):
        return (
            f"{len(cells):,} values, but the header names {len(names):,} columns; quote texts that hold the "
            "delimiter, or fill in what is missing"
        )
    for name, cell in zip(names, cells, strict=True):
        if "\x00" in cell:
            return (
                f"`{name}` holds the byte NUL; the file may be damaged or saved as UTF-16: save it as UTF-8"
            )
        if not cell.isascii() and any("\ud800" <= c <= "\udfff" for c in cell):
            return f"`{name}` is not UTF-8; save the file as UTF-8"
    return None


def _filled(names: list[str], cells: list[str]) -> dict[str, Any]:
    return {name: cell if cell.strip() else None for name, cell in zip(names, cells, strict=True)}


# Parquet


def parquet_rows(path: Path, most_rows: int, max_line_bytes: int) -> Numbered:
    """Each row by its number from 1. Raises InvalidInput for a file that cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # What the footer claims is checked before anything is read because of it.
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            _check_claims(file, most_rows)
            number = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _plain_row(row, max_line_bytes)
    except (pa.ArrowMemoryError, MemoryError):
        raise MemoryError from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise of_the_file(_parquet_problem(str(error))) from None


def _check_claims(file: Any, most_rows: int) -> None:
    import pyarrow as pa

    if file.metadata.num_rows > most_rows:
        raise of_the_file(
            f"it claims {file.metadata.num_rows:,} rows, and at most {most_rows:,} are read; split it, or "
            "raise TUNING_FORK_WORKER_MAX_ROWS on the worker"
        )
    schema = file.schema_arrow
    if len(schema) > MOST_COLUMNS:
        raise of_the_file(
            f"it has {len(schema):,} columns, and at most {MOST_COLUMNS:,} are read; leave some out"
        )
    for field in schema:
        if isinstance(field.type, pa.BaseExtensionType):
            raise of_the_file(
                f"the column `{field.name[:80]}` has an extension type; save it as texts, numbers or lists"
            )
    if len(set(schema.names)) != len(schema):
        raise of_the_file("two of its columns have the same name; give each its own")


def _parquet_problem(said: str) -> str:
    if "ncrypted" in said or "decrypt" in said:
        return "it is an encrypted Parquet file; save it without encryption"
    return "it is a damaged or cut Parquet file; write it again, or send it again if it came from elsewhere"


def _plain_row(row: dict[str, Any], max_line_bytes: int) -> dict[str, Any] | str:
    plain: dict[str, Any] = {}
    for name, value in row.items():
        try:
            told = _plain(value)
        except ValueError as problem:
            return f"`{name[:80]}` {problem}"
        plain[name] = told
    if _size(plain) > max_line_bytes:
        return f"longer than {max_line_bytes:,} bytes; shorten the texts or split the row"
    return plain


def _size(value: Any) -> int:
    """Characters, roughly: what a line of JSON would have."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _size(each) for key, each in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _plain(value: Any) -> Any:
    """As JSON would have it; ValueError says what cannot be."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): told for key, each in value.items() if (told := _plain(each)) is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    raise ValueError("holds bytes or a type that JSON does not know; save it as a text")


def _text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("holds the character NUL; remove it")
    return value


def _number(value: int | float | Decimal) -> int | float:
    if isinstance(value, int):
        if abs(value) > 2**63:
            raise ValueError("is too large a number")
        return value
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("is NaN or infinite; leave the value empty or give a number")
    return number
