"""What SFT and GRPO need and cost on the same job: what fits, hours and money as ranges, and their ratio.

Units: bytes for memory, seconds for a step, hours of the wall clock, US dollars. Sources: the formulas of
app.advisor.memory and app.advisor.throughput with tables/constants.toml; benchmarks/estimates.py says
how far off they are.
Mixtures of experts, vision models, tensor and pipeline parallel training and FP8 are outside the formulas.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from app.advisor.advice import Range, TrainingMethod, Tuning, Verdict
from app.advisor.job import Job
from app.advisor.memory import (
    GIB,
    Parts,
    Rollouts,
    cache_tokens,
    generation_bytes,
    grpo_parts,
    training_parts,
    verdict,
)
from app.advisor.tables import Tables
from app.advisor.throughput import GrpoStep, grpo_step, tokens_per_second, update_seconds, waves

LeverId = Literal["vllm", "half_length", "half_group", "no_checkpointing", "larger_micro_batch"]


# Memory


class Fit(NamedTuple):
    """A method with a tuning on a job, whose settings were changed where that makes it fit."""

    job: Job
    parts: Parts
    peak: float
    verdict: Verdict


def as_it_is(tables: Tables, job: Job, method: TrainingMethod, tuning: Tuning) -> Fit:
    setup, constants = job.setup(method, tuning), tables.constants
    if method == "sft":
        parts = training_parts(constants, job.model, setup)
    else:
        parts = grpo_parts(constants, job.model, setup, job.rollouts, job.gpu.usable_gib * GIB)
    peak = parts.peak(constants.memory)
    if job.gpu is tables.cpu:
        # Memory is no limit on a processor, which trains only tiny models; time is.
        small = job.model.parameters <= 1.02e9 * constants.assumed.cpu_limit_b
        return Fit(job, parts, peak, "fits" if small and tuning != "qlora" else "no")
    return Fit(job, parts, peak, verdict(peak, job.gpu))


def fitted(tables: Tables, job: Job, method: TrainingMethod, tuning: Tuning) -> Fit:
    """With the usual settings if they fit, else with the changes that help, what costs least first."""
    best = as_it_is(tables, _engine_spread(tables, job, tuning), method, tuning)
    for changed in _changes_for_memory(method):
        if best.verdict == "fits":
            break
        other = changed(best.job)
        tried = best if other is best.job else as_it_is(tables, other, method, tuning)
        if tried.peak < best.peak:
            best = tried
    return best


def _engine_spread(tables: Tables, job: Job, tuning: Tuning) -> Job:
    """Weights of the engine over as many GPUs as it takes for them to find room in its pool."""
    rollouts, setup = job.rollouts, job.grpo_setup(tuning)
    room = rollouts.utilization * job.gpu.usable_gib * GIB
    while 2 * rollouts.tensor_parallel <= (rollouts.generators or job.learners):
        if generation_bytes(tables.constants.memory, job.model, setup, rollouts) <= room:
            break
        rollouts = rollouts._replace(tensor_parallel=2 * rollouts.tensor_parallel)
    return job if rollouts is job.rollouts else job._replace(rollouts=rollouts)


def _changes_for_memory(method: TrainingMethod) -> tuple[Callable[[Job], Job], ...]:
    if method == "sft":
        return (_sharded, _fewer_demonstrations, _fewer_demonstrations, _checkpointed)
    return (_sharded, _asleep, _fewer_answers, _fewer_answers, _fewer_answers, _checkpointed)


def _sharded(job: Job) -> Job:
    return job._replace(sharding="zero3") if job.may_shard else job


def _asleep(job: Job) -> Job:
    if job.rollouts.engine != "vllm_colocate":
        return job
    return job._replace(rollouts=job.rollouts._replace(sleep=True))


def _fewer_demonstrations(job: Job) -> Job:
    half = max(1, job.micro_batch // 2)
    return job._replace(micro_batch=half, accumulation=job.accumulation * job.micro_batch // half)


def _fewer_answers(job: Job) -> Job:
    return job._replace(rollout_micro_batch=max(1, job.rollout_micro_batch // 2))


def _checkpointed(job: Job) -> Job:
    return job._replace(checkpointing=True)


def best_tuning(
    tables: Tables, job: Job, method: TrainingMethod, wanted: tuple[Tuning, ...]
) -> tuple[Tuning, Fit] | None:
    """The richest that fits with room to spare, else the richest that just fits."""
    tight = None
    for tuning in wanted:
        found = fitted(tables, job, method, tuning)
        if found.verdict == "fits":
            return tuning, found
        if found.verdict == "tight" and tight is None:
            tight = tuning, found
    return tight


# Hours and money


class Spent(NamedTuple):
    """Of a whole training run. No price for the GPU, no money."""

    hours: Range
    gpus: int
    dollars: Range | None

    @property
    def gpu_hours(self) -> Range:
        return self.hours.times(self.gpus)


def sft_tokens(job: Job) -> float:
    """Useful tokens of a whole SFT run."""
    return job.demonstrations * job.epochs * job.row_tokens


def sft_rate(tables: Tables, job: Job, tuning: Tuning) -> float:
    """Useful tokens a second of all GPUs together."""
    return job.packed * tokens_per_second(job.machine(tables), job.model, job.sft_setup(tuning))


def sft_cost(tables: Tables, job: Job, tuning: Tuning) -> Spent:
    """hours = demonstrations x epochs x tokens / (tokens per second x 3600), 15 % around it, and the start.

    The band is that of an efficiency nobody measured here: 0.7 to 1.2 times the typical one.
    """
    constants = tables.constants.time
    hours = (1 + constants.overhead) * sft_tokens(job) / sft_rate(tables, job, tuning) / 3600
    slow, fast = hours / constants.slow_efficiency, hours / constants.fast_efficiency
    return _spent(tables, job, Range(low=fast, typical=hours, high=slow), job.gpus)


def sampled(tables: Tables, job: Job, tuning: Tuning) -> Rollouts:
    """The job's rollouts with the cache that its engine has for them."""
    setup, size = job.grpo_setup(tuning), job.gpu.usable_gib * GIB
    held = cache_tokens(tables.constants.memory, job.model, setup, job.rollouts, size)
    return job.rollouts._replace(cache_tokens=held)


