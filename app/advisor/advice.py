"""The words of a recommendation: what is told to people, pages and programs."""

from json import dumps
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator

from app.protocol import Message

Basis = Literal["told", "inspected", "probed", "piloted"]
"""Which rung of the ladder of evidence an answer stands on."""
AnswerState = Literal["answered", "unknown", "not_applicable"]

TrainingMethod = Literal["sft", "grpo"]
METHODS: tuple[TrainingMethod, ...] = get_args(TrainingMethod)
Tuning = Literal["full", "lora", "qlora"]
TUNINGS: tuple[Tuning, ...] = get_args(Tuning)
Verdict = Literal["fits", "tight", "no"]
"""Of a configuration on a GPU: up to 80 % of what it offers, up to 95 %, above."""
Band = Literal["strong", "moderate", "too_close", "only_runnable"]
Rung = Literal["told", "inspected", "probed", "launch"]
Effect = Literal["block", "defer", "warn", "block_launch"]
PlanId = Literal["sft", "grpo", "sft_then_grpo", "reward_model_then_grpo", "not_yet"]

M = TypeVar("M", bound=Message)


_FIELDS: dict[type[Message], frozenset[str]] = {}
_write = object.__setattr__


def trusted(model: type[M], values: dict[str, Any]) -> M:
    """An instance made without validation, from values this package computed itself.

    Some forty go into one recommendation; validating each costs four times as much and would be
    most of the time a recommendation takes. Tests read every kind back through validation.
    """
    made = model.__new__(model)
    _write(made, "__dict__", values)
    _write(made, "__pydantic_fields_set__", _FIELDS.get(model) or _fields(model))
    _write(made, "__pydantic_extra__", None)
    _write(made, "__pydantic_private__", None)
    return made


def _fields(model: type[Message]) -> frozenset[str]:
    return _FIELDS.setdefault(model, frozenset(model.model_fields))


class GateOutcome(Message):
    id: str
    title: str
    method: Literal["sft", "grpo", "both"]
    effect: Effect
    """Of the level that holds; of the strictest level while it is unknown or clear."""
    state: Literal["holds", "unknown", "clear"]
    sentence: str
    lift: str
    """What would lift it."""
    rung: Rung
    questions: tuple[str, ...]
    """Whose answers it looks at."""
    sources: tuple[str, ...]


class FactorReading(Message):
    id: str
    title: str
    weight: float
    """Share of the whole after normalising; 0 where no question of the factor applies."""
    direction: float
    """-1 all SFT, +1 all GRPO."""
    contribution: float
    low: float
    high: float
    """Bounds of the direction while unknown answers stay unknown."""
    paragraph: str
    sources: tuple[str, ...]


class Contribution(Message):
    question: str
    factor: str
    title: str
    choice: str | None
    answer_label: str
    basis: Basis | None
    """None where nothing was answered."""
    effect: float
    contribution: float
    """Share of the lean; all of them add up to it."""
    grade: str
    sources: tuple[str, ...]
    sentence: str
    state: AnswerState


class Unknown(Message):
    question: str
    title: str
    swing: float
    """How far the lean can move between this question's extreme answers."""
    low: float
    high: float
    """The lean at those extremes, all other unknowns left unknown."""
    could_turn: bool
    """Whether this answer alone could turn the sign of the lean or close a method."""
    gates: tuple[str, ...]
    sentence: str
    share: float | None = None
    """Share of its choices after which method, plan or readiness differ; known with the robustness only."""


class NextQuestion(Message):
    question: str
    title: str
    sentence: str


class Span(Message):
    low: float
    high: float
    stable: bool = False
    """Whether the lean has the same sign everywhere in it."""
    sentence: str = ""


class Acceptability(Message):
    """Share of weightings under which GRPO leads."""

    near: float
    all: float


class Flip(Message):
    question: str
    title: str
    from_choice: str | None
    to_choice: str | None
    from_label: str
    to_label: str
    changeable: bool
    """Whether a team can usually bring this change about."""
    method_after: TrainingMethod
    plan_after: PlanId
    lean_after: float
    sentence: str
    to_answer: Any = None
    """The new answer as the API takes it."""


