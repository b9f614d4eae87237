"""Runs over HTTP: put, follow, cancel, delete, and take away what they made."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from app.errors import NotFound
from app.http_json import StrictRoute
from app.protocol import Artifact, EventPage, Prioritize, Resume, RunId, RunSpec, RunStatus
from app.run_dir import RunDir
from app.worker.model_zip import File, files_under, zipped
from app.worker.parts import RunDirDep, SupervisorDep

router = APIRouter(prefix="/runs", route_class=StrictRoute)

AS_DOWNLOAD = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}

MOST_LOG_BYTES = 2_000_000

Cursor = Annotated[int, Query(ge=0, le=2**53)]
PageSize = Annotated[int, Query(ge=1, le=1000)]
LineCount = Annotated[int, Query(ge=1, le=10_000)]


@router.get("")
def list_runs(supervisor: SupervisorDep) -> list[RunStatus]:
    return supervisor.statuses()


@router.put("/{run_id}", status_code=201)
def put_run(run_id: RunId, spec: RunSpec, supervisor: SupervisorDep, response: Response) -> RunStatus:
    status, is_new = supervisor.accept(run_id, spec)
    response.status_code = 201 if is_new else 200
    return status


@router.get("/{run_id}")
def show_run(run_id: RunId, supervisor: SupervisorDep) -> RunStatus:
    return supervisor.status(run_id)


@router.get("/{run_id}/events")
def list_events(
    run_id: RunId, run_dir: RunDirDep, supervisor: SupervisorDep, after: Cursor = 0, limit: PageSize = 1000
) -> EventPage:
    """The status is read last, so its `last_seq` is never behind the events beside it."""
    events = run_dir.events(after, limit)
    return EventPage(status=supervisor.status(run_id), events=events)


@router.post("/{run_id}/cancel")
def cancel_run(run_id: RunId, supervisor: SupervisorDep) -> RunStatus:
    return supervisor.cancel(run_id)


@router.post("/{run_id}/pause")
def pause_run(run_id: RunId, supervisor: SupervisorDep) -> RunStatus:
    return supervisor.pause(run_id)


@router.post("/{run_id}/resume")
def resume_run(run_id: RunId, wanted: Resume, supervisor: SupervisorDep) -> RunStatus:
    return supervisor.resume(run_id, wanted.limits)


@router.post("/{run_id}/priority")
def prioritize_run(run_id: RunId, wanted: Prioritize, supervisor: SupervisorDep) -> RunStatus:
    return supervisor.prioritize(run_id, wanted.priority)


@router.delete("/{run_id}", status_code=204)
def delete_run(run_id: RunId, supervisor: SupervisorDep) -> None:
    supervisor.delete(run_id)


@router.get("/{run_id}/artifacts")
def list_artifacts(run_dir: RunDirDep) -> list[Artifact]:
    folders = [
        Artifact(name=f"{folder}.zip", bytes=sum(path.stat().st_size for _, path in files))
        for folder, files in _folders(run_dir).items()
    ]
    files = [Artifact(name=name, bytes=path.stat().st_size) for name, path in _artifacts(run_dir).items()]
    return folders + files


@router.get("/{run_id}/artifacts/{name}", response_model=None)
def send_artifact(name: str, run_dir: RunDirDep) -> Response:
    folder = name.removesuffix(".zip")
    if name.endswith(".zip") and (files := _folders(run_dir).get(folder)):
        headers = {**AS_DOWNLOAD, "Content-Disposition": f'attachment; filename="{folder}.zip"'}
        return StreamingResponse(zipped(files, under=folder), media_type="application/zip", headers=headers)
    path = _artifacts(run_dir).get(name)
    if path is None:
        raise NotFound("This run has no such file; GET the list of its artifacts for the names.")
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=AS_DOWNLOAD)


@router.get("/{run_id}/log", response_class=PlainTextResponse)
def show_log(run_dir: RunDirDep, tail: LineCount = 200) -> str:
    return run_dir.log_tail(tail, MOST_LOG_BYTES)


def _folders(run_dir: RunDir) -> dict[str, list[File]]:
    """What is taken away whole, as a zip of its name: those that the run has."""
    made = (run_dir.model_dir, run_dir.adapter_dir, run_dir.bundle_dir, run_dir.tensorboard_dir)
    return {folder.name: files for folder in made if (files := files_under(folder))}


def _artifacts(run_dir: RunDir) -> dict[str, Path]:
    """Only what is listed here can be asked for by name; a name never becomes a path."""
    records = (run_dir.path / "spec.json", run_dir.events_file, run_dir.log_file)
    of_run = {path.name: path for path in records if path.is_file()}
    of_model = {name: path for name, path in files_under(run_dir.model_dir) if "/" not in name}
    return {**of_model, **of_run}
