"""What a grader is tried on: rows of a dataset, answers that a run was evaluated on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import Database
from app.datasets.gathering import PREVIEW_ROWS
from app.errors import InvalidInput, NotFound, Problem
from app.models import Dataset, Report, Run
from app.protocol import (
    DatasetRef,
    EvaluationEvent,
    Grader,
    RunSpec,
    SampledAnswer,
    Trial,
    TriedAnswer,
    TriedRow,
    UploadedDataset,
)
from app.settings import WebSettings
from app.worker_client import WorkerClient

ONE_FIELD = re.compile(r"\{\{\s*item\.(\w+)\s*\}\}", re.ASCII)


def trial(
    spec: Grader,
    answers: Sequence[TriedAnswer],
    rows: Sequence[TriedRow],
    settings: WebSettings,
    expert_pass: float | None = None,
) -> Trial:
    """Raises InvalidInput where it is more than the settings allow at once."""
    by_experts = any(answer.expert is not None for answer in answers)
    most = settings.max_expert_answers if by_experts else settings.max_tried_answers
    problems = []
    if len(answers) > most:
        problems.append(Problem(where="answers", what=f"there are {len(answers)}; send at most {most}"))
    if len(rows) > settings.max_attacked_rows:
        what = f"there are {len(rows)}; send at most {settings.max_attacked_rows}"
        problems.append(Problem(where="rows", what=what))
    if problems:
        raise InvalidInput("This is too much to try at once.", tuple(problems))
    return Trial(grader=spec, answers=list(answers), rows=list(rows), expert_pass=expert_pass)


# Rows


def rows_of_dataset(database: Database, worker: WorkerClient, ref: DatasetRef) -> list[TriedRow]:
    """The first ones. No transaction may be open: those of a generated one are asked of the worker."""
    if isinstance(ref, UploadedDataset):
        with database.reading() as session:
            found = session.scalars(select(Dataset).where(Dataset.sha256 == ref.sha256)).first()
        if found is None:
            raise NotFound("There is no dataset with this hash.")
        preview = found.summary.preview
    else:
        preview = worker.rows(ref, 0, PREVIEW_ROWS).rows
    return [tried_row(row) for row in preview]


def tried_row(given: Mapping[str, Any]) -> TriedRow:
    """A dataset's row as graders meet it: the answer of a demonstration or of a pair is its `reference`."""
    turns = [turn for turn in given.get("messages") or () if isinstance(turn, dict)]
    item = {name: value for name, value in given.items() if name != "messages"}
    if turns and turns[-1].get("role") == "assistant":
        item.setdefault("reference", turns.pop().get("content", ""))
    elif isinstance(chosen := given.get("chosen"), list) and chosen and isinstance(chosen[-1], dict):
        item.setdefault("reference", chosen[-1].get("content", ""))
    try:
        return TriedRow(prompt=_in_words(turns) or str(given.get("prompt", "")), item=item)
    except ValidationError as error:
        what = str(error.errors()[0]["msg"])
        raise InvalidInput("A row cannot be used.", (Problem(where="rows", what=what),)) from None


def _in_words(turns: Sequence[Mapping[str, Any]]) -> str:
    if len(turns) == 1:
        return str(turns[0].get("content", ""))
    return "\n\n".join(f"{turn.get('role', '')}: {turn.get('content', '')}" for turn in turns)


# Answers


def evaluated_runs(session: Session, most: int = 50) -> list[Run]:
    """The latest runs that were evaluated, and so have answers to try a grader on."""
    evaluated = select(Report.run_id).where(Report.kind == "evaluation").distinct()
    latest = select(Run).where(Run.id.in_(evaluated)).order_by(Run.created_at.desc()).limit(most)
    return list(session.scalars(latest))


def answers_of_run(session: Session, run_id: UUID) -> list[TriedAnswer]:
    """The samples of its last evaluation, with what is known of their rows."""
    run = session.get(Run, run_id)
    if run is None:
        raise NotFound("There is no run here: it may have been deleted.")
    reports = select(Report).where(Report.run_id == run_id, Report.kind == "evaluation")
    for report in session.scalars(reports.order_by(Report.seq.desc())):
        if isinstance(report.what, EvaluationEvent) and report.what.evaluation.samples:
            return [_answer(run.spec, sample) for sample in report.what.evaluation.samples]
    raise InvalidInput(
        "This run has no evaluated answers yet.", (Problem(where="run", what="has no evaluated answers yet"),)
    )


def _answer(spec: RunSpec, sample: SampledAnswer) -> TriedAnswer:
    item: dict[str, Any] = {}
    if sample.reference is not None:
        item = {"reference": sample.reference} | {_compared_with(spec.grader): sample.reference}
    return TriedAnswer(output_text=sample.output_text, prompt=sample.prompt, item=item)


def _compared_with(grader: Grader | None) -> str:
    """The one field that the run's own grader filled its reference from."""
    found = ONE_FIELD.fullmatch(str(getattr(grader, "reference", "") or "").strip())
    return found.group(1) if found else "reference"
