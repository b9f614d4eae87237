"""Datasets: bringing one's own rows, and what is in them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app import runs
from app.errors import WrongMediaType
from app.http_json import StrictRoute
from app.models import Dataset
from app.protocol import DatasetSummary, Name
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.deps import DatasetDep, PartsDep, SessionDep, SweepDep
from app.web.uploads import keep_dataset, receive

router = APIRouter(tags=["datasets"], route_class=StrictRoute)

ACCEPTED = ("application/jsonl", "application/x-ndjson", "application/octet-stream", "text/plain")


class DatasetView(BaseModel):
    id: UUID
    name: str
    sha256: str
    created_at: datetime
    summary: DatasetSummary


@router.get("/datasets", summary="All uploaded datasets, newest first")
def list_datasets(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> Page[DatasetView]:
    found, following = page_of(session, Dataset, limit, cursor)
    return Page(items=[_view(dataset) for dataset in found], next=following)


@router.post(
    "/datasets",
    status_code=201,
    summary="Upload rows as JSON lines",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/jsonl": {"schema": {"type": "string", "format": "binary"}}},
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
    if kind not in ACCEPTED:
        raise WrongMediaType("Send the file itself, with `Content-Type: application/jsonl`.")
    arrived = await receive(request.stream(), parts.settings)
    dataset = await run_in_threadpool(keep_dataset, parts.database, parts.worker, parts.sweep, arrived, name)
    response.headers["Location"] = f"/api/v1/datasets/{dataset.id}"
    return _view(dataset)


@router.get("/datasets/{dataset_id}", summary="What a dataset holds, with its first rows")
def show_dataset(dataset: DatasetDep) -> DatasetView:
    return _view(dataset)


@router.delete("/datasets/{dataset_id}", status_code=204, summary="Delete a dataset")
def delete_dataset(dataset: DatasetDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks) -> None:
    runs.delete_dataset(session, dataset)
    after.add_task(sweep.wake)


def _view(dataset: Dataset) -> DatasetView:
    return DatasetView.model_validate(dataset, from_attributes=True)
