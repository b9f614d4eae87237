"""Datasets: bringing one's own rows, what is in them, and a repaired copy."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app import runs
from app.datasets.allowing import Allowed, allowed
from app.errors import WrongMediaType
from app.http_json import StrictRoute
from app.models import Dataset
from app.protocol import (
    BroughtFile,
    DatasetOrder,
    DatasetSummary,
    HeldOut,
    ListedFile,
    Look,
    Message,
    Name,
    ProfileOrder,
    Reading,
    RowsPage,
    UploadedDataset,
)
from app.web import bringing
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.bringing import AnySource
from app.web.deps import DatasetDep, Parts, PartsDep, SessionDep, SweepDep, WorkerDep
from app.web.uploads import Arrived, receive

router = APIRouter(tags=["datasets"], route_class=StrictRoute)

ACCEPTED = ("application/jsonl", "application/x-ndjson", "application/octet-stream", "text/plain", "text/csv")
PARQUET = "application/vnd.apache.parquet"


class DatasetView(BaseModel):
    id: UUID
    name: str
    sha256: str
    created_at: datetime
    source: str
    summary: DatasetSummary
    allows: list[Allowed]


class LookOrder(Message):
    source: AnySource
    reading: Reading = Reading()


class BringOrder(LookOrder):
    name: Name
    mend: bool = False
    """Leave out or mend the rows that cannot be used, instead of refusing the file."""


class RepairOrder(Message):
    name: Name | None = None


@router.get("/datasets", summary="All datasets that were brought, newest first")
def list_datasets(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> Page[DatasetView]:
    found, following = page_of(session, Dataset, limit, cursor)
    return Page(items=[_view(dataset) for dataset in found], next=following)


@router.post(
    "/datasets",
    status_code=201,
    summary="Upload a file of rows in one request",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in (*ACCEPTED, PARQUET)
            },
        }
    },
)
async def upload_dataset(
    request: Request,
    parts: PartsDep,
    response: Response,
    name: Annotated[Name, Query(description="How it is shown.")],
) -> DatasetView:
    """Every row is judged before the answer; problems are named by line. The body is the file itself."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in (*ACCEPTED, PARQUET):
        raise WrongMediaType("Send the file itself, with `Content-Type: application/jsonl`.")
    arrived = await receive(request.stream(), parts.settings)
    dataset = await run_in_threadpool(_handed_over, parts, arrived, name)
    response.headers["Location"] = f"/api/v1/datasets/{dataset.id}"
    return _view(dataset)


def _handed_over(parts: Parts, arrived: Arrived, name: str) -> Dataset:
    try:
        file = bringing.hand_over(parts, arrived, name, "a file sent over the API")
    finally:
        arrived.discard()
    return bringing.keep_dataset(parts, DatasetOrder(file=file.sha256), name)


@router.post("/datasets/look", summary="The first rows of a file, before it is decided how to read it")
def look(order: LookOrder, parts: PartsDep) -> Look:
    """The source is fetched to the worker, which then knows it as `{"kind": "file", "sha256": ...}`."""
    file = bringing.bring(parts, order.source)
    return parts.worker.look(file.sha256, order.reading)


@router.post(
    "/datasets/from", status_code=201, summary="A dataset from an upload, the hub or the worker's files"
)
def bring_dataset(order: BringOrder, parts: PartsDep, response: Response) -> DatasetView:
    file: BroughtFile = bringing.bring(parts, order.source)
    read = DatasetOrder(file=file.sha256, reading=order.reading, mend=order.mend)
    dataset = bringing.keep_dataset(parts, read, order.name)
    response.headers["Location"] = f"/api/v1/datasets/{dataset.id}"
    return _view(dataset)


@router.get("/files", summary="Files in the worker's own folder of datasets")
def list_files(worker: WorkerDep) -> list[ListedFile]:
    return worker.local_files()


@router.get("/datasets/{dataset_id}", summary="What a dataset holds, with its first rows")
def show_dataset(dataset: DatasetDep) -> DatasetView:
    return _view(dataset)


# The worker is asked outside any transaction.


@router.get("/datasets/{dataset_id}/rows", summary="Rows of a dataset, as they are learned from")
def show_rows(
    dataset_id: UUID,
    parts: PartsDep,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> RowsPage:
    dataset = bringing.dataset_of(parts, dataset_id)
    return parts.worker.rows(UploadedDataset(sha256=dataset.sha256), offset, limit)


@router.get("/datasets/{dataset_id}/split", summary="The rows that an evaluation of so many items holds out")
def show_split(
    dataset_id: UUID, parts: PartsDep, items: Annotated[int, Query(ge=1, le=10_000)] = 200
) -> HeldOut:
    return parts.worker.held_out(bringing.dataset_of(parts, dataset_id).sha256, items)


@router.post("/datasets/{dataset_id}/profile", summary="Count the tokens by another model's tokenizer")
def profile(dataset_id: UUID, order: ProfileOrder, parts: PartsDep) -> DatasetView:
    return _view(bringing.profiled(parts, dataset_id, order))


@router.post("/datasets/{dataset_id}/repair", status_code=201, summary="A repaired copy; the original stays")
def repair(dataset_id: UUID, order: RepairOrder, parts: PartsDep, response: Response) -> DatasetView:
    dataset = bringing.dataset_of(parts, dataset_id)
    made = bringing.repaired(parts, dataset, order.name or bringing.repaired_name(dataset))
    response.headers["Location"] = f"/api/v1/datasets/{made.id}"
    return _view(made)


@router.delete("/datasets/{dataset_id}", status_code=204, summary="Delete a dataset")
def delete_dataset(dataset: DatasetDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks) -> None:
    runs.delete_dataset(session, dataset)
    after.add_task(sweep.wake)


def _view(dataset: Dataset) -> DatasetView:
    return DatasetView(
        id=dataset.id,
        name=dataset.name,
        sha256=dataset.sha256,
        created_at=dataset.created_at,
        source=dataset.source,
        summary=dataset.summary,
        allows=allowed(dataset.summary),
    )
