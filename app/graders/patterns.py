"""Patterns by users: RE2 only, so that no pattern can take longer than its text and its own size allow."""

from functools import lru_cache
from typing import Any

import re2

PROGRAM_BYTES = 2_000_000
"""RE2's memory for one pattern; a pattern that would compile to more is refused."""

MOST_MATCHES = 1000
"""Each search is linear, all matches together are not: more than these in one answer are refused."""


class BadPattern(Exception):
    """The pattern does not compile."""


class TooManyMatches(Exception):
    """The pattern matches in too many places."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = PROGRAM_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise BadPattern(_sentence(error)) from None


def matches(pattern: str, text: str) -> list[Any]:
    found: list[Any] = []
    for match in compiled(pattern).finditer(text):
        if len(found) == MOST_MATCHES:
            raise TooManyMatches(f"the pattern matches more than {MOST_MATCHES} times in one answer")
        found.append(match)
    return found


def _sentence(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return (
        f"the pattern does not compile ({reason}); RE2 syntax has no look-around, no back-references and "
        "no more than 1,000 repetitions"
    )
