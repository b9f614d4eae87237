"""What the launch page offers and what its confirmation promises, in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor.advice import GateOutcome
from app.advisor.recommendation import Recommendation
from app.datasets import generated
from app.models import Dataset, Run
from app.protocol import DatasetSummary, GrpoRecipe, ModelSummary, RunSpec, RunState, SftRecipe
from app.web.run_words import dataset_words, duration, model_words

DECIDES = ("plan", "model", "dataset")
"""What the other settings must fit."""

PLAN_TITLES = {
    "sft": ("SFT", "Learn to write the demonstrations’ answers."),
    "grpo": ("GRPO", "Try each prompt several times and reinforce what the grader scores higher."),
    "sft_then_grpo": (
        "SFT warm start, then GRPO",
        "Two runs: a short SFT, so that the model sometimes succeeds, then GRPO from its model.",
    ),
}


def settled_for(form: Mapping[str, str]) -> str:
    return " ".join(form.get(name, "") for name in DECIDES)


# The advice


@dataclass(frozen=True)
class AdviceInShort:
    sentence: str
    blockers: tuple[GateOutcome, ...]


def advice_in_short(advice: Recommendation) -> AdviceInShort:
    plan = PLAN_TITLES.get(advice.plan.id)
    what = plan[0] if plan else advice.plan.title
    return AdviceInShort(f"Advised: {what}. The form is filled in accordingly.", advice.blockers)


def plan_options(advice: Recommendation | None) -> list[dict[str, str]]:
    return [
        {
            "value": plan,
            "text": title + (" (advised)" if advice and advice.plan.id == plan else ""),
            "hint": hint,
        }
        for plan, (title, hint) in PLAN_TITLES.items()
    ]


# What the worker has


def model_options(models: Sequence[ModelSummary], origins: Mapping[str, Run]) -> list[dict[str, str]]:
    local = [
        {"value": f"local:{model.ref.name}", "text": model.title, "hint": _about(model)}
        for model in models
        if model.ref.kind == "local"
    ]
    earlier = [
        {
            "value": value,
            "text": f"The model of “{run.spec.name}”",
            "hint": "Goes on training what that run made.",
        }
        for value, run in origins.items()
    ]
    return [
        {
            "value": "starter",
            "text": "Starter model",
            "hint": "A stand-in for your model: about a million parameters, trained by the worker itself. "
            "It shows the whole road in minutes, without a download.",
        },
        *local,
        *earlier,
        {
            "value": "hub",
            "text": "A model from the Hugging Face hub",
            "hint": "Downloaded by the worker; safetensors only, no code from the hub is run.",
        },
    ]


def _about(model: ModelSummary) -> str:
    parameters = f"{model.parameters / 1e6:,.1f} million parameters. " if model.parameters else ""
    return (parameters + (model.note or "")).strip() or "In the worker’s models folder."


def dataset_options(
    summaries: Mapping[str, DatasetSummary], uploaded: Sequence[Dataset]
) -> list[dict[str, str]]:
    own = [
        {"value": f"uploaded:{row.sha256}", "text": row.name, "hint": f"Yours. {allows(row.summary)}"}
        for row in {row.sha256: row for row in uploaded}.values()
    ]
    made = [
        {
            "value": f"generated:{name}",
            "text": f"{task.title} (generated)",
            "hint": " ".join(
                [task.description, allows(summaries[name]) if name in summaries else ""]
            ).strip(),
        }
        for name, task in generated.TASKS.items()
    ]
    return own + made


def allows(summary: DatasetSummary) -> str:
    """`120 demonstrations and 4,000 prompts: SFT and GRPO.`"""
    counts = [
        f"{count:,} {word if count > 1 else word[:-1]}"
        for count, word in ((summary.demonstrations, "demonstrations"), (summary.prompts, "prompts"))
        if count
    ]
    methods = (
        "SFT and GRPO" if summary.demonstrations else "GRPO, but not SFT: there are no answers to learn from"
    )
    return f"{' and '.join(counts)}: {methods}."


# What will happen


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
                _start(spec, number),
                _learning(spec, summaries, names),
                _measuring(spec),
                _time(session, spec, summaries),
            ],
            spec.model_dump_json(by_alias=True, exclude_none=True, indent=2),
        )
        for number, spec in enumerate(plan)
    ]


def _start(spec: RunSpec, number: int) -> str:
    if number:
        return "Starts from the model that the first run makes, and waits for it."
    if spec.starts_from:
        return "Starts from the model of an earlier run."
    return f"Starts from {model_words(spec.model)}."


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
    raise AssertionError(spec.recipe)


def _measuring(spec: RunSpec) -> str:
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
    learned = summary.demonstrations
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
    limit = spec.recipe.max_minutes if isinstance(spec.recipe, SftRecipe | GrpoRecipe) else None
    capped = f" It is stopped after {limit:g} minutes." if limit else ""
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
                f"which took {duration(took)} for {run.steps_done:,} steps.{capped}"
            )
    return f"How long it takes is not known: nothing like it has run here yet.{capped}"


# Not as advised


def override(plan: str, advice: Recommendation) -> str:
    chosen = PLAN_TITLES[plan][0] if plan in PLAN_TITLES else plan
    advised = PLAN_TITLES.get(advice.plan.id, (advice.plan.title, ""))[0]
    if plan != advice.plan.id:
        return f"The advice was {advised}; this launches {chosen}."
    return "The advice was to fix something first."


def trial_item(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """A demonstration's own answer and its fields, to try a grader on."""
    messages = row.get("messages") or []
    if not messages or messages[-1].get("role") != "assistant":
        return None
    answer = str(messages[-1].get("content", ""))
    extra = {key: value for key, value in row.items() if key != "messages"}
    return answer, {"reference": answer} | extra
