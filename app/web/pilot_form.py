"""What a pilot is made of: its plan as typed or sent, and a run spec for every stage of every arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import pilots
from app.advisor.recommendation import Recommendation
from app.datasets import generated
from app.errors import InvalidInput, Problem
from app.models import Assessment, Pilot
from app.pilots import ARMS, Arm, PilotPlan
from app.protocol import (
    DatasetSummary,
    EvaluationPlan,
    GeneratedDataset,
    Grader,
    GrpoRecipe,
    Recipe,
    RunSpec,
    SftRecipe,
)
from app.settings import WebSettings
from app.web import launch_defaults, launch_words
from app.web.launch_defaults import Chosen
from app.web.launch_form import NUMBER, WHOLE, TrainingMethod
from app.web.launch_stock import Stock
from app.web.launch_values import dataset_value, model_value
from app.web.run_words import count_of, duration

WARM_START = "warm_start"
"""Among the recipes, that of the short SFT before GRPO."""

STARTER_MINUTES, USUAL_MINUTES = 1.0, 30.0
"""Of each arm, unless somebody says otherwise."""


# A spec for every stage


@dataclass(frozen=True)
class Terms:
    """What all arms share."""

    name: str
    base: RunSpec
    """Model, dataset, grader and evaluation; its recipe counts for nothing."""
    chosen: Chosen
    """What the usual settings must fit; its plan counts for nothing."""
    advice: Recommendation | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    """Instead of the usual ones: `sft`, `warm_start`, `grpo`."""


def terms(
    base: RunSpec,
    chosen: Chosen,
    name: str,
    advice: Recommendation | None = None,
    recipes: Mapping[str, Recipe] | None = None,
) -> Terms:
    """The starter model goes by its own settings, also where an earlier run has trained it already."""
    model = "starter" if base.model.kind == "starter" else chosen.model
    fitting = Chosen("", model, chosen.dataset, chosen.tuning, chosen.parameters, chosen.rows)
    return Terms(name, base, fitting, advice, recipes or {})


def arms_of(given: Terms, plan: PilotPlan) -> dict[Arm, list[RunSpec]]:
    """On equal terms: one evaluation for all of them, with answers as GRPO draws them."""
    recipes = {arm: _recipes(given, arm) for arm in plan.arms}
    evaluation = _evaluation(given, recipes)
    draft = given.base.draft_grader or _draft_grader(given.base)
    return {
        arm: [
            given.base.model_copy(
                update={
                    "name": given.name,
                    "recipe": recipe,
                    "evaluation": evaluation,
                    "draft_grader": draft,
                    "starts_from": given.base.starts_from if stage == 0 else None,
                    "continues": None,
                }
            )
            for stage, recipe in enumerate(stages)
        ]
        for arm, stages in recipes.items()
    }


STAGES: Mapping[Arm, Sequence[str]] = {
    "sft": ("sft",),
    "grpo": ("grpo",),
    "sft_then_grpo": (WARM_START, "grpo"),
}


def _recipes(given: Terms, arm: Arm) -> list[Recipe]:
    return [given.recipes.get(stage) or _usual(given, arm, stage) for stage in STAGES[arm]]


def _usual(given: Terms, arm: Arm, stage: str) -> Recipe:
    """SFT by itself learns from all demonstrations, however few a warm start would take."""
    chosen = Chosen(arm, *(getattr(given.chosen, name) for name in CHOSEN))
    method: TrainingMethod = "grpo" if stage == "grpo" else "sft"
    recipe = launch_defaults.recipe_for(method, chosen, _task(given.base), given.advice)
    if isinstance(recipe, SftRecipe) and stage != WARM_START:
        return recipe.model_copy(update={"max_demonstrations": None})
    return recipe


CHOSEN = ("model", "dataset", "tuning", "parameters", "rows")


def _task(base: RunSpec) -> str | None:
    return base.dataset.name if isinstance(base.dataset, GeneratedDataset) else None


def _draft_grader(base: RunSpec) -> Grader | None:
    task = _task(base)
    return generated.draft_grader(task) if task and base.grader == generated.grader(task) else None


def _evaluation(given: Terms, recipes: Mapping[Arm, Sequence[Recipe]]) -> EvaluationPlan:
    base = given.base
    usual = generated.EVALUATION if base.model.kind == "starter" else EvaluationPlan()
    plan = usual if base.evaluation == EvaluationPlan() else base.evaluation
    drawn = next((r for stages in recipes.values() for r in stages if isinstance(r, GrpoRecipe)), None)
    changed: dict[str, Any] = {"guard": None, "checks": plan.checks or 10, "baseline": "first"}
    if drawn is not None:
        changed |= {
            "temperature": drawn.temperature,
            "max_completion_length": drawn.max_completion_length,
        }
    return plan.model_copy(update=changed)


def launch(
    session: Session,
    stock: Stock,
    assessment: Assessment,
    base: RunSpec,
    plan: PilotPlan,
    settings: WebSettings,
    key: str | None,
    recipes: Mapping[str, Recipe] | None = None,
) -> tuple[Pilot, bool]:
    """The pilot, and whether it is new: `key` sent again names the one it made. Raises InvalidInput, Conflict
    and RateLimited."""
    data = dataset_value(base.dataset)
    refuse_without_demonstrations(stock.datasets.get(data.partition(":")[2]))
    chosen = launch_words.chosen_in(model_value(base.model) | {"dataset": data}, stock.models, stock.datasets)
    advice = assessment.decisions[-1].recommendation if assessment.decisions else None
    arms = arms_of(terms(base, chosen, base.name, advice, recipes), plan)
    return pilots.launch(session, base.name, plan, arms, settings, assessment=assessment, key=key)


def name_for(title: str) -> str:
    return f"Pilot: {title}"[:90].strip()


def refuse_without_demonstrations(summary: DatasetSummary | None) -> None:
    """As far as the worker told. Raises InvalidInput: there would be nothing to compare GRPO with."""
    if summary is not None and not summary.demonstrations:
        what = (
            "has no demonstrations, so SFT has nothing to learn from; choose one that has, or probe instead"
        )
        raise InvalidInput("A pilot lets both methods try.", (Problem(where="dataset", what=what),))


# The plan as typed


@dataclass
class Reading:
    plan: PilotPlan | None
    problems: list[Problem]


def usual_minutes(base: RunSpec | None) -> float:
    return STARTER_MINUTES if base is None or base.model.kind == "starter" else USUAL_MINUTES


def values(plan: PilotPlan) -> dict[str, str]:
    """Of the form's fields, such that they are read as this plan again."""
    return {
        "minutes": f"{plan.minutes:g}",
        "seeds": str(plan.seeds),
        "warm_start_percent": f"{100 * plan.warm_start_share:g}",
        **{f"arm.{arm}": "yes" for arm in plan.arms},
    }


