"""One JSON object of a file as a row: the shapes that OpenAI and TRL write, told apart by their fields."""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from app.datasets.rows import Row, Turn
from app.datasets.rows_in_words import other_shape, problem_with_messages, problem_with_order, unsupported

SHAPED = {
    "messages": {"messages"},
    "openai_pair": {"input", "preferred_output", "non_preferred_output"},
    "pair": {"prompt", "chosen", "rejected"},
    "prompt": {"prompt", "completion"},
    "text": {"text"},
}
"""The fields that make up each shape; what else a row has is for graders."""

TRANSCRIPT = re.compile(r"\n\n(Human|Assistant): ?")


class Unreadable(Exception):
    """What is wrong with a row, and what to do about it."""


def row_of(given: dict[str, Any]) -> Row | str:
    """The row, or what is wrong with it."""
    if problem := unsupported(given):
        return problem
    shape = shape_of(given)
    if shape is None:
        return other_shape(given)
    item = {field: value for field, value in given.items() if field not in SHAPED[shape]}
    try:
        return _READERS[shape](given, item)
    except Unreadable as problem:
        return str(problem)


def shape_of(given: dict[str, Any]) -> str | None:
    if "messages" in given:
        return "messages"
    if "preferred_output" in given or "non_preferred_output" in given:
        return "openai_pair"
    if "chosen" in given or "rejected" in given:
        return "pair"
    return next((shape for shape in ("prompt", "text") if shape in given), None)


def as_given(row: Row) -> dict[str, Any]:
    """A row as a line that reads back to the same row."""
    item = {k: v for k, v in row.item.items() if not (k == "reference" and v == row.answer)}
    if row.is_pair:
        parts = {"prompt": row.messages, "chosen": row.chosen, "rejected": row.rejected}
        written = {name: [turn.model_dump() for turn in turns or []] for name, turns in parts.items()}
        return written | _without(item, SHAPED["openai_pair"] | SHAPED["pair"] | {"messages"})
    if row.text is not None:
        reserved = set().union(*SHAPED.values())
        return {"text": row.text} | _without(item, reserved)
    return {"messages": [turn.model_dump() for turn in row.messages]} | item


def _without(item: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}


# Each shape


def _from_messages(given: dict[str, Any], item: dict[str, Any]) -> Row:
    return _conversation(_turns(given["messages"], "messages"), item)


def _from_prompt(given: dict[str, Any], item: dict[str, Any]) -> Row:
    turns = _prompt(given["prompt"])
    if "completion" in given:
        turns = turns + _answer(given["completion"], "completion")
    return _conversation(turns, item)


def _conversation(turns: list[Turn], item: dict[str, Any]) -> Row:
    _in_order(turns)
    if turns[-1].role == "assistant":
        item.setdefault("reference", turns[-1].content)
    return Row(messages=turns, item=item)


def _from_text(given: dict[str, Any], item: dict[str, Any]) -> Row:
    text = given["text"]
    if not isinstance(text, str):
        raise Unreadable("`text` must be a text")
    if not text.strip():
        raise Unreadable("`text` is empty")
    return Row(text=text, item=item)


def _from_openai_pair(given: dict[str, Any], item: dict[str, Any]) -> Row:
    asked = given.get("input")
    if not isinstance(asked, dict):
        raise Unreadable('`input` must be an object with `messages`, as in {"input": {"messages": [...]}}')
    if problem := unsupported(asked):
        raise Unreadable(f"`input`: {problem}")
    prompt = _asking(_turns(asked.get("messages"), "input.messages"))
    preferred = _answer(given.get("preferred_output"), "preferred_output")
    other = _answer(given.get("non_preferred_output"), "non_preferred_output")
    return _pair(prompt, preferred, other, item)


def _from_pair(given: dict[str, Any], item: dict[str, Any]) -> Row:
    for name in ("chosen", "rejected"):
        if name not in given:
            raise Unreadable(f"a preference pair without `{name}`; a pair needs both answers")
    if given.get("prompt") is not None:
        prompt = _prompt(given["prompt"])
        return _pair(prompt, _answer(given["chosen"], "chosen"), _answer(given["rejected"], "rejected"), item)
    return _implicit_pair(given["chosen"], given["rejected"], item)


