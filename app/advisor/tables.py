"""What the estimates look up: shapes of models, GPUs with dated prices, training stacks, fitted constants."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Annotated, Literal

from pydantic import Field

from app.advisor.conditions import Rule

Loss = Literal[
    "full_fp32",
    "fp32_master",
    "fp32_copy",
    "bf16_shift",
    "compiled",
    "liger",
    "chunked",
    "chunked_output",
    "fused_head",
]
"""How the logits are turned into a loss, which decides how many of them are held."""

Count = Annotated[int, Field(ge=1, le=10_000_000)]
Positive = Annotated[float, Field(gt=0)]


class Model(Rule):
    """The shape of a dense transformer: everything its memory and arithmetic follow from."""

    name: str
    aliases: tuple[str, ...] = ()
    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_size: Count
    feed_forward: Count
    vocabulary: Count
    tied: bool

    @property
    def query(self) -> int:
        return self.heads * self.head_size

    @property
    def key_value(self) -> int:
        return self.kv_heads * self.head_size

    @property
    def body(self) -> int:
        """Parameters of all layers: L (2hq + 2hk + 3hf), a gated MLP of three matrices."""
        h = self.hidden
        return self.layers * (2 * h * self.query + 2 * h * self.key_value + 3 * h * self.feed_forward)

    @property
    def head(self) -> int:
        """Parameters that turn the last hidden state into logits: V h."""
        return self.vocabulary * self.hidden

    @property
    def embeddings(self) -> int:
        return self.head if self.tied else 2 * self.head

    @property
    def parameters(self) -> int:
        return self.body + self.embeddings

    @property
    def cache_bytes(self) -> int:
        """Keys and values of one token in bf16: 4 L k."""
        return 4 * self.layers * self.key_value

    def lora_parameters(self, rank: int, attention_only: bool = False) -> int:
        """r x sum(in + out), over every linear layer or over the query and value projections."""
        h, q, k, f = self.hidden, self.query, self.key_value, self.feed_forward
        width = (h + q) + (h + k) if attention_only else 2 * (h + q) + 2 * (h + k) + 3 * (h + f)
        return rank * self.layers * width

    def scaled(self, parameters: float) -> "Model":
        """The same proportions at another size, the vocabulary as it is."""
        low, high = 0.05, 20.0
        for _ in range(30):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self._by(middle).parameters < parameters else (low, middle)
        name = f"{parameters / 1e9:.3g}B in the shape of {self.name}"
        return self._by(high).model_copy(update={"name": name, "aliases": ()})

    def _by(self, factor: float) -> "Model":
        """Widths and depth times a factor, so that the layers' parameters grow by its cube."""
        scaled = ("layers", "hidden", "heads", "feed_forward")
        return self.model_copy(
            update={field: max(1, round(getattr(self, field) * factor)) for field in scaled}
        )


class Price(Rule):
    """US dollars for one hour of one GPU."""

    low: Annotated[float, Field(ge=0)]
    typical: Annotated[float, Field(ge=0)]
    high: Annotated[float, Field(ge=0)]


class Gpu(Rule):
    name: str
    aliases: tuple[str, ...] = ()
    teraflops: Positive
    """Dense bf16 peak with float32 accumulation."""
    memory_gb: Positive
    usable_gib: Positive
    """What PyTorch can allocate."""
    bandwidth_gb_s: Positive
    speed: Annotated[float, Field(gt=0, le=2)]
    """Share of the efficiency an A100 reaches."""
    exact: bool = True
    price: Price | None = None
    dated: str | None = None

    @property
    def flops(self) -> float:
        return self.teraflops * 1e12

    @property
    def bandwidth(self) -> float:
        return self.bandwidth_gb_s * 1e9


class Stack(Rule):
    """What a trainer holds per parameter, how it computes the loss, and how busy it keeps the GPU."""

    title: str
    loss: Loss
    weights: Positive
    gradients: Positive
    optimizer: float
    adapters: Positive
    gathered: float
    buffers_gib: float
    efficiency: Annotated[float, Field(gt=0, le=1)]


class MemoryConstants(Rule):
    chunk_tokens: Count
    tile_tokens: Count
    tile_vocabulary: Count
    recomputed_layer: Positive
    backward_layer: Positive
    reserved_factor: Annotated[float, Field(ge=1)]
    reserved_gib: Positive
    card_gib: Positive
    high_factor: Annotated[float, Field(ge=1)]
    low_factor: Annotated[float, Field(gt=0, le=1)]
    nf4_double: Positive
    int4: Positive
    generator_gib: Positive
    server_utilization: Annotated[float, Field(gt=0, lt=1)]


