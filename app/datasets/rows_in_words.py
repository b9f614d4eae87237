"""What is wrong with a file or a row, in words that say what to change."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from app.errors import Problem

KNOWN_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel or Word file",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\x80\x04\x95": "a Python pickle",
    b"\x89HDF": "an HDF5 file",
    b"\xff\xfe": "text saved as UTF-16",
    b"\xfe\xff": "text saved as UTF-16",
}

_AS_MESSAGES = (
    '; say which field is the prompt and which the answer, or write {"messages": [{"role": "user", '
    '"content": ...}, ...]} instead'
)

OTHER_SHAPES = {
    "instruction": "written with `instruction`" + _AS_MESSAGES,
    "question": "written with `question`" + _AS_MESSAGES,
    "completion": "written with `completion` but no `prompt`" + _AS_MESSAGES,
    "conversations": "written with `conversations`; rename it to `messages`, each with `role` and `content`",
}

UNSUPPORTED_FIELDS = {
    "tools": "tool calls are not supported; leave `tools` out",
    "functions": "function calls are not supported; leave `functions` out",
    "parallel_tool_calls": "tool calls are not supported; leave `parallel_tool_calls` out",
}

FOLLOWED_BY = {"system": "user", "user": "assistant", "assistant": "user"}

_START_BYTES = 65536


def problem_with_file(path: Path) -> Problem | None:
    """What makes the whole file unusable, so that naming its lines would only bury it."""
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    what = _problem_with_start(start.removeprefix(b"\xef\xbb\xbf"))
    return Problem(where="file", what=what) if what else None


def _problem_with_start(start: bytes) -> str | None:
    for magic, name in KNOWN_MAGIC.items():
        if start.startswith(magic):
            return f"it is {name}; export the rows as JSON lines (one object a line) in UTF-8"
    text = start.strip()
    if not text:
        return "it is empty; add one JSON object a line"
    if text.startswith(b"["):
        return (
            "it is one JSON array; write each of its objects on a line of its own (`jq -c '.[]' file.json`)"
        )
    first = text.splitlines()[0].strip()
    if first == b"{":
        return "its objects are spread over several lines; write each on one line (`jq -c . file.json`)"
    if b"\n" not in text and b"\r{" in text:
        return "its lines end with a carriage return alone; save it with line feeds (LF or CRLF)"
    if looks_like_a_table(start):
        return "it looks like a table (CSV); export the rows as JSON lines, one object a line"
    return None


def looks_like_a_table(start: bytes) -> bool:
    if any(start.startswith(magic) for magic in KNOWN_MAGIC):
        return False
    first = start.removeprefix(b"\xef\xbb\xbf").strip().split(b"\n", 1)[0].strip()
    is_json = first.startswith((b"{", b"[")) or first in (b"null", b"")
    return not is_json and any(mark in first for mark in (b",", b";", b"\t", b"|"))


def unsupported(row: dict[str, Any]) -> str | None:
    return next((what for field, what in UNSUPPORTED_FIELDS.items() if field in row), None)


def other_shape(row: dict[str, Any]) -> str:
    for field, what in OTHER_SHAPES.items():
        if field in row:
            return what
    return (
        'no `messages`; a row is {"messages": [{"role": "user", "content": ...}, ...]} and fields of your own'
    )


def problem_with_messages(messages: Any, field: str = "messages") -> str | None:
    if not isinstance(messages, list) or not messages:
        return f"`{field}` must be a list with at least one message"
    for number, message in enumerate(messages, start=1):
        if problem := _problem_with_message(message):
            return f"message {number}: {problem}"
    return None


def _problem_with_message(message: Any) -> str | None:
    if not isinstance(message, dict):
        return 'not an object; write {"role": ..., "content": ...}'
    if message.get("role") not in tuple(FOLLOWED_BY):
        return "`role` must be system, user or assistant"
    content = message.get("content")
    if not isinstance(content, str):
        return "`content` must be a text"
    if not content.strip():
        return "`content` is empty"
    if message.get("weight", 1) != 1:
        return (
            "`weight` 0 is not supported, because every answer of a row is learned from; leave the row out, "
            "or the messages after the one to learn"
        )
    if further := sorted(set(message) - {"role", "content", "weight"}):
        return f"`{further[0][:80]}` is not supported in a message; leave it out"
    return None


def problem_with_order(roles: list[str]) -> str | None:
    if roles[0] == "assistant":
        return "the first message is the assistant's; begin with what the user asks"
    if roles == ["system"]:
        return "there is only a system message; add what the user asks"
    for number, (role, following) in enumerate(pairwise(roles), start=2):
        if FOLLOWED_BY[role] != following:
            return (
                f"message {number} is from {following} after one from {role}; user and assistant take turns"
            )
    return None
