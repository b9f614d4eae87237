"""Runs: launching a plan, watching it live, cancelling, deleting, and fetching what it made."""

from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Body, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Discriminator, Field, StringConstraints, Tag
from starlette.concurrency import run_in_threadpool

from app import runs
from app.errors import Malformed, NotFound
from app.http_json import StrictRoute
from app.models import Assessment, Run
from app.protocol import Artifact, Message, Prioritize, Resume, RunEvent, RunId, RunSpec
from app.web.api.examples import RUNS
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.deps import PartsDep, RunDep, SessionDep, SettingsDep, SweepDep, WorkerDep
from app.web.live import live_events, recorded

router = APIRouter(tags=["runs"], route_class=StrictRoute)

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="Repeating a launch with the same key answers with the same runs.",
    ),
]


class Launch(Message):
    """One or several runs, each starting from the one before it."""

    plan: Annotated[list[RunSpec], Field(min_length=1, max_length=4)]
    assessment: RunId | None = None
    """Whose latest recommendation this follows, or overrides."""
    override_reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] | None = None
    """Needed unless the plan is the advised one as a whole and nothing is to be fixed first."""


def _form(given: Any) -> str:
    return "launch" if isinstance(given, dict) and "plan" in given else "run"


LaunchBody = Annotated[
    Annotated[Launch, Tag("launch")] | Annotated[RunSpec, Tag("run")], Discriminator(_form)
]


class Launched(Message):
    runs: list[runs.Standing]


@router.get("/runs", summary="All runs, newest first")
def list_runs(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> Page[runs.Standing]:
    found, following = page_of(session, Run, limit, cursor)
    return Page(items=[runs.standing(session, run) for run in found], next=following)


@router.post("/runs", status_code=201, summary="Launch a run, or a plan of several")
def launch_runs(
    body: Annotated[LaunchBody, Body(openapi_examples=RUNS)],
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    response: Response,
    after: BackgroundTasks,
    key: Key = None,
) -> Launched:
    """The rows are written first; the worker gets them right after, however often that must be tried."""
    asked = body if isinstance(body, Launch) else Launch(plan=[body])
    launched, new = runs.launch(
        session,
        asked.plan,
        settings,
        assessment=_assessment(session, asked.assessment),
        override_reason=asked.override_reason,
        key=key,
    )
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/runs/{launched[0].id}"
    after.add_task(sweep.wake)
    return Launched(runs=[runs.standing(session, run) for run in launched])


@router.get("/runs/{run_id}", summary="Where a run stands, its curves, and before against after")
def show_run(run: RunDep, session: SessionDep) -> runs.RunView:
    return runs.view(session, run)


@router.post("/runs/{run_id}/cancel", status_code=202, summary="Ask a run to stop")
def cancel_run(run: RunDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks) -> runs.Standing:
    runs.cancel(session, run)
    after.add_task(sweep.wake)
    return runs.standing(session, run)


@router.post("/runs/{run_id}/pause", status_code=202, summary="Ask a run to save a checkpoint and stop")
def pause_run(run: RunDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks) -> runs.Standing:
    runs.pause(run)
    after.add_task(sweep.wake)
    return runs.standing(session, run)


@router.post("/runs/{run_id}/resume", status_code=202, summary="Go on with a paused run")
def resume_run(
    run: RunDep,
    session: SessionDep,
    sweep: SweepDep,
    after: BackgroundTasks,
    wanted: Resume | None = None,
) -> runs.Standing:
    """A run that one of its limits paused needs `limits` in which that one is higher or left out."""
    runs.resume(session, run, wanted.limits if wanted else None)
    after.add_task(sweep.wake)
    return runs.standing(session, run)


@router.post("/runs/{run_id}/retry", status_code=201, summary="Try a failed or cancelled run again")
def retry_run(
    run: RunDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    response: Response,
    after: BackgroundTasks,
) -> runs.Standing:
    """A new run with the same settings, from the newest checkpoint of this one that verifies."""
    again = runs.retry(session, run, settings)
    session.flush()
    response.headers["Location"] = f"/api/v1/runs/{again.id}"
    after.add_task(sweep.wake)
    return runs.standing(session, again)


@router.post("/runs/{run_id}/priority", status_code=202, summary="Let a run go before or after others")
def prioritize_run(
    run: RunDep, wanted: Prioritize, session: SessionDep, sweep: SweepDep, after: BackgroundTasks
) -> runs.Standing:
    """1 before others, -1 after them, 0 in between; among equals the oldest first."""
    runs.set_priority(run, wanted.priority)
    after.add_task(sweep.wake)
    return runs.standing(session, run)


@router.delete("/runs/{run_id}", status_code=204, summary="Delete a run that is over, with its files")
def delete_run(run: RunDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks) -> None:
    runs.delete(session, run)
    after.add_task(sweep.wake)


@router.get(
    "/runs/{run_id}/events",
    summary="Events after a number, as JSON or as a live stream",
    response_model=list[RunEvent],
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def run_events(
    run_id: UUID,
    request: Request,
    parts: PartsDep,
    after: Annotated[str | None, Query(description="Events with a higher `seq`.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Any:
    """With `Accept: text/event-stream` the answer stays open: `id` is `seq`, `event` is the event's kind, and
    a `status` event tells where the run stands. Close it on `end`. `Last-Event-ID` resumes."""
    cursor = await run_in_threadpool(_cursor, parts, run_id, last_event_id or after)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await run_in_threadpool(recorded, parts.database, run_id, cursor, limit)
    return StreamingResponse(
        live_events(parts, run_id, cursor),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/runs/{run_id}/artifacts", summary="The files of a run")
def list_artifacts(run: RunDep, worker: WorkerDep) -> list[Artifact]:
    return worker.artifacts(run.id) if run.accepted_at else []


@router.get("/runs/{run_id}/artifacts/{name}", summary="One file of a run", response_class=StreamingResponse)
def download_artifact(run: RunDep, name: str, worker: WorkerDep) -> Response:
    if name not in {artifact.name for artifact in worker.artifacts(run.id)}:
        raise NotFound("This run has no such file.")
    return StreamingResponse(
        worker.artifact(run.id, name),
        media_type="application/octet-stream",
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )


@router.get("/runs/{run_id}/log", summary="The last lines the engine printed", response_class=Response)
def show_log(run: RunDep, worker: WorkerDep, tail: Annotated[int, Query(ge=1, le=10_000)] = 200) -> Response:
    text = worker.log(run.id, tail) if run.accepted_at else ""
    return Response(text, media_type="text/plain; charset=utf-8")


def _assessment(session: SessionDep, assessment_id: UUID | None) -> Assessment | None:
    if assessment_id is None:
        return None
    found = session.get(Assessment, assessment_id)
    if found is None:
        raise NotFound("There is no assessment with this id.")
    return found


def _cursor(parts: PartsDep, run_id: UUID, given: str | None) -> int:
    """After which event to go on; one that does not exist yet cannot have been seen."""
    parts.sweep.look(run_id)
    with parts.database.reading() as session:
        run = session.get(Run, run_id)
    if run is None:
        raise NotFound("There is no run here: it may have been deleted.")
    if given is None or given == "":
        return 0
    if not (given.isascii() and given.isdigit() and len(given) < 19) or int(given) > run.last_seq:
        raise Malformed(f"There is no event {given[:20]!a} of this run; start again from 0.")
    return int(given)
