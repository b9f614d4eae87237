"""Bringing a dataset: a file, the hub or the worker's own files; its columns; what to fix, line by line."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from app.errors import Conflict, InvalidInput, NotFound, Problem, TooLarge, Unavailable
from app.protocol import (
    BroughtFile,
    DatasetOrder,
    HubDataset,
    ListedFile,
    Look,
    Name,
    Reading,
    WorkerFile,
)
from app.web import bringing, column_form, profile_words
from app.web.bringing import FinishedUpload
from app.web.deps import Parts, PartsDep, render
from app.web.uploads import receive

router = APIRouter()

CHUNK = 1 << 16
NAME: TypeAdapter[str] = TypeAdapter(Name)
Sha = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]

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
        {"prompt": "Is the notice valid? ...", "chosen": "Yes, because ...", "rejected": "Who knows."},
    )
)


@dataclass
class Wanted:
    """What was asked for, and what came of it."""

    way: str = "file"
    name: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    lines: Sequence[Problem] = ()
    file: BroughtFile | None = None
    """On the worker, where rows that cannot be used may be left out of it."""


@router.get("/datasets/new")
def new_dataset(request: Request, parts: PartsDep) -> Response:
    return _form(request, parts, Wanted())


def _form(request: Request, parts: Parts, wanted: Wanted) -> Response:
    return render(
        request,
        "datasets_new.html",
        422 if wanted.problems or wanted.lines else 200,
        problems=wanted.problems,
        lines=[(each.where, profile_words.coded(each.what)) for each in wanted.lines],
        wanted=wanted.name,
        given=wanted.given,
        way=wanted.way,
        mendable=wanted.file if any(each.where != "file" for each in wanted.lines) else None,
        local_files=_local_files(parts),
        example=EXAMPLE,
    )


def _local_files(parts: Parts) -> list[ListedFile]:
    if parts.sweep.worker_away is not None:
        return []
    try:
        return parts.worker.local_files()
    except Unavailable:
        return []


# A file


@router.post("/datasets")
async def upload(request: Request, parts: PartsDep) -> Response:
    """The file itself, or the id of an upload of which every byte is here."""
    async with request.form(max_files=1, max_fields=10) as form:
        wanted = Wanted(name=str(form.get("name") or ""))
        try:
            file = await _arrived(form, parts)
        except (InvalidInput, TooLarge, NotFound, Conflict) as error:
            wanted.problems = [Problem(where="file", what=error.sentence)]
            return await run_in_threadpool(_form, request, parts, wanted)
        except Unavailable as error:
            wanted.problems = [Problem(where="file", what=f"{error.sentence} Upload it again.")]
            return await run_in_threadpool(_form, request, parts, wanted)
    return await run_in_threadpool(_read_or_ask, request, parts, file, wanted)


async def _arrived(form: FormData, parts: Parts) -> BroughtFile:
    file, upload_id = form.get("file"), form.get("upload")
    if isinstance(upload_id, str) and upload_id:
        return await run_in_threadpool(bringing.bring, parts, _finished(upload_id))
    if not isinstance(file, UploadFile) or not file.filename:
        raise InvalidInput("Choose a file to upload.")
    arrived = await receive(_chunks(file), parts.settings)
    try:
        return await run_in_threadpool(bringing.hand_over, parts, arrived, file.filename)
    finally:
        arrived.discard()


def _finished(upload_id: str) -> FinishedUpload:
    try:
        return FinishedUpload.model_validate({"id": upload_id})
    except ValidationError:
        raise NotFound("There is no such upload; choose the file again.") from None


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk


# The hub, or the worker's own files


@router.post("/datasets/fetch")
async def fetch(request: Request, parts: PartsDep) -> Response:
    async with request.form(max_files=0, max_fields=20) as form:
        given = {key: str(value).strip() for key, value in form.items()}
    return await run_in_threadpool(_fetch, request, parts, given)


def _fetch(request: Request, parts: Parts, given: Mapping[str, str]) -> Response:
    wanted = Wanted(way=given.get("way", "hub"), name=given.get("name", ""), given=given)
    try:
        file = bringing.bring(parts, _source(given))
    except ValidationError as error:
        place = str(error.errors()[0]["loc"][-1])
        wanted.problems = [Problem(where=place, what=_HUB_FIELDS.get(place, "This cannot be used."))]
        return _form(request, parts, wanted)
    except (InvalidInput, TooLarge, NotFound, Unavailable) as error:
        told = error.problems[0] if error.problems else Problem(where=_place(wanted), what=error.sentence)
        sentence = f"{told.what[0].upper()}{told.what[1:].rstrip('.')}."
        wanted.problems = [Problem(where=told.where, what=sentence)]
        return _form(request, parts, wanted)
    return _read_or_ask(request, parts, file, wanted)


def _source(given: Mapping[str, str]) -> HubDataset | WorkerFile:
    if given.get("way") == "worker":
        return WorkerFile(name=given.get("local", ""))
    return HubDataset(
        id=given.get("id", ""),
        split=given.get("split") or "train",
        config=given.get("config") or None,
        revision=given.get("revision") or None,
    )


def _place(wanted: Wanted) -> str:
    return "local" if wanted.way == "worker" else "id"


_HUB_FIELDS = {
    "id": "Write the dataset’s id as on its page, such as org/name.",
    "config": "A configuration has letters, digits, and . - _ only.",
    "split": "A split has letters, digits, and . - _ only; such as train.",
    "revision": "A revision is a commit, a branch or a tag.",
    "name": "Choose one of the worker’s files.",
}


# From the file to the dataset


def _read_or_ask(request: Request, parts: Parts, file: BroughtFile, wanted: Wanted) -> Response:
    """The dataset, or the step that names its columns, or the form with every problem by line."""
    try:
        name = NAME.validate_python(wanted.name.strip() or file.name)
    except ValidationError as error:
        sentence = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        wanted.problems = [Problem(where="name", what=f"Name: {sentence}.")]
        return _form(request, parts, wanted)
    try:
        dataset = bringing.keep_dataset(parts, DatasetOrder(file=file.sha256), name)
    except InvalidInput as error:
        return _ask_or_refuse(request, parts, file, wanted, error, name)
    except Unavailable as error:
        wanted.problems = [Problem(where="file", what=f"{error.sentence} Upload it again.")]
        return _form(request, parts, wanted)
    return RedirectResponse(f"/datasets/{dataset.id}", 303)


def _ask_or_refuse(
    request: Request, parts: Parts, file: BroughtFile, wanted: Wanted, error: InvalidInput, name: str
) -> Response:
    look = parts.worker.look(file.sha256, Reading())
    if look.columns and not look.reads_plainly:
        return RedirectResponse(f"/datasets/new/{file.sha256}?{urlencode({'name': name})}", 303)
    wanted.problems = [Problem(where="file", what=error.sentence)]
    wanted.lines, wanted.file, wanted.name = error.problems, file, name
    return _form(request, parts, wanted)


@router.get("/datasets/new/{sha256}")
def name_columns(
    request: Request, sha256: Sha, parts: PartsDep, name: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    look = parts.worker.look(sha256, Reading())
    return _columns_page(request, look, {"name": name or look.file.name, **column_form.suggested(look)})


def _columns_page(
    request: Request,
    look: Look,
    form: Mapping[str, str],
    problems: Sequence[Problem] = (),
    lines: Sequence[Problem] = (),
) -> Response:
    return render(
        request,
        "datasets_columns.html",
        422 if problems or lines else 200,
        look=look,
        form=form,
        fields=[(part, label, profile_words.coded(hint)) for part, label, hint in column_form.PARTS],
        options=column_form.options(look),
        delimiters=column_form.DELIMITERS,
        table=column_form.table(look),
        problems=problems,
        lines=[(each.where, profile_words.coded(each.what)) for each in lines],
        mendable=any(each.where != "file" for each in lines),
    )


@router.post("/datasets/new/{sha256}")
async def read_columns(request: Request, sha256: Sha, parts: PartsDep) -> Response:
    async with request.form(max_files=0, max_fields=30) as form:
        given = {key: str(value) for key, value in form.items()}
    return await run_in_threadpool(_read_columns, request, parts, sha256, given)


def _read_columns(request: Request, parts: Parts, sha256: str, given: dict[str, Any]) -> Response:
    action = given.get("action", "read")
    if action == "mend-plainly":
        return _read_as(request, parts, sha256, Reading(), given)
    reading, problems = column_form.reading_of(given)
    if action == "look" or problems:
        look = parts.worker.look(sha256, reading.model_copy(update={"columns": None}))
        if action == "look":
            return _columns_page(request, look, given | column_form.suggested(look))
        return _columns_page(request, look, given, problems)
    return _read_as(request, parts, sha256, reading, given)


def _read_as(
    request: Request, parts: Parts, sha256: str, reading: Reading, given: Mapping[str, str]
) -> Response:
    problems: list[Problem] = []
    lines: Sequence[Problem] = ()
    try:
        name = NAME.validate_python(given.get("name", "").strip() or parts.worker.file(sha256).name)
        order = DatasetOrder(file=sha256, reading=reading, mend=given.get("action", "").startswith("mend"))
        dataset = bringing.keep_dataset(parts, order, name)
        return RedirectResponse(f"/datasets/{dataset.id}", 303)
    except ValidationError as error:
        sentence = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        problems = [Problem(where="name", what=f"Name: {sentence}.")]
    except (InvalidInput, Conflict, Unavailable) as error:
        problems, lines = [Problem(where="prompt", what=error.sentence)], error.problems
    look = parts.worker.look(sha256, reading.model_copy(update={"columns": None}))
    return _columns_page(request, look, given, problems, lines)
