"""The verbs of pilots: launch both methods on equal terms, cancel all of it, delete it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self
from uuid import UUID, uuid4, uuid5

from pydantic import Field, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.errors import Conflict, InvalidInput, Problem
from app.models import Assessment, Pilot, Run
from app.protocol import Message, RunSpec, ShareOfOne
from app.settings import WebSettings

Arm = Literal["sft", "grpo", "sft_then_grpo"]

KEYED_PILOTS = UUID("0c7a1f3e-55a8-4a0e-8d2b-9f3c4d1e6b70")
"""Pilot ids made from an Idempotency-Key live in this namespace."""

LONGEST_NAME = 60
"""Leaves room for arm, stage and seed behind it."""


class PilotPlan(Message):
    """What both methods are given."""

    minutes: Annotated[float, Field(gt=0, le=60 * 24 * 7)] = 10.0
    """Of training on one device, the same for each arm and each of its seeds. Measuring is not counted."""
    arms: Annotated[list[Arm], Field(min_length=2, max_length=3)] = ["sft", "grpo"]
    seeds: Annotated[int, Field(ge=1, le=10)] = 1
    """Trainings of each arm that differ only by chance."""
    warm_start_share: Annotated[ShareOfOne, Field(ge=0.05, le=0.95)] = 0.25
    """Of the minutes of SFT then GRPO, those that its SFT gets."""

    @model_validator(mode="after")
    def _compares_with_sft(self) -> Self:
        if len(set(self.arms)) != len(self.arms):
            raise ValueError("name each arm once")
        if "sft" not in self.arms:
            raise ValueError("a pilot compares with SFT, so one of its arms is sft")
        return self

    def minutes_of(self, arm: Arm) -> tuple[float, ...]:
        """Of each of its stages."""
        if arm != "sft_then_grpo":
            return (self.minutes,)
        first = self.minutes * self.warm_start_share
        return first, self.minutes - first


ARMS: Mapping[Arm, str] = {"sft": "SFT", "grpo": "GRPO", "sft_then_grpo": "SFT, then GRPO"}


def launch(
    session: Session,
    name: str,
    plan: PilotPlan,
    arms: Mapping[Arm, Sequence[RunSpec]],
    settings: WebSettings,
    *,
    assessment: Assessment | None = None,
    key: str | None = None,
) -> tuple[Pilot, bool]:
    """The pilot, and whether it is new. `arms`: the specs of each arm's stages, for its first seed.

    The same key names the same pilot; another plan under it raises Conflict. Nothing is launched unless all
    of it can be. Raises InvalidInput where the arms are not on equal terms.
    """
    pilot_id = uuid5(KEYED_PILOTS, key) if key else uuid4()
    if known := session.get(Pilot, pilot_id):
        return _the_same(known, plan), False
    _refuse_unequal(arms)
    courses = list(_courses(name[:LONGEST_NAME], plan, arms))
    runs.refuse_beyond_limit(session, sum(len(specs) for _, _, specs in courses), settings)
    decisions = assessment.decisions if assessment else []
    pilot = Pilot(
        id=pilot_id,
        name=name,
        assessment_id=assessment.id if assessment else None,
        milestone_id=decisions[-1].id if decisions else None,
        plan=plan.model_dump(),
    )
    session.add(pilot)
    for arm, seed, specs in courses:
        runs.launch(
            session,
            specs,
            settings,
            assessment=assessment,
            key=f"pilot/{pilot_id}/{arm}/{seed}",
            pilot=(pilot_id, arm),
        )
    return pilot, True


def _the_same(known: Pilot, plan: PilotPlan) -> Pilot:
    if PilotPlan.model_validate(known.plan) != plan:
        raise Conflict("This Idempotency-Key was used before for another pilot; choose another.")
    return known


def _refuse_unequal(arms: Mapping[Arm, Sequence[RunSpec]]) -> None:
    """The same start, rows, grader and measurement, or the difference would not be the method's."""
    specs = [spec for stages in arms.values() for spec in stages]
    first = {stages[0].starts_from for stages in arms.values()}
    if len(first) > 1:
        what = "must be the same for all arms: starts_from"
        raise InvalidInput("These arms are not on equal terms.", (Problem(where="starts_from", what=what),))
    for field in ("model", "dataset", "grader", "evaluation"):
        if any(getattr(spec, field) != getattr(specs[0], field) for spec in specs):
            what = f"must be the same for all arms: {field}"
            raise InvalidInput("These arms are not on equal terms.", (Problem(where=field, what=what),))


def _courses(
    name: str, plan: PilotPlan, arms: Mapping[Arm, Sequence[RunSpec]]
) -> Iterator[tuple[Arm, int, list[RunSpec]]]:
    """Seed by seed, so that every arm has something to show before any has everything."""
    for seed in range(plan.seeds):
        for arm in plan.arms:
            given = zip(arms[arm], plan.minutes_of(arm), strict=True)
            yield arm, seed, [_on_these_terms(name, arm, n, seed, *each) for n, each in enumerate(given)]


def _on_these_terms(name: str, arm: Arm, stage: int, seed: int, spec: RunSpec, minutes: float) -> RunSpec:
    """A rate that falls along planned steps says nothing where nobody knows how many there will be."""
    again = f", seed {spec.seed + seed}" if seed else ""
    told = f"{ARMS[arm]}, stage {stage + 1}" if arm == "sft_then_grpo" else ARMS[arm]
    changed = {"lr_scheduler": "constant", "warmup_ratio": 0.0, **ENDLESS[spec.recipe.kind]}
    return spec.model_copy(
        update={
            "name": f"{name}: {told}{again}",
            "recipe": spec.recipe.model_copy(update=changed),
            "seed": spec.seed + seed,
            "keep": "best",
            "on_finding": "warn",
            "train_minutes": minutes,
        }
    )


ENDLESS: Mapping[str, Mapping[str, float]] = {"sft": {"epochs": 1000.0}, "grpo": {"steps": 1_000_000}}
"""The most a recipe may ask for: the minutes are the plan."""


# What became of it


def runs_of(session: Session, pilot: Pilot) -> list[Run]:
    """In the order in which they were planned; of a stage that was retried, the latest try alone."""
    mine = select(Run).where(Run.pilot_id == pilot.id).order_by(Run.created_at, Run.stage)
    latest: dict[tuple[str, int, int], Run] = {}
    for run in session.scalars(mine):
        latest[run.arm, run.spec.seed, run.stage] = run
    order = list(ARMS)
    return sorted(latest.values(), key=lambda run: (run.spec.seed, order.index(_arm(run)), run.stage))


def _arm(run: Run) -> Arm:
    return next(arm for arm in ARMS if arm == run.arm)


def cancel(session: Session, pilot: Pilot) -> None:
    going = [run for run in runs_of(session, pilot) if not run.state.is_over]
    if not going:
        raise Conflict("This pilot is already over.")
    for run in going:
        runs.cancel(session, run)


def delete(session: Session, pilot: Pilot) -> None:
    """With its runs. What was answered by it stays answered, with its note."""
    mine = list(session.scalars(select(Run).where(Run.pilot_id == pilot.id).order_by(Run.stage.desc())))
    if any(not run.state.is_over for run in mine):
        raise Conflict("This pilot is not over yet; cancel it first.")
    for run in mine:
        runs.delete(session, run)
    session.delete(pilot)