def read(form: Mapping[str, str]) -> Reading:
    problems: list[Problem] = []
    minutes = _number(form, "minutes", "Minutes", NUMBER, problems)
    seeds = _number(form, "seeds", "Seeds", WHOLE, problems)
    share = _number(form, "warm_start_percent", "Part of SFT", NUMBER, problems)
    others = [arm for arm in ARMS if arm != "sft" and form.get(f"arm.{arm}") == "yes"]
    if not others:
        problems.append(Problem(where="arm.grpo", what="Choose what SFT is compared with."))
    if problems or minutes is None or seeds is None or share is None:
        return Reading(None, problems)
    wanted = {
        "minutes": minutes,
        "seeds": int(seeds),
        "warm_start_share": share / 100,
        "arms": ["sft", *others],
    }
    try:
        return Reading(PilotPlan.model_validate(wanted), [])
    except ValidationError as error:
        return Reading(None, [_problem(each["loc"]) for each in error.errors()])


def _number(
    form: Mapping[str, str], where: str, label: str, pattern: Any, problems: list[Problem]
) -> float | None:
    typed = form.get(where, "").strip()
    if pattern.fullmatch(typed):
        return float(typed)
    kind = "a whole number, such as 3" if pattern is WHOLE else "a number, such as 2.5"
    problems.append(Problem(where=where, what=f"{label}: enter {kind}."))
    return None


BOUNDS = {
    "minutes": ("minutes", "Enter more than 0 minutes and at most 10,080 (a week)."),
    "seeds": ("seeds", "Enter 1 to 10 seeds."),
    "warm_start_share": ("warm_start_percent", "Enter 5 to 95 percent."),
}


def _problem(loc: Sequence[Any]) -> Problem:
    where, what = BOUNDS.get(str(loc[0]) if loc else "", ("minutes", "These numbers do not go together."))
    return Problem(where=where, what=what)


def promise(plan: PilotPlan) -> str:
    """What it will take."""
    trainings = len(plan.arms) * plan.seeds
    whole = duration(60 * plan.minutes * trainings)
    return (
        f"{count_of(trainings, 'training')} of {duration(60 * plan.minutes)} each, one after another on one "
        f"device: {whole} of training in all, and the held-out items are answered before and after each."
    )
