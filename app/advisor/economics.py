"""What SFT and GRPO need and cost on the same project: memory, hours and money as ranges, and their ratio.

Units: bytes for memory, seconds for a step, hours of the wall clock, US dollars. Sources: the formulas of
app.advisor.memory and app.advisor.throughput with tables/constants.toml; benchmarks/estimates.py says
how far off they are.
Mixtures of experts, vision models, tensor and pipeline parallel training and FP8 are outside the formulas.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from app.advisor.advice import TrainingMethod
from app.advisor.estimate import TUNINGS, Tuning
from app.advisor.memory import (
    GIB,
    Parts,
    Rollouts,
    Setup,
    Sharding,
    Verdict,
    grpo_parts,
    setup_of,
    training_parts,
    verdict,
)
from app.advisor.tables import Gpu, Model, Price, Stack, Tables
from app.advisor.throughput import (
    GrpoStep,
    Machine,
    grpo_step,
    micro_batch_seconds,
    tokens_per_second,
    update_seconds,
)

LeverId = Literal["vllm", "half_length", "half_group", "no_checkpointing", "larger_micro_batch"]


@dataclass(frozen=True)
class Range:
    """A figure and how far off it may be: about eight in ten fall within."""

    low: float
    typical: float
    high: float

    def times(self, factor: float) -> "Range":
        return Range(self.low * factor, self.typical * factor, self.high * factor)


@dataclass(frozen=True)
class Project:
    """One project's training, whichever method it takes."""

    model: Model
    gpu: Gpu
    gpus: int = 1
    sharding: Sharding = "none"
    stack: str = "trl"
    price: Price | None = None
    """Of one GPU for an hour, where the user has their own."""
    micro_batch: int = 4
    length: int = 1024
    """Padded tokens of a demonstration with its prompt."""
    accumulation: int = 1
    checkpointing: bool = True
    rank: int = 16
    demonstrations: int = 1000
    epochs: int = 2
    rollouts: Rollouts = field(default_factory=Rollouts)
    rollout_micro_batch: int = 8
    steps: int = 300
    first_try: bool = True
    """A first GRPO project, some of whose runs fail."""


@dataclass(frozen=True)
class Configuration:
    """One way to train, and whether it fits the GPU."""

    method: TrainingMethod
    tuning: Tuning
    parts: Parts
    peak_gib: Range
    """As the card shows it, on each GPU."""
    verdict: Verdict
    binding: str
    """The largest part."""


@dataclass(frozen=True)
class Run:
    """A whole training run. No price for the GPU, no money."""

    hours: Range
    gpu_hours: Range
    money: Range | None
    tokens_per_second: float | None = None
    step: GrpoStep | None = None


@dataclass(frozen=True)
class Ratio:
    """GRPO over SFT, by three definitions that must not be mixed up."""

    per_token: float
    """GPU time per trained token."""
    per_prompt: float
    """GPU time per row of data: each prompt is answered many times."""
    per_project: Range
    """GPU hours of the whole run over those of the whole SFT run."""


@dataclass(frozen=True)
class Lever:
    """A change to the GRPO loop, and what is left of a step after it."""

    id: LeverId
    sentence: str
    share: float


def stack_of(tables: Tables, project: Project) -> Stack:
    return tables.constants.stacks[project.stack]


def machine_of(tables: Tables, project: Project) -> Machine:
    return Machine(project.gpu, stack_of(tables, project), tables.constants.time)


def sft_setup(tables: Tables, project: Project, tuning: Tuning) -> Setup:
    return setup_of(
        stack_of(tables, project),
        tuning,
        micro_batch=project.micro_batch,
        length=project.length,
        accumulation=project.accumulation,
        checkpointing=project.checkpointing,
        rank=project.rank,
        gpus=project.gpus,
        sharding=project.sharding if project.gpus > 1 else "none",
    )


def grpo_setup(tables: Tables, project: Project, tuning: Tuning, *, peak: bool) -> Setup:
    """At the longest answer for memory, at the mean for time."""
    rollouts = project.rollouts
    answer = rollouts.longest if peak else rollouts.typical
    wanted = {
        "micro_batch": project.rollout_micro_batch,
        "length": rollouts.prompt + answer,
        "scored": project.rollout_micro_batch * answer,
    }
    return Setup.model_validate({**sft_setup(tables, project, tuning).model_dump(), **wanted})


def configuration(tables: Tables, project: Project, method: TrainingMethod, tuning: Tuning) -> Configuration:
    constants = tables.constants
    if method == "sft":
        parts = training_parts(constants, project.model, sft_setup(tables, project, tuning))
    else:
        setup = grpo_setup(tables, project, tuning, peak=True)
        usable = project.gpu.usable_gib * GIB
        parts = grpo_parts(constants, project.model, setup, project.rollouts, usable)
    peak, memory = parts.peak(constants.memory), constants.memory
    typical = peak / GIB
    return Configuration(
        method=method,
        tuning=tuning,
        parts=parts,
        peak_gib=Range(memory.low_factor * typical, typical, memory.high_factor * typical),
        verdict=verdict(peak, project.gpu),
        binding=parts.largest,
    )


def configurations(tables: Tables, project: Project) -> tuple[Configuration, ...]:
    """Both methods with every tuning, richest first."""
    methods: tuple[TrainingMethod, ...] = ("sft", "grpo")
    return tuple(configuration(tables, project, method, tuning) for method in methods for tuning in TUNINGS)


