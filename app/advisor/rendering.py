"""JSON of which most is the rulebook's own words, ready before anybody asks."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from app.protocol import Message


def rendered(message: Message) -> bytes:
    return message.__pydantic_serializer__.to_json(message)


def around(message: Message, *names: str) -> tuple[bytes, ...]:
    """The message's JSON without the values of some fields: what stands before, between and after them."""
    pieces = [b"{"]
    for place, name in enumerate(type(message).model_fields):
        pieces[-1] += b'%b"%b":' % (b"," if place else b"", name.encode())
        if name in names:
            pieces.append(b"")
        else:
            pieces[-1] += to_json(getattr(message, name))
    pieces[-1] += b"}"
    return tuple(pieces)


def listed(entries: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(entries)


def joined(fields: Mapping[str, Any], ready: Mapping[str, bytes]) -> bytes:
    """One JSON object: values, and after them what is JSON already."""
    parts = [to_json(fields)[:-1]]
    for name, value in ready.items():
        parts += (b',"', name.encode(), b'":', value)
    parts.append(b"}")
    return b"".join(parts)
