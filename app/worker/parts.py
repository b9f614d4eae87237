"""What a route may ask for."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.graders.bench import Bench
from app.protocol import Device, RunId
from app.run_dir import RunDir
from app.worker.data_dir import DataDir
from app.worker.dataset_store import DatasetStore
from app.worker.first_batches import FirstBatches
from app.worker.model_store import ModelStore
from app.worker.playgrounds import Playgrounds
from app.worker.preflights import Preflights
from app.worker.supervisor import Supervisor
from app.worker.trial_runs import Surroundings


@dataclass(frozen=True)
class Parts:
    """Everything that create_app wired, for as long as the service lives."""

    supervisor: Supervisor
    data_dir: DataDir
    datasets: DatasetStore
    models: ModelStore
    device: Device
    bench: Bench
    sandboxes: Future[dict[str, str]]
    """Which of them work here, once that is found out."""
    playgrounds: Playgrounds
    preflights: Preflights
    first_batches: FirstBatches
    around: Surroundings


async def parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


PartsDep = Annotated[Parts, Depends(parts)]


async def supervisor(parts: PartsDep) -> Supervisor:
    return parts.supervisor


async def datasets(parts: PartsDep) -> DatasetStore:
    return parts.datasets


async def preflights(parts: PartsDep) -> Preflights:
    return parts.preflights


async def first_batches(parts: PartsDep) -> FirstBatches:
    return parts.first_batches


SupervisorDep = Annotated[Supervisor, Depends(supervisor)]
DatasetsDep = Annotated[DatasetStore, Depends(datasets)]
PreflightsDep = Annotated[Preflights, Depends(preflights)]
FirstBatchesDep = Annotated[FirstBatches, Depends(first_batches)]


def run_dir(run_id: RunId, supervisor: SupervisorDep) -> RunDir:
    return supervisor.run_dir(run_id)


RunDirDep = Annotated[RunDir, Depends(run_dir)]
