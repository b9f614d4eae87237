"""Rough memory, hours and the cost ratio of the methods, from what was said of model, GPUs and budget."""

from math import exp, log
from typing import Literal, get_args

from app.advisor.advice import Cost, Estimate, MemoryNeed, TrainingMethod, trusted
from app.advisor.answers import Budget, Hardware, Project
from app.advisor.conditions import NOT_APPLICABLE, UNKNOWN, Facts
from app.advisor.vocabulary import ComputeFile, CostAssumptions, Memory, Speed

Tuning = Literal["full", "lora", "qlora"]
TUNINGS: tuple[Tuning, ...] = get_args(Tuning)

SIZES = {
    "under_0_5b": 0.5,
    "0_5b_to_1_5b": 1.5,
    "1_5b_to_3b": 3.0,
    "3b_to_14b": 14.0,
    "over_14b": float("inf"),
}
"""Upper bounds in billions of parameters: below the first three, up to the fourth."""

DERIVED = {"C1.size": tuple(SIZES), "C1.sft": (*TUNINGS, "none")}
"""Facts that follow from the answer to C1 besides its choice."""

SHARES = {"under_tenth": 0.1, "tenth_to_half": 0.5, "half_to_full": 1.0}
"""Upper bounds of GRPO's share of the budget."""

FORMULA = "completions per prompt x (rollout tokens / demonstration tokens) / (1 - rollout share)"


def size_class(parameters_b: float) -> str:
    if parameters_b > 3:
        return "3b_to_14b" if parameters_b <= 14 else "over_14b"
    return next(name for name, bound in SIZES.items() if parameters_b < bound)


def needed_gb(memory: Memory, method: TrainingMethod, tuning: Tuning, parameters_b: float) -> float:
    """Between table sizes on a straight line of logarithms; beyond them in proportion."""
    sizes, column = memory.parameters_b, getattr(memory, f"{method}_{tuning}")
    factor = 1.0 if tuning == "full" else memory.overhead
    if parameters_b <= sizes[0]:
        return float(factor * column[0] * parameters_b / sizes[0])
    if parameters_b >= sizes[-1]:
        return float(factor * column[-1] * parameters_b / sizes[-1])
    right = next(place for place, size in enumerate(sizes) if size >= parameters_b)
    left = right - 1
    along = log(parameters_b / sizes[left]) / log(sizes[right] / sizes[left])
    return float(factor * column[left] * exp(along * log(column[right] / column[left])))


def fits(memory: Memory, hardware: Hardware, method: TrainingMethod, tuning: Tuning) -> bool:
    if hardware.gpus == 0:
        return tuning == "full" and hardware.parameters_b <= memory.cpu_limit_b
    return needed_gb(memory, method, tuning, hardware.parameters_b) <= available_gb(hardware)


def available_gb(hardware: Hardware) -> float:
    return hardware.gpus * hardware.gpu_memory_gb


def best_fit(memory: Memory, hardware: Hardware, method: TrainingMethod) -> Tuning | Literal["none"]:
    wanted = TUNINGS if hardware.tuning == "any" else (hardware.tuning,)
    return next((tuning for tuning in wanted if fits(memory, hardware, method, tuning)), "none")


def hardware_facts(memory: Memory, hardware: Hardware) -> dict[str, str]:
    choice = {"full": "full_fits", "lora": "lora_fits", "qlora": "qlora_only", "none": "nothing_fits"}
    return {
        "C1": choice[best_fit(memory, hardware, "grpo")],
        "C1.sft": best_fit(memory, hardware, "sft"),
        "C1.size": size_class(hardware.parameters_b),
    }


def teraflops(speed: Speed, hardware: Hardware) -> float:
    """Of one GPU, or of the CPU."""
    if hardware.gpus == 0:
        return speed.cpu_teraflops
    steps = zip(speed.memory_gb, speed.teraflops, strict=True)
    return max(done for least, done in steps if hardware.gpu_memory_gb >= least)


def training_hours(compute: ComputeFile, hardware: Hardware, tokens: float) -> float:
    work = compute.cost.flops_per_parameter_token * hardware.parameters_b * 1e9 * tokens
    return work / (teraflops(compute.speed, hardware) * 1e12) / 3600


def grpo_gpu_hours(compute: ComputeFile, hardware: Hardware, budget: Budget | None) -> float:
    """Of a first useful run."""
    cost, said = compute.cost, budget or Budget(gpu_hours=0)
    length = cost.prompt_tokens + (said.tokens_per_rollout or cost.tokens_per_rollout)
    tokens = cost.steps * cost.completions_per_step * length
    return training_hours(compute, hardware, tokens) / (1 - rollout_share(cost, said))


def sft_gpu_hours(compute: ComputeFile, hardware: Hardware, budget: Budget | None, rows: int) -> float:
    cost, said = compute.cost, budget or Budget(gpu_hours=0)
    length = cost.prompt_tokens + (said.tokens_per_demonstration or cost.tokens_per_demonstration)
    return training_hours(compute, hardware, rows * cost.epochs * length)


def rollout_share(cost: CostAssumptions, budget: Budget) -> float:
    return cost.rollout_share if budget.rollout_share is None else budget.rollout_share


def budget_choice(compute: ComputeFile, hardware: Hardware, budget: Budget) -> str:
    if budget.days is not None and budget.days <= 1:
        return "needed_today"
    hours = grpo_gpu_hours(compute, hardware, budget)
    fitting = (choice for choice, share in SHARES.items() if hours <= share * budget.gpu_hours)
    return next(fitting, "over_budget")


