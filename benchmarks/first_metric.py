"""From a launch to its first training metric, against a bare TRL script until it prints its first step.

    .venv/bin/python benchmarks/first_metric.py [--pairs 6] [--methods sft grpo] [--starter DIR]

The worker is as after `make up`: one engine waits with its imports done, and the starting model is measured
later. A launch is timed from the PUT to the worker until its first event with a loss can be read there, the
script from its start until its first line with one. Pairs are interleaved, and each begins with the other
side; the next begins once an engine waits again. The ratio is the median over the pairs. Prints a table and,
last, one line of JSON; its `ratio` is that of the slower method.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from uuid import uuid4

import httpx
import uvicorn
from engine_overhead import HERE, TASKS, found_starter, interval_of_median, trained_starter, write_rows

from app.datasets import generated
from app.protocol import (
    EvaluationPlan,
    GeneratedDataset,
    GrpoRecipe,
    LocalModel,
    RunSpec,
    SftRecipe,
)
from app.settings import WorkerSettings
from app.worker.launchers.local import environment
from app.worker.main import create_app

TOKEN = "a-token-for-the-benchmark"
STEPS = 1000
"""More than anybody waits for: both sides are ended after their first."""
PATIENCE_SECONDS = 300
LATER = EvaluationPlan(baseline="later")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--methods", nargs="+", choices=["sft", "grpo"], default=["sft", "grpo"])
    parser.add_argument("--starter", type=Path, help="a starter model's directory, made earlier")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        starter = given.starter or found_starter() or trained_starter(Path(scratch))
        shutil.copytree(starter, Path(scratch) / "models" / "starter")
        with worker(Path(scratch)) as http:
            found = {m: contest(m, http, Path(scratch), given.pairs) for m in given.methods}
    print_table(found)
    said = {method: figures(pairs) for method, pairs in found.items()}
    print(json.dumps({"ratio": max(each["ratio"] for each in said.values()), **said}))


@contextmanager
def worker(scratch: Path) -> Iterator[httpx.Client]:
    settings = WorkerSettings(
        data_dir=scratch / "worker",
        models_dir=scratch / "models",
        token=TOKEN,
        prepare_starter=False,
        min_free_bytes=0,
        device="cpu",
        threads=1,
        warm_engines=1,
    )
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, "the worker's start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        ) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join()


def contest(method: str, http: httpx.Client, scratch: Path, pairs: int) -> list[tuple[float, float]]:
    """Seconds of script and launch, a pair at a time."""
    rows = scratch / f"{method}.jsonl"
    write_rows(method, rows)
    took = []
    for number in range(pairs):
        until(lambda: http.get("/health").json()["warm_engines"] == 1, "a waiting engine")
        script_side = partial(script_seconds, method, rows, scratch, number)
        launch_side = partial(launch_seconds, method, http, number)
        if number % 2:
            launch, script = launch_side(), script_side()
        else:
            script, launch = script_side(), launch_side()
        took.append((script, launch))
        print(
            f"  {method} pair {number + 1}: script {script:5.1f} s, launch {launch:5.1f} s, "
            f"ratio {launch / script:.3f}",
            flush=True,
        )
    return took


def script_seconds(method: str, rows: Path, scratch: Path, seed: int) -> float:
    command = [sys.executable, str(HERE / "bare_trl.py"), method, str(scratch / "models" / "starter")]
    command += [str(rows), str(scratch / f"script-{uuid4()}"), str(STEPS), str(seed)]
    began = time.monotonic()
    with subprocess.Popen(
        command,
        env=environment(1, "cpu", online=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = next((line for line in process.stdout if "'loss'" in line), None)
        took = time.monotonic() - began
        process.kill()
    if said is None:
        raise SystemExit("the script printed no loss")
    return took


def launch_seconds(method: str, http: httpx.Client, seed: int) -> float:
    run_id, wanted = uuid4(), spec(method, seed)
    began = time.monotonic()
    http.put(
        f"/runs/{run_id}", content=wanted.model_dump_json(), headers={"Content-Type": "application/json"}
    ).raise_for_status()
    cursor = 0

    def has_a_loss() -> bool:
        nonlocal cursor
        page = http.get(f"/runs/{run_id}/events", params={"after": cursor}).json()
        cursor = page["status"]["last_seq"] if page["events"] else cursor
        if page["status"]["state"] == "failed":
            raise SystemExit(f"the run failed: {page['status']['detail']}")
        return any("loss" in event["what"].get("values", ()) for event in page["events"])

    until(has_a_loss, "the first metric")
    took = time.monotonic() - began
    http.post(f"/runs/{run_id}/cancel").raise_for_status()
    until(lambda: http.get(f"/runs/{run_id}").json()["state"] == "cancelled", "its end")
    return took


def spec(method: str, seed: int) -> RunSpec:
    """The script's settings."""
    task = TASKS[method]
    shared = {"lr_scheduler": "constant", "warmup_ratio": 0.0}
    recipe: SftRecipe | GrpoRecipe
    if method == "sft":
        recipe = SftRecipe(
            learning_rate=1e-3, batch_size=32, micro_batch_size=32, max_length=256, epochs=100, **shared
        )
    else:
        recipe = GrpoRecipe(
            learning_rate=5e-5,
            batch_size=64,
            micro_batch_size=64,
            num_generations=8,
            max_completion_length=96,
            steps=STEPS,
            **shared,
        )
    return RunSpec(
        name="first metric",
        model=LocalModel(name="starter"),
        dataset=GeneratedDataset.model_validate({"name": task}),
        grader=generated.grader(task),
        recipe=recipe,
        evaluation=LATER,
        seed=seed,
    )


def until(question: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not question():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} never came")
        time.sleep(0.01)


def figures(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = sorted(launch / script for script, launch in pairs)
    low, high, confidence = interval_of_median(len(ratios))
    return {
        "ratio": round(median(ratios), 3),
        "low": round(ratios[low], 3),
        "high": round(ratios[high], 3),
        "confidence": round(confidence, 3),
        "pairs": len(pairs),
        "script_seconds": round(median(script for script, _ in pairs), 2),
        "launch_seconds": round(median(launch for _, launch in pairs), 2),
    }


def print_table(found: dict[str, list[tuple[float, float]]]) -> None:
    print(f"{'method':8} {'script s':>9} {'launch s':>9} {'ratio':>7} {'interval':>15}")
    for method, pairs in found.items():
        said = figures(pairs)
        print(
            f"{method:8} {said['script_seconds']:9.2f} {said['launch_seconds']:9.2f} {said['ratio']:7.3f} "
            f"{said['low']:7.3f} to {said['high']:.3f}"
        )
    print(f"{os.cpu_count()} cores; one thread on either side")


if __name__ == "__main__":
    main()
