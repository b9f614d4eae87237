"""What a launch may be made of: the worker's models, datasets and device, and the graders kept here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app.errors import Unavailable
from app.protocol import DatasetSummary, Device, ModelSummary
from app.web import launch_graders
from app.web.deps import SweepDep, WorkerDep
from app.web.grader_choices import grader_choices, trained_reward_models


@dataclass(frozen=True)
class Stock:
    """What the worker has to offer; empty while it is away."""

    models: Sequence[ModelSummary] = ()
    datasets: Mapping[str, DatasetSummary] = field(default_factory=dict)
    """By generated name or content hash."""
    device: Device | None = None
    known: bool = False


def stock(worker: WorkerDep, sweep: SweepDep) -> Stock:
    """Asked before the request's transaction begins."""
    if sweep.worker_away is not None:
        return Stock()
    try:
        datasets = {_key(summary): summary for summary in worker.datasets()}
        return Stock(worker.models(), datasets, worker.health().device, known=True)
    except Unavailable:
        return Stock()


def _key(summary: DatasetSummary) -> str:
    return summary.ref.name if summary.ref.kind == "generated" else summary.ref.sha256


StockDep = Annotated[Stock, Depends(stock)]


@dataclass(frozen=True)
class GraderOffer:
    """What the form's graders may be chosen from: (value, text) each."""

    stored: Sequence[tuple[str, str]]
    reward_models: Sequence[tuple[str, str]]
    own: Sequence[tuple[str, str]]
    """Independent graders that came with a copied run and are stored nowhere."""
    independent: int


def grader_offer(session: Session, form: Mapping[str, str]) -> GraderOffer:
    own = launch_graders.brought_along(form, [])
    return GraderOffer(
        stored=[(value, label) for value, label, _ in grader_choices(session)],
        reward_models=trained_reward_models(session),
        own=[(value, f"{grader.name}, as in the run this was copied from") for value, grader in own.items()],
        independent=_places(form),
    )


def _places(form: Mapping[str, str]) -> int:
    """As many choices of independent graders as are used, and three at least."""
    used = [n for n in range(launch_graders.MOST_INDEPENDENT) if form.get(f"independent.{n}")]
    return max([launch_graders.SHOWN_INDEPENDENT, *(n + 1 for n in used)])
