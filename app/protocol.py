"""What web, worker and engine say to each other: what to train, what happened, and how it stands."""

import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

RunId = Annotated[UUID, Field(strict=False)]

INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories: control, formatting (direction, zero width), surrogates, private use, separators."""


def _plain(text: str) -> str:
    """Names are compared by eye: nothing invisible in them, and one spelling of each letter."""
    unwanted = next((c for c in text if unicodedata.category(c) in INVISIBLE), None)
    if unwanted:
        raise ValueError(f"a name cannot hold the invisible character U+{ord(unwanted):04X}; remove it")
    return unicodedata.normalize("NFC", text)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=120),
    AfterValidator(_plain),
]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

ShareOfOne = Annotated[float, Field(ge=0, le=1)]


class Message(BaseModel):
    """Base of everything that crosses a process boundary: closed, immutable, strict, finite numbers only."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, serialize_by_alias=True
    )


class Method(StrEnum):
    SFT = "sft"
    GRPO = "grpo"


# What to start from


class StarterModel(Message):
    """The small transformer that the worker trains itself: a stand-in for the user's model."""

    kind: Literal["starter"] = "starter"


class HubModel(Message):
    kind: Literal["hub"] = "hub"
    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][\w.-]{0,99}$")] | None = None
    """A commit or tag; without one the worker pins the commit it finds and says which."""


class LocalModel(Message):
    """A directory in the worker's models folder, by the name under which `GET /models` lists it."""

    kind: Literal["local"] = "local"
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][\w.-]{0,95}$")]


ModelRef = Annotated[StarterModel | HubModel | LocalModel, Field(discriminator="kind")]


# What to learn from


class GeneratedDataset(Message):
    """A task that the project generates itself; its held-out rows never appear among the others."""

    kind: Literal["generated"] = "generated"
    name: Literal["rulings", "clauses", "impossible", "mastered"]


class UploadedDataset(Message):
    kind: Literal["uploaded"] = "uploaded"
    sha256: Sha256


DatasetRef = Annotated[GeneratedDataset | UploadedDataset, Field(discriminator="kind")]


# What a good answer is. The schema is OpenAI's where it has one; `{{ item.x }}` and
# `{{ sample.output_text }}` are filled in by plain substitution, never by a template engine.

Template = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
GraderName = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class StringCheck(Message):
    type: Literal["string_check"] = "string_check"
    name: GraderName
    input: Template = "{{ sample.output_text }}"
    reference: Template
    operation: Literal["eq", "ne", "like", "ilike"] = "eq"


class Regex(Message):
    """Full score when the chosen match's first group (or whole match) equals the reference."""

    type: Literal["regex"] = "regex"
    name: GraderName
    input: Template = "{{ sample.output_text }}"
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """RE2 syntax: linear time, no look-around, no back-references."""
    match: Literal["first", "last", "any"] = "last"
    reference: Template | None = None
    """Without a reference any match scores 1."""


class JsonSchema(Message):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    type: Literal["json_schema"] = "json_schema"
    name: GraderName
    input: Template = "{{ sample.output_text }}"
    json_schema: dict[str, Any] = Field(alias="schema")


Grader = Annotated[StringCheck | Regex | JsonSchema, Field(discriminator="type")]


class Score(Message):
    kind: Literal["score"] = "score"
    value: ShareOfOne


class Abstain(Message):
    """The grader does not apply to this answer."""

    kind: Literal["abstain"] = "abstain"
    why: str


class GraderError(Message):
    """The grader itself failed: never counted as the model's score."""

    kind: Literal["error"] = "error"
    why: str


Outcome = Annotated[Score | Abstain | GraderError, Field(discriminator="kind")]


class GradeRequest(Message):
    grader: Grader
    output_text: Annotated[str, StringConstraints(max_length=65536)]
    item: dict[str, Any] = {}


# How to train

LearningRate = Annotated[float, Field(gt=0, le=1)]


