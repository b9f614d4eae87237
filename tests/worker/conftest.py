"""Workers to talk to: real processes with a fake engine behind them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.protocol import (
    GeneratedDataset,
    Grader,
    HubModel,
    ModelRef,
    RunSpec,
    SftRecipe,
    StringCheck,
)
from tests.worker_process import WorkerProcess

GRADER = StringCheck(name="exact", reference="{{ item.reference }}")

RECIPE = SftRecipe(learning_rate=1e-3, batch_size=4, micro_batch_size=4, epochs=1, max_length=128)


def spec(name: str = "steps 3", model: ModelRef = HubModel(id="some/model"), **more: object) -> RunSpec:
    given = {"dataset": GeneratedDataset(name="clauses"), "grader": CLAUSE_GRADER, "recipe": RECIPE, **more}
    return RunSpec(name=name, model=model, **given)


CLAUSE_GRADER: Grader = GRADER


@pytest.fixture(name="spec")
def _spec() -> Callable[..., RunSpec]:
    return spec


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start(**settings: object) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path / "data", **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.kill_every_engine()


@pytest.fixture
def worker(start_worker: Callable[..., WorkerProcess]) -> WorkerProcess:
    return start_worker()
