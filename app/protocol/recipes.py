"""How to train: one recipe per method, what of the model is trained, and the limits of a run."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from app.protocol.words import Message, ShareOfOne

LearningRate = Annotated[float, Field(gt=0, le=1)]


LayerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,80}$")]
HEADS = ("lm_head", "embed_out", "score")


class FullTuning(Message):
    """All weights are trained."""

    kind: Literal["full"] = "full"


class AdapterTuning(Message):
    """Low-rank adapters beside frozen weights (Hu et al. 2021); `qlora` keeps these in 4 bits (CUDA only)."""

    kind: Literal["lora", "qlora"]
    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[list[LayerName], Field(max_length=40)] = []
    """Names of the layers that get an adapter; empty means all linear ones but the head."""

    @model_validator(mode="after")
    def _leaves_the_head_alone(self) -> "AdapterTuning":
        if any(name.split(".")[-1] in HEADS for name in self.target_modules):
            raise ValueError(
                "an adapter on the output head is not supported by the trainers; leave lm_head out"
            )
        return self


Tuning = FullTuning | AdapterTuning

AdvancedValue = bool | int | float | str
AdvancedName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,60}$")]


MOST_PROBED = 20_000
"""Answers of one probe."""


class _Recipe(Message):
    learning_rate: LearningRate
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    """Sequences behind one optimizer update (for GRPO: completions; for a reward model: pairs)."""
    micro_batch_size: Annotated[int, Field(ge=1, le=4096)]
    """Sequences in memory at once; the rest of the batch is accumulated."""
    warmup_ratio: ShareOfOne = 0.03
    max_grad_norm: Annotated[float, Field(gt=0, le=100)] = 1.0
    lr_scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    max_minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] | None = None
    """The older name of `limits.minutes`; the lower of both holds."""
    tuning: Annotated[Tuning, Field(discriminator="kind")] = FullTuning()
    advanced: Mapping[AdvancedName, AdvancedValue] = {}
    """Further fields of TRL's own configuration, by name; `app.protocol.advanced` lists those allowed."""

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
    loss_type: Literal["dapo", "dr_grpo", "grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = "dapo"
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


class RewardModelRecipe(_Recipe):
    """Trains a reward model on preference pairs; it can then grade a GRPO run."""

    kind: Literal["reward_model"] = "reward_model"
    epochs: Annotated[float, Field(gt=0, le=1000)]
    max_length: Annotated[int, Field(ge=16, le=131072)]
    """Tokens of prompt and one answer together; longer pairs are refused before training, not cut."""


class ProbeRecipe(Message):
    """Trains nothing: the starting model answers each of some prompts several times, and is scored.

    The rollouts' sampling is the one that GRPO would use, so the sampling fields of both have the same names.
    """

    kind: Literal["probe"] = "probe"
    prompts: Annotated[int, Field(ge=1, le=2000)] = 32
    samples: Annotated[int, Field(ge=2, le=256)] = 8
    """Answers to each prompt."""
    max_completion_length: Annotated[int, Field(ge=1, le=131072)] = 256
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    group_sizes: Annotated[list[Annotated[int, Field(ge=2, le=256)]], Field(min_length=1, max_length=8)] = [
        2,
        4,
        8,
        16,
    ]
    samples_shown: Annotated[int, Field(ge=0, le=200)] = 20

    @model_validator(mode="after")
    def _is_no_evaluation(self) -> "ProbeRecipe":
        if self.prompts * self.samples > MOST_PROBED:
            raise ValueError(
                f"a probe draws at most {MOST_PROBED:,} answers, and this would draw "
                f"{self.prompts * self.samples:,}; lower prompts or samples"
            )
        return self


class StarterRecipe(Message):
    """Trains the starter model from scratch; made by the worker itself, once per content hash."""

    kind: Literal["starter"] = "starter"


TrainingRecipe = SftRecipe | GrpoRecipe | RewardModelRecipe
"""Of a run that trains what the user chose."""

Recipe = Annotated[
    SftRecipe | GrpoRecipe | RewardModelRecipe | ProbeRecipe | StarterRecipe, Field(discriminator="kind")
]


class Limits(Message):
    """Reaching one pauses the run with a checkpoint that can be used; counted over all its attempts."""

    steps: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] | None = None
    """Of training; measuring before and after is not counted."""
    gpu_hours: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Devices times hours, measuring included; on a worker without a GPU its CPU counts as one device."""
    money: Annotated[float, Field(gt=0, le=1e9)] | None = None
    price_per_gpu_hour: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """In the currency of `money`."""

    @model_validator(mode="after")
    def _has_a_price(self) -> "Limits":
        if self.money is not None and self.price_per_gpu_hour is None:
            raise ValueError("a limit of money needs price_per_gpu_hour, so that it can be counted")
        return self
