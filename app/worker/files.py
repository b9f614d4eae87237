"""Files on their way to becoming datasets, over HTTP: sent, fetched from the hub, or the worker's own."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from app.http_json import StrictRoute
from app.protocol import BroughtFile, HubDataset, ListedFile, Look, Name, Reading, Sha256, Source
from app.worker.parts import DatasetsDep

router = APIRouter(prefix="/files", route_class=StrictRoute)


@router.get("")
def list_files(datasets: DatasetsDep) -> list[ListedFile]:
    """Those in the worker's own folder."""
    return datasets.brought.local_files()


@router.put("/{sha256}")
async def put_file(
    sha256: Sha256,
    request: Request,
    datasets: DatasetsDep,
    name: Annotated[Name, Query()],
    source: Annotated[str, Query(max_length=300)] = "",
) -> BroughtFile:
    return await datasets.brought.receive(sha256, request.stream(), name, source)


@router.post("")
def bring(source: Source, datasets: DatasetsDep) -> BroughtFile:
    """From the hub or from the worker's own folder."""
    if isinstance(source, HubDataset):
        return datasets.fetch(source)
    return datasets.brought.bring_local(source.name)


@router.get("/{sha256}")
def show_file(sha256: Sha256, datasets: DatasetsDep) -> BroughtFile:
    return datasets.brought.find(sha256)[1]


@router.post("/{sha256}/look")
def look(sha256: Sha256, reading: Reading, datasets: DatasetsDep) -> Look:
    return datasets.look(sha256, reading)
