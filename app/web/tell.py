"""A failure told to whoever asked: problem+json to programs, a page with a way back to people."""

from collections.abc import Mapping
from sqlite3 import SQLITE_FULL, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE, SQLITE_READONLY

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from jinja2 import TemplateNotFound
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from app.errors import (
    NO_ROOM,
    Conflict,
    Malformed,
    NotAllowed,
    NotFound,
    Outdated,
    RateLimited,
    RulebookGone,
    TooLarge,
    TuningForkError,
    Unavailable,
    WrongMediaType,
)
from app.http_json import invalid_input, problem_response
from app.web.deps import render

SQLITE_NO_ROOM = frozenset({SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_SHMSIZE, SQLITE_READONLY})

BY_STATUS: dict[int, type[TuningForkError]] = {
    400: Malformed,
    404: NotFound,
    405: NotAllowed,
    409: Conflict,
    413: TooLarge,
    415: WrongMediaType,
    503: Unavailable,
}


def translated(error: Exception) -> TuningForkError:
    """Foreign failures in our words; what we do not know is our own fault."""
    match error:
        case TuningForkError():
            return error
        case RequestValidationError():
            return invalid_input(error)
        case HTTPException():
            return _of_the_framework(error)
        case SQLAlchemyError():
            return _of_the_database(error)
        case OSError(errno=number, strerror=why) if number in NO_ROOM:
            return Unavailable(
                f"The service cannot write to its data directory: {why}. Free some space and send it again."
            )
        case _:
            return TuningForkError()


def _of_the_framework(error: HTTPException) -> TuningForkError:
    """Its only details that say more than the status are those of a form that it could not take apart."""
    why = error.detail
    if error.status_code == 400 and why and why != "Bad Request":
        return Malformed(
            f"The form could not be read: {why[0].lower()}{why[1:].rstrip('.')}. Send it again from its page."
        )
    return BY_STATUS.get(error.status_code, TuningForkError)()


def _of_the_database(error: SQLAlchemyError) -> TuningForkError:
    match error:
        case DBAPIError() if _is_for_want_of_room(error):
            return Unavailable(
                "The disk that holds the database is full, so nothing of this was kept. Free some space "
                "there and send it again."
            )
        case PoolTimeout() | DBAPIError(connection_invalidated=True):
            return Unavailable("The database does not answer; try again in a moment.")
        case SQLAlchemyError() if type(error).__name__ == "OperationalError":
            return Unavailable("The database does not answer or is busy; try again in a moment.")
        case _:
            return TuningForkError()


def _is_for_want_of_room(error: DBAPIError) -> bool:
    """As SQLite says it, where its journal may be what finds no room, and PostgreSQL (disk_full)."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code in SQLITE_NO_ROOM or getattr(error.orig, "sqlstate", None) == "53100"


def tell(request: Request, error: Exception) -> Response:
    said = translated(error)
    path = request.scope["path"]
    for_programs = path.startswith("/api/") or path in ("/healthz", "/readyz")
    response = problem_response(said, request_id(request)) if for_programs else _page(request, said)
    response.headers.update(_headers(error, said))
    return response


def request_id(request: Request) -> str:
    return str(request.scope["state"].get("request_id", ""))


def _headers(error: Exception, said: TuningForkError) -> Mapping[str, str]:
    if isinstance(error, HTTPException):
        return {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    if isinstance(said, Outdated):
        return {"ETag": said.etag}
    if isinstance(said, RateLimited):
        return {"Retry-After": "60"}
    return {"WWW-Authenticate": "Bearer"} if said.status == 401 else {}


def _page(request: Request, said: TuningForkError) -> Response:
    try:
        return render(
            request,
            "error.html",
            said.status,
            status=said.status,
            sentence=said.sentence,
            problems=said.problems,
            upgrade_at=said.at if isinstance(said, RulebookGone) else "",
            request_id=request_id(request),
        )
    except TemplateNotFound:
        return PlainTextResponse(f"{said.sentence}\n\nRequest {request_id(request)}\n", said.status)
