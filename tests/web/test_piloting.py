"""What a pilot's runs say, worked out by hand from recorded figures."""

from dataclasses import replace
from itertools import accumulate
from uuid import uuid4

import pytest

from app.advisor.advice import AnswerChange, PairedFlip
from app.advisor.answers import Answer
from app.advisor.recommendation import recommend
from app.datasets import generated
from app.graders.comparison import wilson
from app.main import read_rulebook
from app.pilots import PilotPlan
from app.protocol import (
    CheckpointEvent,
    Evaluation,
    GeneratedDataset,
    HealthEvent,
    MetricEvent,
    ProbeRecipe,
    ResumeEvent,
    RunSpec,
    RunState,
    SampledAnswer,
    Score,
    Share,
    StarterModel,
    StateEvent,
)
from app.web import pilot_form
from app.web.launch_defaults import Chosen
from app.web.pilot_advice import MOST_NAMED, would_be_wrong
from app.web.pilot_pace import Timed, pace, timed, trained
from app.web.piloting import Told, read

BASE = RunSpec(
    name="rulings",
    model=StarterModel(),
    dataset=GeneratedDataset(name="rulings"),
    grader=generated.grader("rulings"),
    recipe=ProbeRecipe(),
)
PLAN = PilotPlan(minutes=1.0, arms=["sft", "grpo", "sft_then_grpo"])
ARMS = pilot_form.arms_of(pilot_form.terms(BASE, Chosen("", "starter", "generated:rulings"), "Rulings"), PLAN)


# Time


def metric(at: float, step: int, tokens: float | None = None, score: float | None = None) -> Timed:
    values = {"loss": 1.0} if score is None else {"held_out/score": score}
    values |= {} if tokens is None else {"num_tokens": tokens}
    return Timed(at, MetricEvent(step=step, total_steps=100, values=values))


RUNNING = StateEvent(state=RunState.RUNNING)

COURSE = (
    Timed(90.0, StateEvent(state=RunState.STARTING)),
    Timed(100.0, RUNNING),
    metric(105.0, 1, tokens=1000),  # opens: 5 s, of which libraries took most
    metric(107.0, 2, tokens=3000),
    metric(110.0, 2, score=0.3),  # a check of 3 s
    Timed(114.0, CheckpointEvent(step=2)),  # a checkpoint of 4 s
    metric(116.0, 3, tokens=5000),
    metric(118.0, 4, tokens=7000),  # lost with its process
    Timed(130.0, ResumeEvent(from_step=3, why="the machine went away")),
    Timed(131.0, RUNNING),
    metric(134.0, 4, tokens=2000),  # opens again: 3 s; the trainer counts anew
    metric(136.0, 5, tokens=4000),
    metric(137.0, 5, score=0.4),
)


def test_training_is_what_lies_between_steps_without_checks_checkpoints_and_lost_steps():
    moments = timed(COURSE)
    assert [(m.step, m.learned) for m in moments if not m.is_check] == [
        (1, 5),
        (2, 7),
        (3, 9),
        (4, 12),
        (5, 14),
    ]
    assert [(m.step, m.learned) for m in moments if m.is_check] == [(2, 7), (5, 14)]
    found = trained(COURSE)
    assert (found.learned, found.steps) == (14, 5)
    assert found.checks == ((7, 0.3), (14, 0.4))


def test_a_pace_leaves_out_the_first_step_of_each_start():
    """Steps 2, 3 and 5 took 2 s each and 2,000 tokens each."""
    sft, grpo = ARMS["sft"][0].recipe, ARMS["grpo"][0].recipe
    found = pace([(sft, trained(COURSE))])
    assert (found.seconds, found.tokens) == (6, 6000)
    assert found.rows == 3 * sft.batch_size
    assert pace([(grpo, trained(COURSE))]).rows == 3 * grpo.batch_size / grpo.num_generations


def test_without_token_counts_there_is_a_pace_of_rows_alone():
    assert (
        pace([(ARMS["sft"][0].recipe, trained((Timed(0.0, RUNNING), metric(1, 1), metric(2, 2))))]).tokens
        is None
    )
    assert pace([(ARMS["sft"][0].recipe, trained(()))]) is None


# Scores


