"""Preflights: what would go wrong with a run, found before it is launched."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Body, Response

from app.http_json import StrictRoute
from app.protocol import Preflight, PreflightRequest, RunSpec
from app.web.api.examples import SPECS
from app.web.deps import WorkerDep

router = APIRouter(tags=["runs"], route_class=StrictRoute)

Spec = Annotated[RunSpec, Body(openapi_examples=SPECS)]


@router.post("/preflights", status_code=202, summary="Check a run before launching it")
def start_preflight(spec: Spec, worker: WorkerDep, response: Response) -> Preflight:
    """The worker checks model, data, grader, memory and more, and trains one step on the longest rows."""
    preflight = worker.put_preflight(uuid4(), PreflightRequest(spec=spec))
    response.headers["Location"] = f"/api/v1/preflights/{preflight.id}"
    return preflight


@router.get("/preflights/{preflight_id}", summary="How far a preflight is, and what it found")
def show_preflight(preflight_id: UUID, worker: WorkerDep) -> Preflight:
    """Each check is pass, warn, fail or not applicable, with a sentence and the fix. Kept for an hour."""
    return worker.preflight(preflight_id)


@router.delete("/preflights/{preflight_id}", status_code=204, summary="Stop a preflight")
def stop_preflight(preflight_id: UUID, worker: WorkerDep) -> None:
    worker.cancel_preflight(preflight_id)
