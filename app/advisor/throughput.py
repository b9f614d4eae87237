"""How long a training step takes. Units: seconds, FLOP, bytes, tokens; tokens count padding."""

from dataclasses import dataclass
from math import ceil, exp

from app.advisor.memory import Rollouts, Setup
from app.advisor.tables import Gpu, Model, Stack, TimeConstants

DECODE_POINTS = 64
"""Positions at which the decoding of one batch is sampled."""


@dataclass(frozen=True)
class Machine:
    """The GPU, and how busy a stack keeps it."""

    gpu: Gpu
    stack: Stack
    constants: TimeConstants

    def efficiency(self, model: Model) -> float:
        """eta = eta0 x h / (h + 1400) x share of this GPU: narrow matrices leave a GPU idle."""
        width = model.hidden / (model.hidden + self.constants.hidden_half)
        return self.stack.efficiency * width * self.gpu.speed


def attention_flops(model: Model, length: float) -> float:
    """Forward, per token, causal and averaged over a sequence: 2 L q S."""
    return 2 * model.layers * model.query * length


def forward_flops(model: Model, length: float) -> float:
    """Per token: 2 (N_b + V h) + 2 L q S."""
    return 2 * (model.body + model.head) + attention_flops(model, length)


def training_flops(model: Model, setup: Setup, length: float | None = None) -> float:
    """Per token, recomputation included: 3 forwards, 2 with LoRA, one more if checkpointed or fused."""
    passes = 3 if setup.tuning == "full" else 2
    body = 2 * model.body + attention_flops(model, setup.length if length is None else length)
    head = 2 * model.head * setup.scored_tokens / setup.tokens
    fused = setup.loss == "fused_head"
    return (passes + setup.checkpointing) * body + (passes + fused) * head


def launch_seconds(constants: TimeConstants, model: Model, setup: Setup) -> float:
    """Floor of a micro-batch: 4.8 ms a layer, x 0.75 without checkpointing, x 0.5 compiled."""
    factor = 1.0 if setup.checkpointing else constants.launch_unchecked
    return constants.launch_seconds_per_layer * model.layers * factor * _compiled(constants, setup)


def _compiled(constants: TimeConstants, setup: Setup) -> float:
    return constants.launch_compiled if setup.compiled else 1.0


def smooth_maximum(constants: TimeConstants, first: float, second: float) -> float:
    """(a^2.5 + b^2.5)^(1/2.5): near the larger, above both where they meet."""
    power = constants.smoothing
    return float((first**power + second**power) ** (1 / power))


def dequantise_seconds(machine: Machine, model: Model, setup: Setup) -> float:
    """QLoRA unpacks every layer once a pass: passes x N_b x 4.5 / (0.29 x bandwidth)."""
    if setup.tuning != "qlora":
        return 0.0
    passes = 3 if setup.checkpointing else 2
    return passes * model.body * 4.5 / (machine.constants.dequantise_share * machine.gpu.bandwidth)


def token_seconds(machine: Machine, model: Model, flops: float, attention: float) -> float:
    """Matrix products at eta, attention at half of the peak: its kernels do not care for the hidden width."""
    matrices = (flops - attention) / machine.efficiency(model)
    return (matrices + attention / machine.constants.attention_efficiency) / machine.gpu.flops


def training_token_seconds(machine: Machine, model: Model, setup: Setup, length: float) -> float:
    passes = (3 if setup.tuning == "full" else 2) + setup.checkpointing
    attention = passes * attention_flops(model, length)
    return token_seconds(machine, model, training_flops(model, setup, length), attention)


def gather_seconds(machine: Machine, model: Model, setup: Setup) -> float:
    """Fully sharded weights travel twice a micro-batch, and gradients once: 2 bytes x N (Z - 1) / Z each."""
    if setup.shards == 1:
        return 0.0
    size = 0.5 * model.body + 2 * model.embeddings if setup.tuning == "qlora" else 2 * model.parameters
    travels = 3 if setup.tuning == "full" else 2
    return travels * size * (setup.shards - 1) / setup.shards / (machine.constants.link_gb_s * 1e9)


