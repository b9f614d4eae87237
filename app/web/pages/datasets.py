"""Datasets: the user's own and the generated ones, what is in them, and what they allow."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup, escape
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app import runs
from app.datasets import generated
from app.errors import InvalidInput, NotFound, Problem, TooLarge, WorkerAway
from app.models import Dataset, Run
from app.protocol import DatasetRef, DatasetSummary, Name
from app.web import run_words
from app.web.deps import DatasetDep, PartsDep, SessionDep, SweepDep, WorkerDep, render
from app.web.uploads import keep_dataset, receive

router = APIRouter()

CHUNK = 1 << 16
NAME: TypeAdapter[str] = TypeAdapter(Name)


# What a dataset allows


@dataclass(frozen=True)
class Allowed:
    method: str
    yes: bool
    sentence: str


def allowed(summary: DatasetSummary) -> list[Allowed]:
    return [_sft(summary), _grpo(summary)]


def _sft(summary: DatasetSummary) -> Allowed:
    if not summary.demonstrations:
        return Allowed(
            "sft",
            False,
            "Missing: demonstrations, that is rows whose last message is the assistant’s answer.",
        )
    few = " Fewer than 50 rarely change much." if summary.demonstrations < 50 else ""
    return Allowed("sft", True, f"{summary.demonstrations:,} demonstrations to learn from.{few}")


def _grpo(summary: DatasetSummary) -> Allowed:
    count = summary.prompts or summary.demonstrations
    fields = ", ".join(f"item.{name}" for name in summary.item_fields)
    if fields:
        return Allowed("grpo", True, f"{count:,} prompts; a grader can compare with {fields}.")
    if summary.demonstrations and not summary.prompts:
        return Allowed(
            "grpo",
            True,
            f"{count:,} prompts; a grader can compare with item.reference, the row’s own answer.",
        )
    return Allowed(
        "grpo",
        True,
        f"{count:,} prompts, but no field to compare an answer with: only a grader that needs none will do, "
        "such as a JSON Schema. Add a field to every row, for example “answer”, to compare with.",
    )


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
        except WorkerAway:
            summaries = {}
    return [
        Made(name, task.title, task.description, summaries.get(name))
        for name, task in generated.TASKS.items()
    ]


MadeDep = Annotated[list[Made], Depends(made)]


@router.get("/datasets")
def list_datasets(request: Request, made: MadeDep, session: SessionDep) -> Response:
    own = list(session.scalars(select(Dataset).order_by(Dataset.created_at.desc())))
    return render(request, "datasets.html", own=own, made=made, allowed=allowed, size=run_words.size)


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
        **_shown(found.summary),
    )


# Bringing one's own


@router.get("/datasets/new")
def new_dataset(request: Request) -> Response:
    return _form(request)


def _form(
    request: Request, problems: Sequence[Problem] = (), lines: Sequence[Problem] = (), name: str = ""
) -> Response:
    return render(
        request,
        "datasets_new.html",
        422 if problems or lines else 200,
        problems=problems,
        lines=[(each.where, coded(each.what)) for each in lines],
        wanted=name,
        example=EXAMPLE,
    )


def coded(sentence: str) -> Markup:
    """What stands between backticks, as code."""
    parts = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts)
    )


EXAMPLE = "\n".join(
    json.dumps(row)
    for row in (
        {
            "messages": [
                {"role": "user", "content": "Is the notice valid? ..."},
                {"role": "assistant", "content": "The notice is valid because ..."},
            ]
        },
        {"messages": [{"role": "user", "content": "Is the notice valid? ..."}], "answer": "valid"},
    )
)


@router.post("/datasets")
async def upload(request: Request, parts: PartsDep) -> Response:
    async with request.form(max_files=1, max_fields=10) as form:
        file, given = form.get("file"), str(form.get("name") or "")
        if not isinstance(file, UploadFile) or not file.filename:
            return _form(request, [Problem(where="file", what="Choose a file to upload.")], name=given)
        try:
            name = NAME.validate_python(given.strip() or PurePosixPath(file.filename).stem)
        except ValidationError as error:
            sentence = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            return _form(request, [Problem(where="name", what=f"Name: {sentence}.")], name=given)
        try:
            arrived = await receive(_chunks(file), parts.settings)
            dataset = await run_in_threadpool(
                keep_dataset, parts.database, parts.worker, parts.sweep, arrived, name
            )
        except (InvalidInput, TooLarge) as error:
            whole = [Problem(where="file", what=error.sentence)]
            return _form(request, whole, lines=error.problems, name=given)
        except WorkerAway as error:
            return _form(
                request, [Problem(where="file", what=f"{error.sentence} Upload it again.")], name=given
            )
    return RedirectResponse(f"/datasets/{dataset.id}", 303)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk


# One dataset


@router.get("/datasets/{dataset_id}")
def show_dataset(request: Request, dataset: DatasetDep, session: SessionDep) -> Response:
    return render(
        request,
        "dataset.html",
        dataset=dataset,
        title=dataset.name,
        description="",
        summary=dataset.summary,
        used_by=_used_by(session, "uploaded", dataset.sha256),
        **_shown(dataset.summary),
    )


@dataclass(frozen=True)
class PreviewRow:
    messages: list[tuple[str, str]]
    fields: list[tuple[str, str]]


def _shown(summary: DatasetSummary | None) -> dict[str, Any]:
    return {
        "allowed": allowed(summary) if summary else [],
        "rows": [_preview(row) for row in summary.preview] if summary else [],
        "size": run_words.size,
        "kind_words": KIND_WORDS,
    }


KIND_WORDS = {
    "demonstrations": "Demonstrations",
    "prompts": "Prompts without answers",
    "mixed": "Demonstrations and prompts",
}


def _preview(row: Mapping[str, Any]) -> PreviewRow:
    messages = [(str(m.get("role", "")), str(m.get("content", ""))) for m in row.get("messages", [])]
    fields = [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in row.items()
        if key != "messages"
    ]
    return PreviewRow(messages, fields)


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