class TimeConstants(Rule):
    launch_seconds_per_layer: Positive
    launch_unchecked: Positive
    launch_compiled: Positive
    smoothing: Annotated[float, Field(ge=1)]
    hidden_half: Positive
    attention_efficiency: Annotated[float, Field(gt=0, le=1)]
    link_gb_s: Positive
    dequantise_share: Positive
    optimizer_share: Positive
    decode_bandwidth_share: Positive
    decode_compute_share: Positive
    rl_efficiency: Annotated[float, Field(gt=0, le=1)]
    sync_seconds: Positive
    token_seconds_vllm: Positive
    token_seconds_hf_per_layer: Positive
    token_seconds_hf_4bit_per_layer: Positive
    slow_efficiency: Annotated[float, Field(gt=0, le=1)]
    fast_efficiency: Annotated[float, Field(ge=1)]
    grpo_factor: Annotated[float, Field(ge=1)]
    grpo_known_factor: Annotated[float, Field(ge=1)]
    overhead: Annotated[float, Field(ge=0)]
    start_seconds: Annotated[float, Field(ge=0)]
    first_try: Annotated[float, Field(ge=1)]


class Assumed(Rule):
    """What an estimate takes for granted until the user says otherwise."""

    model_b: Positive
    gpu: str
    micro_batch: Count
    rollout_micro_batch: Count
    length: Count
    rank: Count
    packed: Annotated[float, Field(gt=0, le=1)]
    demonstrations: Count
    rows: Mapping[str, Count]
    epochs: Count
    steps: Count
    prompts: Count
    group: Count
    prompt_tokens: Count
    answer_tokens: Count
    longest: Positive
    thinking_tokens: Count
    longest_thinking: Positive
    utilization: Annotated[float, Field(gt=0, lt=1)]
    cpu_limit_b: Positive


class ConstantsFile(Rule):
    version: str
    logits: Mapping[Loss, float]
    memory: MemoryConstants
    time: TimeConstants
    assumed: Assumed
    stacks: Mapping[str, Stack]


class ModelsFile(Rule):
    models: tuple[Model, ...]


class HardwareFile(Rule):
    prices_from: str
    cpu: Gpu
    gpus: tuple[Gpu, ...]


_AROUND = re.compile(r"^(.*/)?(deepseek-|meta-|nvidia |tesla |geforce )*|[-_ ](instruct|base|chat|it|hf)$")
"""What people write around a name: its owner, its maker, how it was tuned."""


def _plain(name: str) -> str:
    """Names are compared without owner, maker, case and separators."""
    return re.sub(r"[-_ ]+", "-", _AROUND.sub("", name.strip().lower()))


def _names(row: "Model | Gpu") -> list[str]:
    return [_plain(name) for name in (row.name, *row.aliases)]


@dataclass(frozen=True, eq=False)
class Tables:
    """Read once, and known by identity."""

    constants: ConstantsFile
    models: tuple[Model, ...]
    gpus: tuple[Gpu, ...]
    cpu: Gpu
    """The processor, for models so small that no GPU is needed."""
    prices_from: str

    @staticmethod
    def of(constants: ConstantsFile, hardware: HardwareFile, models: ModelsFile) -> "Tables":
        return Tables(constants, models.models, hardware.gpus, hardware.cpu, hardware.prices_from)

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {name: model for model in self.models for name in _names(model)}

    @cached_property
    def _gpus(self) -> dict[str, Gpu]:
        return {name: gpu for gpu in self.gpus for name in _names(gpu)}

    def model(self, name: str) -> Model | None:
        """By name or alias; `Qwen/Qwen2.5-7B-Instruct` is `Qwen2.5-7B`."""
        return self._models.get(_plain(name))

    def gpu(self, name: str) -> Gpu | None:
        """By name or alias; `NVIDIA A100-SXM4-80GB` is `A100-80`."""
        return self._gpus.get(_plain(name))

    def of_size(self, billions: float) -> Model:
        """A typical shape for a size: the nearest listed model, scaled to it."""
        wanted = billions * 1e9
        nearest = min(self.models, key=lambda model: abs(log(model.parameters / wanted)))
        return nearest.scaled(wanted)

    def gpu_of_memory(self, gb: float) -> Gpu:
        """A GPU of this memory: of the largest that are no larger the slowest, to promise nothing."""
        priced = [gpu for gpu in self.gpus if gpu.price]
        within = [gpu for gpu in priced if gpu.memory_gb <= gb * 1.05]
        largest = max((gpu.memory_gb for gpu in within), default=min(gpu.memory_gb for gpu in priced))
        slowest = min(
            (gpu for gpu in priced if gpu.memory_gb == largest), key=lambda gpu: gpu.teraflops * gpu.speed
        )
        usable = slowest.usable_gib * gb / slowest.memory_gb
        return slowest.model_copy(update={"memory_gb": gb, "usable_gib": usable})
