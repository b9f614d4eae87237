"""How long a run trained and how fast, by the times of its events. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.protocol import (
    CheckpointEvent,
    GrpoRecipe,
    Happening,
    MetricEvent,
    Recipe,
    ResumeEvent,
    RunState,
    SftRecipe,
    StateEvent,
)

CHECKED = "held_out/"


@dataclass(frozen=True)
class Timed:
    """An event and when it was told, in seconds by the engine's clock."""

    at: float
    what: Happening


@dataclass(frozen=True)
class Moment:
    """A metric event, and how long had been trained until then."""

    step: int
    learned: float
    """Seconds of training in the model so far, without checks and checkpoints."""
    took: float
    """Seconds since the event before; 0 for a check."""
    tokens: float | None
    """Of this step; None where the trainer does not tell."""
    opens: bool
    """The first step after a start, in which libraries warm up."""
    values: Mapping[str, float | None]

    @property
    def is_check(self) -> bool:
        return any(name.startswith(CHECKED) for name in self.values)


class _Clock:
    """Adds up what lies between a metric and the event before it, unless that was a check or a checkpoint."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.learned = 0.0
        self.since: float | None = None
        self.opens = True
        self.tokens: float | None = None

    def see(self, event: Timed) -> None:
        match event.what:
            case StateEvent(state=state):
                self.since = event.at if state is RunState.RUNNING else None
                self.opens, self.tokens = True, None
            case ResumeEvent(from_step=step):
                self.moments = [moment for moment in self.moments if moment.step <= step]
                self.learned = self.moments[-1].learned if self.moments else 0.0
            case CheckpointEvent():
                self.since = event.at if self.since is not None else None
            case MetricEvent() as metric:
                self._metric(event.at, metric)

    def _metric(self, at: float, metric: MetricEvent) -> None:
        is_check = any(name.startswith(CHECKED) for name in metric.values)
        took = 0.0 if is_check or self.since is None else max(0.0, at - self.since)
        self.learned += took
        told = metric.values.get("num_tokens")
        moment = Moment(metric.step, self.learned, took, self._new_tokens(told), self.opens, metric.values)
        self.moments.append(moment)
        self.since = at if self.since is not None else None
        if not is_check:
            self.opens, self.tokens = False, told

    def _new_tokens(self, told: float | None) -> float | None:
        """The trainer counts from its start, and again from 0 after it was lost."""
        if told is None:
            return None
        return told - self.tokens if self.tokens is not None and told >= self.tokens else told


def timed(events: Sequence[Timed]) -> list[Moment]:
    """Steps that were lost with a process, and told again after it, count once."""
    clock = _Clock()
    for event in events:
        clock.see(event)
    return clock.moments


@dataclass(frozen=True)
class Trained:
    """All that a comparison needs of one run's training."""

    learned: float = 0.0
    """Seconds, without checks and checkpoints."""
    steps: int = 0
    checks: tuple[tuple[float, float], ...] = ()
    """Held-out scores, and the seconds that had been trained then."""
    paced_seconds: float = 0.0
    """Of all steps but the first after each start."""
    paced_steps: int = 0
    paced_tokens: float | None = None


NOTHING = Trained()


def trained(events: Sequence[Timed]) -> Trained:
    moments = timed(events)
    if not moments:
        return Trained()
    paced = [each for each in moments if not each.is_check and not each.opens and each.took > 0]
    tokens = [each.tokens for each in paced if each.tokens is not None]
    scores = [(each.learned, each.values.get(f"{CHECKED}score")) for each in moments]
    return Trained(
        learned=moments[-1].learned,
        steps=max(each.step for each in moments),
        checks=tuple((at, score) for at, score in scores if score is not None),
        paced_seconds=sum(each.took for each in paced),
        paced_steps=len(paced),
        paced_tokens=sum(tokens) if tokens and len(tokens) == len(paced) else None,
    )


@dataclass(frozen=True)
class Pace:
    seconds: float
    rows: float
    tokens: float | None


def pace(runs: Sequence[tuple[Recipe, Trained]]) -> Pace | None:
    """Of several runs together; None where there were no steps but the first ones."""
    seconds = sum(each.paced_seconds for _, each in runs)
    rows = sum(each.paced_steps * rows_a_step(recipe) for recipe, each in runs)
    tokens = [each.paced_tokens for _, each in runs if each.paced_tokens is not None]
    whole = sum(tokens) if tokens and len(tokens) == len(runs) else None
    return Pace(seconds, rows, whole) if seconds and rows else None


def rows_a_step(recipe: Recipe) -> float:
    """Demonstrations, or prompts of which each is answered by a whole group."""
    if isinstance(recipe, GrpoRecipe):
        return recipe.batch_size / recipe.num_generations
    return float(recipe.batch_size) if isinstance(recipe, SftRecipe) else 0.0
