"""Models to start from, over HTTP."""

from fastapi import APIRouter

from app.http_json import StrictRoute
from app.protocol import ModelSummary, RunState, StarterModel
from app.worker.model_store import parameters
from app.worker.parts import PartsDep
from app.worker.supervisor import Supervisor

router = APIRouter(route_class=StrictRoute)


@router.get("/models")
def list_models(parts: PartsDep) -> list[ModelSummary]:
    return [_starter(parts.supervisor), *parts.models.summaries()]


def _starter(supervisor: Supervisor) -> ModelSummary:
    status = supervisor.starter()
    is_ready = status is not None and status.state is RunState.SUCCEEDED
    if status is None:
        note = "It is trained on this worker when a run first needs it."
    elif is_ready:
        note = "A stand-in for your own model, trained on this worker from scratch."
    elif status.state.is_over:
        note = f"Its training {status.state.value}; the next run on it tries again. {status.detail or ''}"
    else:
        note = "Its training is under way; runs on it wait until it is done."
    return ModelSummary(
        ref=StarterModel(),
        title="Starter model",
        parameters=parameters(supervisor.run_dir(status.id).model_dir) if status and is_ready else None,
        ready=is_ready,
        note=note.strip(),
    )
