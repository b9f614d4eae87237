"""An engine that replays what a healthy training looks like, with the real command line, lock and files.

Words in the run's name change the story: `slow` (0.4 s a step), `paced` (0.1 s), `failing`, `warned`.
"""

import math
import signal
import sys
import time
from pathlib import Path
from random import Random

from app.graders.comparison import wilson
from app.protocol import (
    Abstain,
    DraftCounts,
    EndEvent,
    Evaluation,
    EvaluationEvent,
    HealthEvent,
    LogEvent,
    MetricEvent,
    ProgressEvent,
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


def main(path: str) -> None:
    signal.signal(signal.SIGTERM, _stop)
    run = RunDir(Path(path))
    log = run.event_log()
    log.append(StateEvent(state=RunState.STARTING))
    log.append(LogEvent(line=f"transformers loads {run.spec.model.kind}"))
    total = _steps(run)
    measured = run.spec.recipe.kind != "starter"
    done = 0
    try:
        if measured:
            _evaluate(run, log, "before")
        log.append(StateEvent(state=RunState.RUNNING))
        for step in _train(run, log, total):
            done = step
        if "failing" in run.spec.name:
            raise RuntimeError
        if measured:
            _evaluate(run, log, "after")
        _leave_a_model(run)
        log.append(EndEvent(state=RunState.SUCCEEDED, steps_done=total, total_steps=total))
    except Stopped:
        log.append(EndEvent(state=RunState.CANCELLED, steps_done=done, total_steps=total))
    except RuntimeError:
        reason = f"The loss was not a number at step {done}: the learning rate is too high for this model."
        tail = f"step {done - 1} loss 4.1\nstep {done} loss nan\nRuntimeError: loss is nan"
        log.append(
            EndEvent(state=RunState.FAILED, steps_done=done, total_steps=total, reason=reason, log_tail=tail)
        )


def _steps(run: RunDir) -> int:
    recipe = run.spec.recipe
    return recipe.steps if recipe.kind == "grpo" else 40


def _train(run: RunDir, log: EventLog, total: int):
    chance = Random(run.spec.name)
    pause = 0.4 if "slow" in run.spec.name else 0.1 if "paced" in run.spec.name else 0.005
    for step in range(1, total + 1):
        log.append(
            MetricEvent(
                step=step, total_steps=total, values=_values(run.spec.recipe.kind, step / total, chance)
            )
        )
        print("step", step, flush=True)  # noqa: T201 - its stdout is the run's log
        if run.spec.recipe.kind == "grpo" and step % 10 == 1:
            log.append(_group(step, chance))
        if "warned" in run.spec.name and step == total // 2:
            log.append(
                HealthEvent(
                    rule="no_signal",
                    level="warn",
                    step=step,
                    sentence="In 62 % of the groups all rewards were the same, so they teach nothing.",
                )
            )
        if "failing" in run.spec.name and step > total // 2:
            yield step
            return
        time.sleep(pause)
        yield step


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
    return {
        "loss": 2.4 * math.exp(-3 * share) + 0.2 + 0.03 * abs(noise),
        "mean_token_accuracy": 0.95 - 0.5 * math.exp(-4 * share) + 0.005 * noise,
        "entropy": 2 * math.exp(-3 * share) + 0.2,
        "grad_norm": 1.5 + 0.2 * noise,
        "learning_rate": 1e-3 * (1 - share),
    }


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


def _evaluation(run: RunDir, when: str, items: int, share: float) -> Evaluation:
    chance = Random(f"{when} {share}")
    sampled = "".join("1" if chance.random() < share else "0" for _ in range(items - 1)) + "-"
    greedy = "".join("1" if chance.random() < share + 0.06 else "0" for _ in range(items - 1)) + "-"
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
        abstained=1,
        errors=0,
        mean_tokens=64.2,
        clipped=0.015,
        drafts=drafts if run.spec.draft_grader else None,
        samples=[_answer(item, sampled[item]) for item in range(run.spec.evaluation.samples_shown)],
        seconds=3.2,
    )


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
