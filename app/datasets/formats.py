"""Rows in a file of JSON lines: read with every problem named by line, split, and summarised."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import Field, StringConstraints

from app.datasets.rows_in_words import problem_with_file, problem_with_row
from app.errors import InvalidInput, Malformed, Problem
from app.protocol import DatasetKind, DatasetRef, DatasetSummary, EvaluationPlan, Message
from app.strict_json import strict_loads

MOST_PROBLEMS_LISTED = 200
FEWEST_PROMPTS = 5
"""Different ones: with fewer, a fifth held out would be none."""
PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 2000
"""Of any one text in a preview."""


class Turn(Message):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, StringConstraints(min_length=1)]


class Row(Message):
    """A demonstration when the assistant has the last word, a prompt when the user has, a pair, or a text.

    A pair is a prompt with two answers to it, `chosen` and `rejected`; a text stands alone, without messages.
    """

    messages: list[Turn] = []
    item: dict[str, Any] = Field(default_factory=dict)
    """What graders know as `item`: the row's further fields; a demonstration's answer is its `reference`."""
    chosen: list[Turn] | None = None
    """What follows the prompt in the better answer: the assistant's turn, or several that end with one."""
    rejected: list[Turn] | None = None
    text: str | None = None

    @property
    def is_demonstration(self) -> bool:
        return bool(self.messages) and self.messages[-1].role == "assistant"

    @property
    def is_pair(self) -> bool:
        return self.chosen is not None and self.rejected is not None

    @property
    def is_text(self) -> bool:
        return self.text is not None

    @property
    def prompt(self) -> list[Turn]:
        return self.messages[:-1] if self.is_demonstration else self.messages

    @property
    def answer(self) -> str | None:
        return self.messages[-1].content if self.is_demonstration else None


@dataclass(frozen=True)
class Split:
    train: list[Row]
    held_out: list[Row]


def read_rows(path: Path, max_line_bytes: int) -> list[Row]:
    """Raises InvalidInput with every problem by line; at most 200 are listed."""
    if problem := problem_with_file(path):
        raise _refusal([problem])
    rows: list[Row] = []
    problems: list[Problem] = []
    kinds: dict[str, tuple[str, int]] = {}
    with path.open("rb") as file:
        for number, line in _lines(file, max_line_bytes):
            given = _object(line, max_line_bytes)
            what = (
                given if isinstance(given, str) else problem_with_row(given) or _drift(given, number, kinds)
            )
            if what:
                problems.append(Problem(where=f"line {number}", what=what))
            elif isinstance(given, dict):
                rows.append(_row(given))
    if not problems:
        problems = _too_few(rows)
    if problems:
        raise _refusal(problems)
    return rows


def split(rows: list[Row], held_out_items: int) -> Split:
    """The same rows always fall the same way, and all rows of one prompt fall together.

    Prompts are taken in the order of their hashes, so that asking for more held-out items keeps those
    of a smaller request. At most a fifth of the rows is held out.
    """
    by_prompt: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        by_prompt.setdefault(_prompt_hash(row), []).append(index)
    room = min(held_out_items, len(rows) // 5)
    held_out: set[int] = set()
    for _, indices in sorted(by_prompt.items()):
        if len(held_out) + len(indices) <= room:
            held_out.update(indices)
    return Split(
        train=[row for index, row in enumerate(rows) if index not in held_out],
        held_out=[row for index, row in enumerate(rows) if index in held_out],
    )


def summarise(ref: DatasetRef, rows: list[Row], bytes: int, held_out: int | None = None) -> DatasetSummary:
    """`held_out` where it is not ours to choose; else what an evaluation of the usual size would hold out."""
    demonstrations = sum(row.is_demonstration for row in rows)
    if held_out is None:
        usual = EvaluationPlan.model_fields["items"].default
        held_out = len(split(rows, usual).held_out)
    return DatasetSummary(
        ref=ref,
        kind=_kind(demonstrations, len(rows)),
        rows=len(rows),
        demonstrations=demonstrations,
        prompts=len(rows) - demonstrations,
        held_out=held_out,
        item_fields=_shared_fields(rows),
        bytes=bytes,
        preview=[_preview(row) for row in rows[:PREVIEW_ROWS]],
    )


def _lines(file: BinaryIO, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
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


def _drift(given: dict[str, Any], number: int, kinds: dict[str, tuple[str, int]]) -> str | None:
    """A field that is a text here and a number there would be graded differently from row to row."""
    for field, value in given.items():
        if field == "messages" or value is None:
            continue
        kind = _json_kind(value)
        first, line = kinds.setdefault(field, (kind, number))
        if kind != first:
            return f"`{field}` is {kind} here but {first} on line {line}; give it one type in the whole file"
    return None


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def _row(given: dict[str, Any]) -> Row:
    turns = [Turn(role=each["role"], content=each["content"]) for each in given["messages"]]
    item = {field: value for field, value in given.items() if field != "messages"}
    if turns[-1].role == "assistant":
        item.setdefault("reference", turns[-1].content)
    return Row(messages=turns, item=item)


def _too_few(rows: list[Row]) -> list[Problem]:
    if not rows:
        return [Problem(where="file", what="there is no row in it; add one JSON object a line")]
    different: set[str] = set()
    for row in rows:
        different.add(_prompt_hash(row))
        if len(different) == FEWEST_PROMPTS:
            return []
    what = (
        f"it has {len(different)} different prompt{'s' if len(different) > 1 else ''}; at least "
        f"{FEWEST_PROMPTS} are needed, so that one can be kept aside to measure with"
    )
    return [Problem(where="file", what=what)]


def _refusal(problems: list[Problem]) -> InvalidInput:
    total = len(problems)
    sentence = f"The file has {total:,} problem{'s' if total > 1 else ''}."
    if total > MOST_PROBLEMS_LISTED:
        sentence += f" The first {MOST_PROBLEMS_LISTED} are listed."
    return InvalidInput(sentence, tuple(problems[:MOST_PROBLEMS_LISTED]))


def _prompt_hash(row: Row) -> str:
    said = [[turn.role, turn.content] for turn in row.prompt]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _kind(demonstrations: int, rows: int) -> DatasetKind:
    if demonstrations == rows:
        return DatasetKind.DEMONSTRATIONS
    return DatasetKind.MIXED if demonstrations else DatasetKind.PROMPTS


def _shared_fields(rows: list[Row]) -> list[str]:
    shared = set.intersection(*(set(row.item) for row in rows)) if rows else set()
    return sorted(field for field in shared if field.isidentifier() and field.isascii())


def _preview(row: Row) -> dict[str, Any]:
    shown: dict[str, Any] = _shortened(row.model_dump(mode="json"))
    return {"messages": shown["messages"], **shown["item"]}


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= PREVIEW_CHARACTERS else value[:PREVIEW_CHARACTERS] + "…"
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    return value
