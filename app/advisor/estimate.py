"""Memory, hours and money of both methods, from what was said of model, GPUs and budget."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from app.advisor import figures
from app.advisor.advice import (
    METHODS,
    TUNINGS,
    Configuration,
    Cost,
    Estimate,
    Lever,
    MemoryPart,
    PartOfMemory,
    PartOfStep,
    Range,
    Ratio,
    RunEstimate,
    StepPart,
    TrainingMethod,
    Tuning,
    trusted,
)
from app.advisor.answers import Budget, Hardware, Project, Workload
from app.advisor.comparison import Comparison, compare, workload_of
from app.advisor.conditions import NOT_APPLICABLE, UNKNOWN, Facts
from app.advisor.economics import (
    Fit,
    Spent,
    fitted,
    levers,
    sampling_waves,
    sft_cost,
    sft_rate,
    sft_seconds,
    step_factor,
    trained_tokens,
)
from app.advisor.job import Job, assumptions, job_of, warnings
from app.advisor.memory import GIB
from app.advisor.tables import Tables
from app.advisor.throughput import GrpoStep

FORMULA = (
    "GPU time per row, GRPO over SFT = answers per prompt x (tokens of a prompt with its answer / tokens of "
    "a demonstration) x (GPU time per token, GRPO over SFT)"
)
NAMES = {"sft": "SFT", "grpo": "GRPO"}
TUNING_WORDS = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA"}


# The sentence on cost that every recommendation has


def cost_of(tables: Tables, hardware: Hardware | None, budget: Budget | None) -> Cost:
    """How much dearer a row is under GRPO, from the user's numbers where there are any."""
    workload = workload_of(budget)
    ratio, per_token, sentence, run, assumed = _cost(tables, hardware, workload)
    if hardware is not None:
        within = f", of your {budget.gpu_hours:g}" if budget else ""
        sentence = f"{sentence} {run}{within}."
    return trusted(
        Cost,
        {
            "ratio": ratio,
            "per_token": per_token,
            "sentence": sentence,
            "formula": FORMULA,
            "assumptions": assumed,
        },
    )


@lru_cache(maxsize=2048)
def _cost(
    tables: Tables, hardware: Hardware | None, workload: Workload
) -> tuple[float, float, str, str, tuple[str, ...]]:
    found = compare(tables, hardware, workload)
    job, ratio = found.grpo.job, found.ratios
    sampled = found.step.rollout_share
    sentence = (
        f"Per row of data GRPO takes about {figures.plain(ratio.per_prompt)} times the GPU time of SFT: "
        f"{job.rollouts.group} answers of about {job.rollouts.typical:,} tokens against one demonstration, "
        f"each token at {figures.plain(ratio.per_token)} times the time, "
        f"with {100 * sampled:.0f} % of a step spent sampling."
    )
    run = f"A first run of {job.steps:,} steps comes to {figures.gpu_hours(found.spent.gpu_hours)}"
    assumed = assumptions(tables, job, hardware, workload)
    return figures.two(ratio.per_prompt), figures.two(ratio.per_token), sentence, run, assumed


# The whole estimate


def hardware_of(project: Project) -> Hardware | None:
    answer = project.answers.get("C1")
    return answer.quantity if answer and isinstance(answer.quantity, Hardware) else None


def budget_of(project: Project) -> Budget | None:
    answer = project.answers.get("C2")
    return answer.quantity if answer and isinstance(answer.quantity, Budget) else None


def grading_share(tables: Tables, project: Project, seconds: float) -> float | None:
    """Share of the budget's GPU-hours in which a GRPO run waits for its grader; None without a budget.

    `seconds` is what one answer took where it was measured, with as many graded at once as there. Steps x
    prompts x tries x seconds (gate G12), on all GPUs, since they wait meanwhile.
    """
    budget = budget_of(project)
    if budget is None or not budget.gpu_hours:
        return None
    job = job_of(tables, hardware_of(project), workload_of(budget))
    hours = job.steps * job.rollouts.sequences * seconds * job.paid / 3600
    return hours / budget.gpu_hours


