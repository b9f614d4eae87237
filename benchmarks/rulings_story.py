"""How much better the starter model becomes at rulings: a short SFT warm start, then GRPO.

    .venv/bin/python benchmarks/rulings_story.py [--starter DIR] [--clauses] [--warm-rate RATE] [...]

Engines run as the worker starts them, each in a run directory of its own. `--starter` names a starter model's
directory made earlier. Prints a table (held-out rulings, sampled as in the rollouts, with Wilson's 95 %
intervals; greedy beside it; McNemar between neighbours) and, last, one line of JSON.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

from app.datasets import generated
from app.graders.comparison import mcnemar
from app.protocol import (
    EndEvent,
    Evaluation,
    EvaluationEvent,
    GeneratedDataset,
    LogEvent,
    Recipe,
    RunSpec,
    RunState,
    StarterModel,
    StarterRecipe,
)
from app.run_dir import Accepted, Inputs, RunDir, create_run_dir
from app.worker.launchers.local import environment, launch

PAUSE_SECONDS = 0.2

TaskName = Literal["rulings", "clauses", "impossible", "mastered"]


@dataclass
class Stage:
    name: str
    steps: int
    wall_seconds: float
    cpu_seconds: float
    training_seconds: float
    """From the first metric to the last."""


@dataclass
class Measured:
    name: str
    sampled: float
    low: float
    high: float
    greedy: float
    mended: str
    spoiled: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--starter", type=lambda given: Path(given).resolve(), help="a starter model made earlier"
    )
    parser.add_argument("--keep", type=Path, help="keep the run directories here")
    parser.add_argument("--clauses", action="store_true", help="train on clauses with SFT as well")
    parser.add_argument("--warm-rate", type=float, help="another learning rate for the warm start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.keep or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        Story(root, given.seed, given.threads).tell(given.starter, given.clauses, given.warm_rate)


class Story:
    def __init__(self, root: Path, seed: int, threads: int) -> None:
        self._root, self._seed, self._threads = root, seed, threads
        self._stages: list[Stage] = []
        self._notes: list[str] = []

    def tell(self, starter: Path | None, with_clauses: bool, warm_rate: float | None) -> None:
        starter = starter or self._starter()
        warm_start = generated.starter_recipe("rulings", "sft", warm_start=True)
        if warm_rate:
            warm_start = warm_start.model_copy(update={"learning_rate": warm_rate})
        warm = self._trained("SFT", "rulings", warm_start, starter)
        grpo = self._trained(
            "GRPO", "rulings", generated.starter_recipe("rulings", "grpo"), warm.model_dir, warm
        )
        clauses = None
        if with_clauses:
            clauses = self._trained("clauses", "clauses", generated.starter_recipe("clauses", "sft"), starter)
        report(self._stages, self._notes, warm, grpo, clauses)

    def _starter(self) -> Path:
        spec = RunSpec(name="Starter", model=StarterModel(), recipe=StarterRecipe())
        run_dir, *cost = trained(self._root, spec, None, self._threads)
        self._stages.append(stage("starter", run_dir, *cost))
        self._notes += notes(run_dir)
        return run_dir.model_dir

    def _trained(
        self, name: str, task: TaskName, recipe: Recipe, model: Path, after: RunDir | None = None
    ) -> RunDir:
        spec = RunSpec(
            name=name,
            model=StarterModel(),
            starts_from=UUID(after.path.name) if after else None,
            dataset=GeneratedDataset(name=task),
            grader=generated.grader(task),
            draft_grader=generated.draft_grader(task),
            recipe=recipe,
            evaluation=generated.EVALUATION,
            seed=self._seed,
        )
        run_dir, *cost = trained(self._root, spec, model, self._threads)
        self._stages.append(stage(name, run_dir, *cost))
        return run_dir


def trained(root: Path, spec: RunSpec, model: Path | None, threads: int) -> tuple[RunDir, float, float]:
    """The run directory, wall seconds and CPU seconds of its engine."""
    run_dir = create_run_dir(root, uuid4(), spec, Accepted(order=1, at=time.time()))
    run_dir.write_inputs(
        Inputs(
            model_dir=str(model) if model else None,
            dataset_file=None,
            device="cpu",
            threads=threads,
            starter_cache=str(root),
        )
    )
    lock = run_dir.take_lock()
    assert lock is not None
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    engine = launch(run_dir, "app.engine", lock, environment(threads, "cpu", online=False))
    os.close(lock)
    while engine.is_running():
        time.sleep(PAUSE_SECONDS)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    verdict = run_dir.verdict()
    if verdict is None or not isinstance(verdict.what, EndEvent) or verdict.what.state != RunState.SUCCEEDED:
        raise SystemExit(f"{spec.name} did not succeed: {verdict and verdict.what}\n{run_dir.log_tail()}")
    return run_dir, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stage(name: str, run_dir: RunDir, wall: float, cpu: float) -> Stage:
    times = [event.at for event in run_dir.events(limit=1_000_000) if event.what.kind == "metric"]
    return Stage(name, len(times), wall, cpu, times[-1] - times[0])


def notes(run_dir: RunDir) -> list[str]:
    return [event.what.line for event in run_dir.events(limit=1_000_000) if isinstance(event.what, LogEvent)]


def evaluation(run_dir: RunDir, when: str) -> Evaluation:
    events = (event.what for event in run_dir.events(limit=1_000_000))
    return next(e.evaluation for e in events if isinstance(e, EvaluationEvent) and e.evaluation.when == when)


def measured(name: str, found: Evaluation) -> Measured:
    drafts = found.drafts
    return Measured(
        name=name,
        sampled=found.sampled.value,
        low=found.sampled.interval.low,
        high=found.sampled.interval.high,
        greedy=found.greedy.value,
        mended=f"{drafts.mended}/{drafts.wrong}" if drafts else "-",
        spoiled=f"{drafts.spoiled}/{drafts.right}" if drafts else "-",
    )


def report(stages: list[Stage], notes: list[str], warm: RunDir, grpo: RunDir, clauses: RunDir | None) -> None:
    start, middle, end = evaluation(warm, "before"), evaluation(warm, "after"), evaluation(grpo, "after")
    rulings = [measured("start", start), measured("SFT", middle), measured("SFT, GRPO", end)]
    others = [measured(when, evaluation(clauses, when)) for when in ("before", "after")] if clauses else []
    print_table("rulings", rulings)
    sft_p = mcnemar(start.sampled_outcomes, middle.sampled_outcomes)
    grpo_p = mcnemar(middle.sampled_outcomes, end.sampled_outcomes)
    print(f"McNemar, sampled: SFT against start p = {sft_p:.2g}, GRPO against SFT p = {grpo_p:.2g}")
    if others:
        print_table("clauses", others)
    for each in stages:
        print(
            f"{each.name:8} {each.steps:4} steps, training {each.training_seconds:6.1f} s, "
            f"whole run {each.wall_seconds:6.1f} s, CPU {each.cpu_seconds:6.1f} s"
        )
    result = {
        "measured": [asdict(row) for row in rulings],
        "mcnemar": {"sft": sft_p, "grpo": grpo_p},
        "clauses": [asdict(row) for row in others],
        "base_rates": notes,
        "base_rates_as_expected": all("as expected" in note for note in notes),
        "stages": [asdict(each) for each in stages],
    }
    print(json.dumps(result))


def print_table(task: str, rows: list[Measured]) -> None:
    print(f"{task:10} {'sampled':>8} {'95 %':>15} {'greedy':>7} {'mended':>10} {'spoiled':>10}")
    for row in rows:
        interval = f"{row.low:.1%}-{row.high:.1%}"
        print(
            f"{row.name:10} {row.sampled:8.1%} {interval:>15} {row.greedy:7.1%} "
            f"{row.mended:>10} {row.spoiled:>10}"
        )


if __name__ == "__main__":
    main()
