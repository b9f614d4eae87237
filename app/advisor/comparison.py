"""SFT and GRPO on one job, each with the settings that fit; and the computed answers to C1 and C2."""

from functools import lru_cache
from typing import Literal, NamedTuple

from app.advisor.advice import METHODS, TUNINGS, TrainingMethod, Tuning
from app.advisor.answers import Budget, Hardware, Workload
from app.advisor.economics import (
    Fit,
    Ratios,
    Spent,
    best_tuning,
    fitted,
    grpo_cost,
    ratios,
    step_of,
)
from app.advisor.job import Job, job_of
from app.advisor.tables import Tables
from app.advisor.throughput import GrpoStep

SIZES = {
    "under_0_5b": 0.5,
    "0_5b_to_1_5b": 1.5,
    "1_5b_to_3b": 3.0,
    "3b_to_14b": 14.0,
    "over_14b": float("inf"),
}
"""Upper bounds in billions of parameters: below the first three, up to the fourth."""

Best = Tuning | Literal["none"]

DERIVED = {"C1.size": tuple(SIZES), "C1.sft": (*TUNINGS, "none")}
"""Facts that follow from the answer to C1 besides its choice."""

SHARES = {"under_tenth": 0.1, "tenth_to_half": 0.5, "half_to_full": 1.0}
"""Upper bounds of GRPO's share of the budget."""

NOTHING_SAID = Workload()


class Comparison(NamedTuple):
    """Both trained as GRPO best can be, or as SFT can where GRPO fits in no way."""

    usual: Job
    """Before anything was changed to make it fit."""
    best_sft: Best
    best_grpo: Best
    tuning: Tuning
    sft: Fit
    grpo: Fit
    step: GrpoStep
    ratios: Ratios
    spent: Spent
    """By GRPO."""

    def fit(self, method: TrainingMethod) -> Fit:
        return self.sft if method == "sft" else self.grpo

    def best(self, method: TrainingMethod) -> Best:
        return self.best_sft if method == "sft" else self.best_grpo


@lru_cache(maxsize=2048)
def compare(
    tables: Tables, hardware: Hardware | None, workload: Workload, rows: int | None = None
) -> Comparison:
    """Pure, and remembered: a project that changes its other answers asks the same again.

    `rows` are demonstrations, where the workload does not say how many.
    """
    job = job_of(tables, hardware, workload, rows)
    wanted = TUNINGS if hardware is None or hardware.tuning == "any" else (hardware.tuning,)
    best_sft, best_grpo = (best_tuning(tables, job, method, wanted) for method in METHODS)
    chosen = best_grpo or best_sft
    tuning = chosen[0] if chosen else wanted[-1]
    sft, grpo = _fit(tables, job, "sft", tuning, best_sft), _fit(tables, job, "grpo", tuning, best_grpo)
    step = step_of(tables, grpo.job, tuning)
    return Comparison(
        usual=job,
        best_sft=best_sft[0] if best_sft else "none",
        best_grpo=best_grpo[0] if best_grpo else "none",
        tuning=tuning,
        sft=sft,
        grpo=grpo,
        step=step,
        ratios=ratios(tables, grpo.job, sft.job, tuning, step),
        spent=grpo_cost(tables, grpo.job, step),
    )


Found = tuple[Tuning, Fit] | None


def _fit(tables: Tables, job: Job, method: TrainingMethod, tuning: Tuning, found: Found) -> Fit:
    return found[1] if found and found[0] == tuning else fitted(tables, job, method, tuning)


def workload_of(budget: Workload | None) -> Workload:
    """Of a budget what bears on the work: everything but GPU-hours and date."""
    if budget is None:
        return NOTHING_SAID
    return Workload.model_construct(**{name: getattr(budget, name) for name in Workload.model_fields})


def size_class(parameters_b: float) -> str:
    if parameters_b > 3:
        return "3b_to_14b" if parameters_b <= 14 else "over_14b"
    return next(name for name, bound in SIZES.items() if parameters_b < bound)


def hardware_facts(tables: Tables, hardware: Hardware, budget: Budget | None) -> dict[str, str]:
    """What the answer to C1 comes to; the longest answers count for memory."""
    choice = {"full": "full_fits", "lora": "lora_fits", "qlora": "qlora_only", "none": "nothing_fits"}
    found = compare(tables, hardware, workload_of(budget))
    return {
        "C1": choice[found.best_grpo],
        "C1.sft": found.best_sft,
        "C1.size": size_class(_billions(found, hardware)),
    }


def _billions(found: Comparison, hardware: Hardware) -> float:
    """As stated where only a size was."""
    own = hardware.config or hardware.model
    return found.usual.model.parameters / 1e9 if own else hardware.parameters_b or 0


def budget_choice(tables: Tables, hardware: Hardware, budget: Budget) -> str:
    if budget.days is not None and budget.days <= 1:
        return "needed_today"
    hours = compare(tables, hardware, workload_of(budget)).spent.gpu_hours.typical
    fitting = (choice for choice, share in SHARES.items() if hours <= share * budget.gpu_hours)
    return next(fitting, "over_budget")
