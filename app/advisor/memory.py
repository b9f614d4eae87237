"""Peak memory of a training step on one GPU, part by part. Units: bytes; GiB is 2^30; T is padded tokens."""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from app.advisor.advice import Tuning, Verdict
from app.advisor.tables import ConstantsFile, Gpu, Loss, MemoryConstants, Model, Stack

GIB = 2**30

Sharding = Literal["none", "zero2", "zero3"]
Engine = Literal["vllm_colocate", "vllm_server", "hf_generate"]
Metric = Literal["allocated", "reserved", "card"]
"""What torch allocated, what it reserved, or what the card shows, which counts the CUDA context too."""


class Setup(NamedTuple):
    """One micro-batch of training on one GPU, and what is held beside it."""

    loss: Loss
    weights: float
    gradients: float
    optimizer: float
    """Bytes per parameter in full fine-tuning."""
    tuning: Tuning = "lora"
    micro_batch: int = 1
    length: int = 1024
    """Padded tokens of one sequence, prompt and answer together."""
    scored: int | None = None
    """Tokens of the micro-batch that the loss looks at; without it all of them."""
    accumulation: int = 1
    checkpointing: bool = True
    offloaded_activations: bool = False
    flash: bool = True
    compiled: bool = False
    adapters: float = 16
    embeddings: float = 2
    """Bytes per embedding parameter under QLoRA, which leaves them out."""
    rank: int = 16
    attention_only: bool = False
    quantised: Literal["nf4_double", "int4"] = "nf4_double"
    gpus: int = 1
    sharding: Sharding = "none"
    gathered: float = 0
    """Bytes per embedding parameter that sharding holds whole for a moment in full fine-tuning."""
    buffers_gib: float = 0
    gradients_persist: bool = False
    """Between the micro-batches of one step, also where there is only one."""
    fused_optimizer: bool = False
    """Each gradient is applied and freed as it appears."""
    offloaded: bool = False
    """Weights, gradients and optimizer wait in the memory of the host."""

    @property
    def tokens(self) -> int:
        return self.micro_batch * self.length

    @property
    def scored_tokens(self) -> int:
        return min(self.tokens, self.scored or self.tokens)

    @property
    def shards(self) -> int:
        """Over how many GPUs the weights are spread."""
        return self.gpus if self.sharding == "zero3" else 1

    @property
    def state_shards(self) -> int:
        """Over how many GPUs gradients and optimizer are spread."""
        return 1 if self.sharding == "none" else self.gpus


def setup_of(stack: Stack, tuning: Tuning, **chosen: Any) -> Setup:
    """A setup with the stack's habits wherever nothing else was chosen."""
    habits: dict[str, Any] = {
        "loss": stack.loss,
        "weights": stack.weights,
        "gradients": stack.gradients,
        "optimizer": stack.optimizer,
        # Adapters are float32 on a bf16 base; TRL casts them to bf16 on a 4-bit one.
        "adapters": 8.0 if tuning == "qlora" else stack.adapters,
        "gathered": stack.gathered,
        "buffers_gib": stack.buffers_gib,
    }
    return Setup(**{**habits, "tuning": tuning, **chosen})


@dataclass(frozen=True)
class Parts:
    """Where the peak goes, in bytes. What is not alive at the peak is 0, so that the parts add up to it."""

    weights: float
    lora: float
    optimizer: float
    gradients: float
    activations: float
    logits: float
    extras: float
    generator: float = 0

    @property
    def allocated(self) -> float:
        """What torch allocates, which leaves an inference engine of another process out."""
        states = self.weights + self.lora + self.optimizer + self.gradients
        return states + self.activations + self.logits + self.extras

    def peak(self, constants: MemoryConstants, metric: Metric = "card") -> float:
        """reserved = 1.05 x allocated + 0.3 GiB; card = the same + 0.9 GiB; a generator's pool on top."""
        if metric == "allocated":
            return self.allocated + self.generator
        fixed = constants.reserved_gib if metric == "reserved" else constants.card_gib
        return constants.reserved_factor * self.allocated + fixed * GIB + self.generator

    @property
    def largest(self) -> str:
        return max(vars(self), key=lambda name: float(vars(self)[name]))


def weight_bytes(constants: MemoryConstants, model: Model, setup: Setup) -> float:
    """2N in bf16, 4N in float32; 4-bit layers beside embeddings that stay wider. Divided by the shards."""
    if setup.tuning == "qlora":
        per_weight = float(getattr(constants, setup.quantised))
        return (per_weight * model.body + setup.embeddings * model.embeddings) / setup.shards
    return setup.weights * model.parameters / setup.shards


def lora_bytes(model: Model, setup: Setup) -> float:
    """Weight, gradient and Adam states of the adapters: 16 bytes each in float32, 8 in bf16."""
    if setup.tuning == "full":
        return 0.0
    return setup.adapters * model.lora_parameters(setup.rank, setup.attention_only) / setup.shards


def optimizer_bytes(model: Model, setup: Setup) -> float:
    return setup.optimizer * model.parameters / setup.state_shards if setup.tuning == "full" else 0.0