class AnswerChange(Message):
    question: str
    title: str
    from_choice: str | None
    to_choice: str | None
    from_label: str
    to_label: str
    to_answer: Any
    """The new answer as the API takes it."""


class PairedFlip(Message):
    """Two changes that turn the advice together, while neither does alone."""

    changes: tuple[AnswerChange, ...]
    method_after: TrainingMethod
    plan_after: PlanId
    lean_after: float
    sentence: str


class WeightFlip(Message):
    """At which share of the whole a factor's weight would turn the lean, the others kept in proportion."""

    factor: str
    title: str
    weight: float
    turns_at: float | None
    sentence: str
    lean_turns_at: float | None = None
    """Where the lean itself is zero; the method turns a little beyond, because a tie goes to SFT."""


class TornadoBar(Message):
    factor: str
    title: str
    unknown_low: float
    unknown_high: float
    weight_low: float
    weight_high: float


class Robustness(Message):
    near_low: float
    near_high: float
    """Acceptability near the user's weights with every unknown at its worst and best."""
    weight_flips: tuple[WeightFlip, ...]
    tornado: tuple[TornadoBar, ...]
    central_sft: dict[str, float] | None = None
    """Mean of all weightings under which SFT leads, per factor; None where there are none."""
    central_grpo: dict[str, float] | None = None


class Setting(Message):
    """A suggested number, named as in the run recipe where the recipe has it."""

    name: str
    value: float | int | str | bool
    why: str
    sources: tuple[str, ...]


class Stage(Message):
    method: Literal["sft", "grpo", "reward_model"]
    title: str
    purpose: str
    recipe: tuple[Setting, ...]


class Plan(Message):
    id: PlanId
    title: str
    sentence: str
    trigger: str | None = None
    """When to go on to a further method, if ever."""
    steps: tuple[str, ...] = ()
    """What to do before, or instead of, a training run."""
    stages: tuple[Stage, ...]
    sources: tuple[str, ...]


class Risk(Message):
    id: str
    method: Literal["sft", "grpo", "both"]
    title: str
    sentence: str
    watch: str
    """Which metric or health finding will watch for it."""
    sources: tuple[str, ...]


class Alternative(Message):
    id: Literal["dpo", "distillation", "retrieval", "prompting"]
    title: str
    sentence: str
    sources: tuple[str, ...]


class Cost(Message):
    ratio: float
    """GPU time of GRPO over that of SFT, per row of data."""
    per_token: float | None = None
    """The same per trained token."""
    sentence: str
    formula: str
    assumptions: tuple[str, ...]


class Range(Message):
    """A figure and how far off it may be: about eight in ten fall within."""

    low: float
    typical: float
    high: float

    def times(self, factor: float) -> "Range":
        return Range(low=self.low * factor, typical=self.typical * factor, high=self.high * factor)


PartOfMemory = Literal[
    "weights", "lora", "optimizer", "gradients", "activations", "logits", "extras", "generator", "overhead"
]


class MemoryPart(Message):
    id: PartOfMemory
    title: str
    gib: float


class Configuration(Message):
    """One way to train on the GPUs that there are, and whether it fits each of them."""

    method: TrainingMethod
    tuning: Tuning
    verdict: Verdict
    peak_gib: Range
    """On each GPU, as the card shows it."""
    usable_gib: float
    share: float
    """Of what a GPU offers, at the typical peak."""
    parts: tuple[MemoryPart, ...]
    """They add up to the typical peak. What is not alive at the peak is left out."""
    binding: PartOfMemory
    """The largest part."""
    micro_batch: int
    """Sequences at once on a GPU that the verdict is about."""
    sharding: Literal["none", "zero2", "zero3"]
    sentence: str
    settings: tuple[str, ...]
    """What was changed from the usual settings to make it fit."""
    remedies: tuple[str, ...]
    """What would make it fit better, nearest first."""


PartOfStep = Literal["rollouts", "scoring", "log_probabilities", "update", "hand_over"]


