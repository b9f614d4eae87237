"""A row as every method sees it, whatever file it came from."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.protocol import Message


class Turn(Message):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, StringConstraints(min_length=1)]


class Row(Message):
    """A demonstration when the assistant has the last word, a prompt when the user has, a pair, or a text.

    A pair is a prompt with two answers to it, `chosen` and `rejected`; a text stands alone, without messages.
    """

    messages: list[Turn] = []
    item: dict[str, Any] = Field(default_factory=dict)
    """What graders know as `item`: the row's further fields; a demonstration's answer is its `reference`."""
    chosen: list[Turn] | None = None
    """What follows the prompt in the better answer: the assistant's turn, or several that end with one."""
    rejected: list[Turn] | None = None
    text: str | None = None

    @property
    def is_demonstration(self) -> bool:
        return bool(self.messages) and self.messages[-1].role == "assistant"

    @property
    def is_pair(self) -> bool:
        return self.chosen is not None and self.rejected is not None

    @property
    def is_text(self) -> bool:
        return self.text is not None

    @property
    def prompt(self) -> list[Turn]:
        return self.messages[:-1] if self.is_demonstration else self.messages

    @property
    def answer(self) -> str | None:
        return self.messages[-1].content if self.is_demonstration else None


@dataclass(frozen=True)
class Split:
    train: list[Row]
    held_out: list[Row]