def micro_batch_seconds(machine: Machine, model: Model, setup: Setup) -> float:
    """Arithmetic, launches and the travel of sharded weights overlap; unpacking 4 bits does not."""
    compute = training_token_seconds(machine, model, setup, setup.length) * setup.tokens
    return busy_seconds(machine, model, setup, compute)


def busy_seconds(machine: Machine, model: Model, setup: Setup, compute: float) -> float:
    constants = machine.constants
    launched = smooth_maximum(constants, compute, launch_seconds(constants, model, setup))
    travelled = smooth_maximum(constants, launched, gather_seconds(machine, model, setup))
    return travelled + dequantise_seconds(machine, model, setup)


def optimizer_seconds(machine: Machine, model: Model, setup: Setup) -> float:
    """24 bytes read and written per trained parameter, at 0.6 of the bandwidth; divided by the shards."""
    trained = model.parameters
    if setup.tuning != "full":
        trained = model.lora_parameters(setup.rank, setup.attention_only)
    bandwidth = machine.constants.optimizer_share * machine.gpu.bandwidth
    return 24 * trained / setup.state_shards / bandwidth


def sft_step_seconds(machine: Machine, model: Model, setup: Setup) -> float:
    """accumulation x micro-batch + optimizer."""
    micro = micro_batch_seconds(machine, model, setup)
    return setup.accumulation * micro + optimizer_seconds(machine, model, setup)


def tokens_per_second(machine: Machine, model: Model, setup: Setup) -> float:
    """Padded tokens of all GPUs together."""
    tokens = setup.tokens * setup.accumulation * setup.gpus
    return tokens / sft_step_seconds(machine, model, setup)


@dataclass(frozen=True)
class GrpoStep:
    """Seconds of one step by part, on a loop in which rollouts and update take turns unless asynchronous."""

    rollouts: float
    scoring: float
    log_probabilities: float
    update: float
    sync: float
    asynchronous: bool = False

    @property
    def seconds(self) -> float:
        """The sum; asynchronous, the slower of the two sides and the hand-over."""
        sampling, learning = self.rollouts + self.scoring, self.log_probabilities + self.update
        if self.asynchronous:
            return max(sampling, learning) + self.sync
        return sampling + learning + self.sync

    @property
    def rollout_share(self) -> float:
        return (self.rollouts + self.scoring) / self.seconds


def decay_length(mean: float, longest: float) -> float:
    """lam with lam (1 - exp(-longest / lam)) = mean: answers end at a constant rate until the limit.

    By bisection; the mean cannot exceed the limit, and at the limit nothing ends early.
    """
    if mean >= 0.999 * longest:
        return 1000.0 * longest
    low, high = 1e-6 * longest, 1000.0 * longest
    for _ in range(80):
        middle = (low * high) ** 0.5
        if middle * (1 - exp(-longest / middle)) < mean:
            low = middle
        else:
            high = middle
    return high


def token_overhead(machine: Machine, model: Model, setup: Setup, rollouts: Rollouts) -> float:
    """Least seconds of one decoding step, whatever the batch."""
    constants = machine.constants
    if rollouts.engine != "hf_generate":
        return constants.token_seconds_vllm
    if setup.tuning == "qlora":
        return constants.token_seconds_hf_4bit_per_layer * model.layers
    return constants.token_seconds_hf_per_layer * model.layers


