"""From specs back to the values that the launch form starts with: read again they are the same spec."""

import json
import re
from collections.abc import Mapping, Sequence

from app.protocol import (
    AdapterTuning,
    AdvancedValue,
    DatasetRef,
    EvaluationPlan,
    GeneratedDataset,
    Grader,
    Limits,
    ModelRef,
    Recipe,
    RunSpec,
    TrainingRecipe,
    Tuning,
)
from app.web.launch_form import advanced_value
from app.web.launch_graders import grader_values, guard_values, independent_values
from app.web.recipe_settings import BY_METHOD, Setting
from app.web.run_settings import ADAPTER, CONDUCT, EVALUATION, LIMITS


def spec_values(spec: RunSpec, stored: Mapping[str, Grader] | None = None) -> dict[str, str]:
    """Everything of a run but its place in a plan; `stored`: graders by the value that stands for them."""
    values = {
        "name": spec.name,
        "plan": spec.recipe.kind,
        "dataset": dataset_value(spec.dataset),
        "seed": text(spec.seed),
    }
    values |= {"model": f"run:{spec.starts_from}"} if spec.starts_from else model_value(spec.model)
    values |= recipe_values(spec.recipe)
    values |= grader_values("grader", spec.grader, stored)
    values |= grader_values("draft_grader", spec.draft_grader, stored)
    values |= independent_values(spec.independent_graders, stored)
    values |= evaluation_values(spec.evaluation, stored)
    values |= limit_values(_with_the_older_limit(spec))
    return values | {f"conduct.{each.name}": text(getattr(spec, each.name)) for each in CONDUCT}


def _with_the_older_limit(spec: RunSpec) -> Limits:
    """The lower of both limits of time holds, and the form has one."""
    older = spec.recipe.max_minutes if isinstance(spec.recipe, TrainingRecipe) else None
    both = [limit for limit in (older, spec.limits.minutes) if limit is not None]
    return spec.limits.model_copy(update={"minutes": min(both)}) if both else spec.limits


def recipe_values(recipe: Recipe) -> dict[str, str]:
    if not isinstance(recipe, TrainingRecipe):
        return {}
    values = _of(recipe, recipe.kind, BY_METHOD[recipe.kind])
    values[f"{recipe.kind}.advanced"] = advanced_text(recipe.advanced)
    return values | tuning_values(recipe.tuning)


def tuning_values(tuning: Tuning) -> dict[str, str]:
    """Fields of adapters are filled in also where all weights are trained: one click away."""
    adapter = tuning if isinstance(tuning, AdapterTuning) else AdapterTuning(kind="lora")
    return {"tuning": tuning.kind} | _of(adapter, "tuning", ADAPTER)


def evaluation_values(plan: EvaluationPlan, stored: Mapping[str, Grader] | None = None) -> dict[str, str]:
    values = _of(plan, "evaluation", EVALUATION)
    if plan.guard is None:
        return values | {"guard.dataset": ""}
    ref = plan.guard.dataset
    name = ref.name if isinstance(ref, GeneratedDataset) else None
    values |= {"guard.dataset": dataset_value(ref), "guard.items": text(plan.guard.items)}
    return values | guard_values(name, plan.guard.grader, stored)


def limit_values(limits: Limits) -> dict[str, str]:
    return _of(limits, "limits", LIMITS)


def _of(whole: object, prefix: str, settings: Sequence[Setting]) -> dict[str, str]:
    return {f"{prefix}.{each.name}": text(getattr(whole, each.name)) for each in settings}


def model_value(model: ModelRef) -> dict[str, str]:
    match model.kind:
        case "hub":
            return {"model": "hub", "hub_id": model.id, "hub_revision": model.revision or ""}
        case "local":
            return {"model": f"local:{model.name}"}
        case "starter":
            return {"model": "starter"}


def dataset_value(dataset: DatasetRef | None) -> str:
    match dataset:
        case None:
            return ""
        case GeneratedDataset(name=name):
            return f"generated:{name}"
        case uploaded:
            return f"uploaded:{uploaded.sha256}"


def advanced_text(advanced: Mapping[str, AdvancedValue]) -> str:
    return "\n".join(f"{name} = {_advanced_line(value)}" for name, value in advanced.items())


def _advanced_line(value: AdvancedValue) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"\S(.*\S)?", value) and advanced_value(value) == value
    return str(value) if plain else json.dumps(value)


def text(value: object) -> str:
    """A setting's value as it stands in its field: `0.00005` stays readable, True is `yes`."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case float():
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
        case list():
            return ", ".join(value)
    return str(value)
