"""What both sandboxes offer: a source loaded once, its functions called with plain values."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

Helpers = dict[str, Callable[..., Any]]
"""Functions lent to the code inside, by name. They run outside and trust no argument."""


class Failed(Exception):
    """The code inside failed at this call; the next may succeed. The message is for its author."""


class Lost(Exception):
    """The process is gone, or must be given up; whatever is left needs another."""


class HelperFailed(Exception):
    """What a helper tells the code that called it."""


class Session(Protocol):
    def call(self, function: str, arguments: list[Any]) -> Any:
        """A plain value: number, text, list, mapping, None. Raises Failed or Lost."""


class Sandbox(Protocol):
    def open(self, source: str, calls: int, helpers: Helpers) -> AbstractContextManager[Session]:
        """Loads `source` in a fresh process for about `calls` calls. Raises Failed or Lost."""

    def close(self) -> None: ...
