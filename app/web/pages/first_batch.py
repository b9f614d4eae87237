"""The first batch as the trainer sees it: of a run about to be launched, or of a dataset."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from app.database import Database
from app.errors import InvalidInput, Problem, TuningForkError
from app.http_json import problems_of
from app.protocol import (
    DatasetKind,
    DatasetSummary,
    FirstBatchState,
    GeneratedDataset,
    GrpoRecipe,
    ModelSummary,
    Recipe,
    Regex,
    RewardModelRecipe,
    RunSpec,
    SftRecipe,
    UploadedDataset,
)
from app.web import named_datasets
from app.web.deps import DatabaseDep, WorkerDep, render
from app.web.pages.preflights import SpecsSent, spec_of
from app.web.run_words import METHODS, count_of, dataset_words

router = APIRouter()

USUAL_BATCH = 8
"""Where nobody has chosen a recipe yet."""
USUAL_LENGTH = 4096
USUAL_GROUP = 4


@router.post("/first-batch")
def show_of_run(request: Request, sent: SpecsSent, worker: WorkerDep, database: DatabaseDep) -> Response:
    """Sent by the confirmation page, and by this page again until the batch is there."""
    if not sent:
        raise InvalidInput("There is no run to look at.", (Problem(where="spec", what="is missing; add it"),))
    spec = spec_of(sent[0])
    made = _made(worker, spec)
    return _show(request, spec, made, names(database), chosen=None)


@router.get("/first-batch")
def show_of_dataset(
    request: Request,
    worker: WorkerDep,
    database: DatabaseDep,
    dataset: Annotated[str, Query(max_length=80)],
    model: Annotated[str, Query(max_length=200)] = "starter",
    method: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    ref = _dataset(dataset)
    methods = _methods(worker.dataset(ref))
    chosen = {"dataset": dataset, "model": model, "method": method if method in methods else methods[0]}
    choices = {
        "models": [(value, title) for value, title in _models(worker.models())],
        "methods": [(each, METHODS[each]) for each in methods],
    }
    try:
        spec = _spec(ref, model, chosen["method"])
    except (ValidationError, ValueError) as error:
        told = list(problems_of(error.errors())) if isinstance(error, ValidationError) else []
        what = told[0].what if told else "choose one of the models listed"
        problem = Problem(where="model", what=what)
        return _show(request, None, FirstBatchState(state="failed"), {}, chosen, choices, [problem])
    made = _made(worker, spec)
    return _show(request, spec, made, names(database), chosen, choices)


def _made(worker: WorkerDep, spec: RunSpec) -> FirstBatchState:
    try:
        return worker.first_batch(spec)
    except TuningForkError as error:
        told = [error.sentence, *(f"{each.where}: {each.what}." for each in error.problems)]
        return FirstBatchState(state="failed", sentence=" ".join(told))


def _show(
    request: Request,
    spec: RunSpec | None,
    made: FirstBatchState,
    names: Mapping[str, str],
    chosen: dict[str, str] | None,
    choices: dict[str, list[tuple[str, str]]] | None = None,
    problems: Sequence[Problem] = (),
) -> Response:
    return render(
        request,
        "first_batch.html",
        422 if problems else 200,
        title=spec.name if spec and chosen is None else "The first batch",
        dataset=dataset_words(spec.dataset, names) if spec else "",
        spec_json=spec.model_dump_json(by_alias=True) if spec else "",
        made=made,
        batch=made.batch,
        caption=caption(made),
        chosen=chosen,
        choices=choices or {},
        problems=problems,
    )


def names(database: Database) -> dict[str, str]:
    with database.reading() as session:
        return named_datasets.names(session)


def caption(made: FirstBatchState) -> str:
    """What the picture shows, so that it needs no legend."""
    batch = made.batch
    if batch is None:
        return ""
    if batch.kind == "prompts":
        different = batch.sequences // max(1, batch.num_generations)
        return (
            f"The first step asks {count_of(different, 'prompt')}, each answered {batch.num_generations} "
            "times. The model writes the answers itself, so there is nothing to learn by heart here."
        )
    share = round(100 * batch.learned / batch.tokens) if batch.tokens else 0
    padding = f" and {batch.padding:,} of padding" if batch.padding else " and no padding"
    learned = (
        f"The underlined ones are learned: {batch.learned:,}, or {share} %."
        if batch.learned
        else "No single token is learned; the two answers of a pair are compared."
    )
    return f"{count_of(batch.sequences, 'sequence')} with {batch.tokens:,} tokens{padding}. {learned}"


# Choosing


def _dataset(text: str) -> GeneratedDataset | UploadedDataset:
    kind, _, name = text.partition(":")
    try:
        if kind == "generated":
            return GeneratedDataset.model_validate({"name": name})
        return UploadedDataset(sha256=name)
    except ValidationError:
        raise InvalidInput("This is not a dataset; open it from the list of datasets.") from None


def _methods(summary: DatasetSummary) -> list[str]:
    match summary.kind:
        case DatasetKind.PREFERENCES:
            return ["reward_model"]
        case DatasetKind.PROMPTS:
            return ["grpo"]
        case DatasetKind.TEXTS:
            return ["sft"]
        case _:
            return ["sft", "grpo"]


def _models(summaries: Sequence[ModelSummary]) -> list[tuple[str, str]]:
    found = [("starter", "Starter model")]
    for each in summaries:
        if each.ref.kind == "local":
            found.append((f"local:{each.ref.name}", each.title))
    return found


def _spec(dataset: GeneratedDataset | UploadedDataset, model: str, method: str) -> RunSpec:
    """With usual sizes, since nobody has chosen a recipe yet. ValueError for a model it does not know."""
    kind, _, name = model.partition(":")
    given: dict[str, object] = {"starts_from": None}
    if kind == "run":
        given["starts_from"], kind, name = UUID(name), "starter", ""
    ref = {"kind": kind} | ({"id": name} if kind == "hub" else {"name": name} if kind == "local" else {})
    return RunSpec.model_validate(
        given
        | {
            "name": "The first batch",
            "model": ref,
            "dataset": dataset,
            "grader": Regex(name="any", pattern="."),
            "recipe": _recipe(method),
        }
    )


def _recipe(method: str) -> Recipe:
    sizes = {"learning_rate": 1e-5, "batch_size": USUAL_BATCH, "micro_batch_size": USUAL_BATCH}
    if method == "grpo":
        more = {"steps": 1, "num_generations": USUAL_GROUP, "max_completion_length": 256}
        return GrpoRecipe.model_validate(sizes | more)
    kind = RewardModelRecipe if method == "reward_model" else SftRecipe
    return kind.model_validate(sizes | {"epochs": 1.0, "max_length": USUAL_LENGTH})
