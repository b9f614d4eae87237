"""Reads mathematics that nobody has checked, in a process that may be ended at any moment.

Run by path. The libraries evaluate what they read, `9**9**9` included, and their own time limits need
the main thread; so they work here, without keys or data, under limits of the kernel; others hold the clock.
"""

import ast
import json
import resource
import signal
import sys
from typing import Any

from math_verify import parse, verify

MEMORY = 2_000_000_000
MOST_SECONDS = 30
"""Of CPU time for one question, should nobody be left to end it."""

LONGEST_LITERAL = 10_000
LONGEST_FORMULA = 1000


def answer(asked: dict[str, str]) -> dict[str, Any]:
    if asked["do"] == "literal":
        return {"value": ast.literal_eval(asked["text"][:LONGEST_LITERAL])}
    reference = _read(asked["reference"])
    if not reference:
        return {"error": "the reference holds no number or formula"}
    return {"value": bool(verify(reference, _read(asked["text"]), timeout_seconds=None))}


def _read(text: str) -> list[Any]:
    """A formula without dollar signs is read as one, which a text of words alone is not."""
    found = parse(text, parsing_timeout=None)
    is_bare = len(text) < LONGEST_FORMULA and "$" not in text and "\\boxed" not in text
    if is_bare and ("\\" in text or (not found and any(sign in text for sign in "+-*/^=0123456789"))):
        found = parse(f"${text}$", parsing_timeout=None) or found
    return list(found)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while head := sys.stdin.buffer.read(4):
        asked = json.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            said = json.dumps(answer(asked), allow_nan=False)
        except BaseException as error:
            said = json.dumps({"error": f"{type(error).__name__}: {str(error)[:200]}"})
        sys.stdout.buffer.write(len(said.encode()).to_bytes(4, "big") + said.encode())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