def engines_of(setup: Setup, rollouts: Rollouts) -> int:
    return max(1, (rollouts.generators or setup.gpus) // rollouts.tensor_parallel)


def waves(setup: Setup, rollouts: Rollouts) -> int:
    """How many times over an engine generates because its cache cannot hold all sequences at once.

    Tokens held: prompts x p + sequences x c, as the tries of one prompt share its blocks.
    """
    if rollouts.cache_tokens is None:
        return 1
    engines = engines_of(setup, rollouts)
    held = (rollouts.prompts * rollouts.prompt + rollouts.sequences * rollouts.typical) / engines
    return min(ceil(rollouts.sequences / engines), ceil(held / rollouts.cache_tokens))


def rollout_seconds(machine: Machine, model: Model, setup: Setup, rollouts: Rollouts) -> float:
    """Sum over positions of overhead + max(weights and cache read, arithmetic of the answers still going).

    Never under longest x overhead: the last answer is waited for, however many GPUs there are. Engines on
    GPUs of their own start an answer as soon as one ends, so that the batch stays full for the mean length.
    Where the cache is too small the whole is done in waves, each with its share of the sequences.
    """
    constants, gpu, width = machine.constants, machine.gpu, rollouts.tensor_parallel
    times = waves(setup, rollouts)
    started = rollouts.sequences / engines_of(setup, rollouts) / times
    lam = decay_length(rollouts.typical, rollouts.longest)
    overhead = token_overhead(machine, model, setup, rollouts)
    read = constants.decode_bandwidth_share * gpu.bandwidth * width
    done = constants.decode_compute_share * gpu.flops * width
    decoded = model.body + model.head
    positions = rollouts.typical if rollouts.asynchronous else rollouts.longest
    points = min(DECODE_POINTS, positions)
    stride = positions / points
    total = 0.0
    for point in range(points):
        x = (point + 0.5) * stride
        # A batch padded to its longest answer never shrinks, nor does one that is refilled.
        full = rollouts.engine == "hf_generate" or rollouts.asynchronous
        going = started if full else started * exp(-x / lam)
        moved = 2 * decoded + going * model.cache_bytes * (rollouts.prompt + x)
        total += stride * (overhead + max(moved / read, 2 * decoded * going / done))
    return times * total


def sequences_per_gpu(setup: Setup, rollouts: Rollouts) -> tuple[float, int]:
    """Of one step, and in how many micro-batches."""
    each = rollouts.sequences / setup.gpus
    return each, max(1, ceil(each / setup.micro_batch))


def update_seconds(machine: Machine, model: Model, setup: Setup, rollouts: Rollouts) -> float:
    """Forward and backward over prompts and answers of one step, and the optimizer."""
    each, micro_batches = sequences_per_gpu(setup, rollouts)
    length = rollouts.prompt + rollouts.typical
    per_token = training_token_seconds(machine, model, setup, length) / machine.constants.rl_efficiency
    busy = busy_seconds(machine, model, setup, per_token * each * length / micro_batches)
    return micro_batches * busy + optimizer_seconds(machine, model, setup)


def log_probability_seconds(machine: Machine, model: Model, setup: Setup, rollouts: Rollouts) -> float:
    """One forward pass over the same tokens for each time the loss asks: a third of the launches."""
    each, micro_batches = sequences_per_gpu(setup, rollouts)
    length = rollouts.prompt + rollouts.typical
    attention, constants = attention_flops(model, length), machine.constants
    per_token = (
        token_seconds(machine, model, forward_flops(model, length), attention) / constants.rl_efficiency
    )
    launch = launch_seconds(constants, model, setup) / 3
    compute = smooth_maximum(constants, per_token * each * length / micro_batches, launch)
    unpacking = dequantise_seconds(machine, model, setup) / (2 + setup.checkpointing)
    return rollouts.passes * micro_batches * (compute + unpacking)


def grpo_step(machine: Machine, model: Model, setup: Setup, rollouts: Rollouts) -> GrpoStep:
    """A measured share of sampling takes the place of its estimate."""
    own = rollouts.engine == "hf_generate"
    log_probabilities = log_probability_seconds(machine, model, setup, rollouts)
    update = update_seconds(machine, model, setup, rollouts)
    sync = 0.0 if own else machine.constants.sync_seconds / rollouts.sync_every
    share = rollouts.measured_share
    if share is None:
        sampling, scoring = rollout_seconds(machine, model, setup, rollouts), rollouts.reward_seconds
    else:
        sampling, scoring = share / (1 - share) * (log_probabilities + update + sync), 0.0
    return GrpoStep(sampling, scoring, log_probabilities, update, sync, rollouts.asynchronous)
