"""What the finished runs of a pilot say: scores, differences, what a minute gave, and the verdict. Pure.

Scores are those of sampled held-out answers under the grader that was rewarded; every arm answers the same
items. Differences are paired by item, with 95 % intervals (`app.graders.comparison`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from app.graders.comparison import MeanScore, pooled_difference, pooled_score
from app.pilots import ARMS, Arm
from app.protocol import Difference, Evaluation, HealthEvent, RunSpec, RunState, SampledAnswer
from app.web.pilot_pace import NOTHING, Trained, pace
from app.web.run_words import count_of, duration, listed

Outcome = Literal["sft_ahead", "no_difference", "grpo_ahead", "warm_start_ahead"]
"""Choices of the rulebook's question about a pilot."""

Scores = Sequence[float | None]


@dataclass(frozen=True)
class Told:
    """One run of a pilot, as its events told it."""

    id: UUID
    arm: Arm
    seed: int
    stage: int
    spec: RunSpec
    state: RunState
    before: Evaluation | None = None
    after: Evaluation | None = None
    trained: Trained = NOTHING
    findings: tuple[HealthEvent, ...] = ()


class Figure(BaseModel):
    """A mean score of `n` items with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


class Finding(BaseModel):
    run: UUID
    stage: int
    seed: int
    level: str
    step: int
    sentence: str


class CurvePoint(BaseModel):
    minutes: float
    """Of training on one device, over all stages of the arm."""
    score: float


class Curve(BaseModel):
    seed: int
    points: list[CurvePoint]


class ArmReading(BaseModel):
    arm: Arm
    title: str
    runs: list[UUID]
    is_complete: bool
    """All of its trainings succeeded and were measured."""
    is_unscored: bool
    """Of a measurement after training the grader scored no answer."""
    before: Figure | None
    after: Figure | None
    by_seed: dict[int, float]
    """Mean score after training."""
    gain: Difference | None
    """After less before, paired by item."""
    minutes: float
    """Trained on one device: mean over its seeds."""
    gain_per_minute: float | None
    steps: float
    findings: list[Finding]
    curves: list[Curve]


class Compared(BaseModel):
    """How far `other` ended above `one`, paired by item."""

    one: Arm
    other: Arm
    difference: Difference


class MeasuredPace(BaseModel):
    """Of one method while it trained, without checks, checkpoints and each start's first step."""

    seconds_per_row: float
    """A row is a demonstration for SFT, a prompt with all its answers for GRPO."""
    rows_per_second: float
    seconds_per_token: float | None
    tokens_per_second: float | None
    """Prompts and answers, as the trainer counts them."""


class CostRatio(BaseModel):
    """Device time of GRPO over SFT."""

    sft: MeasuredPace | None
    grpo: MeasuredPace | None
    per_row: float | None
    per_token: float | None


class SideBySide(BaseModel):
    """One held-out item and what each arm's model answered."""

    item: int
    prompt: str
    reference: str
    answers: dict[Arm, str]
    scores: dict[Arm, float | None]


class PilotReading(BaseModel):
    outcome: Outcome | None
    """None until enough is measured to say even that the figures do not tell."""
    sentence: str
    arms: list[ArmReading]
    compared: list[Compared]
    cost: CostRatio
    samples: list[SideBySide]
    limits: list[str]
    """What this pilot cannot tell."""


SAMPLES_SHOWN = 6


def read(runs: Sequence[Told], arms: Sequence[Arm], seeds: int) -> PilotReading:
    """`runs`: the latest try of every stage; some may not be over, or be gone."""
    courses = {arm: _courses(runs, arm) for arm in arms}
    readings = [_arm(arm, courses[arm], seeds) for arm in arms]
    compared = list(_compared(courses, arms))
    outcome = _outcome(compared, readings)
    return PilotReading(
        outcome=outcome,
        sentence=verdict(outcome, compared, readings),
        arms=readings,
        compared=compared,
        cost=_cost(runs),
        samples=list(_samples(courses))[:SAMPLES_SHOWN],
        limits=list(_limits(runs, readings, seeds)),
    )


# One arm


Course = Sequence[Told]
"""The stages of one training, in order."""


