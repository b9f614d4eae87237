"""What the launch page's confirmation promises of each run, in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Run
from app.protocol import (
    DatasetSummary,
    GrpoRecipe,
    Limits,
    RewardModelRecipe,
    RunSpec,
    RunState,
    SftRecipe,
    TrainingRecipe,
)
from app.web.run_words import dataset_words, duration, listed, model_words


@dataclass(frozen=True)
class StageWords:
    name: str
    method: str
    sentences: list[str]
    json: str


def opening(count: int, worker_known: bool) -> str:
    what = "One run is handed to the worker" if count == 1 else "Two runs are handed to the worker"
    order = "" if count == 1 else ", one after the other"
    return f"{what}{order}. It starts as soon as the worker is free." if worker_known else f"{what}{order}."


def stage_words(
    session: Session,
    plan: Sequence[RunSpec],
    summaries: Mapping[str, DatasetSummary],
    names: Mapping[str, str],
) -> list[StageWords]:
    return [
        StageWords(
            spec.name,
            spec.recipe.kind,
            [
                _start(spec, plan[number - 1] if number else None),
                _learning(spec, summaries, names),
                _measuring(spec),
                *_conduct(spec),
                _time(session, spec, summaries),
            ],
            spec.model_dump_json(by_alias=True, exclude_none=True, indent=2),
        )
        for number, spec in enumerate(plan)
    ]


TUNED = {"full": "all its weights are trained", "lora": "LoRA adapters", "qlora": "QLoRA adapters"}


def _start(spec: RunSpec, before: RunSpec | None) -> str:
    if before is not None and before.recipe.kind != "reward_model":
        return "Starts from the model that the first run makes, and waits for it."
    start = "the model of an earlier run" if spec.starts_from else model_words(spec.model)
    waits = " Waits for the reward model of the first run, which grades it." if before else ""
    return f"Starts from {start}; {_tuned(spec)}.{waits}"


def _tuned(spec: RunSpec) -> str:
    tuning = spec.recipe.tuning if isinstance(spec.recipe, TrainingRecipe) else None
    if tuning is None or tuning.kind == "full":
        return TUNED["full"]
    return f"{TUNED[tuning.kind]} of rank {tuning.rank} are trained"


def _learning(spec: RunSpec, summaries: Mapping[str, DatasetSummary], names: Mapping[str, str]) -> str:
    data = dataset_words(spec.dataset, names)
    match spec.recipe:
        case SftRecipe() as recipe:
            count = demonstrations(spec, summaries)
            rows = f"{count:,} demonstrations" if count else "the demonstrations"
            updates = f", about {steps(spec, summaries):,} updates of {recipe.batch_size}" if count else ""
            return f"Learns from {rows} of {data}, {recipe.epochs:g} times each{updates}."
        case GrpoRecipe() as recipe:
            prompts = recipe.batch_size // recipe.num_generations
            return (
                f"At each of {recipe.steps:,} steps, answers {prompts} prompt{'s'[: prompts - 1]} of {data} "
                f"{recipe.num_generations} times each, in up to {recipe.max_completion_length:,} tokens: "
                f"{recipe.steps * recipe.batch_size:,} completions in all."
            )
        case RewardModelRecipe() as recipe:
            return f"Learns from the preference pairs of {data}, {recipe.epochs:g} times each."
    raise AssertionError(spec.recipe)


def _measuring(spec: RunSpec) -> str:
    if spec.recipe.kind == "reward_model":
        return "Measured on held-out pairs: how often it prefers the answer that people preferred."
    if spec.grader is None:
        return "Measured by the loss on held-out rows, before and after; no answer is graded."
    return _answered(spec) + _checked(spec)


def _checked(spec: RunSpec) -> str:
    plan = spec.evaluation
    if not plan.checks:
        return ""
    return f" During training, {plan.checks} checks on {min(plan.check_items, plan.items)} of these items."


def _conduct(spec: RunSpec) -> list[str]:
    """What happens on the way, where it is not the usual."""
    said = []
    if limits := limit_words(spec.limits):
        said.append(f"Pauses with a usable checkpoint at {limits}, whichever comes first.")
    if spec.on_finding == "stop":
        said.append("Any health finding stops it; the best checkpoint is kept.")
    elif spec.on_finding == "warn":
        said.append("Health findings warn and never stop it.")
    if spec.keep == "best":
        said.append("The checkpoint with the best check becomes its model.")
    if spec.evaluation.guard is not None:
        said.append("A guard set is measured before and after, to see what is forgotten.")
    return said


def limit_words(limits: Limits) -> str:
    """`200 steps, 30 minutes, 2 GPU-hours or 50 of money`; empty without a limit."""
    each = (
        (limits.steps, f"{limits.steps or 0:,} steps"),
        (limits.minutes, f"{limits.minutes or 0:g} minutes of training"),
        (limits.gpu_hours, f"{limits.gpu_hours or 0:g} GPU-hours"),
        (limits.money, f"a cost of {limits.money or 0:,g}"),
    )
    return listed([words for limit, words in each if limit is not None], "or")


def _answered(spec: RunSpec) -> str:
    when = {"first": "Before and after", "later": "After training, the start and the result", "skip": "After"}
    if spec.evaluation.baseline != "first":
        return (
            f"{when[spec.evaluation.baseline]}, up to {spec.evaluation.items:,} held-out items are answered "
            f"twice, sampled at temperature {spec.evaluation.temperature:g} and greedily."
        )
    return (
        f"Before and after, up to {spec.evaluation.items:,} held-out items are answered twice, sampled at "
        f"temperature {spec.evaluation.temperature:g} and greedily, and graded the same way."
    )


def demonstrations(spec: RunSpec, summaries: Mapping[str, DatasetSummary]) -> int | None:
    """How many the run will learn from, as far as the worker could say."""
    if spec.dataset is None or not isinstance(spec.recipe, SftRecipe):
        return None
    summary = summaries.get(spec.dataset.name if spec.dataset.kind == "generated" else spec.dataset.sha256)
    if summary is None:
        return None
    learned = summary.demonstrations or summary.texts
    if not summary.prompts:
        learned = max(1, learned - min(summary.held_out, spec.evaluation.items))
    return min(learned, spec.recipe.max_demonstrations or learned)


def steps(spec: RunSpec, summaries: Mapping[str, DatasetSummary]) -> int | None:
    match spec.recipe:
        case GrpoRecipe(steps=count):
            return count
        case SftRecipe() as recipe:
            rows = demonstrations(spec, summaries)
            return max(1, math.ceil(recipe.epochs * rows / recipe.batch_size)) if rows else None
    return None


def _time(session: Session, spec: RunSpec, summaries: Mapping[str, DatasetSummary]) -> str:
    """Judged by the latest run like it; nothing is promised where there was none."""
    count = steps(spec, summaries)
    done = session.scalars(
        select(Run).where(Run.state == RunState.SUCCEEDED).order_by(Run.ended_at.desc()).limit(100)
    )
    for run in done:
        if run.kind == spec.recipe.kind and run.spec.model == spec.model and count and run.steps_done:
            if run.started_at is None or run.ended_at is None:
                continue
            took = (run.ended_at - run.started_at).total_seconds()
            likely = took * count / run.steps_done
            return (
                f"Likely to take about {duration(likely)}, judging by “{run.spec.name}”, "
                f"which took {duration(took)} for {run.steps_done:,} steps."
            )
    return "How long it takes is not known: nothing like it has run here yet."
