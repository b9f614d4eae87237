"""Columns named by the user, put in the shape that rows are read in; and guesses from the columns' names."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.datasets.shapes import shape_of
from app.protocol import ColumnMapping

SYNONYMS = {
    "messages": ("messages", "conversation", "conversations", "dialog", "dialogue", "chat"),
    "chosen": ("chosen", "preferred", "better", "preferred_output", "winner"),
    "rejected": ("rejected", "dispreferred", "worse", "non_preferred_output", "loser"),
    "prompt": ("prompt", "question", "instruction", "query", "problem", "input", "request", "task"),
    "answer": ("completion", "response", "output", "answer", "solution", "target", "reply", "gold"),
    "text": ("text", "content", "document", "article", "body"),
    "system": ("system", "system_prompt"),
}


def mapped(given: Mapping[str, Any], columns: ColumnMapping) -> dict[str, Any] | str:
    """The row under the names that its shape has; or what is missing."""
    for part in sorted(columns.named()):
        if part != columns.system and given.get(part) is None:
            return f"`{part}` is missing or empty; fill it in or leave the row out"
    parts = _parts(given, columns)
    further = {name: value for name, value in given.items() if _is_kept(name, value, columns)}
    return {**{_field_name(name): value for name, value in further.items()}, **parts}


def _parts(given: Mapping[str, Any], columns: ColumnMapping) -> dict[str, Any]:
    if columns.text:
        return {"text": _text(given[columns.text])}
    if columns.messages:
        return {"messages": _with_system(_listed(given[columns.messages]), given, columns)}
    parts: dict[str, Any] = {}
    if columns.prompt:
        parts["prompt"] = _with_system(_listed(given[columns.prompt]), given, columns)
    if columns.answer:
        parts["completion"] = _listed(given[columns.answer])
    if columns.chosen and columns.rejected:
        parts["chosen"], parts["rejected"] = _listed(given[columns.chosen]), _listed(given[columns.rejected])
    return parts


def _with_system(asked: Any, given: Mapping[str, Any], columns: ColumnMapping) -> Any:
    system = given.get(columns.system) if columns.system else None
    if not isinstance(system, str) or not system.strip():
        return asked
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    return [{"role": "system", "content": system}, *turns] if isinstance(turns, list) else asked


def _is_kept(name: str, value: Any, columns: ColumnMapping) -> bool:
    if name in columns.named() or value is None:
        return False
    return columns.fields is None or name in columns.fields


def _field_name(column: str) -> str:
    """As a template can name it: `gold answer` becomes `gold_answer`. Names that shape a row move aside."""
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_") or "field"
    name = f"_{name}" if name[0].isdigit() else name
    taken = ("messages", "prompt", "completion", "chosen", "rejected", "text", "input", "tools", "functions")
    reserved = name in taken or name in ("preferred_output", "non_preferred_output", "parallel_tool_calls")
    return f"{name}_field" if reserved else name


def _listed(value: Any) -> Any:
    """A cell may hold a list of messages as JSON; a number is taken as it is written."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return _text(value)


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return value


def suggested(columns: Sequence[str]) -> ColumnMapping | None:
    """By name alone; None where no name says what it is."""
    found = {part: _named(part, columns) for part in SYNONYMS}
    system = found["system"]
    if found["messages"]:
        return ColumnMapping(messages=found["messages"], system=system)
    if found["chosen"] and found["rejected"]:
        chosen, rejected = found["chosen"], found["rejected"]
        return ColumnMapping(prompt=found["prompt"], chosen=chosen, rejected=rejected, system=system)
    if found["prompt"]:
        return ColumnMapping(prompt=found["prompt"], answer=found["answer"], system=system)
    return ColumnMapping(text=found["text"]) if found["text"] else None


def _named(part: str, columns: Sequence[str]) -> str | None:
    by_name = {column.strip().lower().replace(" ", "_"): column for column in reversed(columns)}
    exact = next((by_name[name] for name in SYNONYMS[part] if name in by_name), None)
    return exact or next(
        (by_name[each] for each in by_name if set(each.split("_")) & {*SYNONYMS[part]}), None
    )


def explains_itself(columns: Sequence[str]) -> bool:
    """Whether an object's fields already have the names of a shape."""
    return shape_of(dict.fromkeys(columns)) is not None


def implicit(columns: Sequence[str]) -> ColumnMapping | None:
    """What a table's own column names say; None where they leave a question, as `text` with `label` does."""
    names = set(columns)
    if "messages" in names:
        return ColumnMapping(messages="messages")
    if {"chosen", "rejected"} <= names:
        prompt = "prompt" if "prompt" in names else None
        return ColumnMapping(prompt=prompt, chosen="chosen", rejected="rejected")
    if {"prompt", "completion"} <= names:
        return ColumnMapping(prompt="prompt", answer="completion")
    if names == {"prompt"}:
        return ColumnMapping(prompt="prompt")
    return ColumnMapping(text="text") if names == {"text"} else None