def estimate(tables: Tables, project: Project, facts: Facts) -> Estimate | None:
    """None while model and GPUs are not known."""
    hardware = hardware_of(project)
    if hardware is None:
        return None
    chosen = facts["D1"]
    rows = None if chosen in (UNKNOWN, NOT_APPLICABLE) else tables.constants.assumed.rows[chosen]
    thinking = facts["O5"] == "helps_and_allowed"
    return estimate_of(tables, hardware, workload_of(budget_of(project)), rows, thinking=thinking)


def estimate_of(
    tables: Tables,
    hardware: Hardware,
    workload: Workload,
    rows: int | None = None,
    *,
    thinking: bool = False,
) -> Estimate:
    """`rows`: demonstrations, where the workload does not say. `thinking`: answers may be long."""
    found = compare(tables, hardware, workload, rows)
    job, tuning = found.grpo.job, found.tuning
    spent = {"sft": sft_cost(tables, found.sft.job, tuning), "grpo": found.spent}
    runs = tuple(_run(tables, found, method, spent[method]) for method in METHODS)
    return Estimate(
        model=job.model.name,
        parameters_b=figures.three(job.model.parameters / 1e9),
        gpu=job.gpu.name,
        gpus=hardware.gpus,
        usable_gib=figures.three(job.gpu.usable_gib),
        configurations=tuple(
            _configuration(tables, found.usual, method, tuning) for method in METHODS for tuning in TUNINGS
        ),
        sft=runs[0],
        grpo=runs[1],
        step=_step_parts(found.step),
        step_seconds=figures.rough(figures.around(found.step.seconds, step_factor(tables, job))),
        sft_seconds=figures.two(sft_seconds(tables, found.sft.job, tuning, trained_tokens(job))),
        trained_tokens=trained_tokens(job),
        ratios=_ratios(tables, found, spent),
        levers=_levers(tables, found),
        own_price=hardware.gpu_price is not None,
        priced=None if hardware.gpu_price is not None else job.gpu.dated,
        summary=_summary(found, runs),
        assumptions=assumptions(tables, job, hardware, workload),
        warnings=(
            *warnings(tables, job, hardware),
            *_if_in_waves(tables, found),
            *_if_thinking(tables, found, hardware, workload, thinking),
        ),
    )


def _levers(tables: Tables, found: Comparison) -> tuple[Lever, ...]:
    halving = levers(tables, found.grpo.job, found.tuning)
    return tuple(Lever(id=one.id, sentence=one.sentence, share=figures.two(one.share)) for one in halving)


def _if_in_waves(tables: Tables, found: Comparison) -> tuple[str, ...]:
    times = sampling_waves(tables, found.grpo.job, found.tuning)
    if times == 1:
        return ()
    return (
        f"The sampling engine’s memory cannot hold all answers of a step, so they are sampled in {times} "
        "turns, one after another. Fewer answers at a time, or a larger share of the GPU for the engine, "
        "would change that.",
    )


def _if_thinking(
    tables: Tables, found: Comparison, hardware: Hardware, workload: Workload, thinking: bool
) -> tuple[str, ...]:
    """Nobody said how long answers are, but they may think: what that would come to."""
    if not thinking or workload.tokens_per_rollout:
        return ()
    assumed = tables.constants.assumed
    longer = workload.model_copy(update={"tokens_per_rollout": assumed.thinking_tokens})
    after = compare(tables, hardware, longer).spent.hours.typical / found.spent.hours.typical
    return (
        f"You say that thinking is allowed. If answers come to {assumed.thinking_tokens:,} tokens instead of "
        f"{found.grpo.job.rollouts.mean:,}, GRPO takes about {figures.times(after)} as long as shown here; "
        "give their length to see it.",
    )


# Memory


