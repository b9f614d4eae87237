"""The door: every request is refused unless it shows who asks, or its address is on the short public list."""

import re
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from itertools import chain
from typing import TypeVar
from urllib.parse import quote

from anyio import to_thread
from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.database import Database
from app.errors import (
    Malformed,
    NotSignedIn,
    Refused,
    TooLarge,
    TuningForkError,
    Unavailable,
    WrongMediaType,
)
from app.http_json import Counted
from app.settings import WebSettings
from app.web import security
from app.web.security import Principal
from app.web.tell import tell

T = TypeVar("T")

RECOMMENDATIONS = "/api/v1/recommendations"

PUBLIC = frozenset(
    {
        ("GET", "/"),
        ("GET", "/help"),
        ("GET", "/help/api"),
        ("GET", "/help/method"),
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/robots.txt"),
        ("GET", "/api/v1/questionnaire"),
        ("POST", RECOMMENDATIONS),
    }
)
PUBLIC_PREFIX = "/static/"

SHARED = re.compile(r"/s/[^/]+")
"""Whoever has such an address may read the one record behind it."""

MOST_HEADERS = 100
MOST_HEADER_BYTES = 16_384

PARTS_OF_UPLOADS = "/api/v1/uploads/"

FORM_OVERHEAD = 65_536
"""Bytes that a form adds to a file, at most."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

Headers = dict[bytes, bytes]


class Guard:
    def __init__(self, app: ASGIApp, settings: WebSettings, database: Database) -> None:
        self._app = app
        self._settings = settings
        self._database = database
        self._hosts = security.allowed_hosts(settings)
        self._cookie = security.cookie_name(settings)
        # A browser wraps an uploaded file in its form.
        self._limits = {
            ("POST", "/api/v1/datasets"): settings.max_upload_bytes,
            ("POST", "/datasets"): settings.max_upload_bytes + FORM_OVERHEAD,
            ("POST", "/rulebooks/new"): settings.max_rulebook_bytes + FORM_OVERHEAD,
            # In JSON line breaks and quotation marks take two bytes.
            ("POST", "/api/v1/rulebooks"): 2 * settings.max_rulebook_bytes + FORM_OVERHEAD,
        }
        self._public = PUBLIC if settings.public_recommendations else PUBLIC - {("POST", RECOMMENDATIONS)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif (refusal := await self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
        else:
            await self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the framework answers when a body breaks off is held back, and the reason told instead."""
        limit = self._limit(scope)
        begun = False

        async def unless_exceeded(message: Message) -> None:
            nonlocal begun
            if begun or not body.exceeded:
                begun = True
                await send(message)

        try:
            body = Counted(scope, receive, limit)
            await self._app(scope, body, unless_exceeded)
            if begun or not body.exceeded:
                return
            refusal: TuningForkError = body.refusal
        except (TooLarge, Malformed) as error:
            refusal = error
        await tell(Request(scope), refusal)(scope, receive, send)

    def _limit(self, scope: Scope) -> int:
        if scope["method"] == "PATCH" and scope["path"].startswith(PARTS_OF_UPLOADS):
            return self._settings.max_upload_bytes
        return self._limits.get((scope["method"], scope["path"]), self._settings.max_body_bytes)

    async def _refusal(self, scope: Scope) -> Response | None:
        try:
            headers = self._check_headers(scope)
            if scope["path"].startswith(PUBLIC_PREFIX) and scope["method"] in SAFE:
                return None
            principal = await self._principal(scope, headers)
            scope["state"]["principal"] = principal
            if principal is None and not self._is_public(scope):
                return self._ask_to_sign_in(Request(scope))
        except TuningForkError as error:
            return tell(Request(scope), error)
        return None

    def _check_headers(self, scope: Scope) -> Headers:
        headers: Headers = dict(scope["headers"])
        _refuse_overgrown(scope)
        _refuse_repeated(scope, headers)
        if hostname(headers.get(b"host", b"")) not in self._hosts:
            raise Malformed(
                "This service does not answer to that Host name; add it to TUNING_FORK_WEB_ALLOWED_HOSTS."
            )
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise WrongMediaType("Compressed request bodies are not accepted; send the plain bytes.")
        if scope["method"] not in SAFE and not _bearer(scope, headers):
            self._check_origin(headers)
        return headers

    def _check_origin(self, headers: Headers) -> None:
        """A browser says where a request comes from; only our own pages may change something."""
        site = headers.get(b"sec-fetch-site")
        origin = headers.get(b"origin")
        if site is not None:
            typed = site == b"none" and headers.get(b"sec-fetch-mode") == b"navigate"
            own = site == b"same-origin" or typed
        elif origin is not None:
            host = headers.get(b"host", b"").decode("latin-1")
            own = origin.decode("latin-1") == security.own_origin(self._settings, host)
        else:
            own = self._cookie_of(headers) is None  # Not a browser: those send one of the two.
        if not own:
            raise Refused

    async def _principal(self, scope: Scope, headers: Headers) -> Principal | None:
        if self._settings.sign_in == "off":
            return Principal("open")
        key = _bearer(scope, headers)
        secret = None if key else self._cookie_of(headers)
        if not key and not secret:
            return None
        try:
            return await to_thread.run_sync(self._recognise, key, secret)
        except SQLAlchemyError:
            if self._is_public(scope):
                return None
            raise Unavailable("The database does not answer; try again in a moment.") from None

    def _recognise(self, key: str | None, secret: str | None) -> Principal | None:
        if key:
            principal, stale = self._reading(lambda session: security.recognise_key(session, key))
            if stale:
                self._writing(lambda session: security.note_key(session, key))
            return principal
        given = secret or ""
        found, stale = self._reading(lambda s: security.recognise_session(s, self._settings, given))
        if stale:
            self._writing(lambda session: security.note_session(session, given))
        return found

    def _reading(self, ask: Callable[[Session], T]) -> T:
        with self._database.reading() as session:
            return ask(session)

    def _writing(self, change: Callable[[Session], None]) -> None:
        with self._database.writing() as session, session.begin():
            change(session)

    def _is_public(self, scope: Scope) -> bool:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method == "GET" and SHARED.fullmatch(scope["path"]):
            return True
        return (method, scope["path"]) in self._public

    def _ask_to_sign_in(self, request: Request) -> Response:
        path = request.scope["path"]
        if request.method not in ("GET", "HEAD") or path.startswith("/api/"):
            return tell(request, NotSignedIn())
        query = request.scope["query_string"].decode("latin-1")
        wanted = security.local_path(f"{quote(path)}?{query}" if query else quote(path))
        return RedirectResponse(f"/login?next={quote(wanted, safe='')}", status_code=303)

    def _cookie_of(self, headers: Headers) -> str | None:
        given = headers.get(b"cookie")
        if given is None:
            return None
        try:
            found = SimpleCookie(given.decode("latin-1")).get(self._cookie)
        except CookieError:
            return None
        return found.value if found else None


def hostname(host: bytes) -> str:
    """The name in a Host header, without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _refuse_overgrown(scope: Scope) -> None:
    """The server's own limit does not see what arrives in one piece."""
    fields = scope["headers"]
    if len(fields) > MOST_HEADERS or sum(map(len, chain.from_iterable(fields))) > MOST_HEADER_BYTES:
        raise Malformed(
            f"The request has over {MOST_HEADERS} headers, or {MOST_HEADER_BYTES:,} bytes of them."
        )


def _refuse_repeated(scope: Scope, headers: Headers) -> None:
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise Malformed("The request states the length of its body in two ways.")
    for once in (b"host", b"authorization", b"origin", b"sec-fetch-site"):
        if once in headers and sum(name == once for name, _ in scope["headers"]) > 1:
            raise Malformed(f"The header {once.decode()} was sent twice.")


def _bearer(scope: Scope, headers: Headers) -> str | None:
    """API keys open the API only; pages are for signed-in browsers."""
    given = headers.get(b"authorization")
    if given is None or not scope["path"].startswith("/api/"):
        return None
    scheme, _, key = given.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise NotSignedIn("Send the API key as `Authorization: Bearer tf_…`.")
    return key.strip()
