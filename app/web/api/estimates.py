"""Memory, hours and money of both methods for a model, GPUs and a workload, without any other answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from app.advisor.advice import Estimate
from app.advisor.answers import Hardware, Workload
from app.advisor.estimate import estimate_of
from app.advisor.job import unknown_names
from app.advisor.tables import Gpu, Model
from app.errors import InvalidInput
from app.protocol import Message
from app.web.deps import RulebookDep

router = APIRouter(tags=["advice"])


class EstimateRequest(Message):
    hardware: Hardware
    """The answer to C1."""
    workload: Workload = Workload()
    """What is known of the answer to C2, without GPU-hours and date."""


class EstimateTables(Message):
    """What can be named, and what the money follows from."""

    models: tuple[Model, ...]
    gpus: tuple[Gpu, ...]
    """Prices are US dollars for an hour of one GPU, as of `dated`."""
    prices_from: str
    stacks: dict[str, str]
    """Training stacks by name, with what they are."""
    constants: str
    """Version of the fitted constants."""


EXAMPLES: dict[str, Any] = {
    "named": {
        "summary": "A model and a GPU of the tables",
        "value": {"hardware": {"model": "Qwen2.5-7B", "gpu": "H100 SXM", "gpus": 1}},
    },
    "thinking": {
        "summary": "Long answers, a price of one's own",
        "value": {
            "hardware": {"parameters_b": 3.0, "gpus": 2, "gpu_memory_gb": 48.0, "gpu_price": 0.9},
            "workload": {"tokens_per_rollout": 1500, "longest_rollout": 4000, "steps": 500},
        },
    },
}


@router.post("/estimates", summary="What SFT and GRPO need and cost on these GPUs")
def estimate(
    body: Annotated[EstimateRequest, Body(openapi_examples=EXAMPLES)], rulebook: RulebookDep
) -> Estimate:
    """Ranges that hold about eight times in ten; everything assumed is listed."""
    problems = unknown_names(rulebook.tables, body.hardware, "hardware")
    if problems:
        raise InvalidInput("Some names are in no table.", tuple(problems))
    return estimate_of(rulebook.tables, body.hardware, body.workload)


@router.get("/estimates/tables", summary="Models, GPUs with dated prices, and training stacks")
def tables(rulebook: RulebookDep) -> EstimateTables:
    known = rulebook.tables
    return EstimateTables(
        models=known.models,
        gpus=known.gpus,
        prices_from=known.prices_from,
        stacks={name: stack.title for name, stack in known.constants.stacks.items()},
        constants=known.constants.version,
    )
