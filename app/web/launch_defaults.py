"""What the launch form starts with: settings that fit method, model and dataset, and the advice's numbers."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.advisor.recommendation import Recommendation
from app.datasets import generated
from app.protocol import EvaluationPlan, GeneratedDataset, GrpoRecipe, Recipe, RunSpec, SftRecipe
from app.web.launch_form import PLANS, TrainingMethod, grader_values, model_value, recipe_values, text
from app.web.recipe_settings import EVALUATION

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
}
"""For a model of some billions of parameters; the starter model has its own."""

WARM_START = SftRecipe(
    learning_rate=2e-5, batch_size=16, micro_batch_size=4, epochs=2, max_length=2048, max_demonstrations=200
)


def fitting(plan: str, model: str, dataset: str, advice: Recommendation | None) -> dict[str, str]:
    """Field values for a choice of method, model and dataset."""
    task = dataset.removeprefix("generated:") if dataset.startswith("generated:") else None
    values: dict[str, str] = {}
    longest = 0
    for method in PLANS.get(plan, ()):
        recipe = _recipe(method, plan, model, task, advice)
        values |= recipe_values(recipe)
        longest = max(longest, recipe.max_completion_length if isinstance(recipe, GrpoRecipe) else 0)
    values |= _evaluation(model, longest)
    values |= _graders(task)
    return values


def _recipe(
    method: TrainingMethod, plan: str, model: str, task: str | None, advice: Recommendation | None
) -> Recipe:
    if model == "starter":
        return generated.starter_recipe(task or "rulings", method, warm_start=plan == "sft_then_grpo")
    usual = WARM_START if method == "sft" and plan == "sft_then_grpo" else USUAL[method]
    return _with_advice(usual, advised(advice).get(method, {}))


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


def _graders(task: str | None) -> dict[str, str]:
    if task is None:
        return {"grader": "", "draft_grader": "none"}
    return grader_values("grader", generated.grader(task)) | grader_values(
        "draft_grader", generated.draft_grader(task)
    )


# Where a form starts


def from_advice(name: str, advice: Recommendation) -> dict[str, str]:
    """The advised plan on the starter model and the generated task that goes with it."""
    plan = advice.plan.id if advice.plan.id in PLANS else advice.method
    dataset = "generated:clauses" if plan == "sft" else "generated:rulings"
    chosen = {"name": name[:90], "plan": plan, "model": "starter", "dataset": dataset}
    return chosen | fitting(plan, "starter", dataset, advice)


def from_nothing() -> dict[str, str]:
    chosen = {
        "name": f"{generated.TASKS['clauses'].title} with SFT",
        "plan": "sft",
        "model": "starter",
        "dataset": "generated:clauses",
    }
    return chosen | fitting("sft", "starter", "generated:clauses", None)


def like(spec: RunSpec) -> dict[str, str]:
    """The same run once more."""
    values = {
        "name": spec.name[:80] if spec.name.endswith(" again") else f"{spec.name[:80]} again",
        "plan": spec.recipe.kind,
        "dataset": _dataset_value(spec),
        "seed": text(spec.seed),
    }
    values |= {"model": f"run:{spec.starts_from}"} if spec.starts_from else model_value(spec.model)
    values |= recipe_values(spec.recipe)
    values |= grader_values("grader", spec.grader) | grader_values("draft_grader", spec.draft_grader)
    return values | {
        f"evaluation.{setting.name}": text(getattr(spec.evaluation, setting.name)) for setting in EVALUATION
    }


def _dataset_value(spec: RunSpec) -> str:
    match spec.dataset:
        case None:
            return ""
        case GeneratedDataset(name=name):
            return f"generated:{name}"
        case uploaded:
            return f"uploaded:{uploaded.sha256}"
