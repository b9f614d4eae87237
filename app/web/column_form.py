"""The form that says which column is what, read into a reading, and the file's first rows beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.errors import Problem
from app.protocol import ColumnMapping, Look, Reading

PARTS = (
    ("prompt", "Prompt", "What is asked: a text, or a list of messages that ends with the user’s."),
    ("answer", "Answer", "What should be answered. Leave it out where rows only ask."),
    ("system", "System message", ""),
    ("messages", "Messages", "Whole conversations in one column, each message with `role` and `content`."),
    ("chosen", "Chosen answer", "Of a preference pair: the better one."),
    ("rejected", "Rejected answer", "Of a preference pair: the other one."),
    ("text", "Text", "Whole texts to learn to write, without a question."),
)

DELIMITERS = (("auto", "found out"), (",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "vertical bar"))


def reading_of(form: Mapping[str, str]) -> tuple[Reading, list[Problem]]:
    """The reading as far as it can be told, with what keeps it from being used."""
    delimiter: Any = form.get("delimiter") or "auto"
    named = {part: form[part] for part, _, _ in PARTS if form.get(part)}
    try:
        columns = ColumnMapping.model_validate(named) if named else None
        reading = Reading(delimiter=delimiter, columns=columns)
    except ValidationError as error:
        return Reading(), [Problem(where=_place(error), what=_sentence(error))]
    if not named:
        return reading, [
            Problem(where="prompt", what="Say which column is the prompt, the messages or the text.")
        ]
    return reading, []


def _place(error: ValidationError) -> str:
    place = error.errors()[0]["loc"]
    return str(place[0]) if place else "prompt"


def _sentence(error: ValidationError) -> str:
    said = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return f"{said[0].upper()}{said[1:]}."


def options(look: Look) -> list[tuple[str, str]]:
    return [("", "none"), *((column, column) for column in look.columns)]


def suggested(look: Look) -> dict[str, str]:
    if look.suggestion is None:
        return {}
    return {part: value for part, value in look.suggestion.model_dump(exclude={"fields"}).items() if value}


def table(look: Look) -> Sequence[Sequence[str]]:
    return [[row.get(column, "") for column in look.columns] for row in look.rows]
