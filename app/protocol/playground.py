"""The playground: one question to what a run started from and to what it made, answered side by side."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from app.protocol.graders import Outcome
from app.protocol.words import Message

Side = Literal["base", "tuned"]
"""`base` is what the run started from, `tuned` what it made."""

Said = Annotated[str, StringConstraints(max_length=20_000)]


class PlaygroundQuestion(Message):
    prompt: Said = ""
    system: Said = ""
    item: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """A held-out row by its place in the evaluation: its own prompt is asked, and the run's grader scores."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """0 takes the likeliest token each time."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 256
    """Of each answer."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @model_validator(mode="after")
    def _asks_something(self) -> "PlaygroundQuestion":
        if self.item is None and not self.prompt.strip():
            raise ValueError("write a prompt, or choose a held-out row")
        return self


class Waiting(Message):
    """Nothing is said yet; repeated every few seconds, so that a lost listener is noticed."""

    kind: Literal["waiting"] = "waiting"
    sentence: str


class Asked(Message):
    """What both models are given."""

    kind: Literal["asked"] = "asked"
    base: str
    """What the run started from, in words."""
    prompt: str


class Token(Message):
    """More of one answer: a token, or several where only together they make a character."""

    kind: Literal["token"] = "token"
    side: Side
    text: str


class Answered(Message):
    kind: Literal["answered"] = "answered"
    side: Side
    text: str
    tokens: int
    seconds: float
    is_clipped: bool
    """Cut at `max_tokens`, at the end of the model's context, or by Stop."""
    outcome: Outcome | None = None
    """The run's grader's, for a held-out row."""


class Trouble(Message):
    kind: Literal["trouble"] = "trouble"
    sentence: str


class Finished(Message):
    """The last line of an answer that came to its end."""

    kind: Literal["finished"] = "finished"


PlaygroundLine = Annotated[
    Waiting | Asked | Token | Answered | Trouble | Finished, Field(discriminator="kind")
]
"""One line of the stream."""


class PlaygroundInputs(Message):
    """What the worker tells the process that holds both models."""

    run_dir: str
    base_dir: str | None
    """None: the hub's copy on this worker."""
    device: Literal["cpu", "cuda"]
    threads: int
