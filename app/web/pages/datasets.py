"""Datasets: the user's own and the generated ones, what is in them, what they allow, and repaired copies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.datasets import generated
from app.datasets.allowing import allowed
from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.models import Dataset, Run
from app.protocol import (
    DatasetRef,
    DatasetSummary,
    GeneratedDataset,
    HubModel,
    LocalModel,
    ModelRef,
    ProfileOrder,
    RowsPage,
    UploadedDataset,
)
from app.web import bringing, inspecting, profile_words, run_words
from app.web.deps import DatasetDep, Parts, PartsDep, SessionDep, SweepDep, WorkerDep, render
from app.web.named_datasets import generated_id

router = APIRouter()

ROWS_A_PAGE = 20


# The list


@dataclass(frozen=True)
class Made:
    """A generated dataset; its counts are the worker's, which may be away."""

    name: str
    title: str
    description: str
    summary: DatasetSummary | None


def made(worker: WorkerDep, sweep: SweepDep) -> list[Made]:
    """Asked before the request's transaction begins."""
    summaries: Mapping[str, DatasetSummary] = {}
    if sweep.worker_away is None:
        try:
            summaries = {s.ref.name: s for s in worker.datasets() if s.ref.kind == "generated"}
        except Unavailable:
            summaries = {}
    return [
        Made(name, task.title, task.description, summaries.get(name))
        for name, task in generated.TASKS.items()
    ]


MadeDep = Annotated[list[Made], Depends(made)]


@router.get("/datasets")
def list_datasets(request: Request, made: MadeDep, session: SessionDep) -> Response:
    own = list(session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))
    return render(
        request,
        "datasets.html",
        own=own,
        made=made,
        allowed=allowed,
        size=run_words.size,
        kind_words=profile_words.KIND_WORDS,
    )


@router.get("/datasets/generated/{name}")
def show_generated(request: Request, name: str, made: MadeDep, session: SessionDep) -> Response:
    found = next((each for each in made if each.name == name), None)
    if found is None:
        raise NotFound("There is no generated dataset of this name.")
    return render(
        request,
        "dataset.html",
        dataset=None,
        title=found.title,
        description=found.description,
        summary=found.summary,
        used_by=_used_by(session, "generated", name),
        **_linked(session, generated_id(name)),
        inspect_at=f"/datasets/generated/{name}/inspect",
        problem="",
        rows_at=f"/datasets/generated/{name}/rows",
        **_shown(found.summary),
    )


# One dataset


@router.get("/datasets/{dataset_id}")
def show_dataset(request: Request, dataset: DatasetDep, session: SessionDep) -> Response:
    return _dataset_page(request, session, dataset)


def _dataset_page(
    request: Request, session: Session, dataset: Dataset, problem: str = "", model: str = ""
) -> Response:
    return render(
        request,
        "dataset.html",
        422 if problem else 200,
        dataset=dataset,
        title=dataset.name,
        description="",
        summary=dataset.summary,
        used_by=_used_by(session, "uploaded", dataset.sha256),
        **_linked(session, dataset.id),
        inspect_at=f"/datasets/{dataset.id}/inspect",
        problem=problem,
        wanted_model=model,
        rows_at=f"/datasets/{dataset.id}/rows",
        **_shown(dataset.summary),
    )


def _linked(session: Session, dataset_id: UUID) -> dict[str, Any]:
    linked, others = inspecting.assessments(session, dataset_id)
    return {"linked": linked, "others": others}


@dataclass(frozen=True)
class PreviewRow:
    messages: list[tuple[str, str]]
    fields: list[tuple[str, str]]


def _shown(summary: DatasetSummary | None) -> dict[str, Any]:
    if summary is None:
        return {"allowed": [], "rows": [], "size": run_words.size, "profile": None}
    return {
        "allowed": allowed(summary),
        "rows": [_preview(row) for row in summary.preview],
        "size": run_words.size,
        "kind_words": profile_words.KIND_WORDS,
        **profile_words.of_profile(summary),
    }


PARTS_OF_ROWS = ("messages", "chosen", "rejected", "text")


def _preview(row: Mapping[str, Any]) -> PreviewRow:
    said = [(str(m.get("role", "")).capitalize(), str(m.get("content", ""))) for m in row.get("messages", [])]
    for name, word in (("chosen", "Chosen"), ("rejected", "Rejected")):
        said += [(f"{word}: {m.get('role', '')}", str(m.get("content", ""))) for m in row.get(name) or []]
    if "text" in row:
        said.append(("Text", str(row["text"])))
    fields = [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in row.items()
        if key not in PARTS_OF_ROWS
    ]
    return PreviewRow(said, fields)


PageNumber = Annotated[int, Query(ge=1, le=10_000_000)]