def _courses(runs: Sequence[Told], arm: Arm) -> dict[int, Course]:
    """By seed."""
    found: dict[int, list[Told]] = {}
    for run in sorted((run for run in runs if run.arm == arm), key=lambda run: run.stage):
        found.setdefault(run.seed, []).append(run)
    return {seed: tuple(stages) for seed, stages in found.items()}


STAGES: Mapping[Arm, int] = {"sft": 1, "grpo": 1, "sft_then_grpo": 2}


def _has_ended(course: Course, arm: Arm) -> bool:
    done = [run for run in course if run.state == RunState.SUCCEEDED]
    return len(done) == STAGES[arm] and done[-1].after is not None


def _is_complete(course: Course, arm: Arm) -> bool:
    return _has_ended(course, arm) and any(score is not None for score in _scores(course[-1].after))


def _arm(arm: Arm, courses: Mapping[int, Course], seeds: int) -> ArmReading:
    ended = {seed: course for seed, course in courses.items() if _has_ended(course, arm)}
    complete = {seed: course for seed, course in ended.items() if _is_complete(course, arm)}
    before = [scores for course in courses.values() if (scores := _scores(course[0].before))]
    after = {seed: _scores(course[-1].after) for seed, course in complete.items()}
    gain = _gain(complete)
    minutes = [_minutes(course) for course in (complete or courses).values()]
    return ArmReading(
        arm=arm,
        title=ARMS[arm],
        runs=[run.id for course in courses.values() for run in course],
        is_complete=len(complete) == seeds,
        is_unscored=len(complete) < len(ended),
        before=_figure(pooled_score(before[:1])) if before else None,
        after=_figure(pooled_score(list(after.values()))) if after else None,
        by_seed={seed: pooled_score([scores]).value for seed, scores in after.items()},
        gain=gain,
        minutes=fmean(minutes) if minutes else 0.0,
        gain_per_minute=gain.value / fmean(minutes) if gain and fmean(minutes) > 0 else None,
        steps=_steps((complete or courses).values()),
        findings=[_finding(run, each) for c in courses.values() for run in c for each in run.findings],
        curves=[Curve(seed=seed, points=list(_curve(course))) for seed, course in courses.items()],
    )


def _scores(evaluation: Evaluation | None) -> Scores:
    """Of the rewarded grader; right and wrong where an evaluation does not tell scores."""
    if evaluation is None:
        return ()
    rewarded = next((each.sampled for each in evaluation.scores if each.role == "reward"), None)
    known: Mapping[str, float | None] = {"1": 1.0, "0": 0.0}
    return rewarded or [known.get(mark) for mark in evaluation.sampled_outcomes]


def _figure(score: MeanScore) -> Figure | None:
    """None where nothing was scored."""
    if not score.n:
        return None
    return Figure(value=score.value, low=score.interval.low, high=score.interval.high, n=score.n)


def _gain(courses: Mapping[int, Course]) -> Difference | None:
    trials = [(_scores(course[0].before), _scores(course[-1].after)) for course in courses.values()]
    alike = [(old, new) for old, new in trials if old and len(old) == len(new)]
    return pooled_difference(alike) if alike and len(alike) == len(trials) else None


def _minutes(course: Course) -> float:
    return sum(run.trained.learned for run in course) / 60


def _steps(courses: Iterable[Course]) -> float:
    done = [sum(run.trained.steps for run in course) for course in courses]
    return fmean(done) if done else 0.0


def _finding(run: Told, each: HealthEvent) -> Finding:
    return Finding(
        run=run.id,
        stage=run.stage,
        seed=run.seed,
        level=each.level,
        step=each.step,
        sentence=each.in_words,
    )


def _curve(course: Course) -> Iterator[CurvePoint]:
    """The short checks during training; they are of fewer items than the measurement before and after."""
    before = 0.0
    for run in course:
        for learned, score in run.trained.checks:
            yield CurvePoint(minutes=(before + learned) / 60, score=score)
        before += run.trained.learned


# The arms against each other


