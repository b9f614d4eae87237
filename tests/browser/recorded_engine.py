"""An engine that replays what a healthy training looks like, with the real command line, lock and files.

Words in the run's name change the story (a probe's in `_probe`): `slow` (0.4 s a step), `paced` (0.1 s),
`failing`, `warned` (findings), `forgets` (the guard set falls). It pauses when asked to or at its limit of
steps, and goes on.
"""

import math
import signal
import sys
import time
from pathlib import Path
from random import Random

from app.graders import probing
from app.graders.comparison import wilson
from app.protocol import (
    Abstain,
    Agreement,
    CalibrationBin,
    CheckpointEvent,
    DemonstrationScores,
    DraftCounts,
    EndEvent,
    Evaluation,
    EvaluationEvent,
    GraderScores,
    HealthEvent,
    LogEvent,
    MetricEvent,
    ProbedPrompt,
    ProbeEvent,
    ProbeRecipe,
    ProbeReport,
    ProgressEvent,
    ResumeEvent,
    RunState,
    SampledAnswer,
    SampleEvent,
    Score,
    Share,
    StateEvent,
)
from app.run_dir import EventLog, RunDir

PROMPT = (
    "Tenancy Deposits Act. Rules: 1. The claim is barred if it came after two years. 2. The deposit is "
    "granted if the landlord kept no inventory.\nFacts: the claim came after one year; "
    "no inventory was kept.\nDraft a ruling, check it rule by rule, then rule."
)
DRAFT = (
    "Draft: {}.\nCheck: barred after two years: one year, no. Granted without inventory: none kept, yes.\n"
    "Ruling: {}."
)


class Stopped(Exception):
    pass


class Paused(Exception):
    def __init__(self, step: int, total: int, limit: str | None) -> None:
        self.limit = limit
        super().__init__(f"Paused after {step} of {total} steps.")


def main(path: str) -> None:
    signal.signal(signal.SIGTERM, _stop)
    run = RunDir(Path(path))
    log = run.event_log()
    log.append(StateEvent(state=RunState.STARTING))
    log.append(LogEvent(line=f"transformers loads {run.spec.model.kind}"))
    if run.spec.recipe.kind == "probe":
        _probe(run, log)
        return
    total = _steps(run)
    done = _newest_checkpoint(run)
    try:
        _begin(run, log, done)
        for step in _train(run, log, total, done):
            done = step
        _finish(run, log, total)
    except Paused as paused:
        log.append(StateEvent(state=RunState.PAUSED, detail=str(paused), limit=paused.limit))
    except Stopped:
        log.append(EndEvent(state=RunState.CANCELLED, steps_done=done, total_steps=total))
    except RuntimeError:
        reason = f"The loss was not a number at step {done}: the learning rate is too high for this model."
        tail = f"step {done - 1} loss 4.1\nstep {done} loss nan\nRuntimeError: loss is nan"
        log.append(
            EndEvent(state=RunState.FAILED, steps_done=done, total_steps=total, reason=reason, log_tail=tail)
        )


