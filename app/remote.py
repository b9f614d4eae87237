"""The REST API as the terminal uses it: an address and a key, and our own failures raised again."""

import json
import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx

from app.errors import BY_NAME, NotSignedIn, Problem, TuningForkError, Unavailable

QUICK = httpx.Timeout(30, connect=5)
PATIENT = httpx.Timeout(630, connect=5)
"""For what makes the worker read a whole file."""
STREAM = httpx.Timeout(60, connect=5)
"""The stream pings every 15 seconds."""


class Remote:
    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.url = (url or os.environ.get("TUNING_FORK_URL") or "http://127.0.0.1:8000").rstrip("/")
        given = key or os.environ.get("TUNING_FORK_KEY", "")
        if not given:
            raise NotSignedIn("Set TUNING_FORK_KEY to an API key; `tuning-fork key create NAME` makes one.")
        if not (given.isascii() and given.isprintable()):
            raise NotSignedIn("TUNING_FORK_KEY is not an API key; `tuning-fork key create NAME` makes one.")
        self._headers = {"Authorization": f"Bearer {given}"}

    def _open(self, timeout: httpx.Timeout) -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers=self._headers, timeout=timeout, trust_env=False
        )

    def ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self.request(method, path, **more)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise Unavailable(
                f"What answers at {self.url} is not Tuning Fork; set TUNING_FORK_URL to its address."
            ) from None

    def request(self, method: str, path: str, timeout: httpx.Timeout = QUICK, **more: Any) -> httpx.Response:
        """The whole answer; our own failures are raised again, a lost connection as Unavailable."""
        try:
            with self._open(timeout) as http:
                answer = http.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"Nothing answers at {self.url}; is `tuning-fork up` running there?") from error
        if answer.is_error:
            raise _refusal(answer)
        return answer

    def follow(self, run_id: UUID) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events of a run by name until its end; a lost connection is taken up where it broke."""
        after, ended = "0", False
        while not ended:
            for event, event_id, content in self._stream(run_id, after):
                after = event_id or after
                ended = event == "end"
                yield event, content

    def _stream(self, run_id: UUID, after: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
        try:
            with (
                self._open(STREAM) as http,
                http.stream("GET", f"/runs/{run_id}/events", headers=headers) as answer,
            ):
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                yield from _messages(answer.iter_lines())
        except httpx.ReadError:
            return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"Nothing answers at {self.url}; is `tuning-fork up` running there?") from error


def _messages(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if not line:
            if "data" in fields:
                yield fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"])
            fields = {}
            continue
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")


def _refusal(answer: httpx.Response) -> TuningForkError:
    try:
        told = answer.json()
        kind = BY_NAME.get(told["error"], TuningForkError)
        return kind(told["detail"], tuple(Problem.model_validate(p) for p in told["problems"]))
    except (ValueError, KeyError, TypeError):
        return Unavailable(f"The answer could not be read (status {answer.status_code}).")
