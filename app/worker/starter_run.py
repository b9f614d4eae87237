"""The starter model is the result of a run like any other, whose id follows from what would be trained."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeVar
from uuid import UUID, uuid5

from app.datasets.generated import starter_hash
from app.protocol import RunSpec, StarterModel, StarterRecipe

T = TypeVar("T")

NAMESPACE = UUID("6a0d7c52-3c1b-4b53-9c53-0e5a8f7d2f11")

STARTER_SPEC = RunSpec(name="Starter model", model=StarterModel(), recipe=StarterRecipe())


@lru_cache
def starter_id(attempt: int) -> UUID:
    """A run that failed keeps its id and its verdict; the next attempt is another run."""
    return uuid5(NAMESPACE, f"{starter_hash()}:{attempt}")


def starter_attempts(runs: Mapping[UUID, T]) -> list[T]:
    """Of the present definition, oldest first."""
    return list(_existing(runs))


def needs_starter(spec: RunSpec) -> bool:
    return spec.model.kind == "starter" and spec.recipe.kind != "starter" and spec.starts_from is None


def _existing(runs: Mapping[UUID, T]) -> Iterator[T]:
    attempt = 0
    while (run := runs.get(starter_id(attempt))) is not None:
        yield run
        attempt += 1