def evaluation(when: str, right: int, n: int = 100, first: int = 0) -> Evaluation:
    """The `right` items after the first `first` ones are right."""
    outcomes = "0" * first + "1" * right + "0" * (n - first - right)
    share = Share(right=right, n=n, interval=wilson(right, n))
    samples = [
        SampledAnswer(
            item=item,
            prompt=f"Case {item}",
            output_text="granted" if outcomes[item] == "1" else "barred",
            reference="granted",
            outcome=Score(value=float(outcomes[item])),
        )
        for item in (0, 1, 60)
        if item < n
    ]
    return Evaluation(
        when=when,
        sampled=share,
        greedy=share,
        sampled_outcomes=outcomes,
        greedy_outcomes=outcomes,
        abstained=0,
        errors=0,
        mean_tokens=10.0,
        clipped=0.0,
        samples=samples,
        seconds=1.0,
    )


def steps(count: int, seconds: float, tokens: float, score: float) -> tuple[Timed, ...]:
    at = list(accumulate([seconds] * count, initial=1000.0))
    told = [metric(at[n], n, tokens=n * tokens) for n in range(1, count + 1)]
    return (Timed(at[0], RUNNING), *told, metric(at[-1] + 5, count, score=score))


SFT_STEPS = trained(steps(60, 1.0, 1000, 0.4))
GRPO_STEPS = trained(steps(30, 2.0, 4000, 0.5))


def told(arm, after, *, seed=0, stage=1, times=SFT_STEPS, before=None, state=RunState.SUCCEEDED, findings=()):
    return Told(
        id=uuid4(),
        arm=arm,
        seed=seed,
        stage=stage,
        spec=ARMS[arm][stage - 1],
        state=state,
        before=before or evaluation("before", 20),
        after=after,
        trained=times,
        findings=findings,
    )


def both(sft: int, grpo: int) -> list[Told]:
    return [
        told("sft", evaluation("after", sft)),
        told("grpo", evaluation("after", grpo), times=GRPO_STEPS),
    ]


TWO = ["sft", "grpo"]


def test_each_arm_has_its_score_before_and_after_with_its_gain_by_the_minute():
    found = read(both(40, 65), TWO, seeds=1)
    sft, grpo = found.arms
    assert (sft.before.value, sft.after.value, sft.after.n) == (0.2, 0.4, 100)
    assert (sft.after.low, sft.after.high) == (wilson(40, 100).low, wilson(40, 100).high)
    assert sft.gain.value == pytest.approx(0.2)
    assert (sft.minutes, grpo.minutes) == (1.0, 1.0)
    assert grpo.gain_per_minute == pytest.approx(0.45)
    assert [(p.minutes, p.score) for p in grpo.curves[0].points] == [(1.0, 0.5)]


def test_a_method_is_ahead_only_where_the_whole_interval_is_on_its_side():
    assert read(both(40, 65), TWO, seeds=1).outcome == "grpo_ahead"
    assert read(both(65, 40), TWO, seeds=1).outcome == "sft_ahead"
    close = read(both(40, 42), TWO, seeds=1)
    assert close.compared[0].difference.low < 0 < close.compared[0].difference.high or (
        close.outcome != "no_difference"
    )


def test_the_sentence_says_no_more_than_the_interval():
    ahead = read(both(40, 65), TWO, seeds=1)
    difference = ahead.compared[0].difference
    assert ahead.sentence == (
        f"GRPO moved the held-out score further: it ended 25.0 points above SFT (95 % interval "
        f"{100 * difference.low:.1f} to {100 * difference.high:.1f})."
    )
    apart = [
        told("sft", evaluation("after", 40)),
        told("grpo", evaluation("after", 42, first=20), times=GRPO_STEPS),
    ]
    unclear = read(apart, TWO, seeds=1)
    assert unclear.outcome == "no_difference"
    assert unclear.sentence.startswith(
        "The figures do not tell the methods apart: GRPO ended +2.0 points from SFT"
    )


def test_an_arm_that_fell_least_is_not_said_to_have_risen():
    found = read(both(20, 5), TWO, seeds=1)
    assert found.outcome == "sft_ahead"
    assert found.sentence.endswith("though not clearly above where it began.")


def warm(after: int) -> list[Told]:
    return [
        told("sft_then_grpo", evaluation("after", 30), times=SFT_STEPS),
        told(
            "sft_then_grpo",
            evaluation("after", after),
            stage=2,
            times=GRPO_STEPS,
            before=evaluation("before", 30),
        ),
    ]


