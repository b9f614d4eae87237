"""JSON over HTTP, the same way in web and worker: bodies read strictly, failures told as problem+json."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.types import Message, Receive, Scope

from app.errors import (
    InvalidInput,
    Malformed,
    Outdated,
    Problem,
    TooLarge,
    TuningForkError,
    WrongMediaType,
)
from app.strict_json import strict_loads

MOST_PROBLEMS = 200

PLAINER = {
    "missing": "is missing; add it",
    "extra_forbidden": "there is no such field; leave it out",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
}
"""Where the framework's complaint speaks of Python rather than of what was sent."""


class StrictRoute(APIRoute):
    """A route whose JSON body has passed `strict_loads` before the framework sees it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        expects_body = self.body_field and not isinstance(self.body_field.field_info, params.Form)

        async def read_strictly(request: Request) -> Response:
            if expects_body and (body := await request.body()):
                if not _is_json(request):
                    raise WrongMediaType("Send the body as JSON, with `Content-Type: application/json`.")
                request = _Read(request, strict_loads(body))
            return await handle(request)

        return read_strictly


class _Read(Request):
    """A request whose body has been read and parsed already."""

    def __init__(self, request: Request, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._value = value
        self._body = b"read"

    async def json(self) -> Any:
        return self._value


class Counted:
    """A request's body, and how much of it may come; raises TooLarge as soon as that is exceeded.

    What a request declares and what it sends can differ, so both are looked at.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._left = receive, limit, limit
        for name, declared in scope["headers"]:
            if name == b"content-length":
                if not declared.isdigit():
                    raise Malformed("The Content-Length is not a number.")
                if int(declared[:20]) > limit:
                    raise self.refusal

    @property
    def refusal(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._limit:,} bytes, which is the most accepted here.")

    @property
    def exceeded(self) -> bool:
        return self._left < 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self.refusal
        return message


def problem_response(error: TuningForkError, request_id: str | None = None) -> JSONResponse:
    """RFC 9457; `error` names the class, so that a client can raise it again on its side."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": (type(error).__doc__ or type(error).__name__).strip(),
        "status": error.status,
        "detail": error.sentence,
        "error": error.name,
        "problems": [problem.model_dump() for problem in error.problems],
    }
    if isinstance(error, Outdated):
        content["present"] = error.present
    if request_id:
        content["request_id"] = request_id
    return JSONResponse(content, status_code=error.status, media_type="application/problem+json")


def invalid_input(error: RequestValidationError) -> InvalidInput:
    """The framework's complaints in our words; what was sent is never echoed."""
    sent = error.body
    problems = tuple(problems_of(error.errors(), () if isinstance(sent, FormData) else (sent,)))
    count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
    return InvalidInput(f"The request has {count}.", problems[:MOST_PROBLEMS])


def problems_of(complaints: Iterable[Any], sent: tuple[Any, ...] = ()) -> Iterable[Problem]:
    """`sent` holds the JSON value that was complained of, where it can tell tags from fields."""
    for complaint in complaints:
        place = complaint["loc"]
        if sent and place[:1] == ("body",):
            place = _as_sent(place[1:], sent[0], complaint["type"] == "missing")
        yield Problem(where=_where(place), what=_what(complaint))


def _as_sent(place: tuple[Any, ...], value: Any, is_missing: bool) -> tuple[Any, ...]:
    """Without the levels that name which of several kinds was tried: what was sent does not have them."""
    path = []
    for part in place[:-1] if is_missing else place:
        inside = (
            value.keys() if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
        )
        if part in inside:
            value = value[part]
            path.append(part)
    return (*path, *place[-1:]) if is_missing else tuple(path)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _where(place: tuple[Any, ...]) -> str:
    parts = [_printable(part) for part in place if part not in ("body", "query", "path", "header")]
    return ".".join(parts) or "body"


def _printable(part: Any) -> str:
    return ascii(part)[1:-1][:80] if isinstance(part, str) else str(part)


def _what(complaint: Any) -> str:
    if complaint["type"] == "union_tag_invalid":
        return f"{complaint['ctx']['discriminator']} must be one of {complaint['ctx']['expected_tags']}"
    if complaint["type"] == "union_tag_not_found":
        return f"must be an object with the field {complaint['ctx']['discriminator']}"
    if complaint["type"] in PLAINER:
        return PLAINER[complaint["type"]]
    said = str(complaint["msg"]).removeprefix("Value error, ")
    return said.encode("utf-8", "replace").decode()[:500]
