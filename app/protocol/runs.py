"""A run: what is asked for, and how it stands."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.protocol.graders import Grader
from app.protocol.recipes import Limits, Recipe, TrainingRecipe
from app.protocol.sources import DatasetRef, ModelRef, UploadedDataset
from app.protocol.words import Message, Name, RunId


class Guard(Message):
    """Another task, measured before and after: what training must not cost."""

    dataset: DatasetRef
    grader: Grader
    items: Annotated[int, Field(ge=1, le=10_000)] = 100


class EvaluationPlan(Message):
    """The same held-out items, grader and sampling before and after training."""

    items: Annotated[int, Field(ge=1, le=10_000)] = 200
    max_completion_length: Annotated[int, Field(ge=1, le=131072)] = 256
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    samples_shown: Annotated[int, Field(ge=0, le=200)] = 20
    baseline: Literal["first", "later", "skip"] = "first"
    """When the starting model is measured: before training, or after it, so that training begins at once.
    A measurement of the same model, items, grader and sampling is used again whatever is said here."""
    checks: Annotated[int, Field(ge=0, le=100)] = 10
    """Short measurements during training, evenly spread; each may become the best checkpoint. 0: none."""
    check_items: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Held-out items of each such check, one sampled answer each."""
    guard: Guard | None = None


class RunSpec(Message):
    """Everything a run depends on. Two runs with equal specs differ only by chance."""

    name: Name
    model: ModelRef
    starts_from: RunId | None = None
    """A run whose model this one goes on training; `model` then names that run's own start."""
    continues: RunId | None = None
    """A failed or cancelled run with the same settings, whose newest sound checkpoint this one goes on from;
    without one it begins at the start."""
    dataset: DatasetRef | None = None
    grader: Grader | None = None
    draft_grader: Grader | None = None
    """Grades the first attempt inside an answer, for self-correction tasks."""
    independent_graders: Annotated[list[Grader], Field(max_length=8)] = []
    """Measured and never rewarded: they show whether the reward still stands for the goal."""
    recipe: Recipe
    limits: Limits = Limits()
    evaluation: EvaluationPlan = EvaluationPlan()
    on_finding: Literal["as_ruled", "warn", "stop"] = "as_ruled"
    """What health findings do: as each rule says, warn in any case, or stop in any case."""
    keep: Literal["last", "best"] = "last"
    """Which becomes the run's model: the last step, or the checkpoint with the best held-out check."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    train_minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] | None = None
    """A budget, as a pilot gives each of its runs: training ends when it is used, and the run is measured and
    succeeds. The recipe's steps or epochs stay the most that is trained. Unlike a limit it pauses nothing."""

    @property
    def graders_by_place(self) -> dict[str, Grader]:
        """All of them by their places in the spec: what is rewarded, and what is only measured."""
        named = {"grader": self.grader, "draft_grader": self.draft_grader}
        named |= {f"independent_graders.{n}": grader for n, grader in enumerate(self.independent_graders)}
        guard = self.evaluation.guard
        named |= {"evaluation.guard.grader": guard.grader} if guard else {}
        return {where: grader for where, grader in named.items() if grader is not None}

    @property
    def own_limits(self) -> Limits:
        """`max_minutes` of the recipe is an older name of `minutes`: the lower of both holds."""
        older = self.recipe.max_minutes if isinstance(self.recipe, TrainingRecipe) else None
        minutes = [each for each in (self.limits.minutes, older) if each is not None]
        return self.limits.model_copy(update={"minutes": min(minutes, default=None)})

    @property
    def graders(self) -> list[Grader]:
        """Of its own task, the reward's first."""
        named = (self.grader, self.draft_grader, *self.independent_graders)
        return [grader for grader in named if grader is not None]

    @property
    def all_graders(self) -> list[Grader]:
        """The guard task's among them."""
        guard = self.evaluation.guard
        return [*self.graders, guard.grader] if guard else self.graders

    @property
    def uploads(self) -> set[str]:
        """Identities of the brought datasets that it reads: its own, and the guard task's."""
        guard = self.evaluation.guard
        read = (self.dataset, guard.dataset if guard else None)
        return {ref.sha256 for ref in read if isinstance(ref, UploadedDataset)}

    @model_validator(mode="after")
    def _trains_on_something(self) -> "RunSpec":
        if self.recipe.kind == "starter":
            return self
        if self.dataset is None:
            raise ValueError("a run needs a dataset to learn from")
        if self.grader is None and self.recipe.kind == "grpo":
            raise ValueError("a GRPO run needs a grader: its scores are what it learns from")
        if self.grader is None and self.recipe.kind == "probe":
            raise ValueError("a probe needs a grader: it finds out what the model's answers are worth")
        if self.recipe.kind == "probe" and self.limits != Limits():
            raise ValueError("a probe ends by itself and pauses at no limit; leave limits out")
        return self


class RunState(StrEnum):
    REQUESTED = "requested"
    WAITING = "waiting"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    EVALUATING = "evaluating"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


OVER = tuple(state for state in RunState if state.is_over)

# Enums arrive as JSON strings, which strict models refuse unless told otherwise.
State = Annotated[RunState, Field(strict=False)]

Priority = Annotated[int, Field(ge=-1, le=1)]
"""1 before others, -1 after them; among equals the oldest first."""


LimitName = Literal["steps", "minutes", "gpu_hours", "money"]


def is_raised(name: LimitName, before: Limits, after: Limits) -> bool:
    """Whether a run that this limit paused could go on."""
    old, new = getattr(before, name), getattr(after, name)
    return new is None or (old is not None and new > old)


class Resume(Message):
    """What resuming a run may change."""

    limits: Limits | None = None
    """Hold from now on instead of the spec's; a run that a limit paused needs a higher one."""


class Prioritize(Message):
    priority: Priority


class RunStatus(Message):
    id: RunId
    spec: RunSpec
    state: State
    detail: str | None = None
    """Why it waits, or why it failed, in one sentence."""
    queue_position: int | None = None
    priority: Priority = 0
    attempt: int = 1
    """Counts up when a process that was lost without its own fault is started again."""
    limits: Limits | None = None
    """Those that hold, where resuming raised the spec's."""
    last_seq: int
    created_at: float
    """Unix seconds, by the worker's clock; never compared with another machine's."""