def test_a_warm_start_counts_from_where_its_first_stage_began_and_adds_up_its_minutes():
    found = read([*both(40, 45), *warm(80)], PLAN.arms, seeds=1)
    third = found.arms[2]
    assert (third.before.value, third.after.value) == (0.2, 0.8)
    assert third.minutes == 2.0
    assert [point.minutes for point in third.curves[0].points] == [1.0, 2.0]
    assert len(found.compared) == 3


@pytest.mark.parametrize(
    ("sft", "grpo", "then", "outcome"),
    [
        (40, 45, 80, "warm_start_ahead"),  # ahead of SFT, and of GRPO, which is not told apart
        (40, 70, 90, "warm_start_ahead"),  # ahead of both
        (40, 80, 80, "grpo_ahead"),  # no better than GRPO alone
        (80, 40, 80, "sft_ahead"),
        (40, 40, 40, "no_difference"),
    ],
)
def test_sft_then_grpo_is_ahead_where_it_beats_sft_and_grpo_alone_does_not_do_as_well(
    sft, grpo, then, outcome
):
    assert read([*both(sft, grpo), *warm(then)], PLAN.arms, seeds=1).outcome == outcome


@pytest.mark.parametrize(
    ("sft", "then", "outcome", "sentence"),
    [
        (
            60,
            40,
            "sft_ahead",
            "SFT moved the held-out score further: it ended 20.0 points above SFT, then GRPO (",
        ),
        (
            40,
            60,
            "warm_start_ahead",
            "SFT, then GRPO moved the held-out score further: it ended 20.0 points above SFT (",
        ),
        (
            40,
            40,
            "no_difference",
            "The figures do not tell the methods apart: SFT, then GRPO ended +0.0 points",
        ),
    ],
)
def test_without_grpo_alone_sft_is_compared_with_the_warm_start(sft, then, outcome, sentence):
    runs = [told("sft", evaluation("after", sft)), *warm(then)]
    found = read(runs, ["sft", "sft_then_grpo"], seeds=1)
    assert found.outcome == outcome
    assert found.sentence.startswith(sentence)


def test_there_is_no_verdict_while_an_arm_lacks_its_end():
    sft, grpo = both(40, 65)
    lost = Told(**{**vars(grpo), "state": RunState.FAILED, "after": None})
    found = read([sft, lost], TWO, seeds=1)
    assert found.outcome is None
    assert found.sentence == "There is no verdict: GRPO did not come to a measured end."
    assert read([sft], TWO, seeds=1).outcome is None
    assert read([], TWO, seeds=1).outcome is None


def unscored() -> Evaluation:
    """The grader gave no score to any of its answers."""
    nothing = Share(right=0, n=0, interval=wilson(0, 0))
    marks = {"sampled_outcomes": "-" * 100, "greedy_outcomes": "-" * 100}
    return evaluation("after", 0).model_copy(
        update={"sampled": nothing, "greedy": nothing, "abstained": 200, **marks}
    )


def test_an_arm_whose_answers_got_no_score_has_no_figure_and_is_named():
    sft, grpo = told("sft", evaluation("after", 40)), told("grpo", unscored(), times=GRPO_STEPS)
    found = read([sft, grpo], TWO, seeds=1)
    assert found.outcome is None
    assert [(arm.is_complete, arm.is_unscored) for arm in found.arms] == [(True, False), (False, True)]
    assert (found.arms[1].after, found.arms[1].by_seed, found.arms[1].gain) == (None, {}, None)
    assert found.sentence == (
        "There is no verdict: the grader gave no score to any answer of GRPO after training. Mend the grader "
        "and let both try again."
    )
    assert found.samples[0].answers.keys() == {"sft", "grpo"}, "what was not scored can still be read"
    again = [*both(40, 65), told("sft", evaluation("after", 44), seed=1)]
    seeds = read([*again, told("grpo", unscored(), seed=1)], TWO, seeds=2)
    assert seeds.outcome is None
    assert seeds.arms[1].by_seed == {0: 0.65}


def test_what_lacks_its_end_and_what_lacks_its_scores_are_both_told():
    runs = [told("sft", None, state=RunState.FAILED), told("grpo", unscored())]
    assert read(runs, TWO, seeds=1).sentence == (
        "There is no verdict: SFT did not come to a measured end; the grader gave no score to any answer of "
        "GRPO after training. Mend the grader and let both try again."
    )


def test_a_measurement_before_training_without_scores_is_no_figure():
    found = read([told("sft", evaluation("after", 40), before=unscored())], TWO, seeds=1)
    assert (found.arms[0].before, found.arms[0].gain) == (None, None)