class _Recipe(Message):
    learning_rate: LearningRate
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    """Sequences behind one optimizer update (for GRPO: completions)."""
    micro_batch_size: Annotated[int, Field(ge=1, le=4096)]
    """Sequences in memory at once; the rest of the batch is accumulated."""
    warmup_ratio: ShareOfOne = 0.03
    max_grad_norm: Annotated[float, Field(gt=0, le=100)] = 1.0
    lr_scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    max_minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] | None = None

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> "_Recipe":
        if self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of micro_batch_size "
                f"({self.micro_batch_size}), so that every update sees whole micro-batches"
            )
        return self


class SftRecipe(_Recipe):
    kind: Literal["sft"] = "sft"
    epochs: Annotated[float, Field(gt=0, le=1000)]
    max_length: Annotated[int, Field(ge=16, le=131072)]
    """Tokens of prompt and answer together; longer rows are refused before training, not cut."""
    max_demonstrations: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many demonstrations: what keeps a warm start short."""
    packing: bool = False


class GrpoRecipe(_Recipe):
    kind: Literal["grpo"] = "grpo"
    steps: Annotated[int, Field(ge=1, le=1_000_000)]
    num_generations: Annotated[int, Field(ge=2, le=256)]
    """Completions drawn for each prompt: the group in Group Relative Policy Optimization."""
    max_completion_length: Annotated[int, Field(ge=1, le=131072)]
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    beta: Annotated[float, Field(ge=0, le=10)] = 0.0
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.2
    epsilon_high: Annotated[float, Field(gt=0, le=10)] | None = 0.28
    loss_type: Literal["dapo", "dr_grpo", "grpo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    mask_truncated_completions: bool = False

    @model_validator(mode="after")
    def _whole_groups(self) -> "GrpoRecipe":
        if self.batch_size % self.num_generations:
            nearest = max(1, round(self.batch_size / self.num_generations)) * self.num_generations
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of num_generations "
                f"({self.num_generations}), because a group is scored together; {nearest} would do"
            )
        return self


class StarterRecipe(Message):
    """Trains the starter model from scratch; made by the worker itself, once per content hash."""

    kind: Literal["starter"] = "starter"


Recipe = Annotated[SftRecipe | GrpoRecipe | StarterRecipe, Field(discriminator="kind")]


class EvaluationPlan(Message):
    """The same held-out items, grader and sampling before and after training."""

    items: Annotated[int, Field(ge=1, le=10_000)] = 200
    max_completion_length: Annotated[int, Field(ge=1, le=131072)] = 256
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    samples_shown: Annotated[int, Field(ge=0, le=200)] = 20


class RunSpec(Message):
    """Everything a run depends on. Two runs with equal specs differ only by chance."""

    name: Name
    model: ModelRef
    starts_from: RunId | None = None
    """A run whose model this one goes on training; `model` then names that run's own start."""
    dataset: DatasetRef | None = None
    grader: Grader | None = None
    draft_grader: Grader | None = None
    """Grades the first attempt inside an answer, for self-correction tasks."""
    recipe: Recipe
    evaluation: EvaluationPlan = EvaluationPlan()
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @model_validator(mode="after")
    def _trains_on_something(self) -> "RunSpec":
        if self.recipe.kind != "starter" and (self.dataset is None or self.grader is None):
            raise ValueError("a run needs a dataset to learn from and a grader to be measured with")
        return self


# How it stands


class RunState(StrEnum):
    REQUESTED = "requested"
    WAITING = "waiting"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    EVALUATING = "evaluating"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


# Enums arrive as JSON strings, which strict models refuse unless told otherwise.
State = Annotated[RunState, Field(strict=False)]


class RunStatus(Message):
    id: RunId
    spec: RunSpec
    state: State
    detail: str | None = None
    """Why it waits, or why it failed, in one sentence."""
    queue_position: int | None = None
    last_seq: int
    created_at: float
    """Unix seconds, by the worker's clock; never compared with another machine's."""


# What happened. One JSON object a line in events.jsonl.


class Interval(Message):
    low: ShareOfOne
    high: ShareOfOne


class Share(Message):
    """`right` of `n` answers passed; abstentions and grader errors are in neither number."""

    right: Annotated[int, Field(ge=0)]
    n: Annotated[int, Field(ge=0)]
    interval: Interval
    """Wilson, 95 %."""

    @property
    def value(self) -> float:
        return self.right / self.n if self.n else 0.0


