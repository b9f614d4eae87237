"""How the worker is, and what it runs on."""

from fastapi import APIRouter

from app.http_json import StrictRoute
from app.protocol import RunState, WorkerHealth
from app.worker.device import versions
from app.worker.parts import PartsDep

router = APIRouter(route_class=StrictRoute)

NOT_STARTED = (RunState.WAITING, RunState.QUEUED)
AT_REST = (*NOT_STARTED, RunState.PAUSED)


@router.get("/healthz")
async def answers() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/health")
def show_health(parts: PartsDep) -> WorkerHealth:
    unfinished = [status for status in parts.supervisor.statuses() if not status.state.is_over]
    return WorkerHealth(
        versions=versions(),
        device=parts.device,
        running=[status.id for status in unfinished if status.state not in AT_REST],
        queued=[status.id for status in unfinished if status.state in NOT_STARTED],
        disk_free_bytes=parts.data_dir.free_bytes(),
        starter=parts.supervisor.starter(),
        sandboxes=parts.sandboxes.result() if parts.sandboxes.done() else {},
        tracking=list(parts.around.settings.tracking),
        warm_engines=parts.supervisor.warm_engines(),
    )
