"""Writes down, once, what a full run showed about the recommendation that it followed."""

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app import run_view
from app.advisor.advice import METHODS, Basis, Estimate, Recommendation, TrainingMethod
from app.advisor.rungs import RUNGS
from app.database import Database
from app.graders.comparison import mean_score, paired
from app.graders.parts import reward_model_runs
from app.models import Confirmation, Milestone, Proposal, Report, Run
from app.outcome import (
    Cost,
    Estimated,
    Level,
    Measured,
    Outcome,
    Pairs,
    TrainedStage,
    is_as_advised,
    verdict_of,
)
from app.protocol import Evaluation, HealthEvent, RunSpec, RunState, Share
from app.protocol.sources import named_parameters

BASIS_OF: Mapping[str, Basis] = {"dataset": "inspected", "run": "probed", "pilot": "piloted"}
"""On which rung a measurement stands, by where it was proposed from."""

OTHER_MODEL = "The estimate is for a model of another size."
UNKNOWN_MODEL = (
    "How large the trained model is was not known, so the estimate may be for one of another size."
)
OTHER_DEVICE = "The estimate is for other devices."
UNKNOWN_DEVICE = "What it was trained on was not known, so the estimate may be for other devices."

ALIKE = 0.15
"""Names round the number of parameters: within this share of it two models count as equally large."""

STAND_IN = "The starter model stands in for the project’s own, so the estimate is of another training."
NO_ESTIMATE = "Model and GPUs were not told, so nothing was estimated."

ENDED = (RunState.SUCCEEDED, RunState.FAILED)
"""A run that a health finding stopped has failed, and shows as much as one that succeeded."""

LONGEST_CHAIN = 20
"""Stages and retries of one plan that are followed back."""

Measurements = Mapping[tuple[str, str], Evaluation]
"""By task and time."""


def confirm(database: Database, run_id: UUID) -> None:
    """After a run was copied: confirms what it completes. Repeating it changes nothing."""
    with database.reading() as session:
        run = session.get(Run, run_id)
        concerned = run is not None and run.state in ENDED and bool(_due(session, run.milestone_id))
    if concerned:
        with database.writing() as session, session.begin():
            run = session.get(Run, run_id)
            for last in _due(session, run.milestone_id) if run else []:
                _write_once(session, last)


def confirm_missed(database: Database) -> None:
    """Runs that ended before anybody wrote such things down."""
    with database.reading() as session:
        ended = list(session.scalars(_ended().where(Run.milestone_id.is_not(None))))
        missed = [run.id for run in ended if _is_whole(session, run)]
    for run_id in missed:
        confirm(database, run_id)


def _ended() -> Select[Run]:
    known = select(Confirmation.run_id)
    return select(Run).where(
        Run.state.in_(ENDED),
        Run.stage == Run.stages,
        Run.pilot_id.is_(None),
        Run.id.not_in(known),
    )


def _due(session: Session, milestone_id: UUID | None) -> list[Run]:
    """Last runs of whole plans that followed this recommendation and are not confirmed yet."""
    if milestone_id is None:
        return []
    ended = session.scalars(_ended().where(Run.milestone_id == milestone_id).order_by(Run.created_at))
    return [run for run in ended if _is_whole(session, run)]


def _is_whole(session: Session, last: Run) -> bool:
    """Trained by one of the two methods, to its end or until a finding stopped it, and measured at both ends
    in what we have copied so far."""
    if last.state is RunState.FAILED and not _stops(session, last):
        return False
    first = chain_of(session, last)[0]
    if last.kind not in METHODS or (first.stage > 1 and first.starts_from):
        return False
    return _of(_first_measured(session, first), "before") and _of(
        run_view.evaluations(session, last), "after"
    )


def _of(measured: Measurements, when: str) -> bool:
    found = measured.get(("main", when))
    return found is not None and found.sampled.n > 0


def _write_once(session: Session, last: Run) -> None:
    """Several replicas may come to it at the same moment: the row lock orders them."""
    session.refresh(last, with_for_update=True)
    known = session.scalar(select(Confirmation.id).where(Confirmation.run_id == last.id))
    if known is None and last.milestone_id is not None:
        milestone = session.get_one(Milestone, last.milestone_id)
        outcome = _outcome(session, last, milestone)
        session.add(Confirmation(milestone_id=milestone.id, run_id=last.id, outcome=outcome))


