"""Graders as OpenAI's API writes them, where that differs in form from our schema and not in meaning."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from app.protocol import Grader


def from_openai(given: Any) -> Any:
    """Parts of a `multi` as a list or a single object, and message contents in blocks; the rest as it is."""
    if not isinstance(given, dict):
        return given
    match given.get("type"):
        case "multi":
            return given | {"graders": _by_name(given.get("graders"))}
        case "score_model" if isinstance(given.get("input"), list):
            return given | {"input": [_message(each) for each in given["input"]]}
        case "self_correction":
            parts = {name: from_openai(given[name]) for name in ("draft", "final") if name in given}
            return given | parts
    return given


AnyGrader = Annotated[Grader, BeforeValidator(from_openai)]
"""What the API takes: our schema, and OpenAI's spelling of it."""


def _by_name(graders: Any) -> Any:
    """OpenAI's schema has one object, its example a list, its guide a dictionary."""
    if isinstance(graders, dict) and isinstance(graders.get("type"), str):
        graders = [graders]
    if isinstance(graders, list):
        named = [each.get("name") if isinstance(each, dict) else None for each in graders]
        if not all(isinstance(name, str) for name in named) or len(set(named)) < len(named):
            return graders
        graders = dict(zip(named, graders, strict=True))
    return (
        {name: from_openai(each) for name, each in graders.items()} if isinstance(graders, dict) else graders
    )


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    found = {key: value for key, value in message.items() if key != "type" or value != "message"}
    if found.get("role") == "developer":
        found["role"] = "system"
    return found | ({"content": _content(found["content"])} if "content" in found else {})


def _content(content: Any) -> Any:
    """One block or a list of them, as one text; a block that is no text stays, and is refused."""
    blocks = content if isinstance(content, list) else [content]
    texts = [_text(block) for block in blocks]
    return "\n".join(texts) if all(isinstance(text, str) for text in texts) else content


def _text(block: Any) -> Any:
    if isinstance(block, dict) and block.get("type") in ("input_text", "output_text", "text"):
        return block.get("text")
    return block