def sft_run(tables: Tables, project: Project, tuning: Tuning) -> Run:
    """hours = demonstrations x epochs x padded tokens / (tokens per second x 3600), and 15 % around it.

    The band is that of an efficiency nobody measured here: 0.7 to 1.2 times the typical one.
    """
    constants, setup = tables.constants.time, sft_setup(tables, project, tuning)
    rate = tokens_per_second(machine_of(tables, project), project.model, setup)
    tokens = project.demonstrations * project.epochs * project.length
    hours = (1 + constants.overhead) * tokens / rate / 3600
    band = Range(hours / constants.fast_efficiency, hours, hours / constants.slow_efficiency)
    return _run(project, band, project.gpus, tokens_per_second=rate)


def grpo_run(tables: Tables, project: Project, tuning: Tuning) -> Run:
    """hours = steps x seconds of a step / 3600, and 15 % around it.

    Within a factor of 2 before completion lengths are known, 1.25 after; failed first runs double the end.
    """
    constants, rollouts = tables.constants.time, project.rollouts
    setup = grpo_setup(tables, project, tuning, peak=False)
    step = grpo_step(machine_of(tables, project), project.model, setup, rollouts)
    hours = (1 + constants.overhead) * project.steps * step.seconds / 3600
    factor = constants.grpo_known_factor if rollouts.lengths_known else constants.grpo_factor
    failed = constants.first_try if project.first_try else 1.0
    band = Range(hours / factor, hours, hours * factor * failed)
    return _run(project, band, project.gpus + (rollouts.generators or 0), step=step)


def _run(
    project: Project,
    hours: Range,
    gpus: int,
    tokens_per_second: float | None = None,
    step: GrpoStep | None = None,
) -> Run:
    gpu_hours = hours.times(gpus)
    return Run(hours, gpu_hours, money(project, gpu_hours), tokens_per_second, step)


def money(project: Project, gpu_hours: Range) -> Range | None:
    """Few hours at a low price to many hours at a high one. The user's own price comes before the table's."""
    price = project.price or project.gpu.price
    if price is None:
        return None
    return Range(gpu_hours.low * price.low, gpu_hours.typical * price.typical, gpu_hours.high * price.high)


def ratio(tables: Tables, project: Project, tuning: Tuning) -> Ratio:
    """R_tok = t_step / t_update at equal trainers; R_prompt = R_tok x G (p + c) / (p + c_sft).

    Where the trainers differ, both are GPU seconds over tokens, each on its own loop.
    """
    machine, rollouts = machine_of(tables, project), project.rollouts
    setup = sft_setup(tables, project, tuning)
    sft = micro_batch_seconds(machine, project.model, setup) / setup.tokens
    learner = grpo_setup(tables, project, tuning, peak=False)
    step = grpo_step(machine, project.model, learner, rollouts)
    gpus = project.gpus + (rollouts.generators or 0)
    length = rollouts.prompt + rollouts.typical
    grpo = step.seconds * gpus / (rollouts.sequences * length)
    per_token = grpo / sft
    whole, short = grpo_run(tables, project, tuning).gpu_hours, sft_run(tables, project, tuning).gpu_hours
    return Ratio(
        per_token=per_token,
        per_prompt=per_token * rollouts.group * length / project.length,
        per_project=Range(whole.low / short.high, whole.typical / short.typical, whole.high / short.low),
    )


def loop_ratio(tables: Tables, project: Project, tuning: Tuning) -> float:
    """R_tok of the loop alone, were SFT as fast as its update: t_step / t_update, never under 1 in turns."""
    machine = machine_of(tables, project)
    setup = grpo_setup(tables, project, tuning, peak=False)
    step = grpo_step(machine, project.model, setup, project.rollouts)
    return step.seconds / update_seconds(machine, project.model, setup, project.rollouts)


def levers(tables: Tables, project: Project, tuning: Tuning) -> tuple[Lever, ...]:
    """What shortens a GRPO step on this project, most first; only changes that save a twentieth or more."""
    before = _step_seconds(tables, project, tuning)
    found = (
        Lever(name, sentence, _step_seconds(tables, changed, tuning) / before)
        for name, sentence, changed in _changes(project)
    )
    return tuple(sorted((lever for lever in found if lever.share <= 0.95), key=lambda lever: lever.share))


def _step_seconds(tables: Tables, project: Project, tuning: Tuning) -> float:
    setup = grpo_setup(tables, project, tuning, peak=False)
    return grpo_step(machine_of(tables, project), project.model, setup, project.rollouts).seconds


def _changes(project: Project) -> Iterator[tuple[LeverId, str, Project]]:
    rollouts = project.rollouts
    half = {"mean": -(-rollouts.mean // 2), "longest": -(-rollouts.longest // 2)}
    if rollouts.engine == "hf_generate":
        yield "vllm", "Sample with vLLM instead of generate.", _with(project, {"engine": "vllm_colocate"})
    yield "half_length", "Halve the length of the answers.", _with(project, half)
    if rollouts.group > 2:
        yield "half_group", "Halve the tries per prompt.", _with(project, {"group": -(-rollouts.group // 2)})
    if project.checkpointing:
        unchecked = replace(project, checkpointing=False)
        yield "no_checkpointing", "Switch checkpointing off, if the memory allows.", unchecked
    larger = replace(project, rollout_micro_batch=2 * project.rollout_micro_batch)
    yield "larger_micro_batch", "Double the sequences in a micro-batch, if the memory allows.", larger


def _with(project: Project, changed: Mapping[str, int | str]) -> Project:
    return replace(project, rollouts=Rollouts.model_validate({**project.rollouts.model_dump(), **changed}))