@pytest.mark.parametrize("arms", [TWO, PLAN.arms])
def test_one_held_out_item_cannot_compare_anything_and_the_sentence_says_so(arms):
    one = evaluation("after", 1, n=1)
    runs = [
        told("sft", one),
        told("grpo", one),
        told("sft_then_grpo", one),
        told("sft_then_grpo", one, stage=2),
    ]
    found = read([run for run in runs if run.arm in arms], arms, seeds=1)
    assert (found.outcome, found.compared) == (None, [])
    assert found.sentence == (
        "There is no verdict: fewer than two held-out items have a score of both SFT and GRPO. Measure more "
        "items and let both try again."
    )


def test_several_seeds_are_pooled_with_the_chance_between_them():
    runs = []
    for seed, (sft, grpo) in enumerate([(40, 60), (44, 66), (42, 63)]):
        runs += [
            told("sft", evaluation("after", sft), seed=seed),
            told("grpo", evaluation("after", grpo), seed=seed, times=GRPO_STEPS),
        ]
    found = read(runs, TWO, seeds=3)
    assert found.arms[0].by_seed == {0: 0.4, 1: 0.44, 2: 0.42}
    assert found.arms[1].after.value == pytest.approx(0.63)
    assert found.compared[0].difference.value == pytest.approx(0.21)
    assert found.outcome == "grpo_ahead"
    assert any("trained 3 times" in sentence for sentence in found.limits)
    assert read(runs[:4], TWO, seeds=3).outcome is None


def test_the_cost_ratio_is_measured_by_row_and_by_token():
    """SFT: 1 s a step, 16 rows, 1,000 tokens. GRPO: 2 s a step, 128 answers to 16 prompts, 4,000 tokens."""
    cost = read(both(40, 65), TWO, seeds=1).cost
    sft, grpo = ARMS["sft"][0].recipe, ARMS["grpo"][0].recipe
    assert cost.sft.rows_per_second == pytest.approx(sft.batch_size)
    assert cost.grpo.tokens_per_second == pytest.approx(2000)
    prompts = grpo.batch_size / grpo.num_generations
    assert cost.per_row == pytest.approx(2 * sft.batch_size / prompts)
    assert cost.per_token == pytest.approx(0.5)


def test_findings_samples_and_limits_are_told():
    finding = HealthEvent(
        rule="dead_groups", level="warn", step=9, sentence="Groups are dead.", advice="Mix them."
    )
    sft, grpo = both(40, 65)
    found = read([sft, Told(**{**vars(grpo), "findings": (finding,)})], TWO, seeds=1)
    (noticed,) = found.arms[1].findings
    assert (noticed.step, noticed.sentence) == (9, "Groups are dead. Mix them.")
    assert found.samples[0].item == 60, "the item on which they differ comes first"
    assert found.samples[0].answers == {"sft": "barred", "grpo": "granted"}
    assert found.limits[0].startswith("It is short: 1 min 0 s of training")
    assert any("stand-in" in sentence for sentence in found.limits)


# Which answers would have to be wrong


def pair_of(first: str, second: str) -> PairedFlip:
    none = {"from_choice": None, "to_choice": None, "to_label": "no", "to_answer": None}
    changes = [AnswerChange(question=q, title=q, from_label="yes", **none) for q in (first, second)]
    return PairedFlip(
        changes=tuple(changes), method_after="sft", plan_after="sft", lean_after=-0.1, sentence="So."
    )


def test_pairs_of_what_was_measured_take_no_place_from_those_that_may_be_wrong():
    """Seven nearest pairs with a measured answer, then one of two told answers."""
    rulebook = read_rulebook()
    project = rulebook.read({"answers": {}})
    told_ones, measured = list(rulebook.questions)[:2], list(rulebook.questions)[2]
    answers = {name: Answer(choice="x") for name in told_ones} | {
        measured: Answer(choice="x", basis="inspected")
    }
    pairs = [pair_of(told_ones[0], measured)] * (MOST_NAMED + 1) + [pair_of(*told_ones)]
    advice = recommend(project, rulebook).model_copy(
        update={"flips": (), "fixed_flips": (), "paired_flips": tuple(pairs)}
    )
    found = list(would_be_wrong(advice, replace(project, answers=answers), "sft"))
    assert found == [f"{told_ones[0]}: not “yes” but “no”; and {told_ones[1]}: not “yes” but “no”."]
