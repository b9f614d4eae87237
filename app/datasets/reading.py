"""How a brought file becomes rows: its first bytes tell the format, names or the user the columns."""

import hashlib
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from app.datasets import kept
from app.datasets.formats import json_lines
from app.datasets.gathering import Gathering, of_the_file, shortened
from app.datasets.mapping import explains_itself, implicit, mapped, suggested
from app.datasets.rows_in_words import KNOWN_MAGIC, looks_like_a_table, problem_with_file
from app.datasets.tables import Numbered, csv_rows, delimiter_of, parquet_rows
from app.datasets.task import Limits, Task
from app.errors import InvalidInput
from app.protocol import ColumnMapping, Look, Reading

Format = Literal["jsonl", "csv", "parquet"]

LOOKED_AT = 5
LOOKED_AT_CHARACTERS = 300


def format_of(path: Path, reading: Reading) -> Format:
    if reading.format != "auto":
        return reading.format
    with path.open("rb") as file:
        start = file.read(65536)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"PARE"):
        raise of_the_file("it is an encrypted Parquet file; save it without encryption")
    return "csv" if looks_like_a_table(start) else "jsonl"


def given_rows(path: Path, form: Format, reading: Reading, limits: Limits) -> Numbered:
    """Each row as the file has it, by its number."""
    if form == "parquet":
        return parquet_rows(path, limits.max_rows, limits.max_line_bytes)
    if form == "csv":
        _refuse_other_than_text(path)
        delimiter = delimiter_of(path) or "," if reading.delimiter == "auto" else reading.delimiter
        return csv_rows(path, delimiter, limits.max_line_bytes)
    return json_lines(path, limits.max_line_bytes)


def _refuse_other_than_text(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(64)
    if any(start.startswith(magic) for magic in KNOWN_MAGIC) and (problem := problem_with_file(path)):
        raise of_the_file(problem.what)


def rows_to_take(path: Path, reading: Reading, limits: Limits) -> tuple[Format, Numbered]:
    """Each row in the shape that it is taken in."""
    form = format_of(path, reading)
    return form, _shaped(given_rows(path, form, reading, limits), reading.columns, form != "jsonl")


def _shaped(rows: Numbered, columns: ColumnMapping | None, is_table: bool) -> Numbered:
    for number, given in rows:
        if isinstance(given, str):
            yield number, given
        elif columns:
            yield number, mapped(given, columns)
        else:
            yield number, _self_explaining(given) if is_table else given


def _self_explaining(given: dict[str, Any]) -> dict[str, Any] | str:
    if columns := implicit(list(given)):
        return mapped(given, columns)
    if "preferred_output" in given:
        return {name: value for name, value in given.items() if value is not None}
    names = ", ".join(f"`{name[:40]}`" for name in list(given)[:8])
    raise of_the_file(
        f"it is a table with the columns {names}; say which column is the prompt and which the answer, "
        "the pair or the text"
    )


def unit_of(form: Format) -> str:
    return "row" if form == "parquet" else "line"


def read(path: Path, task: Task) -> None:
    """Leaves rows, split and summary in the folder; raises InvalidInput with every problem by line."""
    assert task.ref is not None
    form, rows = rows_to_take(path, task.reading, task.limits)
    gathering = Gathering(task.limits.max_rows, unit_of(form))
    rows_sha256 = _write_rows(task, gathering, rows)
    gathering.refuse()
    with (task.folder / kept.LINES).open("wb") as out:
        gathering.lines.tofile(out)
    split = gathering.split().model_copy(update={"rows_sha256": rows_sha256})
    (task.folder / kept.SPLIT).write_text(split.model_dump_json())
    summary = gathering.summary(task.ref, path.stat().st_size)
    told = summary.model_copy(update={"format": form, "reading": task.reading})
    (task.folder / kept.SUMMARY).write_text(told.model_dump_json())


def _write_rows(task: Task, gathering: Gathering, rows: Numbered) -> str:
    """The SHA-256 of what was written, by which a later change is noticed."""
    size, digest = 0, hashlib.sha256()
    with (task.folder / kept.CANONICAL).open("wb") as out:
        for number, given in rows:
            row = gathering.take(number, given)
            if not isinstance(row, str):
                line = kept.write_row(row)
                digest.update(line)
                size += out.write(line)
            if size > task.limits.max_bytes:
                raise of_the_file(
                    f"its rows take more than {task.limits.max_bytes:,} bytes once unpacked; split it"
                )
    return digest.hexdigest()


def look(path: Path, task: Task) -> Look:
    """The first rows, whatever they are; what keeps the file from being read is said, not raised."""
    assert task.file is not None
    try:
        form = format_of(path, task.reading)
        rows = list(islice(given_rows(path, form, task.reading, task.limits), LOOKED_AT * 4))
    except InvalidInput as error:
        return Look(file=task.file, problem=error.problems[0].what)
    objects = [given for _, given in rows if isinstance(given, dict)]
    columns = list(dict.fromkeys(name for each in objects for name in each))
    clear = explains_itself if form == "jsonl" else implicit
    plain = all(clear(list(each)) for each in objects) if objects else form == "jsonl"
    return Look(
        file=task.file,
        format=form,
        delimiter=_delimiter(path, task.reading) if form == "csv" else None,
        columns=columns,
        rows=[{name: _in_short(value) for name, value in each.items()} for each in objects[:LOOKED_AT]],
        suggestion=suggested(columns),
        reads_plainly=plain,
    )


def _delimiter(path: Path, reading: Reading) -> Any:
    return delimiter_of(path) if reading.delimiter == "auto" else reading.delimiter


def _in_short(value: Any) -> str:
    text = value if isinstance(value, str) else str(shortened(value))
    return text if len(text) <= LOOKED_AT_CHARACTERS else text[:LOOKED_AT_CHARACTERS] + "…"