def _outcome(session: Session, last: Run, milestone: Milestone) -> Outcome:
    advice = milestone.recommendation
    runs = chain_of(session, last)
    before, after = _first_measured(session, runs[0]), run_view.evaluations(session, last)
    same = _same_test(runs[0].spec, last.spec)
    score = _measured("score", before[("main", "before")], after[("main", "after")], same)
    guard = _guard(before, after, runs[0].spec, last.spec)
    independent = _independent(before[("main", "before")], after[("main", "after")], same)
    stopped_by = list(dict.fromkeys(sentence for run in runs for sentence in _stops_of_all(session, run)))
    trained: TrainingMethod = "grpo" if last.kind == "grpo" else "sft"
    return Outcome(
        advised=advice.method,
        plan=advice.plan.id,
        trained=trained,
        readiness=advice.readiness,
        is_override=not is_as_advised(advice, _methods(session, last, runs)),
        override_reason=last.override_reason or "",
        band=advice.band,
        rung=_rung(session, milestone),
        rulebook_version=milestone.rulebook_version,
        model=_model(last.spec),
        score=score,
        guard=guard,
        independent=independent,
        stopped_by=stopped_by,
        verdict=verdict_of(score, guard, independent, stopped_by),
        cost=_cost(session, last, runs, milestone),
        stages=[_stage(session, run) for run in runs],
    )


def _model(spec: RunSpec) -> str:
    match spec.model.kind:
        case "starter":
            return "the starter model"
        case "hub":
            return spec.model.id
        case "local":
            return spec.model.name


# The runs of a plan


def chain_of(session: Session, last: Run) -> list[Run]:
    """The stages through which the model passed, first one first; a reward model is none of them."""
    chain = [last]
    while chain[0].stage > 1 and chain[0].starts_from and len(chain) < LONGEST_CHAIN:
        before = session.get(Run, chain[0].starts_from)
        if before is None or before.kind == "reward_model":
            break
        chain.insert(0, before)
    return chain


def _methods(session: Session, last: Run, runs: Sequence[Run]) -> list[str]:
    """What the plan trained, in order: its reward model first, where it made one."""
    graded = ["reward_model"] if _reward_models(session, last) else []
    return [*graded, *(run.kind for run in runs)]


def attempts(session: Session, run: Run) -> list[Run]:
    """The run, and those that failed or were cancelled before it went on from them."""
    tried = [run]
    while (earlier := tried[-1].spec.continues) and len(tried) < LONGEST_CHAIN:
        found = session.get(Run, earlier)
        if found is None:
            break
        tried.append(found)
    return tried


def _first_measured(session: Session, run: Run) -> Measurements:
    """Its evaluations; a run that goes on from a failed one may leave the start to that."""
    found: dict[tuple[str, str], Evaluation] = {}
    for each in attempts(session, run):
        found = dict(run_view.evaluations(session, each)) | found
    return found


def _same_test(first: RunSpec, last: RunSpec) -> bool:
    """Whether both ends were measured on the same held-out items, by the same grader, sampled alike."""
    asked = [
        (
            spec.dataset,
            spec.grader,
            spec.seed,
            spec.evaluation.items,
            spec.evaluation.temperature,
            spec.evaluation.max_completion_length,
        )
        for spec in (first, last)
    ]
    return asked[0] == asked[1]


def _stops_of_all(session: Session, run: Run) -> list[str]:
    """Of its attempts, the earliest first."""
    return [sentence for each in reversed(attempts(session, run)) for sentence in _stops(session, each)]


def _stops(session: Session, run: Run) -> list[str]:
    found = session.scalars(
        select(Report.what).where(Report.run_id == run.id, Report.kind == "health").order_by(Report.seq)
    )
    return [what.sentence for what in found if isinstance(what, HealthEvent) and what.level == "stop"]


def _stage(session: Session, run: Run) -> TrainedStage:
    measured = _first_measured(session, run)
    before, after = measured.get(("main", "before")), measured.get(("main", "after"))
    return TrainedStage(
        run=run.id,
        stage=run.stage,
        name=run.spec.name,
        kind=run.kind,
        score=_measured("score", before, after, same=True) if before and after else None,
        device_hours=_hours(session, run),
    )


# What was measured


def _measured(name: str, before: Evaluation, after: Evaluation, same: bool) -> Measured:
    pairs = _pairs(_right(before.sampled_outcomes), _right(after.sampled_outcomes)) if same else None
    return Measured(name=name, before=_level(before.sampled), after=_level(after.sampled), pairs=pairs)


def _level(share: Share) -> Level:
    return Level(value=share.value, low=share.interval.low, high=share.interval.high, n=share.n)


def _right(outcomes: str) -> list[float | None]:
    return [{"1": 1.0, "0": 0.0}.get(each) for each in outcomes]


def _pairs(before: Sequence[float | None], after: Sequence[float | None]) -> Pairs | None:
    if len(before) != len(after) or not before:
        return None
    found = paired(before, after)
    return Pairs(wins=found.wins, losses=found.losses, ties=found.ties, p=found.p)


def _guard(before: Measurements, after: Measurements, first: RunSpec, last: RunSpec) -> Measured | None:
    old, new = before.get(("guard", "before")), after.get(("guard", "after"))
    if old is None or new is None or not (old.sampled.n and new.sampled.n):
        return None
    return _measured("guard set", old, new, first.evaluation.guard == last.evaluation.guard)


