"""The profile of a dataset: token lengths, findings, and which answers a program could check."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.datasets import kept
from app.datasets.checkable import Values
from app.datasets.content import Contents
from app.datasets.measuring import Measuring, by_bytes, tokenizer
from app.datasets.rows import Row
from app.datasets.splitting import USUAL_ITEMS, held_out_rows
from app.datasets.survey import Survey, findings
from app.datasets.task import Task
from app.protocol import DatasetSummary, Profile

BY_BYTES = "estimated: four bytes to a token, because no tokenizer is at hand yet"


def profile(task: Task) -> None:
    """Adds the profile to the summary that reading left in the folder."""
    file = task.folder / kept.SUMMARY
    summary = DatasetSummary.model_validate_json(file.read_bytes())
    told = summary.model_copy(update={"profile": profile_of(task, summary), "no_profile": None})
    file.write_text(told.model_dump_json())


def profile_of(task: Task, summary: DatasetSummary) -> Profile:
    whole = Whole(
        rows=kept.kept_rows(task.folder / kept.CANONICAL),
        total=summary.rows,
        held_out=held_out_rows(kept.order_of(task.folder), USUAL_ITEMS),
        lines=kept.lines_of(task.folder),
    )
    return looked_through(whole, task.tokenizer, task.tokenizer_name, task.context)


@dataclass(frozen=True)
class Whole:
    rows: Iterable[Row]
    total: int
    held_out: set[int]
    """Rows by number."""
    lines: Sequence[int]
    """Where each row stands in its file."""
    is_given: bool = False
    """Whether the held-out rows came as such, instead of being chosen from all by a hash."""


def looked_through(data: Whole, tokenizer_file: Path | None, name: str, context: int | None) -> Profile:
    count = tokenizer(tokenizer_file) if tokenizer_file else by_bytes
    surveyed, values = Survey(data.total, data.held_out), Values(data.total)
    measuring, contents = Measuring(count, data.total), Contents(surveyed, data.is_given)
    for row in data.rows:
        surveyed.add(row)
        contents.add(row)
        values.add(row)
        measuring.add(row)
    measuring.finish()
    too_long = measuring.too_long(context, data.lines)
    return Profile(
        tokenizer=name if tokenizer_file else BY_BYTES,
        exact_tokens=tokenizer_file is not None,
        measured_rows=measuring.measured,
        compared_rows=len(surveyed.sampled),
        prompt=measuring.lengths("prompt"),
        answer=measuring.lengths("answer"),
        text=measuring.lengths("text"),
        roles=dict(surveyed.roles),
        findings=[*findings(surveyed, data.lines), *([too_long] if too_long else [])],
        checkable=values.checkable(),
        content=contents.content(),
    )
