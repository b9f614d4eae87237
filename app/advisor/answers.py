"""What a user tells us: answers with their basis, the weights of the factors, and how both are read."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.protocol import Message

Basis = Literal["told", "inspected", "probed", "piloted"]
"""Which rung of the ladder of evidence an answer stands on."""

AnswerState = Literal["answered", "unknown", "not_applicable"]

Note = Annotated[str, StringConstraints(max_length=2000)]
Link = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"]{1,2000}$")]


class Hardware(Message):
    """Answer to C1: the model to train and the GPUs to train it on."""

    parameters_b: Annotated[float, Field(gt=0, le=5000)]
    """Billions of parameters."""
    gpus: Annotated[int, Field(ge=0, le=4096)]
    """0 means training on the CPU."""
    gpu_memory_gb: Annotated[float, Field(gt=0, le=1024)] = 80.0
    """Memory of one GPU."""
    tuning: Literal["any", "full", "lora", "qlora"] = "any"


class Budget(Message):
    """Answer to C2: what the training may cost in GPU time."""

    gpu_hours: Annotated[float, Field(ge=0, le=10_000_000)]
    days: Annotated[float, Field(gt=0, le=3650)] | None = None
    """Until the model is needed."""
    tokens_per_demonstration: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Typical length of an ideal answer."""
    tokens_per_rollout: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Typical length of a sampled answer with its thinking."""
    completions_per_prompt: Annotated[int, Field(ge=2, le=256)] | None = None
    rollout_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of a GRPO step spent sampling, where it was measured."""


Quantity = Hardware | Budget


class Answer(Message):
    state: AnswerState = "answered"
    choice: str | None = None
    """A choice id; for C1 and C2 it is derived from the quantity and stays empty here."""
    quantity: Quantity | None = None
    basis: Basis = "told"
    note: Note = ""
    evidence: Link | None = None


class Project(Message):
    """Valid by construction when it comes from `read_project`; a question without an answer is unknown."""

    answers: Mapping[str, Answer] = {}
    weights: Mapping[str, float] | None = None
    """Points per factor, in any unit; None means the rulebook's own."""
    measurements: Mapping[str, float] = {}
    """What inspection, probe and launch form found, by the ids the rulebook's gates name."""
    name: str = ""
    description: str = ""
