"""What every request passes first: the token, and a limit on how much it may bring."""

import hmac
import secrets

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import NotSignedIn, TuningForkError, WrongMediaType
from app.http_json import Counted, problem_response

PUBLIC = frozenset({("GET", "/healthz")})

UPLOADS = ("/datasets/", "/files/")


class Gate:
    def __init__(self, app: ASGIApp, token: str, max_body_bytes: int, max_upload_bytes: int) -> None:
        if not token:
            raise ValueError("the worker needs a token")
        self._app = app
        self._token = token.encode()
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        try:
            self._admit(scope)
            counted = Counted(scope, receive, self._limit(scope))
        except TuningForkError as error:
            await problem_response(error, scope["state"]["request_id"])(scope, receive, send)
            return
        await self._app(scope, counted, send)

    def _admit(self, scope: Scope) -> None:
        if (scope["method"], scope["path"]) not in PUBLIC and not self._is_known(
            _headers(scope, b"authorization")
        ):
            raise NotSignedIn("Send the worker's token as `Authorization: Bearer ...`.")
        if any(value.strip().lower() != b"identity" for value in _headers(scope, b"content-encoding")):
            raise WrongMediaType("Send the body as it is, without Content-Encoding.")

    def _is_known(self, sent: list[bytes]) -> bool:
        if len(sent) != 1:
            return False
        scheme, _, token = sent[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    def _limit(self, scope: Scope) -> int:
        is_upload = scope["method"] == "PUT" and scope["path"].startswith(UPLOADS)
        return self._max_upload_bytes if is_upload else self._max_body_bytes


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
