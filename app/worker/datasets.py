"""Datasets over HTTP: brought ones by what names them, generated ones by name."""

import tempfile
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool

from app.datasets import generated
from app.errors import InvalidInput, NotFound, Problem
from app.http_json import StrictRoute
from app.protocol import (
    DatasetOrder,
    DatasetSummary,
    FetchOrder,
    HeldOut,
    HubModel,
    LocalModel,
    ModelRef,
    ProfileOrder,
    RowsPage,
    RunState,
    Sha256,
    UploadedDataset,
)
from app.worker.dataset_store import generated_page, generated_profile, generated_summary
from app.worker.fetching import fetch
from app.worker.parts import DatasetsDep, Parts, PartsDep, SupervisorDep
from app.worker.tokenizers import FoundTokenizer, tokenizer_in

router = APIRouter(prefix="/datasets", route_class=StrictRoute)

Key = Annotated[str, Path(pattern=r"^([0-9a-f]{64}|[a-z_]{1,40})$")]
"""Of a brought dataset its identity, of a generated one its name."""

NO_DATASET = "There is no such dataset on this worker; upload it again."


@router.put("/{sha256}")
async def put_dataset(sha256: Sha256, request: Request, parts: PartsDep) -> DatasetSummary:
    """A file that its own bytes and field names explain."""
    usual = await run_in_threadpool(usual_tokenizer, parts)
    return await parts.datasets.receive(sha256, request.stream(), usual)


@router.post("")
def read_dataset(order: DatasetOrder, parts: PartsDep) -> DatasetSummary:
    """A brought file, read as it is said."""
    return parts.datasets.read(order, usual_tokenizer(parts))


@router.get("")
def list_datasets(datasets: DatasetsDep) -> list[DatasetSummary]:
    return [*(generated_summary(name) for name in generated.NAMES), *datasets.uploads()]


@router.get("/{key}")
def show_dataset(key: Key, parts: PartsDep) -> DatasetSummary:
    """Of a generated one with its profile, which the list goes without."""
    if key in generated.NAMES:
        found_in = generated_profile(key, usual_tokenizer(parts))
        return generated_summary(key).model_copy(update={"profile": found_in})
    found = parts.datasets.summary(UploadedDataset(sha256=key)) if len(key) == 64 else None
    if found is None:
        raise NotFound(NO_DATASET)
    return found


@router.get("/{key}/rows")
def show_rows(
    key: Key,
    datasets: DatasetsDep,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    whole: bool = False,
) -> RowsPage:
    """Long texts are shortened, for people; `whole` rows are for graders."""
    if key in generated.NAMES:
        return generated_page(key, offset, limit, whole)
    return datasets.page(key, offset, limit, whole)


@router.get("/{sha256}/split")
def show_split(
    sha256: Sha256, datasets: DatasetsDep, items: Annotated[int, Query(ge=1, le=10_000)] = 200
) -> HeldOut:
    return datasets.held_out(sha256, items)


@router.post("/{sha256}/profile")
def profile(sha256: Sha256, order: ProfileOrder, parts: PartsDep) -> DatasetSummary:
    """The tokens counted again, by the tokenizer of the model that is meant."""
    if isinstance(order.model, HubModel):
        with tempfile.TemporaryDirectory(prefix="tokenizer-") as folder:
            return parts.datasets.profile(sha256, _from_the_hub(order.model, FilePath(folder), parts))
    return parts.datasets.profile(sha256, tokenizer_of(order.model, parts))


@router.post("/{sha256}/repair")
def repair(sha256: Sha256, parts: PartsDep) -> DatasetSummary:
    """A copy without what can be repaired, as a dataset of its own."""
    return parts.datasets.repair(sha256, usual_tokenizer(parts))


@router.delete("/{sha256}", status_code=204)
def delete_dataset(sha256: Sha256, datasets: DatasetsDep, supervisor: SupervisorDep) -> None:
    if not datasets.find(sha256):
        raise NotFound("There is no such dataset on this worker.")
    supervisor.refuse_if_used(sha256)
    datasets.delete(sha256)


# Whose tokens are counted


def usual_tokenizer(parts: Parts) -> FoundTokenizer | None:
    """The starter's, once it is trained."""
    status = parts.supervisor.starter()
    if status is None or status.state is not RunState.SUCCEEDED:
        return None
    return tokenizer_in(parts.supervisor.run_dir(status.id).model_dir, "the starter model")


def tokenizer_of(model: ModelRef | None, parts: Parts) -> FoundTokenizer | None:
    if not isinstance(model, LocalModel):
        return usual_tokenizer(parts)
    folder = parts.models.find(model.name)
    found = tokenizer_in(folder, f"the local model {model.name}") if folder else None
    if found is None:
        what = "no model of this name with a tokenizer.json is in the worker's models folder"
        raise InvalidInput("There is no such tokenizer.", (Problem(where="model", what=what),))
    return found


def _from_the_hub(model: HubModel, folder: FilePath, parts: Parts) -> FoundTokenizer:
    order = FetchOrder(model=model, folder=str(folder), max_bytes=50_000_000, max_rows=1)
    commit = fetch(order, parts.datasets.settings, "model").commit
    found = tokenizer_in(folder, f"{model.id} at {commit[:12]}")
    assert found is not None
    return found
