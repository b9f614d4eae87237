"""Which rows are held out: decided by what they ask, so that every run and method holds out the same."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from app.datasets.rows import Row, Split
from app.protocol import EvaluationPlan, StoredSplit

MOST_HELD_OUT = 10_000
"""As an evaluation may ask for."""

USUAL_ITEMS: int = EvaluationPlan.model_fields["items"].default


def prompt_digest(row: Row) -> bytes:
    """Of what is asked; of a text without a question, of the text."""
    said = [[turn.role, turn.content] for turn in row.prompt] if row.text is None else [["text", row.text]]
    return hashlib.sha256(json.dumps(said).encode()).digest()


def stored_split(digests: Sequence[bytes]) -> StoredSplit:
    """Groups of rows with one prompt, in the order of their hashes: the order they are held out in.

    At most a fifth of the rows can be held out, so no more are listed, nor more than `MOST_HELD_OUT`.
    """
    room = min(MOST_HELD_OUT, len(digests) // 5)
    groups: list[list[int]] = []
    listed = 0
    for _, members in groupby(sorted(range(len(digests)), key=digests.__getitem__), key=digests.__getitem__):
        group = list(members)
        if len(group) <= room:
            groups.append(group)
            listed += len(group)
        if listed >= 2 * room:
            break
    digest = hashlib.sha256(json.dumps(groups).encode()).hexdigest()
    return StoredSplit(rows=len(digests), groups=groups, sha256=digest)


def held_out_rows(order: StoredSplit, items: int) -> set[int]:
    """Rows by number, at most `items` and at most a fifth; all rows of one prompt fall together."""
    room = min(items, order.rows // 5)
    found: set[int] = set()
    for group in order.groups:
        if len(found) + len(group) <= room:
            found.update(group)
    return found


def parted(rows: Sequence[Row], held_out: set[int]) -> Split:
    return Split(
        train=[row for index, row in enumerate(rows) if index not in held_out],
        held_out=[row for index, row in enumerate(rows) if index in held_out],
    )


def split(rows: Sequence[Row], held_out_items: int) -> Split:
    """The same rows always fall the same way, and all rows of one prompt fall together.

    Prompts are taken in the order of their hashes, so that asking for more held-out items keeps those
    of a smaller request. At most a fifth of the rows is held out.
    """
    order = stored_split(digests_of(rows))
    return parted(rows, held_out_rows(order, held_out_items))


def digests_of(rows: Iterable[Row]) -> list[bytes]:
    return [prompt_digest(row) for row in rows]
