"""The profile of a dataset: token lengths, findings, and which answers a program could check."""

from app.datasets import kept
from app.datasets.checkable import Values
from app.datasets.measuring import Measuring, by_bytes, tokenizer
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
    held_out = held_out_rows(kept.order_of(task.folder), USUAL_ITEMS)
    lines = kept.lines_of(task.folder)
    count = tokenizer(task.tokenizer) if task.tokenizer else by_bytes
    surveyed, values = Survey(summary.rows, held_out), Values(summary.rows)
    measuring = Measuring(count, summary.rows)
    for row in kept.kept_rows(task.folder / kept.CANONICAL):
        surveyed.add(row)
        values.add(row)
        measuring.add(row)
    measuring.finish()
    too_long = measuring.too_long(task.context, lines)
    return Profile(
        tokenizer=task.tokenizer_name if task.tokenizer else BY_BYTES,
        exact_tokens=task.tokenizer is not None,
        measured_rows=measuring.measured,
        compared_rows=len(surveyed.sampled),
        prompt=measuring.lengths("prompt"),
        answer=measuring.lengths("answer"),
        text=measuring.lengths("text"),
        roles=dict(surveyed.roles),
        findings=[*findings(surveyed, lines), *([too_long] if too_long else [])],
        checkable=values.checkable(),
    )
