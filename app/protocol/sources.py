"""What a run starts from and what it learns from: models and datasets by reference."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.protocol.readings import HubDataset, Profile, Reading, RepairReport
from app.protocol.words import Message, Sha256

# What to start from


class StarterModel(Message):
    """The small transformer that the worker trains itself: a stand-in for the user's model."""

    kind: Literal["starter"] = "starter"


NAMED_SIZE = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)([BM])(?![a-z0-9])", re.IGNORECASE)
"""`Qwen/Qwen3-0.6B` says it itself; the last such part counts."""


def named_parameters(hub_id: str) -> int | None:
    """How many a hub model has, as far as its id says it."""
    sizes = NAMED_SIZE.findall(hub_id.replace("_", "-"))
    return round(float(sizes[-1][0]) * (1e9 if sizes[-1][1] in "bB" else 1e6)) if sizes else None


class HubModel(Message):
    kind: Literal["hub"] = "hub"
    id: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$")
    ]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][A-Za-z0-9_.-]{0,99}$")] | None = None
    """A commit or tag; without one the worker pins the commit it finds and says which."""


class LocalModel(Message):
    """A directory in the worker's models folder, by the name under which `GET /models` lists it."""

    kind: Literal["local"] = "local"
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][\w.-]*$", max_length=96)]


ModelRef = Annotated[StarterModel | HubModel | LocalModel, Field(discriminator="kind")]


class ModelSummary(Message):
    ref: ModelRef
    title: str
    parameters: int | None = None
    ready: bool
    note: str | None = None


# What to learn from


class GeneratedDataset(Message):
    """A task that the project generates itself; its held-out rows never appear among the others."""

    kind: Literal["generated"] = "generated"
    name: Literal["rulings", "clauses", "impossible", "mastered"]


class UploadedDataset(Message):
    """Rows that were brought: uploaded, or fetched by the worker from the hub or from its own disk."""

    kind: Literal["uploaded"] = "uploaded"
    sha256: Sha256
    """Of the file as it came; where it was read by a mapping of columns, of file and mapping together."""


DatasetRef = Annotated[GeneratedDataset | UploadedDataset, Field(discriminator="kind")]


class DatasetKind(StrEnum):
    DEMONSTRATIONS = "demonstrations"
    PROMPTS = "prompts"
    MIXED = "mixed"
    PREFERENCES = "preferences"
    """A prompt with a chosen and a rejected answer: for a reward model."""
    TEXTS = "texts"
    """Whole texts without a question: for SFT as language modelling."""


class DatasetSummary(Message):
    ref: DatasetRef
    kind: Annotated[DatasetKind, Field(strict=False)]
    rows: int
    demonstrations: int
    prompts: int
    """Rows without an answer of their own. GRPO may learn from these and from the demonstrations' prompts."""
    preferences: int = 0
    texts: int = 0
    held_out: int
    item_fields: list[str]
    """Extra fields present on every row, usable in graders as `{{ item.x }}`."""
    bytes: int
    preview: list[dict[str, Any]]
    source: str = ""
    """Where it came from, in words."""
    file_sha256: Sha256 | None = None
    """Of the file as it came; None for what came before readings were kept."""
    reading: Reading | None = None
    format: str = "jsonl"
    """As it turned out: `jsonl`, `csv` or `parquet`."""
    split_sha256: Sha256 | None = None
    """Of the stored order in which rows are held out."""
    profile: Profile | None = None
    no_profile: str | None = None
    """Why there is none, in one sentence."""
    repair: RepairReport | None = None
    """Of a repaired copy: what was changed."""


class RowsPage(Message):
    """Some rows of a dataset, as they are learned from."""

    total: int
    offset: int
    rows: list[dict[str, Any]]
    lines: list[int]
    held_out: list[bool]
    """Whether an evaluation of the usual size holds the row out."""


class ProfileOrder(Message):
    """Whose tokenizer counts the tokens; None: the starter's, or bytes where there is none."""

    model: ModelRef | None = None


class FetchOrder(Message):
    """What the process that reaches the hub is asked for: a dataset's rows or a model's tokenizer."""

    dataset: HubDataset | None = None
    model: HubModel | None = None
    folder: str
    """Where to leave it, with a `fetched.json` that says how it went."""
    max_bytes: int
    max_rows: int


class Fetched(Message):
    commit: str = ""
    """That it was taken from."""
    why: str = ""
    """Why it could not be had; empty where it could."""
