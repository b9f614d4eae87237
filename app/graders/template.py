"""`{{ item.x }}` and `{{ sample.output_text }}`: names replaced by their text, nothing evaluated."""

import json
from collections.abc import Mapping
from typing import Any

import re2

OUTPUT_TEXT = "sample.output_text"

_NAME = re2.compile(r"\{\{\s*([A-Za-z_]\w*(?:\.\w+)*)\s*\}\}")


class NothingToFill(Exception):
    """A template names something that the row does not have."""


def names(template: str) -> frozenset[str]:
    return frozenset(match.group(1) for match in _NAME.finditer(template))


def is_known(name: str) -> bool:
    return name == OUTPUT_TEXT or (name.startswith("item.") and len(name) > len("item."))


def fill(template: str, output_text: str, item: Mapping[str, Any]) -> str:
    """What a value brings in is never looked at again, so an answer cannot smuggle in a name."""
    parts, end = [], 0
    for match in _NAME.finditer(template):
        parts += [template[end : match.start()], _value(match.group(1), output_text, item)]
        end = match.end()
    return "".join([*parts, template[end:]])


def _value(name: str, output_text: str, item: Mapping[str, Any]) -> str:
    if name == OUTPUT_TEXT:
        return output_text
    root, *path = name.split(".")
    if root != "item" or not path:
        raise NothingToFill(
            f"`{{{{ {name} }}}}` is unknown; templates may name item.<field> and {OUTPUT_TEXT}"
        )
    value: Any = item
    for key in path:
        value = _step(value, key, name)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _step(value: Any, key: str, name: str) -> Any:
    if isinstance(value, Mapping) and key in value:
        return value[key]
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    raise NothingToFill(f"the row has no `{name}`")
