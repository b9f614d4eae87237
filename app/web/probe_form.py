"""What a probe asks of whom: known from what was chosen before, or typed into a small form with defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.advisor.rulebook import Rulebook
from app.datasets import generated
from app.errors import Problem
from app.models import Assessment, Report, Run
from app.protocol import (
    DatasetRef,
    EvaluationEvent,
    GeneratedDataset,
    Grader,
    GrpoRecipe,
    ModelRef,
    ProbeEvent,
    ProbeRecipe,
    RewardModelGrader,
    RunSpec,
    StarterModel,
    UploadedDataset,
)
from app.web import launch_form, named_datasets
from app.web.launch_form import Reading
from app.web.launch_values import dataset_value, model_value, text
from app.web.recipe_settings import PROBE
from app.web.run_words import duration

WORKED_EXAMPLE = "legal_reasoning"
"""Of the rulebook's examples the one that the starter model and its rulings stand in for."""

RECENT = 200
"""Runs that are looked through for something like it."""

PASSES = 2
"""Answers to each item of an evaluation: one sampled, one greedy."""


# What is known


def known(session: Session, assessment: Assessment, rulebook: Rulebook | None) -> RunSpec | None:
    """Model, dataset and grader as they were chosen before; None where one of these was not."""
    linked = named_datasets.linked(session, assessment)
    last = _last(session, assessment, linked)
    if last is not None:
        return like(last, assessment.name)
    if isinstance(linked, GeneratedDataset):
        return of_task(linked.name, assessment.name)
    if linked is None and _is_worked_example(assessment, rulebook):
        return of_task("rulings", assessment.name)
    return None


def _last(session: Session, assessment: Assessment, linked: DatasetRef | None) -> Run | None:
    """The last graded launch of this assessment, on the dataset that it is linked to now, if it is."""
    of_it = select(Run).where(Run.assessment_id == assessment.id).order_by(Run.created_at.desc())
    graded = (run for run in session.scalars(of_it.limit(RECENT)) if run.spec.grader and run.spec.dataset)
    return next((run for run in graded if linked is None or run.spec.dataset == linked), None)


def _is_worked_example(assessment: Assessment, rulebook: Rulebook | None) -> bool:
    examples = rulebook.examples if rulebook else ()
    return any(case.id == WORKED_EXAMPLE and case.description == assessment.description for case in examples)


def like(run: Run, title: str) -> RunSpec:
    """A probe of the model that this run, or the plan it belongs to, begins with."""
    return before(run.spec if run.stage == 1 else run.spec.model_copy(update={"starts_from": None}), title)


def before(spec: RunSpec, title: str) -> RunSpec:
    """A probe of what this run is to start from. Raises ValueError for one without a grader or a dataset."""
    return RunSpec(
        name=name_for(title),
        model=spec.model,
        starts_from=spec.starts_from,
        dataset=spec.dataset,
        grader=spec.grader,
        recipe=recipe_like(spec),
        evaluation=spec.evaluation.model_copy(update={"guard": None}),
        seed=spec.seed,
    )


def recipe_like(spec: RunSpec) -> ProbeRecipe:
    """Answers as the run draws them: in GRPO's rollouts, else in its evaluation."""
    recipe = spec.recipe
    if isinstance(recipe, ProbeRecipe):
        return recipe
    drawn = recipe if isinstance(recipe, GrpoRecipe) else spec.evaluation
    return ProbeRecipe(temperature=drawn.temperature, max_completion_length=drawn.max_completion_length)


def of_task(task: str, title: str) -> RunSpec:
    """The starter model on a generated task."""
    plan = generated.EVALUATION
    return RunSpec(
        name=name_for(title),
        model=StarterModel(),
        dataset=GeneratedDataset.model_validate({"name": task}),
        grader=generated.grader(task),
        recipe=ProbeRecipe(temperature=plan.temperature, max_completion_length=plan.max_completion_length),
        evaluation=plan,
    )


def name_for(title: str) -> str:
    return f"Probe: {title}"[:110].strip()


# The form


TASKS_OWN, AS_BEFORE = "task", "before"


@dataclass(frozen=True)
class Graders:
    """What the form's grader may be chosen from, by value; the generated task's own beside these."""

    choices: Sequence[tuple[str, str]]
    specs: Mapping[str, Grader]