def gradient_bytes(model: Model, setup: Setup) -> float:
    if setup.tuning != "full" or setup.fused_optimizer or setup.offloaded:
        return 0.0
    return setup.gradients * model.parameters / setup.state_shards


def layer_bytes(model: Model, setup: Setup) -> float:
    """Activations of one layer: 2 (4h + 2(q + 2k) + 4f) T in bf16; without flash 5 heads S^2 B more."""
    width = 4 * model.hidden + 2 * (model.query + 2 * model.key_value) + 4 * model.feed_forward
    scores = 0 if setup.flash else 5 * model.heads * setup.length**2 * setup.micro_batch
    return 2.0 * width * setup.tokens + scores


def saved_bytes(model: Model, setup: Setup) -> float:
    """Kept for the backward pass: every layer's activations, or one input per layer with checkpointing."""
    if not setup.checkpointing:
        return model.layers * layer_bytes(model, setup)
    return 0.0 if setup.offloaded_activations else 2.0 * model.hidden * model.layers * setup.tokens


def work_bytes(constants: MemoryConstants, model: Model, setup: Setup) -> float:
    """The layer being worked on: 1.4 layers where it is recomputed, 0.4 where it was kept."""
    layers = constants.recomputed_layer if setup.checkpointing else constants.backward_layer
    return layers * layer_bytes(model, setup)


def logit_bytes(constants: ConstantsFile, model: Model, setup: Setup) -> float:
    """By loss path: c n V where logits are whole, c min(n, chunk) V in chunks, tiles in a fused head."""
    if setup.loss == "fused_head":
        return _fused_head_bytes(constants.memory, model, setup)
    tokens, whole = setup.scored_tokens, 0.0
    if setup.loss == "chunked_output":
        whole = 2.0 * tokens * model.vocabulary
    if setup.loss in ("chunked", "chunked_output"):
        tokens = min(tokens, constants.memory.chunk_tokens)
    return constants.logits[setup.loss] * tokens * model.vocabulary + whole


def _fused_head_bytes(constants: MemoryConstants, model: Model, setup: Setup) -> float:
    """A bf16 tile, float32 gradients of the hidden states, in full fine-tuning the head's own gradient."""
    scored = setup.scored_tokens
    tile = 2 * min(scored, constants.tile_tokens) * min(model.vocabulary, constants.tile_vocabulary)
    head = 0
    if setup.tuning == "full":
        head = (6 if setup.weights <= 2 else 4) * model.head
    return float(tile + 4 * scored * model.hidden + head)


def extra_bytes(model: Model, setup: Setup) -> float:
    """Fixed buffers, what sharding gathers in full fine-tuning, and where 4-bit weights are unpacked."""
    full = setup.tuning == "full"
    gathered = setup.gathered * model.embeddings if full and setup.shards > 1 else 0.0
    unpacked = 2 * max(model.hidden * model.feed_forward, model.hidden * model.query)
    return setup.buffers_gib * GIB + gathered + (unpacked if setup.tuning == "qlora" else 0)


def frozen_gathered_bytes(constants: MemoryConstants, model: Model, setup: Setup) -> tuple[float, float]:
    """Frozen weights that sharding holds whole: one layer while it is worked on, the head during the loss.

    They have no gradient, so that either is dropped as soon as it was used.
    """
    if setup.tuning == "full" or setup.shards == 1 or not setup.gathered:
        return 0.0, 0.0
    per_weight = float(getattr(constants, setup.quantised)) if setup.tuning == "qlora" else 2.0
    return per_weight * model.body / model.layers, 2.0 * model.head


def training_parts(constants: ConstantsFile, model: Model, setup: Setup) -> Parts:
    """W + O + max(G, G_live + A_saved + max(A_work, logits)) + X: optimizer step or backward, the larger."""
    gradients = gradient_bytes(model, setup)
    live = gradients if setup.accumulation > 1 or setup.gradients_persist else 0.0
    work, logits = work_bytes(constants.memory, model, setup), logit_bytes(constants, model, setup)
    saved = saved_bytes(model, setup)
    layer, head = frozen_gathered_bytes(constants.memory, model, setup)
    backward = live + saved + max(work + layer, logits + head) >= gradients
    at_loss = logits + head > work + layer
    states = 0.0 if setup.offloaded else 1.0
    return Parts(
        weights=states * weight_bytes(constants.memory, model, setup),
        lora=lora_bytes(model, setup),
        optimizer=states * optimizer_bytes(model, setup),
        gradients=live if backward else gradients,
        activations=saved + (0.0 if at_loss else work) if backward else 0.0,
        logits=logits if backward and at_loss else 0.0,
        extras=extra_bytes(model, setup) + (head if at_loss else layer),
    )