def _independent(before: Evaluation, after: Evaluation, same: bool) -> list[Measured]:
    old = {each.grader: each.sampled for each in before.scores if each.role == "independent"}
    new = {each.grader: each.sampled for each in after.scores if each.role == "independent"}
    return [
        Measured(
            name=name,
            before=_mean(old[name]),
            after=_mean(new[name]),
            pairs=_pairs(old[name], new[name]) if same else None,
        )
        for name in old
        if name in new
    ]


def _mean(scores: Sequence[float | None]) -> Level:
    found = mean_score(scores)
    return Level(value=found.value, low=found.interval.low, high=found.interval.high, n=found.n)


# On which rung it stood


def _rung(session: Session, milestone: Milestone) -> Basis:
    """The highest basis among the answers and the accepted measurements."""
    stood = {part.basis for part in milestone.recommendation.contributions if part.basis}
    accepted = session.execute(
        select(Proposal.question, Proposal.source).where(
            Proposal.assessment_id == milestone.assessment_id,
            Proposal.accepted.is_(True),
            Proposal.settled_at <= milestone.created_at,
        )
    )
    stood |= {
        BASIS_OF.get(source.partition(":")[0], "told")
        for question, source in accepted
        if question in milestone.measurements
    }
    return max(stood, key=RUNGS.index, default="told")


# What it cost


def _cost(session: Session, last: Run, runs: Sequence[Run], milestone: Milestone) -> Cost:
    counted = [*runs, *_reward_models(session, last)]
    hours = sum(_hours(session, run) for run in counted)
    price = _price(last, milestone)
    estimated = _estimated(milestone.recommendation, last)
    why = _why_no_ratio(session, last, milestone.recommendation.estimate)
    compared = _hours(session, last)
    comparable = estimated is not None and not why and estimated.device_hours.typical > 0
    return Cost(
        device_hours=hours,
        price=price,
        money=hours * price if price is not None else None,
        estimated=estimated,
        compared_hours=compared,
        ratio=compared / estimated.device_hours.typical if estimated and comparable else None,
        why_no_ratio=why,
    )


def _why_no_ratio(session: Session, last: Run, estimate: Estimate | None) -> str:
    """Empty where the estimate is for the size of model and the kind of device that were trained."""
    if estimate is None:
        return NO_ESTIMATE
    if last.spec.model.kind == "starter":
        return STAND_IN
    return _other_model(last.spec, estimate) or _other_device(run_view.device(session, last), estimate)


def _other_model(spec: RunSpec, estimate: Estimate) -> str:
    trained = spec.model.id if spec.model.kind == "hub" else ""
    if trained and trained.rpartition("/")[2].lower() == estimate.model.lower():
        return ""
    size = named_parameters(trained)
    if size is None:
        return UNKNOWN_MODEL
    expected = estimate.parameters_b * 1e9
    return "" if abs(size - expected) <= ALIKE * expected else OTHER_MODEL


def _other_device(device: str, estimate: Estimate) -> str:
    """`NVIDIA A100-SXM4-80GB` is the table's `A100-80`; the driver leaves SXM out of an H100's name."""
    if not device:
        return UNKNOWN_DEVICE
    named = {each.removesuffix("GB") for each in re.findall(r"[A-Z0-9]+", device.upper())}
    wanted = set(re.findall(r"[A-Z0-9]+", estimate.gpu.upper()))
    if "SXM" in wanted and "PCIE" in named:
        return OTHER_DEVICE
    return "" if wanted - {"SXM"} <= named else OTHER_DEVICE


def _hours(session: Session, run: Run) -> float:
    return sum(run_view.spent(session, each).gpu_hours for each in attempts(session, run))


def _reward_models(session: Session, last: Run) -> list[Run]:
    """Those that the same plan trained to grade it."""
    found = [session.get(Run, run_id) for run_id in reward_model_runs(last.spec.all_graders)]
    return [run for run in found if run is not None and run.milestone_id == last.milestone_id]


def _price(last: Run, milestone: Milestone) -> float | None:
    limits = last.limits or last.spec.limits
    if limits.price_per_gpu_hour is not None:
        return limits.price_per_gpu_hour
    told = milestone.answers.get("C1")
    own = (told.get("quantity") or told).get("gpu_price") if isinstance(told, dict) else None
    price: float | None = own.get("typical") if isinstance(own, dict) else own
    return price


def _estimated(advice: Recommendation, last: Run) -> Estimated | None:
    if advice.estimate is None:
        return None
    run = advice.estimate.grpo if last.kind == "grpo" else advice.estimate.sft
    devices = (
        f"{advice.estimate.gpus} × {advice.estimate.gpu}" if advice.estimate.gpus else advice.estimate.gpu
    )
    return Estimated(
        model=advice.estimate.model, devices=devices, device_hours=run.gpu_hours, money=run.dollars
    )