def graders(
    stored: Sequence[tuple[str, str, Grader]],
    reward_models: Sequence[tuple[str, str]],
    before: RunSpec | None,
) -> Graders:
    found: dict[str, Grader] = {value: grader for value, _, grader in stored}
    labels = [(value, label) for value, label, _ in stored]
    for run, name in reward_models:
        value = f"reward_model:{run}"
        found[value] = RewardModelGrader.model_validate({"name": "reward model", "run": run})
        labels.append((value, f"Reward model of “{name}”"))
    if before is not None and before.grader is not None and before.grader not in found.values():
        found[AS_BEFORE] = before.grader
        labels.insert(0, (AS_BEFORE, f"{before.grader.name}, as in the last launch"))
    return Graders([(TASKS_OWN, "The generated task’s own"), *labels], found)


def values(spec: RunSpec, offered: Graders) -> dict[str, str]:
    """Of the form's fields, such that they are read as this probe again."""
    start = {"model": f"run:{spec.starts_from}"} if spec.starts_from else model_value(spec.model)
    return {
        "name": spec.name,
        **start,
        "dataset": dataset_value(spec.dataset),
        "grader": _grader_value(spec.dataset, spec.grader, offered),
        **{f"probe.{each.name}": text(getattr(spec.recipe, each.name)) for each in PROBE},
    }


def _grader_value(dataset: DatasetRef | None, grader: Grader | None, offered: Graders) -> str:
    if isinstance(dataset, GeneratedDataset) and grader == generated.grader(dataset.name):
        return TASKS_OWN
    return next((value for value, each in offered.specs.items() if each == grader), "")


def defaults(title: str, linked: DatasetRef | None) -> dict[str, str]:
    """Where nothing was chosen yet: the starter model, on the linked dataset or the first task."""
    task = linked.name if isinstance(linked, GeneratedDataset) else "rulings"
    usual = values(of_task(task, title), Graders([], {}))
    if isinstance(linked, UploadedDataset):
        return usual | {"dataset": dataset_value(linked), "grader": ""}
    return usual


def read(form: Mapping[str, str], origins: Mapping[str, RunSpec], offered: Graders) -> Reading:
    """One spec, or what is wrong with it, field by field."""
    reading = Reading()
    problems = reading.problems
    dataset = launch_form.dataset_of(form.get("dataset", ""), "dataset", problems)
    draft: dict[str, Any] = {
        "name": form.get("name", "").strip() or name_for("a model"),
        **launch_form.start_of(form, origins, problems),
        "dataset": dataset,
        "grader": _grader(form.get("grader", ""), dataset, offered, problems),
        "recipe": {"kind": "probe"} | launch_form.read_settings(form, "probe", PROBE, problems),
    }
    launch_form.validate(draft, "probe", reading)
    return reading


def _grader(
    chosen: str, dataset: Mapping[str, Any] | None, offered: Graders, problems: list[Problem]
) -> Grader | None:
    task = (dataset or {}).get("name")
    if chosen == TASKS_OWN and task in generated.TASKS:
        return generated.grader(str(task))
    if chosen in offered.specs:
        return offered.specs[chosen]
    what = "Choose how an answer is graded."
    if chosen == TASKS_OWN:
        what = "Only a generated task has a grader of its own; choose another, or make one first."
    problems.append(Problem(where="grader", what=what))
    return None


# What is promised


def promise(session: Session, spec: RunSpec) -> str:
    """How long it takes, by what answering took the same model before; nothing is promised without that."""
    recipe = spec.recipe
    assert isinstance(recipe, ProbeRecipe)
    count = recipe.prompts * recipe.samples
    pace = _seconds_an_answer(session, spec.model)
    asked = f"{recipe.prompts:,} prompts, {recipe.samples:,} answers each: {count:,} answers"
    if pace is None:
        return f"{asked}. How long that takes is not known: this model has answered nothing here yet."
    return f"{asked}, likely about {duration(max(5.0, count * pace))}, judging by what it answered before."


def _seconds_an_answer(session: Session, model: ModelRef) -> float | None:
    """By the latest probe of it, or the latest measurement."""
    done = select(Run.id, Run.spec).order_by(Run.created_at.desc()).limit(RECENT)
    theirs = [row.id for row in session.execute(done) if row.spec.model == model]
    told = select(Report).where(Report.run_id.in_(theirs), Report.kind.in_(("probe", "evaluation")))
    for report in session.scalars(told.order_by(Report.at.desc()).limit(5)):
        if pace := _pace(report.what):
            return pace
    return None


def _pace(what: object) -> float | None:
    if isinstance(what, ProbeEvent):
        answers = sum(len(prompt.scores) for prompt in what.report.prompts)
        return what.report.seconds / answers if answers else None
    if isinstance(what, EvaluationEvent) and not what.evaluation.is_remembered:
        answers = PASSES * len(what.evaluation.sampled_outcomes)
        return what.evaluation.seconds / answers if answers else None
    return None