def step_of(tables: Tables, job: Job, tuning: Tuning) -> GrpoStep:
    rollouts = sampled(tables, job, tuning)
    return grpo_step(job.machine(tables), job.model, job.grpo_setup(tuning), rollouts)


def sampling_waves(tables: Tables, job: Job, tuning: Tuning) -> int:
    """How many times over the engine generates, as its cache cannot hold all answers of a step."""
    return waves(job.grpo_setup(tuning), sampled(tables, job, tuning))


def step_factor(tables: Tables, job: Job) -> float:
    """How far off a GRPO step may be: a factor of 2 before the lengths of answers are known, 1.25 after."""
    constants = tables.constants.time
    return constants.grpo_known_factor if job.lengths_known else constants.grpo_factor


def grpo_cost(tables: Tables, job: Job, step: GrpoStep) -> Spent:
    """hours = steps x seconds of a step / 3600, 15 % around it, and the start."""
    hours = (1 + tables.constants.time.overhead) * job.steps * step.seconds / 3600
    factor = step_factor(tables, job)
    return _spent(tables, job, Range(low=hours / factor, typical=hours, high=hours * factor), job.paid)


def _spent(tables: Tables, job: Job, training: Range, gpus: int) -> Spent:
    """Few hours at a low price to many hours at a high one."""
    start = tables.constants.time.start_seconds / 3600
    hours = Range(low=training.low + start, typical=training.typical + start, high=training.high + start)
    price, spent = job.price, hours.times(gpus)
    if price is None:
        return Spent(hours, gpus, None)
    dollars = Range(
        low=spent.low * price.low, typical=spent.typical * price.typical, high=spent.high * price.high
    )
    return Spent(hours, gpus, dollars)


# GRPO over SFT


class Ratios(NamedTuple):
    """GRPO over SFT by two definitions that must not be mixed up; a third compares whole runs."""

    per_token: float
    """GPU time per trained token."""
    per_prompt: float
    """GPU time per row of data: each prompt is answered many times."""


def trained_tokens(job: Job) -> int:
    """Of one GRPO step."""
    return job.rollouts.sequences * (job.rollouts.prompt + job.rollouts.typical)


def sft_seconds(tables: Tables, job: Job, tuning: Tuning, tokens: float) -> float:
    """SFT on so many useful tokens."""
    return tokens / sft_rate(tables, job, tuning)


def ratios(tables: Tables, job: Job, short: Job, tuning: Tuning, step: GrpoStep) -> Ratios:
    """R_tok = GPU seconds of a step / those of SFT on as many tokens; R_prompt = R_tok x G (p + c) / row.

    `short` is the same job as SFT would run it.
    """
    sft = sft_seconds(tables, short, tuning, trained_tokens(job)) * short.gpus
    per_token = step.seconds * job.paid / sft
    length = job.rollouts.prompt + job.rollouts.typical
    return Ratios(per_token, per_token * job.rollouts.group * length / job.row_tokens)


def loop_ratio(tables: Tables, job: Job, tuning: Tuning) -> float:
    """R_tok of the loop alone, were SFT as fast as its update: t_step / t_update, never under 1 in turns."""
    setup = job.grpo_setup(tuning)
    update = update_seconds(job.machine(tables), job.model, setup, job.rollouts)
    return step_of(tables, job, tuning).seconds / update


class Lever(NamedTuple):
    id: LeverId
    sentence: str
    share: float
    """What is left of a step after it."""


def levers(tables: Tables, job: Job, tuning: Tuning) -> tuple[Lever, ...]:
    """What shortens a GRPO step on this job, most first; only changes that save a twentieth or more.

    Changes that would not fit the GPU are left out.
    """
    before = step_of(tables, job, tuning).seconds
    found = [
        Lever(name, sentence, step_of(tables, changed, tuning).seconds / before)
        for name, sentence, changed in _changes_for_time(job)
        if as_it_is(tables, changed, "grpo", tuning).verdict != "no"
    ]
    return tuple(sorted((lever for lever in found if lever.share <= 0.95), key=lambda lever: lever.share))


def _changes_for_time(job: Job) -> Iterator[tuple[LeverId, str, Job]]:
    rollouts = job.rollouts
    if rollouts.engine == "hf_generate" and job.gpu.name != "CPU":
        faster = rollouts._replace(engine="vllm_colocate", sleep=True)
        yield "vllm", "Sample with vLLM instead of Hugging Face’s generate", job._replace(rollouts=faster)
    shorter = rollouts._replace(mean=-(-rollouts.mean // 2), longest=-(-rollouts.longest // 2))
    yield "half_length", "Halve the length of the answers", job._replace(rollouts=shorter)
    if rollouts.group > 2:
        fewer = rollouts._replace(group=-(-rollouts.group // 2))
        yield "half_group", "Halve the tries per prompt", job._replace(rollouts=fewer)
    if job.checkpointing:
        yield (
            "no_checkpointing",
            "Keep activations instead of recomputing them",
            job._replace(checkpointing=False),
        )
    larger = job._replace(rollout_micro_batch=2 * job.rollout_micro_batch)
    yield "larger_micro_batch", "Train on twice as many answers at once", larger
