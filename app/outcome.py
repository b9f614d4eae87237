"""What a full run showed about the recommendation it followed: the form in which it is kept, and its rule."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from app.advisor.advice import Band, Basis, PlanId, Range, Recommendation, TrainingMethod
from app.protocol import Message, RunId, ShareOfOne

Verdict = Literal["held", "not_shown", "did_not_hold"]

CHANCE = 0.05
"""A change is more than chance explains below this p (two-sided, exact)."""

RULE = (
    "The decision held if the score rose by more than chance explains and nothing else got worse: no guard "
    "set and no independent grader fell by more than chance explains, and no health finding stopped the "
    "training. It did not hold if the score fell by more than chance explains, or something else got worse. "
    "Otherwise it is not shown either way."
)


def is_as_advised(advice: Recommendation, trained: Sequence[str]) -> bool:
    """Whether these methods, in order, are the advised plan as a whole, and the advice is to train now.

    The one rule of page, API and confirmation: anything else is launched with a reason and counted apart. A
    plan's first stage alone is another training than the plan.
    """
    planned = [stage.method for stage in advice.plan.stages]
    return advice.readiness == "ready" and list(trained) == planned


class Level(Message):
    """A share of right answers or a mean score, with its 95 % interval."""

    value: ShareOfOne
    low: ShareOfOne
    high: ShareOfOne
    n: Annotated[int, Field(ge=0)]
    """Items that were scored."""


class Pairs(Message):
    """The same items before and after: those that got better, those that got worse, the others."""

    wins: int
    losses: int
    ties: int
    p: ShareOfOne
    """Two-sided and exact: McNemar's for right and wrong, the sign test for scores."""


class Measured(Message):
    """One measure over the whole plan: before its first stage, and after its last."""

    name: str
    before: Level
    after: Level
    pairs: Pairs | None
    """None where the two are not of the same items."""

    @property
    def change(self) -> float:
        return self.after.value - self.before.value

    @property
    def rose(self) -> bool:
        return self.pairs is not None and self.pairs.p < CHANCE and self.change > 0

    @property
    def fell(self) -> bool:
        return self.pairs is not None and self.pairs.p < CHANCE and self.change < 0


class TrainedStage(Message):
    """One run of the plan, as it was: kept because the run itself may be deleted."""

    run: RunId
    stage: Annotated[int, Field(ge=1)]
    """Its number in the plan."""
    name: str
    kind: str
    score: Measured | None
    """None where it was not measured before and after."""
    device_hours: Annotated[float, Field(ge=0)]


class Estimated(Message):
    """What the recommendation expected of the method that was trained."""

    model: str
    devices: str
    device_hours: Range
    money: Range | None


class Cost(Message):
    """What the runs of the plan really took, failed attempts among them."""

    device_hours: Annotated[float, Field(ge=0)]
    price: Annotated[float, Field(ge=0)] | None
    """For a device-hour: of the run's limits, else the assessment's own."""
    money: Annotated[float, Field(ge=0)] | None
    estimated: Estimated | None
    compared_hours: Annotated[float, Field(ge=0)] | None = None
    """Those of `device_hours` that the estimate is for: the last stage's. None: all, as once was done."""
    ratio: Annotated[float, Field(ge=0)] | None
    """Of these to the estimated device-hours; None where the estimate was for something else."""
    why_no_ratio: str = ""


class Outcome(Message):
    advised: TrainingMethod
    plan: PlanId
    """As advised."""
    trained: TrainingMethod
    """Method of the last stage."""
    readiness: Literal["ready", "fix_first"] = "ready"
    """As advised; confirmations of earlier versions do not say it."""
    is_override: bool
    """Launched against the advice: another plan, or training where something was to be fixed first."""
    override_reason: str = ""
    band: Band
    rung: Basis
    """The highest on which the recommendation stood."""
    rulebook_version: str
    model: str
    score: Measured
    guard: Measured | None
    independent: list[Measured]
    stopped_by: list[str]
    """Findings that stopped a run of the plan, in sentences."""
    verdict: Verdict
    cost: Cost
    stages: Annotated[list[TrainedStage], Field(min_length=1)]


def got_worse(guard: Measured | None, independent: Sequence[Measured], stopped_by: Sequence[str]) -> bool:
    return bool(stopped_by) or any(each.fell for each in (guard, *independent) if each is not None)


def verdict_of(
    score: Measured, guard: Measured | None, independent: Sequence[Measured], stopped_by: Sequence[str]
) -> Verdict:
    """By `RULE`."""
    if score.fell or got_worse(guard, independent, stopped_by):
        return "did_not_hold"
    return "held" if score.rose else "not_shown"
