"""What a grader is tried on: rows of a dataset, answers that a run was evaluated on."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database import Database
from app.datasets import generated
from app.datasets.gathering import PREVIEW_ROWS
from app.errors import Conflict, InvalidInput, NotFound, Problem
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

CUT = re.compile(r"(?<=[\s\S]{2000}) \[\d+ characters more\]\Z")
"""How texts of evaluations end that were too long to be stored whole; no short one was cut."""

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
    """The first ones, whole. No transaction may be open: they are asked of the worker."""
    if isinstance(ref, UploadedDataset):
        with database.reading() as session:
            found = session.scalars(select(Dataset).where(Dataset.sha256 == ref.sha256)).first()
        if found is None:
            raise NotFound("There is no dataset with this hash.")
    return [tried_row(row) for row in worker.rows(ref, 0, PREVIEW_ROWS, whole=True).rows]


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


def answers_of_run(database: Database, worker: WorkerClient, run_id: UUID) -> tuple[list[TriedAnswer], str]:
    """The samples of its last evaluation with their rows, and a remark on those that lack something.

    No transaction may be open: the rows are asked of the worker.
    """
    with database.reading() as session:
        spec, samples = _samples(session, run_id)
    whole = [sample for sample in samples if not CUT.search(sample.output_text)]
    rows = _rows_of(worker, spec, whole)
    known = [sample for sample in whole if sample.item in rows or not CUT.search(sample.reference or "")]
    if not known:
        raise _no_answers("This run’s evaluated answers were stored cut, so none of them can be graded.")
    poorer = sum(sample.item not in rows for sample in known)
    answers = [_answer(spec, sample, rows.get(sample.item)) for sample in known]
    return answers, _remark(len(samples) - len(known), poorer)


def _samples(session: Session, run_id: UUID) -> tuple[RunSpec, list[SampledAnswer]]:
    run = session.get(Run, run_id)
    if run is None:
        raise NotFound("There is no run here: it may have been deleted.")
    reports = select(Report).where(Report.run_id == run_id, Report.kind == "evaluation")
    for report in session.scalars(reports.order_by(Report.seq.desc())):
        evaluation = report.what.evaluation if isinstance(report.what, EvaluationEvent) else None
        if evaluation and evaluation.task == "main" and evaluation.samples:
            return run.spec, evaluation.samples
    raise _no_answers("This run has no evaluated answers yet.")


def _no_answers(sentence: str) -> InvalidInput:
    return InvalidInput(sentence, (Problem(where="run", what=sentence),))


def _remark(left_out: int, poorer: int) -> str:
    parts = []
    if left_out:
        parts.append(f"Left out because they, or what they are compared with, were stored cut: {left_out}.")
    if poorer:
        parts.append(f"Graded with no more of their row than its reference, as it was not found: {poorer}.")
    return " ".join(parts)


def _rows_of(worker: WorkerClient, spec: RunSpec, samples: Sequence[SampledAnswer]) -> dict[int, TriedRow]:
    """By place among the held-out rows; only those whose prompt is the one that was asked."""
    found: dict[int, TriedRow] = {}
    with suppress(NotFound, Conflict):
        places = _held_out_places(worker, spec)
        for sample in samples:
            if spec.dataset and sample.item < len(places):
                (given,) = worker.rows(spec.dataset, places[sample.item], 1, whole=True).rows
                row = tried_row(given)
                if _asked(sample, row.prompt):
                    found[sample.item] = row
    return found


def _held_out_places(worker: WorkerClient, spec: RunSpec) -> Sequence[int]:
    """Numbers of the held-out rows, as the run's evaluation counts them."""
    if isinstance(spec.dataset, UploadedDataset):
        return worker.held_out(spec.dataset.sha256, spec.evaluation.items).rows
    if spec.dataset is None:
        return ()
    made = generated.generate(spec.dataset.name)
    return range(len(made.train), len(made.train) + len(made.held_out))


def _asked(sample: SampledAnswer, prompt: str) -> bool:
    cut = CUT.search(sample.prompt)
    prompt = prompt.replace("\x00", "\ufffd")
    return prompt.startswith(sample.prompt[: cut.start()]) if cut else prompt == sample.prompt


def _answer(spec: RunSpec, sample: SampledAnswer, row: TriedRow | None) -> TriedAnswer:
    if row:
        return TriedAnswer(output_text=sample.output_text, prompt=row.prompt, item=row.item)
    item: dict[str, Any] = {}
    if sample.reference is not None:
        item = {"reference": sample.reference} | {_compared_with(spec.grader): sample.reference}
    return TriedAnswer(output_text=sample.output_text, prompt=sample.prompt, item=item)


def _compared_with(grader: Grader | None) -> str:
    """The one field that the run's own grader filled its reference from."""
    found = ONE_FIELD.fullmatch(str(getattr(grader, "reference", "") or "").strip())
    return found.group(1) if found else "reference"
