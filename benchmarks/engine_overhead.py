"""What the engine adds to the time of the same training as a bare TRL script, evaluation off in both.

    .venv/bin/python benchmarks/engine_overhead.py [--pairs 8] [--seconds 60] [--methods sft grpo] [...]

Pairs are interleaved, and each begins with the other side. A process is timed from its start to its end,
imports and saving the model included, on one thread. The ratio is the median over the pairs of engine to
script, with the distribution-free interval of a median (order statistics). Prints a table and, last, one
line of JSON.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import uuid4

from app.datasets import generated
from app.protocol import (
    EndEvent,
    EvaluationPlan,
    GeneratedDataset,
    GrpoRecipe,
    RunSpec,
    RunState,
    SftRecipe,
    StarterModel,
    StarterRecipe,
)
from app.run_dir import Accepted, Inputs, RunDir, create_run_dir
from app.worker.launchers.local import environment, launch
from app.worker.starter_run import starter_id

HERE = Path(__file__).parent
TASKS = {"sft": "clauses", "grpo": "rulings"}
TRIAL_STEPS = {"sft": 60, "grpo": 6}
"""Of the first run, which tells how many steps fill the wanted time."""

NOT_MEASURED = EvaluationPlan(items=1, max_completion_length=1, samples_shown=0, baseline="skip", checks=0)


@dataclass
class Took:
    wall: float
    cpu: float


@dataclass
class Pair:
    script: Took
    engine: Took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60, help="the least that a script's run takes")
    parser.add_argument("--methods", nargs="+", choices=["sft", "grpo"], default=["sft", "grpo"])
    parser.add_argument("--starter", type=Path, help="a starter model's directory, made earlier")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        starter = given.starter or found_starter() or trained_starter(Path(scratch))
        found = {
            method: Contest(method, starter, Path(scratch)).hold(given.pairs, given.seconds)
            for method in given.methods
        }
    print_table(found)
    print(json.dumps({method: figures(pairs) for method, pairs in found.items()}))


class Contest:
    """One method, trained by the script and by the engine in turn."""

    def __init__(self, method: str, starter: Path, scratch: Path) -> None:
        self._method, self._starter, self._scratch = method, starter, scratch
        self._rows = scratch / f"{method}.jsonl"
        self._count = write_rows(method, self._rows)

    def hold(self, pairs: int, seconds: float) -> list[Pair]:
        steps = self._steps_for(seconds)
        print(f"{self._method}: {steps} steps a run, {pairs} pairs", flush=True)
        return [self._pair(steps, seed) for seed in range(pairs)]

    def _steps_for(self, seconds: float) -> int:
        """Two trials, so that imports and loading are not taken for training."""
        few = TRIAL_STEPS[self._method]
        short = self._script(few, 0).wall
        long = self._script(3 * few, 0).wall
        a_step = (long - short) / (2 * few)
        return max(few, math.ceil((seconds * 1.05 - short) / a_step) + few)

    def _pair(self, steps: int, seed: int) -> Pair:
        sides: list[Callable[[int, int], Took]] = [self._script, self._engine]
        if seed % 2:
            script, engine = (side(steps, seed) for side in sides)
        else:
            engine, script = (side(steps, seed) for side in reversed(sides))
        print(
            f"  pair {seed + 1}: script {script.wall:6.1f} s, engine {engine.wall:6.1f} s, "
            f"ratio {engine.wall / script.wall:.3f} (CPU {engine.cpu / script.cpu:.3f})",
            flush=True,
        )
        return Pair(script, engine)

    def _script(self, steps: int, seed: int) -> Took:
        out = self._scratch / f"script-{uuid4()}"
        command = [sys.executable, str(HERE / "bare_trl.py"), self._method, str(self._starter)]
        command += [str(self._rows), str(out), str(steps), str(seed)]
        with Stopwatch() as watch:
            subprocess.run(command, check=True, env=environment(1, "cpu", online=False), capture_output=True)
        return watch.took

    def _engine(self, steps: int, seed: int) -> Took:
        run_dir = create_run_dir(
            self._scratch, uuid4(), self._spec(steps, seed), Accepted(order=1, at=time.time())
        )
        run_dir.write_inputs(inputs(self._starter, self._scratch))
        with Stopwatch() as watch:
            run_to_its_end(run_dir)
        return watch.took

    def _spec(self, steps: int, seed: int) -> RunSpec:
        task = TASKS[self._method]
        return RunSpec(
            name="overhead",
            model=StarterModel(),
            dataset=GeneratedDataset.model_validate({"name": task}),
            grader=generated.grader(task),
            recipe=self._recipe(steps),
            evaluation=NOT_MEASURED,
            seed=seed,
        )

    def _recipe(self, steps: int) -> SftRecipe | GrpoRecipe:
        shared = {"lr_scheduler": "constant", "warmup_ratio": 0.0}
        if self._method == "grpo":
            return GrpoRecipe(
                learning_rate=5e-5,
                batch_size=64,
                micro_batch_size=64,
                num_generations=8,
                max_completion_length=96,
                steps=steps,
                **shared,
            )
        epochs = steps / math.ceil(self._count / 32)
        return SftRecipe(
            learning_rate=1e-3, batch_size=32, micro_batch_size=32, max_length=256, epochs=epochs, **shared
        )


class Stopwatch:
    """Wall time, and the CPU time of the processes that ended meanwhile."""

    def __enter__(self) -> "Stopwatch":
        self._before, self._began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - self._began
        cpu = after.ru_utime + after.ru_stime - self._before.ru_utime - self._before.ru_stime
        self.took = Took(wall, cpu)


def write_rows(method: str, path: Path) -> int:
    """The rows that the engine takes of the same generated task."""
    train = generated.generate(TASKS[method]).train
    rows = [row for row in train if row.is_demonstration == (method == "sft")]
    lines = [
        json.dumps({"messages": [turn.model_dump() for turn in row.messages], **row.item}) + "\n"
        for row in rows
    ]
    path.write_text("".join(lines))
    return len(rows)


def inputs(model: Path | None, cache: Path) -> Inputs:
    return Inputs(
        model_dir=str(model) if model else None,
        dataset_file=None,
        device="cpu",
        threads=1,
        starter_cache=str(cache),
    )


def run_to_its_end(run_dir: RunDir) -> None:
    lock = run_dir.take_lock()
    assert lock is not None
    engine = launch(run_dir, "app.engine", lock, environment(1, "cpu", online=False))
    os.close(lock)
    while engine.is_running():
        time.sleep(0.02)
    verdict = run_dir.verdict()
    if verdict is None or not isinstance(verdict.what, EndEvent) or verdict.what.state != RunState.SUCCEEDED:
        raise SystemExit(
            f"the engine's run did not succeed: {verdict and verdict.what}\n{run_dir.log_tail()}"
        )


def found_starter() -> Path | None:
    """That of `make up`, where it has been trained."""
    model = Path(".data/runs") / str(starter_id(0)) / "model"
    return model.resolve() if model.is_dir() else None


def trained_starter(scratch: Path) -> Path:
    print("training the starter model first", flush=True)
    spec = RunSpec(name="Starter", model=StarterModel(), recipe=StarterRecipe())
    run_dir = create_run_dir(scratch, uuid4(), spec, Accepted(order=1, at=time.time()))
    run_dir.write_inputs(inputs(None, scratch))
    run_to_its_end(run_dir)
    return run_dir.model_dir


# What it came to


def figures(pairs: list[Pair]) -> dict[str, object]:
    wall = sorted(pair.engine.wall / pair.script.wall for pair in pairs)
    cpu = sorted(pair.engine.cpu / pair.script.cpu for pair in pairs)
    low, high, confidence = interval_of_median(len(pairs))
    return {
        "ratio": round(median(wall), 4),
        "interval": [round(wall[low], 4), round(wall[high], 4)],
        "confidence": round(confidence, 3),
        "cpu_ratio": round(median(cpu), 4),
        "cpu_interval": [round(cpu[low], 4), round(cpu[high], 4)],
        "pairs": len(pairs),
        "script_seconds": round(median(pair.script.wall for pair in pairs), 1),
    }


def interval_of_median(n: int) -> tuple[int, int, float]:
    """Places of the two order statistics that enclose the median with at least 95 %, where n allows it."""
    for low in range(n // 2, -1, -1):
        inside = 1 - 2 * sum(math.comb(n, k) for k in range(low + 1)) / 2**n
        if inside >= 0.95 or low == 0:
            return low, n - 1 - low, inside
    return 0, n - 1, 0.0


def print_table(found: dict[str, list[Pair]]) -> None:
    print(f"{'method':8} {'script s':>9} {'engine s':>9} {'ratio':>7} {'interval':>15} {'CPU ratio':>10}")
    for method, pairs in found.items():
        said = figures(pairs)
        low, high = said["interval"]
        script, engine = (median(getattr(p, side).wall for p in pairs) for side in ("script", "engine"))
        print(
            f"{method:8} {script:9.1f} {engine:9.1f} "
            f"{said['ratio']:7.3f} {f'{low:.3f}-{high:.3f}':>15} {said['cpu_ratio']:10.3f}"
        )


if __name__ == "__main__":
    main()
