"""What would make a run fail for certain, found before it is accepted."""

from collections.abc import Iterator

from app.errors import InvalidInput, Problem
from app.graders.grading import NO_JUDGE, check, item_fields
from app.graders.parts import asks_judge
from app.protocol import (
    DatasetKind,
    DatasetSummary,
    HubModel,
    LocalModel,
    RunSpec,
    problems_with_advanced,
)
from app.settings import WorkerSettings
from app.worker.dataset_store import DatasetStore
from app.worker.model_store import ModelStore, problem_with_model


def refuse_unrunnable(
    spec: RunSpec, datasets: DatasetStore, models: ModelStore, settings: WorkerSettings
) -> None:
    problems = (
        *_recipe_problems(spec),
        *_model_problems(spec, models, settings.allow_hub),
        *_dataset_problems(spec, datasets),
        *_grader_problems(spec, settings),
    )
    if problems:
        raise InvalidInput("This run could not succeed, so it was not accepted.", problems)


def _recipe_problems(spec: RunSpec) -> Iterator[Problem]:
    if spec.recipe.kind == "starter":
        yield Problem(where="recipe.kind", what="the worker trains the starter model itself; use sft or grpo")
    yield from problems_with_advanced(spec.recipe)


def _model_problems(spec: RunSpec, models: ModelStore, allow_hub: bool) -> Iterator[Problem]:
    model = spec.model
    if isinstance(model, HubModel) and not allow_hub:
        what = "this worker loads nothing from the hub; use a model of its own, or set allow_hub"
        yield Problem(where="model", what=what)
    if isinstance(model, LocalModel) and spec.starts_from is None:
        path = models.find(model.name)
        if path is None:
            what = f"there is no model {model.name} in the worker's models folder; put its directory there"
            yield Problem(where="model.name", what=what)
        elif problem := problem_with_model(path):
            yield Problem(where="model.name", what=problem)


def _grader_problems(spec: RunSpec, settings: WorkerSettings) -> Iterator[Problem]:
    """Those that are only measured too: each would end every answer in an error."""
    for where, grader in spec.graders_by_place.items():
        yield from check(grader, where)
        if asks_judge(grader) and not settings.judge_url:
            yield Problem(where=where, what=NO_JUDGE)


def _dataset_problems(spec: RunSpec, datasets: DatasetStore) -> Iterator[Problem]:
    guard = spec.evaluation.guard
    if guard and guard.dataset.kind == "uploaded" and not datasets.find(guard.dataset.sha256):
        what = "this dataset is not on the worker; upload it first"
        yield Problem(where="evaluation.guard.dataset.sha256", what=what)
    if spec.dataset is None:
        return
    summary = datasets.summary(spec.dataset)
    if summary is None:
        yield Problem(where="dataset.sha256", what="this dataset is not on the worker; upload it first")
        return
    if spec.recipe.kind == "sft" and not summary.demonstrations + summary.texts:
        what = "SFT needs demonstrations and this dataset has none; end its rows with an answer, or use GRPO"
        yield Problem(where="dataset", what=what)
    if spec.recipe.kind == "reward_model" and summary.kind is not DatasetKind.PREFERENCES:
        what = "a reward model learns from preference pairs; give a dataset with chosen and rejected answers"
        yield Problem(where="dataset", what=what)
    yield from _missing_fields(spec, summary)


def _missing_fields(spec: RunSpec, summary: DatasetSummary) -> Iterator[Problem]:
    """In a mixed dataset only the rows that the method takes need the fields; the engine looks at these."""
    if summary.kind is DatasetKind.MIXED:
        return
    for where, grader in (("grader", spec.grader), ("draft_grader", spec.draft_grader)):
        missing = sorted(item_fields(grader) - set(summary.item_fields)) if grader else []
        if missing:
            what = f"it uses item.{missing[0]}, which not every row has; add that field to the rows"
            yield Problem(where=where, what=what)
