"""The worker service: create_app(settings) wires everything, nothing else does."""

import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import __version__
from app.errors import NO_ROOM, Malformed, NotAllowed, NotFound, TuningForkError, Unavailable
from app.graders.sandbox import availability
from app.http_json import invalid_input, problem_response
from app.settings import WorkerSettings
from app.worker import datasets, files, graders, health, models, playground, preflight, runs
from app.worker.data_dir import DataDir
from app.worker.dataset_store import DatasetStore
from app.worker.device import processors
from app.worker.first_batches import FirstBatches
from app.worker.gate import Gate
from app.worker.grading import bench_of
from app.worker.model_store import ModelStore
from app.worker.parts import Parts
from app.worker.playgrounds import Playgrounds
from app.worker.preflights import Preflights
from app.worker.supervisor import Supervisor
from app.worker.trial_runs import Surroundings

log = logging.getLogger(__name__)


ROUTERS = (
    health.router,
    runs.router,
    datasets.router,
    files.router,
    models.router,
    graders.router,
    playground.router,
    preflight.router,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(settings: WorkerSettings) -> FastAPI:
    """Raises Conflict, with a sentence to print, when another worker has the data directory."""
    data_dir = DataDir(settings)
    os.close(data_dir.claim())
    app = FastAPI(
        title="Tuning Fork worker",
        version=__version__,
        lifespan=_lifespan(settings, data_dir),
        openapi_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(
        Gate,
        token=settings.token.get_secret_value() or data_dir.token(),
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )
    for failure, answer in _ANSWERS:
        app.add_exception_handler(failure, answer)
    return app


def _lifespan(settings: WorkerSettings, data_dir: DataDir) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        claim = data_dir.claim()
        data_dir.prepare()
        dataset_store = DatasetStore(data_dir, settings)
        model_store = ModelStore(data_dir.models)
        found = processors(settings)
        supervisor = Supervisor(settings, data_dir, dataset_store, model_store, found)
        bench, prober = bench_of(settings), ThreadPoolExecutor(1, thread_name_prefix="sandbox-probe")
        sandboxes = prober.submit(availability.report)
        around = Surroundings(settings, data_dir, dataset_store, model_store, supervisor, found.device.kind)
        playgrounds, first_batches = Playgrounds(around), FirstBatches(around)
        preflights = Preflights(around, found.device)
        app.state.parts = Parts(
            supervisor,
            data_dir,
            dataset_store,
            model_store,
            found.device,
            bench,
            sandboxes,
            playgrounds,
            preflights,
            first_batches,
            around,
        )
        supervisor.start()
        playgrounds.start()
        preflights.start()
        try:
            yield
        finally:
            for beside in (first_batches, preflights, playgrounds):
                beside.stop()
            supervisor.stop()
            bench.close()
            prober.shutdown()
            os.close(claim)

    return lifespan


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TuningForkError)
    return problem_response(error, request.state.request_id)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem_response(invalid_input(error), request.state.request_id)


async def _unroutable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known: dict[int, TuningForkError] = {404: NotFound(), 405: NotAllowed()}
    return problem_response(known.get(error.status_code, Malformed()), request.state.request_id)


async def _no_room(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OSError)
    if error.errno not in NO_ROOM:
        return await _unexpected(request, error)
    sentence = (
        f"The worker cannot write to its data directory: {error.strerror}. Free some space and try again."
    )
    return problem_response(Unavailable(sentence), request.state.request_id)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request %s failed", request.state.request_id, exc_info=error)
    return problem_response(TuningForkError(), request.state.request_id)


_ANSWERS = (
    (TuningForkError, _refused),
    (RequestValidationError, _invalid),
    (HTTPException, _unroutable),
    (OSError, _no_room),
    (Exception, _unexpected),
)
