"""Rows in a file of JSON lines: read with every problem named by line, and summarised."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from app.datasets.gathering import MOST_PROBLEMS_LISTED, Gathering, refusal
from app.datasets.rows import Row, Split, Turn
from app.datasets.rows_in_words import problem_with_file
from app.datasets.shapes import as_given
from app.datasets.splitting import split
from app.errors import InvalidInput, Malformed
from app.protocol import DatasetRef, DatasetSummary
from app.strict_json import strict_loads

__all__ = ["MOST_PROBLEMS_LISTED", "Row", "Split", "Turn", "read_rows", "split", "summarise"]


def read_rows(path: Path, max_line_bytes: int) -> list[Row]:
    """Raises InvalidInput with every problem by line; at most 200 are listed."""
    gathering = Gathering()
    taken = (gathering.take(number, given) for number, given in json_lines(path, max_line_bytes))
    rows = [row for row in taken if isinstance(row, Row)]
    gathering.refuse()
    return rows


def summarise(ref: DatasetRef, rows: list[Row], bytes: int, held_out: int | None = None) -> DatasetSummary:
    """`held_out` where it is not ours to choose; else what an evaluation of the usual size would hold out."""
    gathering = Gathering()
    for number, row in enumerate(rows, start=1):
        gathering.take(number, as_given(row))
    return gathering.summary(ref, bytes, held_out)


def json_lines(path: Path, max_line_bytes: int) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Each line's number, with its object or what is wrong with it; raises InvalidInput for another file."""
    if problem := problem_with_file(path):
        raise refusal([problem])
    with path.open("rb") as file:
        for number, line in numbered_lines(file, max_line_bytes):
            yield number, _object(line, max_line_bytes)


def numbered_lines(file: BinaryIO, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Lines with something on them. An over-long one comes cut; the rest of it is skipped."""
    number = 0
    while line := file.readline(max_line_bytes + 2):
        number += 1
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(1 << 20)
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        line = line.rstrip(b"\r\n")
        if line.strip():
            yield number, line


def _object(line: bytes, max_line_bytes: int) -> dict[str, Any] | str:
    """The row's object, or what is wrong with the line."""
    if len(line) > max_line_bytes:
        return f"longer than {max_line_bytes:,} bytes; shorten the texts or split the row"
    if b"\x00" in line:
        return "holds the byte NUL; the file may be damaged or saved as UTF-16: save it as UTF-8"
    try:
        given = strict_loads(line)
    except (InvalidInput, Malformed) as error:
        return error.problems[0].what if error.problems else error.sentence
    if not isinstance(given, dict):
        return 'not an object; each line is one object such as {"messages": [...]}'
    return given