def _implicit_pair(chosen: Any, rejected: Any, item: dict[str, Any]) -> Row:
    """What both answers begin with is the prompt."""
    better, worse = _whole(chosen, "chosen"), _whole(rejected, "rejected")
    if isinstance(better, str) or isinstance(worse, str):
        if not (isinstance(better, str) and isinstance(worse, str)):
            raise Unreadable("`chosen` and `rejected` must both be texts or both be lists of messages")
        prompt, one, other = _apart(better, worse)
        return _pair(prompt, one, other, item)
    shared = list(takewhile(lambda pair: pair[0] == pair[1], zip(better, worse, strict=False)))
    while shared and shared[-1][0].role == "assistant":
        shared.pop()
    prompt = [turn for turn, _ in shared]
    if not prompt:
        raise Unreadable(_NO_PROMPT)
    return _pair(_asking(prompt), better[len(prompt) :], worse[len(prompt) :], item)


_NO_PROMPT = (
    "a preference pair whose two answers begin differently; put what was asked into `prompt`, or at the "
    "start of both"
)


def _apart(better: str, worse: str) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Two texts with a common beginning, which ends between words."""
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(better, worse, strict=False)))
    common = better[:length]
    if not common.endswith((" ", "\n")):
        common = common[: max(common.rfind(" "), common.rfind("\n")) + 1]
    if not common.strip():
        raise Unreadable(_NO_PROMPT)
    rest, other = better[len(common) :], worse[len(common) :]
    if not (rest.strip() and other.strip()):
        raise Unreadable("a preference pair in which one answer is only the beginning of the other")
    return [Turn(role="user", content=common)], _said(rest), _said(other)


def _pair(prompt: list[Turn], chosen: list[Turn], rejected: list[Turn], item: dict[str, Any]) -> Row:
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if not turns:
            raise Unreadable(f"`{name}` ends where the other answer begins; both need an answer of their own")
        if turns[-1].role != "assistant":
            raise Unreadable(f"`{name}` must end with the assistant's message")
        _in_order(prompt + turns)
    return Row(messages=prompt, chosen=chosen, rejected=rejected, item=item)


_READERS = {
    "messages": _from_messages,
    "openai_pair": _from_openai_pair,
    "pair": _from_pair,
    "prompt": _from_prompt,
    "text": _from_text,
}


# Their parts


def _turns(messages: Any, field: str) -> list[Turn]:
    if problem := problem_with_messages(messages, field):
        raise Unreadable(problem if field == "messages" else f"`{field}`: {problem}")
    return [Turn(role=each["role"], content=each["content"]) for each in messages]


def _prompt(prompt: Any) -> list[Turn]:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise Unreadable("`prompt` is empty")
        return [Turn(role="user", content=prompt)]
    if not isinstance(prompt, list):
        raise Unreadable("`prompt` must be a text or a list of messages")
    return _asking(_turns(prompt, "prompt"))


def _asking(turns: list[Turn]) -> list[Turn]:
    if turns[-1].role != "user":
        raise Unreadable(f"the prompt ends with the {turns[-1].role}'s message; it must end with the user's")
    return turns


def _answer(answer: Any, field: str) -> list[Turn]:
    if isinstance(answer, str):
        if not answer.strip():
            raise Unreadable(f"`{field}` is empty")
        return _said(answer)
    if not isinstance(answer, list):
        raise Unreadable(f"`{field}` must be a text or a list of messages")
    return _turns(answer, field)


def _said(text: str) -> list[Turn]:
    return [Turn(role="assistant", content=text)]


def _whole(answer: Any, field: str) -> str | list[Turn]:
    """A conversation with its answer: a list of messages, or a transcript with Human and Assistant."""
    if not isinstance(answer, str):
        return _answer(answer, field)
    if not answer.strip():
        raise Unreadable(f"`{field}` is empty")
    return list(_transcript(answer)) if answer.startswith("\n\nHuman:") else answer


def _transcript(text: str) -> Iterator[Turn]:
    parts = TRANSCRIPT.split(text)[1:]
    for who, said in zip(parts[::2], parts[1::2], strict=True):
        if not said.strip():
            raise Unreadable(f"{who} says nothing in one turn of the transcript")
        yield Turn(role="user" if who == "Human" else "assistant", content=said.strip())


def _in_order(turns: list[Turn]) -> None:
    if problem := problem_with_order([turn.role for turn in turns]):
        raise Unreadable(problem)
