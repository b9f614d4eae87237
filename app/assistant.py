"""An OpenAI-compatible endpoint of the operator's choice: asked once, and believed in nothing.

Only the operator names its address. Its answer is read up to a size and a time, leads nowhere else, and is
never shown as it came; what may be made of it is decided by whoever asks.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

import httpx
from anyio import fail_after

from app.errors import AssistantAway, InvalidInput, TuningForkError
from app.settings import WebSettings
from app.strict_json import strict_loads

log = logging.getLogger("tuning_fork.assistant")

CONNECT_SECONDS = 5.0

REFUSALS = {
    401: "does not accept the key; the operator sets it as TUNING_FORK_WEB_ASSISTANT_KEY",
    403: "does not accept the key; the operator sets it as TUNING_FORK_WEB_ASSISTANT_KEY",
    404: "does not know that address or model; the operator sets them as TUNING_FORK_WEB_ASSISTANT_URL "
    "and TUNING_FORK_WEB_ASSISTANT_MODEL",
    413: "finds the description too long; shorten it",
    429: "has had too many requests or no quota left; wait a little and try again",
}


class Assistant:
    def __init__(self, settings: WebSettings) -> None:
        """Raises InvalidInput for settings that cannot work; without an address there is no assistant."""
        self.url = settings.assistant_url.rstrip("/")
        self.host = _host(self.url)
        self.seconds = settings.assistant_seconds
        self.max_bytes = settings.assistant_max_bytes
        self.max_characters = settings.assistant_max_characters
        self.model = settings.assistant_model
        self._key = settings.assistant_key.get_secret_value()
        if self.url and not self.model:
            raise InvalidInput("Set TUNING_FORK_WEB_ASSISTANT_MODEL to the model to ask the assistant for.")
        if not (self._key.isascii() and self._key.isprintable()):
            raise InvalidInput("TUNING_FORK_WEB_ASSISTANT_KEY holds characters that no key can have.")
        self._certificates = httpx.create_ssl_context() if self.url else True

    @property
    def is_set_up(self) -> bool:
        return bool(self.url)

    async def ask(self, instruction: str, question: str) -> str:
        """The words of its answer, not yet read; AssistantAway says in a sentence why there are none."""
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": question}]
        try:
            with fail_after(self.seconds):
                body = await self._post({"model": self.model, "messages": messages, "stream": False})
        except TimeoutError:
            raise self._away(f"did not answer within {self.seconds:g} seconds; try again") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._away("cannot be reached; try again in a moment", type(error).__name__) from None
        return self._words(body)

    async def _post(self, request: dict[str, Any]) -> bytes:
        # Compressed answers are not asked for: a small one can grow a thousandfold when it is opened.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        async with (
            httpx.AsyncClient(
                timeout=httpx.Timeout(self.seconds, connect=CONNECT_SECONDS),
                follow_redirects=False,
                trust_env=False,
                verify=self._certificates,
            ) as http,
            http.stream("POST", f"{self.url}/chat/completions", json=request, headers=headers) as answer,
        ):
            self._check(answer)
            return await self._read(answer)

    def _check(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in REFUSALS:
            raise self._away(REFUSALS[status], f"status {status}")
        if answer.is_redirect:
            raise self._away(
                "answers with a redirect, which is not followed; the operator sets its final address"
            )
        if status != 200:
            raise self._away(f"could not do this (status {status}); try again in a moment")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or answer.headers.get("content-encoding", "identity") != "identity":
            raise self._away("answers with something other than plain JSON; is its address right?")

    async def _read(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > self.max_bytes:
                raise self._away(f"sent more than {self.max_bytes:,} bytes, which is more than is read")
        return bytes(body)

    def _words(self, body: bytes) -> str:
        try:
            choice = strict_loads(body)["choices"][0]
            reason, message = choice.get("finish_reason"), choice["message"]
            content, refusal = message.get("content"), message.get("refusal")
        except (TuningForkError, KeyError, IndexError, TypeError, AttributeError):
            raise self._away("sent an answer of another form than chat completions have") from None
        if refusal or reason == "content_filter":
            raise self._away(
                "declined to answer on this description; change it, or answer the questions yourself"
            )
        if reason == "length":
            raise self._away("was cut off before its answer was complete; try a shorter description")
        if not isinstance(content, str) or not content.strip():
            raise self._away("sent an empty answer; try again")
        return content

    def _away(self, what: str, logged: str = "") -> AssistantAway:
        log.warning("the assistant endpoint %s", logged or what)
        return AssistantAway(f"The assistant endpoint {self.host} {what}. Nothing was changed.")


def _host(url: str) -> str:
    """Who receives what is sent, as it stands in the address; empty for no address."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise InvalidInput(
            "TUNING_FORK_WEB_ASSISTANT_URL must be an address such as https://models.example/v1, "
            "without a query."
        )
    if "@" in parts.netloc:
        raise InvalidInput(
            "TUNING_FORK_WEB_ASSISTANT_URL holds a password; set it as TUNING_FORK_WEB_ASSISTANT_KEY instead."
        )
    return parts.netloc
