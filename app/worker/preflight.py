"""Preflights and first batches over HTTP."""

from fastapi import APIRouter, Response

from app.http_json import StrictRoute
from app.protocol import FirstBatchRequest, FirstBatchState, Preflight, PreflightRequest, RunId
from app.worker.parts import FirstBatchesDep, PreflightsDep

router = APIRouter(route_class=StrictRoute)


@router.put("/preflights/{preflight_id}", status_code=201)
def put_preflight(
    preflight_id: RunId, request: PreflightRequest, preflights: PreflightsDep, response: Response
) -> Preflight:
    found, is_new = preflights.put(preflight_id, request)
    response.status_code = 201 if is_new else 200
    return found


@router.get("/preflights/{preflight_id}")
def show_preflight(preflight_id: RunId, preflights: PreflightsDep) -> Preflight:
    return preflights.look(preflight_id)


@router.delete("/preflights/{preflight_id}", status_code=204)
def cancel_preflight(preflight_id: RunId, preflights: PreflightsDep) -> None:
    preflights.cancel(preflight_id)


@router.post("/first-batches")
def make_first_batch(request: FirstBatchRequest, first_batches: FirstBatchesDep) -> FirstBatchState:
    """Asked again and again until it is no longer `running`; the same question has the same answer."""
    return first_batches.ask(request.spec)
