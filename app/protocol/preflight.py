"""What is checked before a launch, and what the first batch looks like to the trainer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from app.protocol.runs import RunSpec
from app.protocol.words import Message, RunId

# Preflight


class CheckResult(StrEnum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"


class CheckName(StrEnum):
    """In the order in which they are made: what is cheap and decides much comes first."""

    MODEL = "model"
    DATASET = "dataset"
    BATCH = "batch"
    HELD_OUT = "held_out"
    REWARD_MODEL = "reward_model"
    GRADER = "grader"
    TRACKING = "tracking"
    DISK = "disk"
    SETTINGS = "settings"
    LENGTHS = "lengths"
    MEMORY = "memory"
    SMOKE_STEP = "smoke_step"


class Check(Message):
    name: Annotated[CheckName, Field(strict=False)]
    result: Annotated[CheckResult, Field(strict=False)]
    sentence: str
    """What was found."""
    fix: str = ""
    """What to do about it; empty where nothing is to be done."""
    figures: Mapping[str, float] = {}
    """What the sentence quotes, for programs; bytes, seconds, tokens and counts as the name says."""


class Forecast(Message):
    """What the smoke step says of the whole run."""

    steps: int
    step_seconds: float
    """Of the longest rows, with GRPO's answers in full length; most steps are shorter."""
    training_seconds: float
    """Steps times that; measuring before, during and after the training is not in it."""
    peak_bytes: int
    available_bytes: int
    gpu_hours: float
    money: float | None = None
    """Where the run's limits name a price of a GPU hour."""


class PreflightRequest(Message):
    spec: RunSpec
    while_watched: bool = False
    """Give it up when nobody has asked how far it is for half a minute: for pages that people leave."""


class PreflightState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class Preflight(Message):
    id: RunId
    spec: RunSpec
    state: Annotated[PreflightState, Field(strict=False)]
    doing: Annotated[CheckName, Field(strict=False)] | None = None
    """The check that is being made."""
    checks: list[Check] = []
    """Those made so far, in order."""
    forecast: Forecast | None = None
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.state in (PreflightState.DONE, PreflightState.CANCELLED)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.result is CheckResult.FAIL]

    @property
    def warned(self) -> list[Check]:
        return [check for check in self.checks if check.result is CheckResult.WARN]


class PreflightInputs(Message):
    """What the worker tells the process that checks, beside the run directory it laid out for it."""

    run_dir: str
    model_is_coming: str | None = None
    """Why the model cannot be looked at yet, where an earlier run is still to make it."""
    stands_in: str = ""
    """Added to what is said of the model where it stands in for one that an earlier run is still to make."""
    device_name: str = ""
    memory_bytes: int
    """Of the device. On a CPU the smoke step may use no more."""
    disk_free_bytes: int
    min_free_bytes: int
    tracking: list[str] = []
    tracking_url: str = ""


class Beginning(Message):
    """A line of that process: which check it now makes."""

    kind: Literal["beginning"] = "beginning"
    name: Annotated[CheckName, Field(strict=False)]


class Checked(Message):
    kind: Literal["checked"] = "checked"
    check: Check
    forecast: Forecast | None = None


PreflightLine = Annotated[Beginning | Checked, Field(discriminator="kind")]


# The first batch


class FirstBatchRequest(Message):
    """Only what decides the first batch is looked at: model, dataset, and the recipe's lengths and sizes."""

    spec: RunSpec


class BatchToken(Message):
    id: int
    text: str
    is_learned: bool = False
    """Whether the loss counts it."""


class BatchRow(Message):
    tokens: list[BatchToken]
    """Without padding; at most as many as are shown."""
    length: int
    """Tokens of the row, padding left out."""
    learned: int
    padding: int
    label: str = ""
    """What it is beside others: `chosen` or `rejected` for a preference pair."""


class FirstBatch(Message):
    kind: Literal["tokens", "prompts"]
    """`prompts` for GRPO, which writes the answers itself."""
    rows: list[BatchRow]
    """The first ones, in the trainer's order."""
    sequences: int
    """In the batch, those not shown included."""
    width: int
    """Tokens to which every sequence is padded."""
    tokens: int
    learned: int
    padding: int
    steps: int
    """Batches in the whole training."""
    num_generations: int = 0
    """Answers to each prompt, for GRPO."""
    notes: list[str] = []
    """What was done to the rows on the way: the chat template, packing, cutting."""


class FirstBatchState(Message):
    state: Literal["running", "done", "failed"]
    sentence: str = ""
    """Why it failed."""
    batch: FirstBatch | None = None


class FirstBatchInputs(Message):
    run_dir: str
    most_rows: Annotated[int, Field(ge=1)] = 20_000
    """Rows that are tokenized for it."""


class FirstBatchMade(Message):
    """The line of the process that makes it."""

    batch: FirstBatch | None = None
    trouble: str = ""