@router.get("/datasets/generated/{name}/rows")
def show_generated_rows(request: Request, name: str, worker: WorkerDep, page: PageNumber = 1) -> Response:
    if name not in generated.NAMES:
        raise NotFound("There is no generated dataset of this name.")
    ref = GeneratedDataset.model_validate({"name": name})
    rows = worker.rows(ref, (page - 1) * ROWS_A_PAGE, ROWS_A_PAGE)
    return _rows_page(request, rows, page, f"/datasets/generated/{name}", generated.TASKS[name].title, "row")


@router.get("/datasets/{dataset_id}/rows")
def show_rows(request: Request, dataset_id: UUID, parts: PartsDep, page: PageNumber = 1) -> Response:
    dataset = bringing.dataset_of(parts, dataset_id)
    ref = UploadedDataset(sha256=dataset.sha256)
    rows = parts.worker.rows(ref, (page - 1) * ROWS_A_PAGE, ROWS_A_PAGE)
    unit = profile_words.unit(dataset.summary)
    return _rows_page(request, rows, page, f"/datasets/{dataset.id}", dataset.name, unit)


def _rows_page(request: Request, rows: RowsPage, page: int, at: str, title: str, unit: str) -> Response:
    last = max(1, -(-rows.total // ROWS_A_PAGE))
    if page > last:
        raise NotFound(f"This dataset has {last:,} pages of rows.")
    return render(
        request,
        "dataset_rows.html",
        at=at,
        title=title,
        rows=list(zip(map(_preview, rows.rows), rows.lines, rows.held_out, strict=True)),
        total=rows.total,
        first=rows.offset + 1,
        page=page,
        last=last,
        unit=unit,
    )


@router.post("/datasets/{dataset_id}/profile")
def profile(
    request: Request, dataset_id: UUID, parts: PartsDep, model: Annotated[str, Form(max_length=300)] = ""
) -> Response:
    """The tokens counted by another model's tokenizer."""
    try:
        bringing.profiled(parts, dataset_id, ProfileOrder(model=_model(model.strip())))
    except ValidationError:
        return _with_problem(request, parts, dataset_id, "Name a local model, or org/name of the hub.", model)
    except (InvalidInput, Unavailable) as error:
        said = error.problems[0].what if error.problems else error.sentence
        return _with_problem(request, parts, dataset_id, f"{said[0].upper()}{said[1:].rstrip('.')}.", model)
    return RedirectResponse(f"/datasets/{dataset_id}#lengths", 303)


def _model(given: str) -> ModelRef | None:
    if not given:
        return None
    return HubModel(id=given) if "/" in given else LocalModel(name=given)


def _with_problem(
    request: Request, parts: Parts, dataset_id: UUID, problem: str, model: str = ""
) -> Response:
    dataset = bringing.dataset_of(parts, dataset_id)
    with parts.database.reading() as session, session.begin():
        return _dataset_page(request, session, dataset, problem, model)


@router.post("/datasets/{dataset_id}/repair")
def repair(request: Request, dataset_id: UUID, parts: PartsDep) -> Response:
    dataset = bringing.dataset_of(parts, dataset_id)
    try:
        made = bringing.repaired(parts, dataset, bringing.repaired_name(dataset))
    except Conflict as error:
        return _with_problem(request, parts, dataset_id, error.sentence)
    except InvalidInput as error:
        said = error.problems[0].what if error.problems else error.sentence
        return _with_problem(request, parts, dataset_id, f"A repaired copy could not be used: {said}.")
    return RedirectResponse(f"/datasets/{made.id}", 303)


def _used_by(session: Session, kind: str, key: str) -> list[Run]:
    recent = session.scalars(select(Run).order_by(Run.created_at.desc()).limit(500))
    return [run for run in recent if _learns_from(run.spec.dataset, kind, key)][:10]


def _learns_from(ref: DatasetRef | None, kind: str, key: str) -> bool:
    if ref is None or ref.kind != kind:
        return False
    return (ref.name if ref.kind == "generated" else ref.sha256) == key


@router.get("/datasets/{dataset_id}/delete")
def ask_delete(request: Request, dataset: DatasetDep, session: SessionDep) -> Response:
    used_by = _used_by(session, "uploaded", dataset.sha256)
    return render(request, "dataset_delete.html", dataset=dataset, used_by=used_by)


@router.post("/datasets/{dataset_id}/delete")
def delete_dataset(
    dataset: DatasetDep, session: SessionDep, sweep: SweepDep, tasks: BackgroundTasks
) -> Response:
    runs.delete_dataset(session, dataset)
    tasks.add_task(sweep.wake)
    return RedirectResponse("/datasets", 303)