class DraftCounts(Message):
    """Self-correction on the sampled answers: what became of right and wrong drafts."""

    wrong: int
    mended: int
    right: int
    spoiled: int
    undecided: int
    """Answers without a gradable draft."""


class SampledAnswer(Message):
    item: int
    """Index into the held-out split."""
    prompt: str
    output_text: str
    reference: str | None = None
    outcome: Outcome


class Evaluation(Message):
    when: Literal["before", "after"]
    sampled: Share
    """One answer per item at the rollouts' temperature."""
    greedy: Share
    sampled_outcomes: str
    """One character per held-out item: 1 right, 0 wrong, - abstained or grader error."""
    greedy_outcomes: str
    abstained: int
    errors: int
    mean_tokens: float
    clipped: ShareOfOne
    """Share of sampled answers cut at the length limit."""
    drafts: DraftCounts | None = None
    samples: list[SampledAnswer]
    seconds: float


class StateEvent(Message):
    kind: Literal["state"] = "state"
    state: State
    detail: str | None = None


class MetricEvent(Message):
    """One logging step; names are TRL's own. A value that was not finite arrives as null."""

    kind: Literal["metric"] = "metric"
    step: Annotated[int, Field(ge=0)]
    total_steps: Annotated[int, Field(ge=1)]
    values: Mapping[str, float | None]


class SampleEvent(Message):
    """A few completions of one training step, with their scores."""

    kind: Literal["sample"] = "sample"
    step: int
    prompt: str
    completions: list[str]
    rewards: list[float | None]
    advantages: list[float | None]


class EvaluationEvent(Message):
    kind: Literal["evaluation"] = "evaluation"
    evaluation: Evaluation


class ProgressEvent(Message):
    """How far a phase without training steps has come (evaluation, preparing)."""

    kind: Literal["progress"] = "progress"
    phase: str
    done: int
    total: int


class HealthEvent(Message):
    """A health finding: a known failure that a rule over the metrics recognised."""

    kind: Literal["health"] = "health"
    rule: str
    level: Literal["warn", "stop"]
    step: int
    sentence: str


class CheckpointEvent(Message):
    kind: Literal["checkpoint"] = "checkpoint"
    step: int


class LogEvent(Message):
    kind: Literal["log"] = "log"
    line: Annotated[str, StringConstraints(max_length=8192)]


class EndEvent(Message):
    """The verdict, always the last event. Success is judged by steps done, never by an exit code."""

    kind: Literal["end"] = "end"
    state: Literal[RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]
    steps_done: int
    total_steps: int | None = None
    reason: str | None = None
    """One sentence for a failed run."""
    log_tail: str | None = None


Happening = Annotated[
    StateEvent
    | MetricEvent
    | SampleEvent
    | EvaluationEvent
    | ProgressEvent
    | HealthEvent
    | CheckpointEvent
    | LogEvent
    | EndEvent,
    Field(discriminator="kind"),
]


class RunEvent(Message):
    seq: Annotated[int, Field(ge=1)]
    at: float
    """Unix seconds by the engine's clock."""
    what: Happening


class EventPage(Message):
    status: RunStatus
    events: list[RunEvent]


# What the worker has


class Artifact(Message):
    name: str
    bytes: int


class DatasetKind(StrEnum):
    DEMONSTRATIONS = "demonstrations"
    PROMPTS = "prompts"
    MIXED = "mixed"


class DatasetSummary(Message):
    ref: DatasetRef
    kind: Annotated[DatasetKind, Field(strict=False)]
    rows: int
    demonstrations: int
    prompts: int
    """Rows without an answer of their own. GRPO may learn from these and from the demonstrations' prompts."""
    held_out: int
    item_fields: list[str]
    """Extra fields present on every row, usable in graders as `{{ item.x }}`."""
    bytes: int
    preview: list[dict[str, Any]]


class ModelSummary(Message):
    ref: ModelRef
    title: str
    parameters: int | None = None
    ready: bool
    note: str | None = None


class Device(Message):
    kind: Literal["cpu", "cuda"]
    name: str
    count: int
    memory_bytes: int


class WorkerHealth(Message):
    versions: Mapping[str, str]
    device: Device
    running: list[RunId]
    queued: list[RunId]
    disk_free_bytes: int
    starter: RunStatus | None = None