PARTS: dict[PartOfMemory, str] = {
    "weights": "Weights",
    "lora": "Adapters",
    "optimizer": "Optimizer",
    "gradients": "Gradients",
    "activations": "Activations",
    "logits": "Logits",
    "extras": "Buffers",
    "generator": "Sampling engine",
    "overhead": "Driver and fragmentation",
}


def _configuration(tables: Tables, usual: Job, method: TrainingMethod, tuning: Tuning) -> Configuration:
    fit, memory = fitted(tables, usual, method, tuning), tables.constants.memory
    sizes = dict(vars(fit.parts))
    sizes["overhead"] = fit.peak - sum(sizes.values())
    binding: PartOfMemory = max(PARTS, key=lambda part: sizes[part])
    peak = fit.peak / GIB
    return Configuration(
        method=method,
        tuning=tuning,
        verdict=fit.verdict,
        peak_gib=figures.rough(
            Range(low=memory.low_factor * peak, typical=peak, high=memory.high_factor * peak)
        ),
        usable_gib=figures.three(usual.gpu.usable_gib),
        share=figures.two(peak / usual.gpu.usable_gib),
        parts=tuple(
            MemoryPart(id=part, title=title, gib=figures.two(sizes[part] / GIB))
            for part, title in PARTS.items()
            if sizes[part] / GIB >= 0.005
        ),
        binding=binding,
        micro_batch=fit.job.micro_batch if method == "sft" else fit.job.rollout_micro_batch,
        sharding=fit.job.setup(method, tuning).sharding,
        sentence=_fit_sentence(tables, fit, method, tuning, binding),
        settings=_settings(usual, fit.job, method),
        remedies=() if fit.verdict == "fits" else _remedies(tables, fit, method, tuning),
    )


_VERDICTS = {"fits": "fits", "tight": "is tight", "no": "does not fit"}


def _fit_sentence(
    tables: Tables, fit: Fit, method: TrainingMethod, tuning: Tuning, binding: PartOfMemory
) -> str:
    said = f"{NAMES[method]} with {TUNING_WORDS[tuning]} {_VERDICTS[fit.verdict]}"
    if fit.job.gpu is tables.cpu:
        limit = tables.constants.assumed.cpu_limit_b
        slow = f", because a processor trains only models up to {limit:g} billion parameters in useful time"
        return f"{said}{'' if fit.verdict == 'fits' else slow}."
    part, offered = PARTS[binding], figures.gib(fit.job.gpu.usable_gib)
    return (
        f"{said}: about {figures.gib(fit.peak / GIB)} of the {offered} that a GPU offers, "
        f"most of it for {part[0].lower()}{part[1:]}."
    )


def _settings(before: Job, after: Job, method: TrainingMethod) -> tuple[str, ...]:
    """What was changed from the usual settings, in words."""
    said = []
    if after.sharding != before.sharding:
        said.append("Weights spread over the GPUs (ZeRO-3 or FSDP)")
    if after.rollouts.sleep != before.rollouts.sleep:
        said.append("vLLM sleeps while the weights are updated")
    if method == "grpo" and after.rollouts.tensor_parallel > 1:
        said.append(f"Each engine spread over {after.rollouts.tensor_parallel} GPUs")
    if method == "sft" and after.micro_batch != before.micro_batch:
        said.append(f"{_sequences(after.micro_batch)} at once, with accumulation")
    if method == "grpo" and after.rollout_micro_batch != before.rollout_micro_batch:
        said.append(f"{_sequences(after.rollout_micro_batch)} at once, with accumulation")
    return tuple(said)


def _sequences(count: int) -> str:
    return "One sequence" if count == 1 else f"{count} sequences"