class StepPart(Message):
    id: PartOfStep
    title: str
    about: str
    seconds: float
    share: float


class RunEstimate(Message):
    """A whole training run with one method."""

    method: TrainingMethod
    tuning: Tuning
    fits: bool
    tokens_per_second: Range
    """Trained tokens of all GPUs together, padding not counted."""
    gpus: int
    hours: Range
    gpu_hours: Range
    dollars: Range | None
    """None where no price is known."""
    sentence: str


class Ratio(Message):
    """GRPO over SFT by one of three definitions, which must not be mixed up."""

    id: Literal["per_token", "per_prompt", "per_project"]
    title: str
    value: Range
    definition: str


class Lever(Message):
    """A change to the GRPO loop, and what is left of a step after it."""

    id: Literal["vllm", "half_length", "half_group", "no_checkpointing", "larger_micro_batch"]
    sentence: str
    share: float


class Estimate(Message):
    """Memory, hours and money of both methods on one project. Figures have two significant digits."""

    model: str
    parameters_b: float
    gpu: str
    gpus: int
    usable_gib: float
    """What PyTorch can allocate on one GPU."""
    configurations: tuple[Configuration, ...]
    """Both methods with every tuning."""
    sft: RunEstimate
    grpo: RunEstimate
    step: tuple[StepPart, ...]
    """One GRPO step."""
    step_seconds: Range
    sft_seconds: float
    """SFT on as many tokens as one GRPO step trains."""
    trained_tokens: int
    """Of that step."""
    ratios: tuple[Ratio, ...]
    levers: tuple[Lever, ...]
    own_price: bool
    priced: str | None
    """When the table's price was noted; None where there is none, or the user has their own."""
    summary: tuple[str, ...]
    """What a director needs, in sentences."""
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]


def _of_this_shape(estimate: Any) -> Any:
    """Recommendations frozen before estimates had ranges are still read, without theirs."""
    if not isinstance(estimate, dict):
        return estimate
    # By way of JSON again, whose strict reading takes arrays for tuples.
    return Estimate.model_validate_json(dumps(estimate)) if "configurations" in estimate else None


class Coverage(Message):
    answered: int
    unknown: int
    not_applicable: int
    total: int


class RulebookStamp(Message):
    version: str
    checksum: str


class Contradiction(Message):
    questions: tuple[str, ...]
    sentence: str
    """What does not fit, and which answer to look at."""


class Recommendation(Message):
    method: TrainingMethod
    lean: float
    """-1 all SFT, +1 all GRPO, before gates."""
    lean_method: TrainingMethod
    lean_band: Literal["strong", "moderate", "too_close"]
    """What the band would be if no gate decided."""
    band: Band
    band_reason: str
    decided_by: Literal["lean", "gate", "tie"]
    readiness: Literal["ready", "fix_first"]
    headline: str
    reason: str
    factors: tuple[FactorReading, ...]
    unknowns: tuple[Unknown, ...]
    next_question: NextQuestion | None
    interval: Span
    """The lean of every completion of the unknown answers lies in here."""
    acceptability: Acceptability
    cost: Cost
    coverage: Coverage
    contradictions: tuple[Contradiction, ...] = ()
    """Answers that cannot all be true."""
    flips: tuple[Flip, ...] | None = None
    """Of answers that can be changed, nearest first; None unless asked for."""
    paired_flips: tuple[PairedFlip, ...] | None = None
    """For every two questions the nearest; the rulebook says how many are told."""
    fixed_flips: tuple[Flip, ...] | None = None
    """Of answers that nobody can change, for who wants to be sure of them."""
    robustness: Robustness | None = None
    estimate: Annotated[Estimate | None, BeforeValidator(_of_this_shape)] = None
    # Last, because they are mostly the rulebook's own words, rendered at start-up.
    rulebook: RulebookStamp
    plan: Plan
    blockers: tuple[GateOutcome, ...]
    gates: tuple[GateOutcome, ...]
    contributions: tuple[Contribution, ...]
    risks: tuple[Risk, ...]
    alternatives: tuple[Alternative, ...]
