"""A repaired copy: rows mended or left out, every change told, the original untouched."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.datasets import kept
from app.datasets.gathering import MOST_PROBLEMS_LISTED, Gathering
from app.datasets.reading import rows_to_take, unit_of
from app.datasets.rows import Row, Turn
from app.datasets.shapes import as_given
from app.datasets.splitting import USUAL_ITEMS, held_out_rows, prompt_digest, stored_split
from app.datasets.survey import Survey, answer_of, number_of, settles
from app.datasets.task import Task
from app.protocol import Change, RepairReport, UploadedDataset

MOST_PASSES = 5
"""Leaving out a leak can move the split by a row, which can show another leak."""


class Repairing:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.changes: list[Change] = []
        self._seen: set[int] = set()

    def note(self, line: int, what: str, why: str = "") -> None:
        self.counts[what] += 1
        if len(self.changes) < MOST_PROBLEMS_LISTED:
            self.changes.append(Change(line=line, what=f"{what}: {why}" if why else what))

    def mended(self, line: int, row: Row) -> Row | None:
        """The row to keep, or None; what was done is noted."""
        trimmed = _trimmed(row)
        if trimmed.is_pair and trimmed.chosen == trimmed.rejected:
            self.note(line, "left out", "chosen and rejected are the same")
            return None
        whole = number_of(f"{prompt_digest(trimmed).hex()} {settles(trimmed, answer_of(trimmed))}")
        if whole in self._seen:
            self.note(line, "left out", "it repeats an earlier row")
            return None
        self._seen.add(whole)
        if trimmed != row:
            self.note(line, "trimmed", "blank space around a message")
        return trimmed


def repair(path: Path, task: Task) -> None:
    """Leaves the copy, as JSON lines that read plainly, and the report in the folder."""
    assert isinstance(task.ref, UploadedDataset)
    repairing = Repairing()
    lines, digests = _first_pass(path, task, repairing)
    dropped = _without_leaks(task, lines, digests, repairing)
    kept_count = 0
    with (task.folder / kept.REPAIRED).open("wb") as out:
        for index, row in enumerate(_kept(task)):
            if index not in dropped:
                kept_count += 1
                out.write(json.dumps(as_given(row), ensure_ascii=False).encode() + b"\n")
    (task.folder / kept.CANONICAL).unlink()
    report = RepairReport(
        of=task.ref.sha256,
        kept=kept_count,
        left_out=repairing.counts["left out"],
        changed=repairing.counts["trimmed"],
        changes=repairing.changes,
    )
    (task.folder / kept.REPORT).write_text(report.model_dump_json())


def _first_pass(path: Path, task: Task, repairing: Repairing) -> tuple[list[int], list[bytes]]:
    """Everything but leaks, which only the split of what is left can tell."""
    form, rows = rows_to_take(path, task.reading, task.limits)
    gathering = Gathering(task.limits.max_rows, unit_of(form))
    lines, digests = [], []
    with (task.folder / kept.CANONICAL).open("wb") as out:
        for number, given in rows:
            row = gathering.take(number, given)
            if isinstance(row, str):
                repairing.note(number, "left out", row)
            elif mended := repairing.mended(number, row):
                lines.append(number)
                digests.append(prompt_digest(mended))
                out.write(kept.write_row(mended))
    return lines, digests


def _without_leaks(task: Task, lines: list[int], digests: list[bytes], repairing: Repairing) -> set[int]:
    dropped: set[int] = set()
    for _ in range(MOST_PASSES):
        left = [index for index in range(len(lines)) if index not in dropped]
        order = stored_split([digests[index] for index in left])
        survey = Survey(len(left), held_out_rows(order, USUAL_ITEMS))
        for index, row in enumerate(_kept(task)):
            if index not in dropped:
                survey.add(row)
        leaks = {left[leak] for leak in (*survey.leaks(), *survey.near_leaks())}
        if not leaks:
            break
        for leak in sorted(leaks):
            repairing.note(lines[leak], "left out", "it asks what a held-out row asks")
        dropped |= leaks
    return dropped


def _kept(task: Task) -> Iterator[Row]:
    return kept.kept_rows(task.folder / kept.CANONICAL)


def _trimmed(row: Row) -> Row:
    if row.is_text:
        return row
    item = row.item
    if row.answer is not None and item.get("reference") == row.answer:
        item = item | {"reference": row.answer.strip()}
    return Row(
        messages=_trim(row.messages) or [],
        item=item,
        chosen=_trim(row.chosen),
        rejected=_trim(row.rejected),
    )


def _trim(turns: list[Turn] | None) -> list[Turn] | None:
    if turns is None:
        return None
    return [Turn(role=turn.role, content=turn.content.strip()) for turn in turns]