class Rollouts(NamedTuple):
    """How answers are sampled for a GRPO step, on the GPUs of one engine."""

    engine: Engine = "vllm_colocate"
    prompts: int = 8
    """Prompts per step, over all GPUs."""
    group: int = 8
    prompt: int = 256
    mean: int = 300
    longest: int = 512
    """Tokens of a prompt, of an answer on average, and of the longest answer allowed."""
    utilization: float = 0.3
    """Share of a GPU that a colocated engine takes for weights and cache."""
    sleep: bool = False
    generators: int | None = None
    """GPUs that only generate; without it the training GPUs do."""
    asynchronous: bool = False
    """Whether generating and training go on at once."""
    tensor_parallel: int = 1
    passes: int = 1
    """Log-probability passes before the update."""
    sync_every: int = 1
    """Steps between two hand-overs of new weights."""
    grader_seconds: float = 0
    grader_concurrency: int = 1
    """Seconds to grade one answer, and how many are graded at once."""
    cache_tokens: float | None = None
    """Tokens that the cache of one engine holds; without it as many as are asked."""
    measured_share: float | None = None
    """Of a step that sampling and scoring take, where it was measured."""

    @property
    def sequences(self) -> int:
        return self.prompts * self.group

    @property
    def reward_seconds(self) -> float:
        """Answers are graded in rounds of as many as the grader takes at once."""
        return self.grader_seconds * -(-self.sequences // self.grader_concurrency)

    @property
    def typical(self) -> int:
        """Mean length of an answer, which no limit lets exceed the longest."""
        return min(self.mean, self.longest)


def generator_weight_bytes(constants: MemoryConstants, model: Model, setup: Setup) -> float:
    """2N in bf16; of a 4-bit policy its layers stay in 4 bits."""
    if setup.tuning == "qlora":
        return constants.int4 * model.body + 2 * model.embeddings
    return 2.0 * model.parameters


def generation_bytes(constants: MemoryConstants, model: Model, setup: Setup, rollouts: Rollouts) -> float:
    """Least an engine needs on its GPU: weights, the cache of one full answer, and 1.5 GiB."""
    weights = generator_weight_bytes(constants, model, setup)
    cache = model.cache_bytes * (rollouts.prompt + rollouts.longest)
    return (weights + cache) / rollouts.tensor_parallel + constants.generator_gib * GIB


def cache_tokens(
    constants: MemoryConstants, model: Model, setup: Setup, rollouts: Rollouts, gpu_bytes: float
) -> float | None:
    """Keys and values that fit beside the weights of one engine, at least those of one full answer.

    None for Hugging Face's generate, which takes all sequences at once and must have the memory for it.
    """
    if rollouts.engine == "hf_generate":
        return None
    share = constants.server_utilization if rollouts.engine == "vllm_server" else rollouts.utilization
    pool = (share * gpu_bytes - constants.generator_gib * GIB) * rollouts.tensor_parallel
    room = pool - generator_weight_bytes(constants, model, setup)
    return max(room / model.cache_bytes, rollouts.prompt + rollouts.longest)


def grpo_parts(
    constants: ConstantsFile, model: Model, setup: Setup, rollouts: Rollouts, gpu_bytes: float
) -> Parts:
    """The larger of update and generation where they take turns, their sum where the engine stays awake."""
    training = training_parts(constants, model, setup)
    if rollouts.engine == "vllm_server":
        # On GPUs of its own, which it must fit as well.
        alone = Parts(0, 0, 0, 0, 0, 0, 0, generation_bytes(constants.memory, model, setup, rollouts))
        return max(training, alone, key=lambda parts: parts.peak(constants.memory))
    generating = _while_generating(constants, model, setup, rollouts, gpu_bytes)
    if rollouts.engine == "vllm_colocate" and not rollouts.sleep:
        return replace(training, generator=generating.generator)
    memory = constants.memory
    return max(training, generating, key=lambda parts: parts.peak(memory))


def _while_generating(
    constants: ConstantsFile, model: Model, setup: Setup, rollouts: Rollouts, gpu_bytes: float
) -> Parts:
    """What training keeps resident, and the engine's pool or the cache of Hugging Face's generate."""
    states = 0.0 if setup.offloaded else 1.0
    live = gradient_bytes(model, setup) if setup.accumulation > 1 or setup.gradients_persist else 0.0
    pool, cache = 0.0, 0.0
    if rollouts.engine == "hf_generate":
        sequences = -(-rollouts.sequences // setup.gpus)
        held = model.cache_bytes * (rollouts.prompt + rollouts.longest)
        cache = sequences * (held + 6.0 * model.vocabulary)
    else:
        least = generation_bytes(constants.memory, model, setup, rollouts)
        pool = max(rollouts.utilization * gpu_bytes, least)
    return Parts(
        weights=states * weight_bytes(constants.memory, model, setup),
        lora=lora_bytes(model, setup),
        optimizer=states * optimizer_bytes(model, setup),
        gradients=live,
        activations=cache,
        logits=0.0,
        extras=extra_bytes(model, setup),
        generator=pool,
    )


def verdict(peak: float, gpu: Gpu) -> Verdict:
    """Up to 80 % of what the card offers it fits (2 % of published runs did not), above 95 % not."""
    share = peak / (gpu.usable_gib * GIB)
    if share <= 0.80:
        return "fits"
    return "tight" if share <= 0.95 else "no"
