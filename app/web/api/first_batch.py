"""The first batch of a run, token by token, exactly as its trainer will see it."""

from fastapi import APIRouter

from app.http_json import StrictRoute
from app.protocol import FirstBatchState
from app.web.api.preflights import Spec
from app.web.deps import WorkerDep

router = APIRouter(tags=["runs"], route_class=StrictRoute)


@router.post("/first-batch", summary="The first batch as the trainer will see it")
def show_first_batch(spec: Spec, worker: WorkerDep) -> FirstBatchState:
    """Ask again with the same run while `state` is `running`. Tokens come as text with their ids, and with
    whether the loss counts them; for GRPO the prompts of the first step as they are given to the model."""
    return worker.first_batch(spec)