def cost_of(compute: ComputeFile, hardware: Hardware | None, budget: Budget | None) -> Cost:
    """How much dearer a row is under GRPO, from the user's numbers where there are any."""
    cost, said = compute.cost, budget or _NOTHING_SAID
    group = said.completions_per_prompt or cost.completions_per_prompt
    rollout = said.tokens_per_rollout or cost.tokens_per_rollout
    demonstration = said.tokens_per_demonstration or cost.tokens_per_demonstration
    share = rollout_share(cost, said)
    ratio = group * (rollout / demonstration) / (1 - share)
    sentence = (
        f"Per row GRPO takes about {ratio:.3g} times the GPU time of SFT: {group} tries of "
        f"{rollout} tokens against one demonstration of {demonstration}, with "
        f"{share * 100:.0f} % of each step spent sampling."
    )
    if hardware is not None:
        hours = grpo_gpu_hours(compute, hardware, budget)
        within = f" of your {budget.gpu_hours:g}" if budget else ""
        sentence += f" A first run of {cost.steps} steps comes to about {hours:.2g} GPU-hours{within}."
    return trusted(
        Cost,
        {
            "ratio": round(ratio, 2),
            "sentence": sentence,
            "formula": FORMULA,
            "assumptions": _assumed(cost, said, hardware is not None),
        },
    )


_NOTHING_SAID = Budget(gpu_hours=0)


def _assumed(cost: CostAssumptions, said: Budget, with_hours: bool) -> tuple[str, ...]:
    stated = [
        (said.completions_per_prompt, f"{cost.completions_per_prompt} tries per prompt"),
        (said.tokens_per_rollout, f"{cost.tokens_per_rollout} tokens per try"),
        (said.tokens_per_demonstration, f"{cost.tokens_per_demonstration} tokens per demonstration"),
        (said.rollout_share, f"{cost.rollout_share * 100:.0f} % of a step spent sampling"),
    ]
    assumed = [f"Assumed: {what}." for value, what in stated if value is None]
    if with_hours:
        assumed.append(
            f"Assumed: {cost.completions_per_step} tries a step, prompts of {cost.prompt_tokens} tokens."
        )
        assumed.append(
            "The speed of a GPU is a rough guess from its memory; a few measured steps replace it."
        )
    return tuple(assumed)


def hardware_of(project: Project) -> Hardware | None:
    answer = project.answers.get("C1")
    return answer.quantity if answer and isinstance(answer.quantity, Hardware) else None


def budget_of(project: Project) -> Budget | None:
    answer = project.answers.get("C2")
    return answer.quantity if answer and isinstance(answer.quantity, Budget) else None


def estimate(compute: ComputeFile, project: Project, facts: Facts) -> Estimate:
    hardware, budget = hardware_of(project), budget_of(project)
    if hardware is None:
        return Estimate(
            available_gb=None,
            memory=(),
            sft_gpu_hours=None,
            grpo_gpu_hours=None,
            assumptions=("Model and GPUs are not known, so memory and hours cannot be estimated.",),
        )
    rows = None if facts["D1"] in (UNKNOWN, NOT_APPLICABLE) else compute.cost.rows[facts["D1"]]
    return Estimate(
        available_gb=round(available_gb(hardware), 1),
        memory=_memory_needs(compute.memory, hardware),
        sft_gpu_hours=_hours(sft_gpu_hours(compute, hardware, budget, rows)) if rows else None,
        grpo_gpu_hours=_hours(grpo_gpu_hours(compute, hardware, budget)),
        assumptions=_assumed(compute.cost, budget or _NOTHING_SAID, True),
    )


def _memory_needs(memory: Memory, hardware: Hardware) -> tuple[MemoryNeed, ...]:
    methods: tuple[TrainingMethod, ...] = ("sft", "grpo")
    return tuple(
        MemoryNeed(
            method=method,
            tuning=tuning,
            needed_gb=round(needed_gb(memory, method, tuning, hardware.parameters_b), 1),
            fits=fits(memory, hardware, method, tuning),
        )
        for method in methods
        for tuning in TUNINGS
    )


def _hours(hours: float) -> float:
    return float(f"{hours:.3g}")


def described(quantity: Hardware | Budget) -> str:
    if isinstance(quantity, Hardware):
        return _hardware_in_words(quantity)
    until = f" within {quantity.days:g} days" if quantity.days else ""
    return f"{quantity.gpu_hours:g} GPU-hours{until}"


def _hardware_in_words(hardware: Hardware) -> str:
    how = "" if hardware.tuning == "any" else f", {_TUNING_WORDS[hardware.tuning]}"
    if hardware.gpus == 0:
        return f"{hardware.parameters_b:g}B parameters on the CPU{how}"
    gpus = "one GPU" if hardware.gpus == 1 else f"{hardware.gpus} GPUs"
    return f"{hardware.parameters_b:g}B parameters on {gpus} of {hardware.gpu_memory_gb:g} GB{how}"


_TUNING_WORDS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}


def alternatives(quantity: Hardware | Budget) -> tuple[Hardware | Budget, ...]:
    """Changes a team could make to the answer, nearest first."""
    if isinstance(quantity, Budget):
        more = (3.0, 10.0)
        return tuple(
            quantity.model_copy(update={"gpu_hours": factor * quantity.gpu_hours}) for factor in more
        )
    changed = [quantity.model_copy(update={"tuning": "any"})] if quantity.tuning != "any" else []
    changed += [quantity.model_copy(update={"gpus": n * max(1, quantity.gpus)}) for n in (2, 4, 8)]
    changed.append(quantity.model_copy(update={"parameters_b": quantity.parameters_b / 2}))
    return tuple(changed)
