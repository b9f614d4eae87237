"""The web service: create_app(settings) wires everything, nothing else does."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from os import PathLike, stat_result
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from app import __version__
from app.advisor import figures
from app.advisor.robustness import two_places
from app.advisor.rulebook import Rulebook
from app.assistant import Assistant
from app.database import Database
from app.errors import InvalidInput, TuningForkError
from app.migrations import require_head
from app.rulebooks import Rulebooks
from app.settings import WebSettings
from app.sweep import Sweep
from app.web import api, pages, pilot_proposals, probe_proposals
from app.web.api.examples import document
from app.web.deps import Parts
from app.web.envelope import Envelope
from app.web.guard import Guard
from app.web.security import LOOPBACK, Limiter
from app.web.tell import tell
from app.worker_client import WorkerClient

APP = Path(__file__).parent
ROOT = APP.parent

FAILURES = (TuningForkError, RequestValidationError, HTTPException, SQLAlchemyError)
"""Answered in words; everything else is our own fault and is caught further out, where it is logged."""


def create_app(settings: WebSettings, worker_transport: httpx.BaseTransport | None = None) -> FastAPI:
    check_access(settings)
    parts = _parts(settings, worker_transport)
    app = FastAPI(
        title="Tuning Fork",
        version=__version__,
        summary="SFT or GRPO? Advice with evidence, and the training run that follows from it.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        form_limits={"max_fields": 1000, "max_files": 4, "max_part_size": settings.max_body_bytes},
        lifespan=_lifespan,
        middleware=[
            Middleware(Envelope, settings=settings),
            Middleware(Guard, settings=settings, database=parts.database),
        ],
        exception_handlers=dict.fromkeys(FAILURES, _answer),
    )
    app.state.parts = parts
    app.mount("/static", VersionedFiles(directory=ROOT / "static"), name="static")
    app.router.routes.extend(_routes())
    document(app, parts.rulebook)
    return app


def check_access(settings: WebSettings) -> None:
    if settings.sign_in == "off" and settings.host not in LOOPBACK:
        raise InvalidInput(
            f"Listening on {settings.host} without signing in would let anybody on the network launch "
            "training: set TUNING_FORK_WEB_SIGN_IN=required, or TUNING_FORK_WEB_HOST=127.0.0.1."
        )


def rulebook_files() -> dict[str, str]:
    """Rules and tables as they are shipped, by file name."""
    files = sorted((APP / "advisor").glob("*/*.toml"))
    return {file.name: file.read_text(encoding="utf-8") for file in files}


@cache
def read_rulebook() -> Rulebook:
    """Part of the program: read and checked once a process."""
    return Rulebook.parse(rulebook_files())


def worker_token(settings: WebSettings) -> str:
    """The setting, or the file that both services share where they run on one machine."""
    given = settings.worker_token.get_secret_value()
    shared = settings.data_dir / "worker-token"
    if given:
        return given
    if shared.exists():
        return shared.read_text(encoding="utf-8").strip()
    raise InvalidInput(
        "There is no worker token: set TUNING_FORK_WEB_WORKER_TOKEN to the worker's, "
        f"or share the file {shared} with it."
    )


def _heeding(database: Database, rulebooks: Rulebooks) -> Callable[[], None]:
    """What is concluded from events as they are copied."""
    heeds = (probe_proposals.Heed(database, rulebooks), pilot_proposals.Heed(database, rulebooks))

    def heed() -> None:
        for each in heeds:
            each()

    return heed


def _parts(settings: WebSettings, worker_transport: httpx.BaseTransport | None) -> Parts:
    worker = WorkerClient(settings.worker_url, worker_token(settings), worker_transport)
    database = Database(settings.resolved_database_url())
    require_head(database)
    rulebooks = Rulebooks(database, read_rulebook(), rulebook_files())
    return Parts(
        settings=settings,
        database=database,
        rulebooks=rulebooks,
        worker=worker,
        assistant=Assistant(settings),
        templates=Jinja2Templates(env=_templates()),
        sweep=Sweep(settings, database, worker, heed=_heeding(database, rulebooks)),
        limiter=Limiter(settings.recommendations_per_minute),
        login_limiter=Limiter(settings.logins_per_minute),
        share_limiter=Limiter(settings.shares_per_minute),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    parts.sweep.start()
    yield
    parts.stopping.set()
    parts.sweep.stop()
    parts.worker.close()
    parts.database.close()


async def _answer(request: Request, error: Exception) -> Response:
    return tell(request, error)


@cache
def _routes() -> list[BaseRoute]:
    """Part of the program: the framework works out a route's parameters once, at its first request."""
    router = APIRouter()
    # The one address that is asked in great numbers is answered before the framework's machinery for
    # dependencies and response models; the second line is its documentation.
    router.routes.append(Route("/api/v1/recommendations", api.advise, methods=["POST"]))
    router.add_api_route("/api/v1/recommendations", api.advise, **api.ADVICE)
    for each in (*api.ROUTERS, api.UPLOADS):
        router.include_router(each, prefix="/api/v1")
    router.include_router(api.HEALTH)
    for each in (*pages.ROUTERS, pages.UPLOADS):
        router.include_router(each, include_in_schema=False)
    return router.routes


@cache
def _templates() -> Environment:
    """Part of the program: compiled once a process."""
    found = Environment(
        loader=FileSystemLoader(ROOT / "templates"), autoescape=True, undefined=StrictUndefined
    )
    found.globals["figures"] = figures
    found.filters["two_places"] = two_places
    return found


class VersionedFiles(StaticFiles):
    """A file asked for by version never changes under that address."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        versioned = b"v=" in scope["query_string"]
        response.headers["cache-control"] = (
            "public, max-age=31536000, immutable" if versioned else "public, no-cache"
        )
        return response
