"""JSON read strictly: what our models, databases and answers could not carry is refused at the door.

Python's reader lets pass NaN, numbers beyond a float, half of a surrogate pair, NUL, the same key twice and
nesting that later recursion cannot follow. Each of them would surface far from its cause. The HTTP side of
this (routes, problem+json) is in `http_json`.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from app.errors import InvalidInput, Malformed, Problem

MAX_DEPTH = 32
LARGEST_INT = 2**63 - 1
LONGEST_INT = 400
"""Digits. Beyond the 64-bit range a number is a mistake; beyond this it is an attack."""


def strict_loads(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The value in `body`; Malformed when it cannot be read, InvalidInput when it should not be used."""
    value = _read(_text(body))
    if _may_nest(body, max_depth) and _depth_exceeds(value, max_depth):
        raise Malformed(f"The JSON is nested more than {max_depth} levels deep; flatten it.")
    if b"\\u" in body:
        _refuse_unusable_text(value)
    return value


def _text(body: bytes) -> str:
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Malformed("The JSON starts with a byte order mark; send it as UTF-8 without one.")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"Byte {error.start + 1} is not UTF-8; save the text as UTF-8.") from None


def _read(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise _refusal(f"not JSON: {error.msg[0].lower()}{error.msg[1:]} at {place}") from None
    except RecursionError:
        raise Malformed("The JSON is nested too deeply; flatten it.") from None


def _refusal(what: str) -> InvalidInput:
    return InvalidInput(f"The JSON cannot be used: {what}.", (Problem(where="body", what=what),))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _refusal(f"the key {json.dumps(twice[:80])} appears twice; keep one of them")
    return found


def _refuse_constant(name: str) -> float:
    raise _refusal(f"{name} is not a number that JSON knows; use null or leave the field out")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _refusal(f"the number {digits[:20]} is too large")
    return number


def _small_int(digits: str) -> int:
    if len(digits) > LONGEST_INT:
        raise Malformed("A number has too many digits.")
    number = int(digits)
    if not -LARGEST_INT - 1 <= number <= LARGEST_INT:
        raise _refusal(f"the number {digits[:24]} is too large")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_small_int,
)


def _may_nest(body: bytes, max_depth: int) -> bool:
    return body.count(b"[") + body.count(b"{") > max_depth


def _depth_exceeds(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth + 1):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse_unusable_text(value: Any) -> None:
    for text in _texts(value):
        if "\x00" in text:
            raise _refusal("a text holds the character NUL (\\u0000); remove it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _refusal("a text holds half of a surrogate pair (\\ud800 to \\udfff); remove it") from None


def _texts(value: Any) -> Iterator[str]:
    unseen = [value]
    while unseen:
        each = unseen.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            yield from each
            unseen.extend(each.values())
        elif isinstance(each, list):
            unseen.extend(each)