def _remedies(tables: Tables, fit: Fit, method: TrainingMethod, tuning: Tuning) -> tuple[str, ...]:
    """In the order of effort; only what brings it to fit, each alone."""
    job = fit.job
    tried: list[tuple[str, Job, Tuning]] = [
        ("A fused loss", _on(job, loss="fused_head"), tuning),
        ("Answers and demonstrations of half the length", _halved(job), tuning),
        ("Weights in bf16", _on(job, weights=2.0, gradients=2.0, optimizer=4.0), tuning),
        ("An 8-bit optimizer", _on(job, optimizer=2.0), tuning),
    ]
    tried += [(TUNING_WORDS[way], job, way) for way in TUNINGS[TUNINGS.index(tuning) + 1 :]]
    tried += [(f"{n} GPUs", job._replace(gpus=n, shardable=True), tuning) for n in (2, 4, 8) if n > job.gpus]
    return tuple(what for what, other, way in tried if fitted(tables, other, method, way).verdict == "fits")[
        :MOST_REMEDIES
    ]


MOST_REMEDIES = 4


def _on(job: Job, **habits: object) -> Job:
    return job._replace(stack=job.stack.model_copy(update=habits))


def _halved(job: Job) -> Job:
    rollouts = job.rollouts
    shorter = rollouts._replace(mean=-(-rollouts.mean // 2), longest=-(-rollouts.longest // 2))
    return job._replace(length=-(-job.length // 2), rollouts=shorter)


# Time and money


def _run(tables: Tables, found: Comparison, method: TrainingMethod, spent: Spent) -> RunEstimate:
    job, time = found.fit(method).job, tables.constants.time
    if method == "sft":
        rate = sft_rate(tables, job, found.tuning)
        rates = Range(low=rate * time.slow_efficiency, typical=rate, high=rate * time.fast_efficiency)
        often = "" if job.epochs == 1 else f", {job.epochs} times over"
        what = f"{job.demonstrations:,} demonstrations{often}"
    else:
        rates = figures.around(trained_tokens(job) / found.step.seconds, step_factor(tables, job))
        what = f"{job.steps:,} steps"
    gpus = "the CPU" if job.gpu is tables.cpu else "one GPU" if spent.gpus == 1 else f"{spent.gpus} GPUs"
    money = f", {figures.dollars(spent.dollars)}" if spent.dollars else ""
    name = f"{NAMES[method]} with {TUNING_WORDS[found.tuning]}"
    return RunEstimate(
        method=method,
        tuning=found.tuning,
        fits=found.fit(method).verdict != "no",
        tokens_per_second=figures.rough(rates),
        gpus=spent.gpus,
        hours=figures.rough(spent.hours),
        gpu_hours=figures.rough(spent.gpu_hours),
        dollars=figures.rough(spent.dollars) if spent.dollars else None,
        sentence=f"{name}, {what}: {figures.duration(spent.hours)} on {gpus}{money}.",
    )


STEP: tuple[tuple[PartOfStep, str, str], ...] = (
    (
        "rollouts",
        "Sampling the answers",
        "Every prompt is answered several times before anything is learned.",
    ),
    ("scoring", "Scoring them", "The grader runs on every answer, as long as you say that it takes."),
    (
        "log_probabilities",
        "Reading them again",
        "One more pass finds how likely the model thinks each answer (log-probabilities).",
    ),
    ("update", "Update", "Forward, backward and the optimizer: the part that SFT has as well."),
    ("hand_over", "Hand-over", "New weights go to the sampling engine."),
)


def _step_parts(step: GrpoStep) -> tuple[StepPart, ...]:
    seconds = (step.rollouts, step.scoring, step.log_probabilities, step.update, step.sync)
    return tuple(
        StepPart(
            id=part,
            title=title,
            about=about,
            seconds=figures.two(spent),
            share=figures.two(spent / sum(seconds)),
        )
        for (part, title, about), spent in zip(STEP, seconds, strict=True)
    )


def _ratios(tables: Tables, found: Comparison, spent: Mapping[str, Spent]) -> tuple[Ratio, ...]:
    factor, job = step_factor(tables, found.grpo.job), found.grpo.job
    sft, grpo = spent["sft"].gpu_hours, spent["grpo"].gpu_hours
    return (
        Ratio(
            id="per_token",
            title="Per trained token",
            value=figures.rough(figures.around(found.ratios.per_token, factor)),
            definition="GPU time of a GRPO step over that of SFT on the same number of tokens.",
        ),
        Ratio(
            id="per_prompt",
            title="Per row of data",
            value=figures.rough(figures.around(found.ratios.per_prompt, factor)),
            definition=f"GPU time for one prompt, which GRPO answers {job.rollouts.group} times, "
            "over that for one demonstration, which SFT reads once.",
        ),
        Ratio(
            id="per_project",
            title="For the whole project",
            value=figures.rough(
                Range(low=grpo.low / sft.high, typical=grpo.typical / sft.typical, high=grpo.high / sft.low)
            ),
            definition=f"GPU-hours of {job.steps:,} GRPO steps over those of SFT on "
            f"{job.demonstrations:,} demonstrations. Making the demonstrations is not counted.",
        ),
    )


def _summary(found: Comparison, runs: Iterable[RunEstimate]) -> tuple[str, ...]:
    unfit = [NAMES[run.method] for run in runs if not run.fits]
    said = [run.sentence for run in runs]
    if unfit:
        said.append(
            f"{' and '.join(unfit)} would not fit as shown: time and money are what it would take if it did."
        )
    sampled, times = 100 * found.step.rollout_share, figures.times(found.ratios.per_token)
    said.append(
        f"A trained token costs GRPO about {times} the GPU time that it costs SFT: {sampled:.0f} % of a step "
        "goes into sampling and scoring answers before anything is learned."
    )
    said.append(
        "That GRPO is 10 to 20 times slower holds for loops that nobody tuned: one answer at a time, or no "
        "inference engine. With one, 2 to 4 times per trained token is usual. "
        "The figures here are this project’s own."
    )
    said.append("A first GRPO project usually needs more than one run: count 1.3 to 2 times the money.")
    return tuple(said)


# In words


def described(quantity: Hardware | Budget) -> str:
    if isinstance(quantity, Hardware):
        return _hardware_in_words(quantity)
    until = f" within {quantity.days:g} days" if quantity.days else ""
    return f"{quantity.gpu_hours:g} GPU-hours{until}"


def _hardware_in_words(hardware: Hardware) -> str:
    how = "" if hardware.tuning == "any" else f", {_HOW[hardware.tuning]}"
    if hardware.config is not None:
        model = f"A model of {hardware.config.num_hidden_layers} layers"
    else:
        model = hardware.model or f"{hardware.parameters_b:g}B parameters"
    if hardware.gpus == 0:
        return f"{model} on the CPU{how}"
    if hardware.gpu:
        gpus = hardware.gpu if hardware.gpus == 1 else f"{hardware.gpus} x {hardware.gpu}"
        return f"{model} on {'one ' if hardware.gpus == 1 else ''}{gpus}{how}"
    count = "one GPU" if hardware.gpus == 1 else f"{hardware.gpus} GPUs"
    return f"{model} on {count} of {hardware.gpu_memory_gb:g} GB{how}"


_HOW = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}


def alternatives(quantity: Hardware | Budget) -> tuple[Hardware | Budget, ...]:
    """Changes a team could make to the answer, nearest first."""
    if isinstance(quantity, Budget):
        more = (3.0, 10.0)
        return tuple(
            quantity.model_copy(update={"gpu_hours": factor * quantity.gpu_hours}) for factor in more
        )
    changed = [quantity.model_copy(update={"tuning": "any"})] if quantity.tuning != "any" else []
    changed += [quantity.model_copy(update={"gpus": n * max(1, quantity.gpus)}) for n in (2, 4, 8)]
    if quantity.parameters_b and not (quantity.model or quantity.config):
        changed.append(quantity.model_copy(update={"parameters_b": quantity.parameters_b / 2}))
    return tuple(changed)