def _compared(courses: Mapping[Arm, Mapping[int, Course]], arms: Sequence[Arm]) -> Iterator[Compared]:
    after = {arm: _measured(arm, courses[arm]) for arm in arms}
    for one, other in combinations(arms, 2):
        both = sorted(after[one].keys() & after[other].keys())
        trials = [(after[one][seed], after[other][seed]) for seed in both]
        alike = [(a, b) for a, b in trials if len(a) == len(b)]
        if alike and (found := pooled_difference(alike)):
            yield Compared(one=one, other=other, difference=found)


def _measured(arm: Arm, courses: Mapping[int, Course]) -> dict[int, Scores]:
    return {seed: _scores(course[-1].after) for seed, course in courses.items() if _is_complete(course, arm)}


def ahead(compared: Sequence[Compared], one: Arm, other: Arm) -> bool:
    """Whether the whole interval of the difference is on the side of `one`."""
    for each in compared:
        if (each.other, each.one) == (one, other):
            return each.difference.low > 0
        if (each.one, each.other) == (one, other):
            return each.difference.high < 0
    return False


def _outcome(compared: Sequence[Compared], readings: Sequence[ArmReading]) -> Outcome | None:
    """SFT then GRPO counts where it beat SFT and GRPO alone did not, or was beaten too."""
    if any(_lacks(compared, readings)):
        return None
    warm, alone = ahead(compared, "sft_then_grpo", "sft"), ahead(compared, "grpo", "sft")
    if warm and (not alone or ahead(compared, "sft_then_grpo", "grpo")):
        return "warm_start_ahead"
    if alone:
        return "grpo_ahead"
    return "sft_ahead" if ahead(compared, "sft", _rival_of_sft(readings)) else "no_difference"


def _rival_of_sft(readings: Sequence[ArmReading]) -> Arm:
    """GRPO alone, or where no arm is that, SFT then GRPO."""
    return "grpo" if any(reading.arm == "grpo" for reading in readings) else "sft_then_grpo"


LEADERS: Mapping[Outcome, Arm] = {
    "sft_ahead": "sft",
    "grpo_ahead": "grpo",
    "warm_start_ahead": "sft_then_grpo",
}


def verdict(outcome: Outcome | None, compared: Sequence[Compared], readings: Sequence[ArmReading]) -> str:
    """One sentence, and never more than the intervals allow."""
    if outcome is None:
        return f"There is no verdict: {'; '.join(_lacks(compared, readings))}."
    leader = LEADERS.get(outcome)
    if leader is None:
        return f"The figures do not tell the methods apart: {_closest(compared)}."
    beaten = _rival_of_sft(readings) if leader == "sft" else "sft"
    found = next(each for each in compared if {each.one, each.other} == {leader, beaten})
    value, low, high = _towards(leader, found)
    return (
        f"{ARMS[leader]} moved the held-out score further: it ended {value:.1f} points above {ARMS[beaten]} "
        f"(95 % interval {low:.1f} to {high:.1f}){_unless_it_rose(leader, readings)}."
    )


def _lacks(compared: Sequence[Compared], readings: Sequence[ArmReading]) -> Iterator[str]:
    """What there would have to be for a verdict."""
    unscored = [reading.title for reading in readings if reading.is_unscored]
    if missing := [each.title for each in readings if not each.is_complete and not each.is_unscored]:
        yield f"{listed(missing)} did not come to a measured end"
    if unscored:
        yield (
            f"the grader gave no score to any answer of {listed(unscored)} after training. Mend the grader "
            "and let both try again"
        )
    there = {(each.one, each.other) for each in compared}
    pairs = combinations([each.arm for each in readings], 2)
    if not (missing or unscored) and (apart := next((pair for pair in pairs if pair not in there), None)):
        one, other = (ARMS[arm] for arm in apart)
        yield (
            f"fewer than two held-out items have a score of both {one} and {other}. Measure more items and "
            "let both try again"
        )


def _unless_it_rose(leader: Arm, readings: Sequence[ArmReading]) -> str:
    gain = next(reading.gain for reading in readings if reading.arm == leader)
    return "" if gain is None or gain.low > 0 else ", though not clearly above where it began"


def _towards(leader: Arm, found: Compared) -> tuple[float, float, float]:
    """In points, positive where the leader is above."""
    d = found.difference
    ends = (d.value, d.low, d.high) if found.other == leader else (-d.value, -d.high, -d.low)
    value, low, high = (100 * end for end in ends)
    return value, low, high


