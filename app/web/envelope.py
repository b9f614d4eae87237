"""What every answer carries: a request id, headers that confine the page, and a line in the access log."""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import WebSettings
from app.web.security import is_https
from app.web.tell import tell

SECRET = re.compile(r"^(/s/).+")
"""The address of a shared record is its key; a log must not hold it."""

Header = tuple[bytes, bytes]

log = logging.getLogger("tuning_fork.access")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

REFERRER = "same-origin"
"""Not `no-referrer`, unless a page asks for it: with that, browsers send `Origin: null` even to ourselves."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Envelope:
    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        always = HEADERS | ({"strict-transport-security": "max-age=31536000"} if is_https(settings) else {})
        self._always = [(name.encode(), value.encode()) for name, value in always.items()]
        self._begun = secrets.token_hex(4)
        self._count = itertools.count(1)
        self._referrer = (b"referrer-policy", REFERRER.encode())
        self._policy = (b"content-security-policy", POLICY.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"], state["principal"] = self._next_id(), None
        began, status = time.perf_counter(), 0

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._sealed(message.get("headers", ()), state)
            await send(message)

        try:
            await self._app(scope, receive, sealed)
        except Exception as error:
            log.exception("request %s failed", state["request_id"])
            if status:
                raise
            await tell(Request(scope), error)(scope, receive, sealed)
        finally:
            if log.isEnabledFor(logging.INFO):
                _note(scope, status, time.perf_counter() - began)

    def _next_id(self) -> str:
        """Unique, not secret: which start of the service, and which request since."""
        return f"{self._begun}{next(self._count):08x}"

    def _sealed(self, given: Iterable[Header], state: Mapping[str, Any]) -> list[Header]:
        headers = [*given, *self._always, (b"x-request-id", state["request_id"].encode())]
        names = {name for name, _ in headers}
        if b"referrer-policy" not in names:
            headers.append(self._referrer)
        if b"content-security-policy" not in names:
            headers.append(self._policy)
        if state["principal"] is not None and b"cache-control" not in names:
            headers.append((b"cache-control", b"no-store"))
        return headers


def _note(scope: Scope, status: int, seconds: float) -> None:
    """The path only: a query may hold what no log should."""
    principal = scope["state"]["principal"]
    facts = {
        "request_id": scope["state"]["request_id"],
        "method": scope["method"][:16],
        "path": SECRET.sub(r"\1…", scope["path"][:200]),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "who": principal.kind if principal else "anybody",
    }
    log.info("%s %s %s", facts["method"], facts["path"], status, extra={"facts": facts})
