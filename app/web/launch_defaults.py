"""What the launch form starts with: settings that fit method, model and dataset, and the advice's numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from pydantic import ValidationError

from app.advisor.defaults import DefaultsFile, RecipeDefault, TuningKind, read_defaults, recipe_defaults
from app.advisor.recommendation import Recommendation
from app.datasets import generated
from app.protocol import (
    AdapterTuning,
    EvaluationPlan,
    Grader,
    GrpoRecipe,
    Recipe,
    RewardModelRecipe,
    RunSpec,
    SftRecipe,
)
from app.web.launch_form import PLANS, TrainingMethod
from app.web.launch_graders import grader_values
from app.web.launch_values import recipe_values, spec_values, text
from app.web.run_settings import EVALUATION

USUAL: Mapping[str, Recipe] = {
    "sft": SftRecipe(learning_rate=2e-5, batch_size=32, micro_batch_size=4, epochs=2, max_length=2048),
    "grpo": GrpoRecipe(
        learning_rate=1e-6,
        batch_size=64,
        micro_batch_size=8,
        steps=300,
        num_generations=8,
        max_completion_length=512,
    ),
    "reward_model": RewardModelRecipe(
        learning_rate=1e-5, batch_size=32, micro_batch_size=4, epochs=1, max_length=2048
    ),
}
"""For a model of some billions of parameters; the starter model has its own."""

WARM_START = SftRecipe(
    learning_rate=2e-5, batch_size=16, micro_batch_size=4, epochs=2, max_length=2048, max_demonstrations=200
)


@dataclass(frozen=True)
class Chosen:
    """What the other settings must fit."""

    plan: str
    model: str
    dataset: str
    tuning: str = "full"
    parameters: int | None = None
    """Of the starting model, as far as it is known."""
    rows: int | None = None
    """To learn from, as far as it is known."""

    @property
    def kind_of_tuning(self) -> TuningKind:
        return "lora" if self.tuning == "lora" else "qlora" if self.tuning == "qlora" else "full"


def fitting(chosen: Chosen, advice: Recommendation | None) -> dict[str, str]:
    """Field values for a choice of method, model, dataset and tuning."""
    kind, _, name = chosen.dataset.partition(":")
    task = name if kind == "generated" and name in generated.TASKS else None
    values: dict[str, str] = {}
    longest = 0
    for method in PLANS.get(chosen.plan, ()):
        recipe = recipe_for(method, chosen, task, advice)
        values |= recipe_values(recipe)
        longest = max(longest, recipe.max_completion_length if isinstance(recipe, GrpoRecipe) else 0)
    values |= _evaluation(chosen.model, longest)
    return values | _graders(task)


def recipe_for(
    method: TrainingMethod, chosen: Chosen, task: str | None, advice: Recommendation | None
) -> Recipe:
    """The usual one for a choice of model, dataset and tuning; `task`: the generated one, where it is one."""
    if chosen.model == "starter" and method != "reward_model":
        warm = chosen.plan == "sft_then_grpo"
        return generated.starter_recipe(task or "rulings", method, warm_start=warm)
    warm = method == "sft" and chosen.plan == "sft_then_grpo"
    usual = _as_published(WARM_START if warm else USUAL[method], method, chosen)
    return _with_advice(usual, advised(advice).get(method, {}))


@lru_cache
def _file() -> DefaultsFile:
    return read_defaults(resources.files("app.advisor").joinpath("defaults.toml").read_text("utf-8"))


def published(method: TrainingMethod, chosen: Chosen) -> dict[str, RecipeDefault]:
    """What published recipes support for this model, tuning and data, by name, with reason and sources."""
    if chosen.model == "starter":
        return {}
    return recipe_defaults(_file(), method, chosen.kind_of_tuning, chosen.parameters, chosen.rows)


def _as_published(usual: Recipe, method: TrainingMethod, chosen: Chosen) -> Recipe:
    found = {name: each.value for name, each in published(method, chosen).items()}
    own = {name: value for name, value in found.items() if name in type(usual).model_fields}
    adapter = {name: value for name, value in found.items() if name in AdapterTuning.model_fields}
    kind = chosen.kind_of_tuning
    tuning = {"kind": kind} | (adapter if kind != "full" else {})
    return type(usual).model_validate(usual.model_dump() | own | {"tuning": tuning})


def _with_advice(usual: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The advice's numbers where they make a valid recipe together with the usual ones."""
    known = {name: setting.value for name, setting in settings.items() if name in type(usual).model_fields}
    try:
        return type(usual).model_validate(usual.model_dump() | known)
    except ValidationError:
        return usual


def advised(advice: Recommendation | None) -> dict[str, dict[str, Any]]:
    """The advice's settings by method and name."""
    if advice is None:
        return {}
    return {stage.method: {each.name: each for each in stage.recipe} for stage in advice.plan.stages}


def _evaluation(model: str, longest: int) -> dict[str, str]:
    plan = generated.EVALUATION if model == "starter" else EvaluationPlan()
    if longest:
        plan = plan.model_copy(update={"max_completion_length": longest})
    return {f"evaluation.{setting.name}": text(getattr(plan, setting.name)) for setting in EVALUATION}


BESIDE: Mapping[str, str] = {
    "priority": "0",
    "conduct.on_finding": "as_ruled",
    "conduct.keep": "last",
    "draft_grader": "none",
    "guard.dataset": "",
    "guard.items": "100",
    "seed": "0",
}
"""What fits every choice."""


def _graders(task: str | None) -> dict[str, str]:
    if task is None:
        return {"grader": "", "draft_grader": "none"}
    return grader_values("grader", generated.grader(task)) | grader_values(
        "draft_grader", generated.draft_grader(task)
    )


# Where a form starts


def from_advice(name: str, advice: Recommendation, has_pairs: bool = True) -> dict[str, str]:
    """The advised plan on the starter model and the generated task that goes with it.

    Without preference pairs at hand a plan that begins with a reward model is its method alone.
    """
    plan = advice.plan.id if advice.plan.id in PLANS else advice.method
    plan = advice.method if plan == "reward_model_then_grpo" and not has_pairs else plan
    dataset = "generated:clauses" if plan == "sft" else "generated:rulings"
    chosen = {"name": name[:90], "plan": plan, "model": "starter", "dataset": dataset}
    return {**BESIDE, **chosen, **fitting(Chosen(plan, "starter", dataset), advice)}


def from_nothing() -> dict[str, str]:
    chosen = {
        "name": f"{generated.TASKS['clauses'].title} with SFT",
        "plan": "sft",
        "model": "starter",
        "dataset": "generated:clauses",
    }
    return {**BESIDE, **chosen, **fitting(Chosen("sft", "starter", "generated:clauses"), None)}


def like(spec: RunSpec, stored: Mapping[str, Grader], priority: int = 0) -> dict[str, str]:
    """The same run once more, with everything that was set.

    The form knows no budget of minutes, so one becomes a limit: nobody shall train what it had cut short.
    """
    if spec.train_minutes is not None and spec.limits.minutes is None:
        limits = spec.limits.model_copy(update={"minutes": spec.train_minutes})
        spec = spec.model_copy(update={"limits": limits})
    name = spec.name[:80] if spec.name.endswith(" again") else f"{spec.name[:80]} again"
    return {**BESIDE, **spec_values(spec, stored), "name": name, "priority": str(priority)}