def _closest(compared: Sequence[Compared]) -> str:
    first = compared[0]
    value, low, high = _towards(first.other, first)
    return (
        f"{ARMS[first.other]} ended {points(value)} points from {ARMS[first.one]} "
        f"(95 % interval {points(low)} to {points(high)})"
    )


def points(value: float) -> str:
    return f"{'−' if round(value, 1) < 0 else '+'}{abs(value):.1f}"


# What it took


def _cost(runs: Sequence[Told]) -> CostRatio:
    sft = _measured_pace([run for run in runs if run.spec.recipe.kind == "sft"], "sft")
    grpo = _measured_pace([run for run in runs if run.spec.recipe.kind == "grpo"], "grpo")
    per_row = grpo.seconds_per_row / sft.seconds_per_row if sft and grpo else None
    tokens = (sft.seconds_per_token, grpo.seconds_per_token) if sft and grpo else (None, None)
    per_token = tokens[1] / tokens[0] if tokens[0] and tokens[1] else None
    return CostRatio(sft=sft, grpo=grpo, per_row=per_row, per_token=per_token)


def _measured_pace(runs: Sequence[Told], method: Arm) -> MeasuredPace | None:
    """Of the method's own arm where there is one, else of the stage in which it trained."""
    own = [run for run in runs if run.arm == method] or list(runs)
    found = pace([(run.spec.recipe, run.trained) for run in own])
    if found is None:
        return None
    per_token = found.seconds / found.tokens if found.tokens else None
    return MeasuredPace(
        seconds_per_row=found.seconds / found.rows,
        rows_per_second=found.rows / found.seconds,
        seconds_per_token=per_token,
        tokens_per_second=1 / per_token if per_token else None,
    )


# To read, and to doubt


def _samples(courses: Mapping[Arm, Mapping[int, Course]]) -> Iterator[SideBySide]:
    """Items that all arms showed, those first on which they differ."""
    shown: dict[Arm, dict[int, SampledAnswer]] = {}
    for arm, by_seed in courses.items():
        first = next((course for course in by_seed.values() if _has_ended(course, arm)), None)
        if first is not None and first[-1].after is not None:
            shown[arm] = {sample.item: sample for sample in first[-1].after.samples}
    if len(shown) < 2:
        return
    common = sorted(set.intersection(*(set(samples) for samples in shown.values())))
    found = []
    for item in common:
        samples = {arm: of_arm[item] for arm, of_arm in shown.items()}
        any_one = next(iter(samples.values()))
        found.append(
            SideBySide(
                item=item,
                prompt=any_one.prompt,
                reference=any_one.reference or "",
                answers={arm: sample.output_text for arm, sample in samples.items()},
                scores={arm: getattr(sample.outcome, "value", None) for arm, sample in samples.items()},
            )
        )
    yield from sorted(found, key=lambda each: len(set(each.scores.values())) < 2)


def _limits(runs: Sequence[Told], readings: Sequence[ArmReading], seeds: int) -> Iterator[str]:
    trained = duration(60 * max((reading.minutes for reading in readings), default=0.0))
    yield (
        f"It is short: {trained} of training for each arm. GRPO usually gains later than SFT, so a pilot "
        "that SFT wins says less than one that GRPO wins."
    )
    if seeds == 1:
        yield (
            "Each arm trained once. The intervals hold the chance in which items were asked, not the chance "
            "between two trainings with the same settings; more seeds would show that."
        )
    else:
        yield (
            f"Each arm trained {seeds} times. The intervals hold the chance of items and of trainings, the "
            "latter only as well as so few trainings show it."
        )
    if len(readings) > 2:
        yield (
            "Three pairs are compared, each with its own 95 % interval, so chance has three opportunities."
        )
    if any(run.spec.model.kind == "starter" for run in runs):
        yield "The starter model is a stand-in: what it learns in a minute says nothing about your own model."
    if held := [reading.after.n for reading in readings if reading.after]:
        yield (
            f"All arms answered the same {count_of(min(held), 'held-out item')}. Each kept the checkpoint "
            "that did best in short checks on some of them, which flatters every arm a little."
        )