def _probe(run: RunDir, log: EventLog) -> None:
    """`hopeless`: no answer is right; `mastered`: nearly all are; otherwise about a fifth."""
    recipe = run.spec.recipe
    count = recipe.prompts * recipe.samples
    log.append(StateEvent(state=RunState.EVALUATING, detail="answering"))
    try:
        for phase in ("answering", "grading"):
            for tenth in range(1, 11):
                log.append(ProgressEvent(phase=phase, done=count * tenth // 10, total=count))
                time.sleep(0.4 if "slow" in run.spec.name else 0.01)
    except Stopped:
        log.append(EndEvent(state=RunState.CANCELLED, steps_done=0, total_steps=recipe.prompts))
        return
    log.append(ProbeEvent(report=probe_report(run.spec.name, recipe)))
    log.append(EndEvent(state=RunState.SUCCEEDED, steps_done=recipe.prompts, total_steps=recipe.prompts))


def probe_report(name: str, recipe: ProbeRecipe) -> ProbeReport:
    chance = Random(name)
    base = 0.0 if "hopeless" in name else 0.99 if "mastered" in name else 0.22
    eases = [
        min(1.0, max(0.0, chance.gauss(base, 0.12 if 0 < base < 0.9 else 0))) for _ in range(recipe.prompts)
    ]
    scores = [[float(chance.random() < ease) for _ in range(recipe.samples)] for ease in eases]
    tokens = [[chance.randrange(40, 90) for _ in group] for group in scores]
    shown = probing.against_demonstrations(scores, [1.0] * len(scores), is_paired=True)
    return ProbeReport(
        prompts=[
            ProbedPrompt(
                row=3 * n,
                prompt=PROMPT[:120],
                scores=group,
                tokens=tokens[n],
                clipped=0,
                distinct=len(group) - 1,
            )
            for n, group in enumerate(scores)
        ],
        samples=recipe.samples,
        temperature=recipe.temperature,
        max_completion_length=recipe.max_completion_length,
        passed=probing.passed(scores, 1.0),
        mean=sum(map(sum, scores)) / (recipe.prompts * recipe.samples),
        pass_at=probing.pass_at(scores, 1.0),
        dead=probing.dead(scores, recipe.group_sizes, recipe.samples, 1.0),
        clipped=0.02,
        lengths=probing.lengths([each for group in tokens for each in group]),
        format_valid=0.96,
        distinct=0.9,
        abstained=0,
        errors=0,
        grader_seconds=0.12,
        seconds=14.5,
        demonstrations=DemonstrationScores(passed=_share("1" * recipe.prompts), mean=1.0, errors=0),
        difference=shown,
        shown=[_answer(n, str(int(group[0]))) for n, group in enumerate(scores[: recipe.samples_shown])],
    )


def _begin(run: RunDir, log: EventLog, done: int) -> None:
    if run.spec.recipe.kind != "starter" and not done:
        _evaluate(run, log, "before")
    if run.inputs.why:
        log.append(ResumeEvent(from_step=done, attempt=run.inputs.attempt, why=run.inputs.why))
    log.append(StateEvent(state=RunState.RUNNING))


def _finish(run: RunDir, log: EventLog, total: int) -> None:
    if "failing" in run.spec.name:
        raise RuntimeError
    if run.spec.recipe.kind != "starter":
        _evaluate(run, log, "after")
    _leave_a_model(run)
    kept = 3 * total // 4 if run.spec.keep == "best" else None
    log.append(EndEvent(state=RunState.SUCCEEDED, steps_done=total, total_steps=total, kept_step=kept))


def _steps(run: RunDir) -> int:
    recipe = run.spec.recipe
    if run.spec.train_minutes is not None:
        return 40  # as many as its minutes allow
    return recipe.steps if recipe.kind == "grpo" else 40


def _train(run: RunDir, log: EventLog, total: int, done: int):
    chance = Random(run.spec.name)
    pause = 0.4 if "slow" in run.spec.name else 0.1 if "paced" in run.spec.name else 0.005
    every = max(1, total // (run.spec.evaluation.checks or total))
    for step in range(done + 1, total + 1):
        values = _values(run.spec.recipe.kind, step / total, chance)
        values["num_tokens"] = step * (9_000.0 if run.spec.recipe.kind == "grpo" else 1_500.0)
        if run.spec.recipe.kind != "starter" and run.spec.evaluation.checks and step % every == 0:
            values |= _checked(run, step / total, chance)
        log.append(MetricEvent(step=step, total_steps=total, values=values))
        print("step", step, flush=True)  # noqa: T201 - its stdout is the run's log
        _beside_the_metrics(run, log, step, total, every, values, chance)
        if "failing" in run.spec.name and step > total // 2:
            yield step
            return
        _pause_if_asked(run, log, step, total)
        time.sleep(pause)
        yield step


def _beside_the_metrics(
    run: RunDir, log: EventLog, step: int, total: int, every: int, values: dict, chance: Random
) -> None:
    if run.spec.recipe.kind == "grpo" and step % 10 == 1:
        log.append(_group(step, chance))
    if "held_out/score" in values and step % (2 * every) == 0:
        best = step == 3 * total // 4 // (2 * every) * (2 * every)
        log.append(CheckpointEvent(step=step, score=values["held_out/score"], is_best=best, bytes=4_200_000))
    if "warned" in run.spec.name and step in (total // 2, 3 * total // 4):
        log.append(_finding(step, first=step == total // 2, kind=run.spec.recipe.kind))


def _finding(step: int, first: bool, kind: str) -> HealthEvent:
    if first and kind == "grpo":
        return HealthEvent(
            rule="dead_groups",
            level="warn",
            step=step,
            sentence="In 62 % of the groups all rewards were the same, so they teach nothing.",
            metric="frac_reward_zero_std",
            value=0.62,
            advice="Use prompts that the model sometimes gets right, or more completions per prompt.",
            sources=["yu2025"],
        )
    return HealthEvent(
        rule="reward_over_optimisation",
        level="warn",
        step=step,
        sentence="The training metric goes on improving while the held-out one falls.",
        metric="reward" if kind == "grpo" else "loss",
        value=0.7,
        advice="Stop here and keep the best checkpoint; then look at what the grader pays for.",
        sources=["gao2022"],
    )


def _pause_if_asked(run: RunDir, log: EventLog, step: int, total: int) -> None:
    most = (run.raised_limits or run.spec.own_limits).steps
    limit = "steps" if most is not None and most <= step < total else None
    if limit or run.pause_requested:
        (run.checkpoints_dir / str(step)).mkdir(parents=True, exist_ok=True)
        log.append(CheckpointEvent(step=step, bytes=4_200_000))
        raise Paused(step, total, limit)


def _newest_checkpoint(run: RunDir) -> int:
    if not run.checkpoints_dir.is_dir():
        return 0
    return max((int(path.name) for path in run.checkpoints_dir.iterdir()), default=0)


def _values(kind: str, share: float, chance: Random) -> dict[str, float | None]:
    noise = chance.gauss(0, 1)
    if kind == "grpo":
        reward = min(1, max(0, 0.22 + 0.5 * (1 - math.exp(-3 * share)) + 0.05 * noise))
        return {
            "loss": 0.01 * noise,
            "reward": reward,
            "reward_std": 0.4,
            "frac_reward_zero_std": min(1, max(0, 0.15 + 0.2 * share + 0.05 * noise)),
            "entropy": 0.6 - 0.35 * share + 0.02 * noise,
            "completions/mean_length": 62 + 8 * share + noise,
            "completions/clipped_ratio": max(0.0, 0.02 + 0.01 * noise),
            "grad_norm": 0.4 + 0.05 * noise,
        }
    if kind == "reward_model":
        return {
            "loss": 0.69 - 0.3 * (1 - math.exp(-3 * share)) + 0.02 * noise,
            "accuracy": min(1, 0.5 + 0.3 * (1 - math.exp(-3 * share)) + 0.03 * noise),
            "margin": 1.5 * share + 0.05 * noise,
            "grad_norm": 1.5 + 0.2 * noise,
        }
    return {
        "loss": 2.4 * math.exp(-3 * share) + 0.2 + 0.03 * abs(noise),
        "mean_token_accuracy": 0.95 - 0.5 * math.exp(-4 * share) + 0.005 * noise,
        "entropy": 2 * math.exp(-3 * share) + 0.2,
        "grad_norm": 1.5 + 0.2 * noise,
        "learning_rate": 1e-3 * (1 - share),
    }


def _checked(run: RunDir, share: float, chance: Random) -> dict[str, float | None]:
    """What a short measurement during training finds."""
    if run.spec.recipe.kind == "reward_model":
        return {"held_out/agreement": 0.5 + 0.24 * share, "held_out/loss": 0.69 - 0.2 * share}
    fall = 0.25 * max(0, share - 0.6) if "warned" in run.spec.name else 0
    score = 0.2 + 0.45 * share - fall
    found: dict[str, float | None] = {
        "held_out/score": score,
        "held_out/right": score,
        "held_out/mean_tokens": 64 + 6 * share + chance.gauss(0, 0.5),
        "held_out/clipped": 0.02,
    }
    if run.spec.recipe.kind == "sft":
        found["held_out/loss"] = 2.4 * math.exp(-3 * share) + 0.3 + fall
    for grader in run.spec.independent_graders:
        found[f"held_out/independent/{grader.name}"] = 0.18 + 0.3 * share - 2 * fall
    return found


def _group(step: int, chance: Random) -> SampleEvent:
    rewards: list[float | None] = [float(chance.random() < 0.5) for _ in range(8)]
    mean = sum(reward or 0 for reward in rewards) / 8
    return SampleEvent(
        step=step,
        prompt=PROMPT,
        completions=[DRAFT.format("barred", "granted" if reward else "barred") for reward in rewards],
        rewards=rewards,
        advantages=[round((reward or 0) - mean, 3) for reward in rewards],
    )


def _evaluate(run: RunDir, log: EventLog, when: str) -> None:
    items = min(run.spec.evaluation.items, 200)
    log.append(StateEvent(state=RunState.EVALUATING, detail=f"{when} training"))
    for done in (0, items // 2, items):
        log.append(ProgressEvent(phase=f"evaluating {when} training", done=done, total=items))
        time.sleep(0.2 if "paced" in run.spec.name or "slow" in run.spec.name else 0.02)
    later = when == "after"
    base = 0.45 if run.spec.starts_from else 0.21
    share = (0.68 if run.spec.recipe.kind == "grpo" else 0.45) if later else base
    log.append(EvaluationEvent(evaluation=_evaluation(run, when, items, share)))
    if run.spec.evaluation.guard:
        kept = 0.4 if later and "forgets" in run.spec.name else 0.8
        guard = _evaluation(run, when, min(items, run.spec.evaluation.guard.items), kept)
        log.append(EvaluationEvent(evaluation=guard.model_copy(update={"task": "guard"})))


def _evaluation(run: RunDir, when: str, items: int, share: float) -> Evaluation:
    chance = Random(f"{when} {share}")
    sampled = "".join("1" if chance.random() < share else "0" for _ in range(items - 1)) + "-"
    greedy = "".join("1" if chance.random() < share + 0.06 else "0" for _ in range(items - 1)) + "-"
    if run.spec.recipe.kind == "reward_model":
        sampled = greedy = ""  # it answers nothing
    wrong = int(items * 0.6)
    drafts = DraftCounts(
        wrong=wrong,
        mended=int(wrong * (share - 0.1)),
        right=items - wrong - 2,
        spoiled=int(items * 0.03),
        undecided=2,
    )
    return Evaluation(
        when=when,
        sampled=_share(sampled),
        greedy=_share(greedy),
        sampled_outcomes=sampled,
        greedy_outcomes=greedy,
        scores=_scores(run, sampled, greedy, chance),
        abstained=sampled.count("-"),
        errors=0,
        mean_tokens=64.2 if when == "before" else 71.5,
        reference_tokens=66.0 if run.spec.recipe.kind == "sft" else None,
        deference=0.04 if when == "before" else 0.11,
        loss=(2.1 if when == "before" else 0.6) if run.spec.recipe.kind == "sft" else None,
        agreement=_agreement(when, items) if run.spec.recipe.kind == "reward_model" else None,
        clipped=0.015,
        drafts=drafts if run.spec.draft_grader else None,
        samples=[_answer(n, each) for n, each in enumerate(sampled[: run.spec.evaluation.samples_shown])],
        seconds=3.2,
        is_remembered=when == "before" and "remembered" in run.spec.name,
    )


def _scores(run: RunDir, sampled: str, greedy: str, chance: Random) -> list[GraderScores]:
    if run.spec.grader is None:
        return []
    known = {"1": 1.0, "0": 0.0, "-": None}
    own = GraderScores(
        grader=run.spec.grader.name,
        role="reward",
        sampled=[known[each] for each in sampled],
        greedy=[known[each] for each in greedy],
    )
    return [own] + [
        GraderScores(
            grader=grader.name,
            role="independent",
            sampled=[round(0.6 * chance.random(), 2) for _ in sampled],
            greedy=[round(0.6 * chance.random(), 2) for _ in greedy],
        )
        for grader in run.spec.independent_graders
    ]


def _agreement(when: str, items: int) -> Agreement:
    right = int(items * (0.52 if when == "before" else 0.74))
    bins = [
        CalibrationBin(
            low=0.5 + n / 20,
            high=0.55 + n / 20,
            pairs=items // 10,
            predicted=0.525 + n / 20,
            observed=min(1.0, 0.5 + n / 24),
        )
        for n in range(10)
    ]
    share = Share(right=right, n=items, interval=wilson(right, items))
    return Agreement(share=share, bins=bins, expected_calibration_error=0.04, margin=1.21)


def _share(outcomes: str) -> Share:
    right, n = outcomes.count("1"), outcomes.count("1") + outcomes.count("0")
    return Share(right=right, n=n, interval=wilson(right, n))


def _answer(item: int, outcome: str) -> SampledAnswer:
    graded = Abstain(why="no ruling was found") if outcome == "-" else Score(value=float(outcome))
    ruling = "granted" if outcome == "1" else "barred"
    return SampledAnswer(
        item=item,
        prompt=PROMPT,
        output_text=DRAFT.format("barred", ruling),
        reference="granted",
        outcome=graded,
    )


def _leave_a_model(run: RunDir) -> None:
    making = run.path / ".model"
    making.mkdir()
    (making / "config.json").write_text("{}")
    (making / "model.safetensors").write_bytes(b"weights" * 100_000)
    making.rename(run.model_dir)


def _stop(signum: int, frame: object) -> None:
    raise Stopped


if __name__ == "__main__":
    main(sys.argv[1])
