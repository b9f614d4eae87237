"""What a row and a token cost by GRPO and by SFT: same model, same task and lengths, same device.

    .venv/bin/python benchmarks/cost_ratio.py [--model DIR] [--steps 30] [--rounds 2] [--device cpu|cuda]

SFT learns from the demonstrations of the rulings, GRPO practises on their prompts with answers as long as
these, both with the settings that the product gives TRL. First the ratio and the parts of a GRPO step; then
one setting changed at a time, measured in the same rounds as the defaults, in an order that turns round.
Figures are medians over the rounds; the first update of each run is left out. All of them start from the
starter model after its warm start, and a held-out score stands beside each setting, so that none is cheap at
its expense. A setting that changes no token learns the same, so it is timed on fewer updates and not scored.

Prints tables and, last, one line of JSON.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from engine_overhead import found_starter, trained_starter

from app.datasets import generated
from app.datasets.rows import Row
from app.engine.trl_config import settings as trl_settings
from app.protocol import GeneratedDataset, RunSpec, StarterModel, TrainingRecipe
from app.worker.launchers.local import environment

CHILD = Path(__file__).parent / "timed_trl.py"
HELD_OUT = 256
BATCH = 64
"""Completions, or demonstrations, behind one update."""
WARM_UPDATES = 11
"""Three epochs of the 60 demonstrations of a warm start, 16 at a time."""

WARM_START = generated.starter_recipe("rulings", "sft", warm_start=True)
RECIPES: dict[str, TrainingRecipe] = {
    "sft": WARM_START.model_copy(update={"batch_size": BATCH, "micro_batch_size": BATCH}),
    "grpo": generated.starter_recipe("rulings", "grpo").model_copy(
        update={"batch_size": BATCH, "micro_batch_size": BATCH}
    ),
}


def as_trl(recipe: TrainingRecipe, device: str) -> dict[str, Any]:
    """What the product gives TRL, at a constant rate: a short run would otherwise end in its decay."""
    spec = RunSpec(
        name="cost ratio",
        model=StarterModel(),
        dataset=GeneratedDataset(name="rulings"),
        grader=generated.grader("rulings"),
        recipe=recipe,
    )
    on_cuda = device == "cuda"
    given = trl_settings(spec, on_cuda=on_cuda, bf16=on_cuda, recomputes=False)
    return given | {"lr_scheduler_type": "constant"}


@dataclass(frozen=True)
class Setting:
    name: str
    method: str
    changes: dict[str, Any] = field(default_factory=dict)

    changes_nothing_learned: bool = False

    def rows_a_step(self, asked: dict[str, Any]) -> int:
        """Demonstrations (packed together or not), or prompts."""
        batch = int(asked["per_device_train_batch_size"]) * int(asked.get("gradient_accumulation_steps", 1))
        return batch if self.method == "sft" else batch // int(asked["num_generations"])


QUARTERS = {"per_device_train_batch_size": BATCH // 4, "gradient_accumulation_steps": 4}

SETTINGS = (
    Setting("SFT, defaults", "sft"),
    Setting("SFT, rows packed", "sft", {"packing": True, "per_device_train_batch_size": BATCH // 2}),
    Setting("GRPO, defaults", "grpo"),
    Setting("groups of 4", "grpo", {"num_generations": 4}),
    Setting("groups of 16", "grpo", {"num_generations": 16}),
    Setting("updates in quarters", "grpo", QUARTERS),
    Setting("rollouts in quarters too", "grpo", QUARTERS | {"steps_per_generation": 1}),
    Setting("rollouts for 4 updates at once", "grpo", {"steps_per_generation": 4}),
    Setting(
        "no cache in rollouts",
        "grpo",
        {"generation_kwargs": {"use_cache": False}},
        changes_nothing_learned=True,
    ),
)


@dataclass
class Measured:
    seconds_a_row: float
    seconds_a_token: float
    rows: float
    """A second."""
    tokens: float
    """A second."""
    parts: dict[str, float]
    held_out: float | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a directory; without one the starter model")
    parser.add_argument("--steps", type=int, default=30, help="updates of each run that are counted")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--longest", type=int, default=96, help="tokens of a rollout at most")
    parser.add_argument("--vllm", action="store_true", help="also rollouts by vLLM, where it is installed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = given.model or found_starter() or trained_starter(Path(scratch))
        rows = written_rows(Path(scratch) / "rulings.jsonl")
        warm = warm_started(model, rows, given) if given.model is None else model
        tried = [*SETTINGS, *([Setting("rollouts by vLLM", "grpo", VLLM)] if given.vllm else [])]
        found: dict[str, list[dict[str, Any]]] = {each.name: [] for each in tried}
        for number in range(given.rounds):
            for each in tried if number % 2 == 0 else reversed(tried):
                found[each.name].append(run(each, warm, rows, given, number))
                print(f"  round {number + 1}: {each.name}", flush=True)
    measured = {each.name: middle(found[each.name]) for each in tried}
    print_tables(tried, measured)
    print(json.dumps(figures(tried, measured, given)))


VLLM = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.3}


def written_rows(path: Path) -> Path:
    """Prompts with demonstration and right ruling; then the held-out ones, which have the ruling alone."""
    task = generated.generate("rulings")
    learned = [row for row in task.train if row.is_demonstration]
    path.write_text("".join(f"{json.dumps(as_line(row))}\n" for row in (*learned, *task.held_out[:HELD_OUT])))
    return path


def as_line(row: Row) -> dict[str, Any]:
    turns = [turn.model_dump() for turn in row.messages]
    asked, answered = (turns[:-1], turns[-1:]) if row.is_demonstration else (turns, [])
    return {"messages": asked, "answered": answered, "answer": str(row.item["answer"])}


def warm_started(model: Path, rows: Path, given: Any) -> Path:
    """The starter after its warm start, from which GRPO has something to learn."""
    kept = rows.parent / "warm"
    settings = as_trl(WARM_START, given.device)
    at_first = WARM_START.max_demonstrations
    asked = asked_of_child("sft", model, rows, given, settings, steps=WARM_UPDATES) | {"keep": str(kept)}
    timed(asked | {"demonstrations": at_first, "rows_a_step": WARM_START.batch_size}, "the warm start")
    return kept


def run(setting: Setting, model: Path, rows: Path, given: Any, seed: int) -> dict[str, Any]:
    settings = as_trl(RECIPES[setting.method], given.device) | setting.changes
    if setting.method == "grpo":
        settings |= {"max_completion_length": given.longest}
    steps = max(4, given.steps // 6) if setting.changes_nothing_learned else given.steps
    asked = asked_of_child(setting.method, model, rows, given, settings, steps)
    scored = 0 if setting.changes_nothing_learned else HELD_OUT
    more = {"seed": seed, "rows_a_step": setting.rows_a_step(settings), "scored": scored}
    return timed(asked | more, setting.name)


def asked_of_child(
    method: str, model: Path, rows: Path, given: Any, settings: dict[str, Any], steps: int
) -> dict[str, Any]:
    return {
        "method": method,
        "model": str(model),
        "rows": str(rows),
        "out": str(rows.parent / "out"),
        "steps": steps,
        "seed": 0,
        "device": given.device,
        "settings": settings,
        "held_out": HELD_OUT,
        "scored": 0,
        "longest": given.longest,
    }


def timed(asked: dict[str, Any], name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(asked)],
        env=environment(1, asked["device"], online=False),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def middle(runs: list[dict[str, Any]]) -> Measured:
    row = median(each["seconds"] / each["rows"] for each in runs)
    token = median(each["seconds"] / each["tokens"] for each in runs)
    parts = {name: median(each["parts"][name] for each in runs) for name in runs[0]["parts"]}
    scores = [each["held_out"] for each in runs if each["held_out"] is not None]
    return Measured(row, token, 1 / row, 1 / token, parts, median(scores) if scores else None)


def figures(tried: list[Setting], measured: dict[str, Measured], given: Any) -> dict[str, Any]:
    sft, grpo = measured["SFT, defaults"], measured["GRPO, defaults"]
    parts = {name: round(seconds, 4) for name, seconds in grpo.parts.items()}
    whole = sum(grpo.parts.values())
    return {
        "per_row": round(grpo.seconds_a_row / sft.seconds_a_row, 2),
        "per_token": round(grpo.seconds_a_token / sft.seconds_a_token, 2),
        "rollout_share": round(grpo.parts["rollouts"] / whole, 3),
        "grpo_step_seconds": parts,
        "settings": {
            each.name: {
                "rows_per_second": round(measured[each.name].rows, 3),
                "tokens_per_second": round(measured[each.name].tokens, 1),
                "of_default": round(cost_beside_default(each, measured), 3),
                "held_out": measured[each.name].held_out,
            }
            for each in tried
        },
        "device": given.device,
        "steps": given.steps,
        "rounds": given.rounds,
    }


def cost_beside_default(setting: Setting, measured: dict[str, Measured]) -> float:
    """Seconds a row, as a multiple of the method's defaults."""
    usual = measured["SFT, defaults" if setting.method == "sft" else "GRPO, defaults"]
    return measured[setting.name].seconds_a_row / usual.seconds_a_row


def print_tables(tried: list[Setting], measured: dict[str, Measured]) -> None:
    sft, grpo = measured["SFT, defaults"], measured["GRPO, defaults"]
    print(f"\n{'':34}{'rows/s':>9}{'tokens/s':>10}{'cost a row':>12}{'GRPO : SFT':>12}{'held out':>10}")
    for each in tried:
        found = measured[each.name]
        ratio = found.seconds_a_row / sft.seconds_a_row if each.method == "grpo" else math.nan
        beside = "" if math.isnan(ratio) else f"{ratio:.1f}"
        print(
            f"{each.name:34}{found.rows:9.2f}{found.tokens:10.0f}{cost_beside_default(each, measured):12.2f}"
            f"{beside:>12}{'' if found.held_out is None else f'{found.held_out:.1%}':>10}"
        )
    print(
        f"\nA row costs {grpo.seconds_a_row / sft.seconds_a_row:.1f} times as much by GRPO as by SFT, "
        f"a token {grpo.seconds_a_token / sft.seconds_a_token:.1f} times.\n\nA GRPO step with the defaults:"
    )
    whole = sum(grpo.parts.values())
    for name, seconds in grpo.parts.items():
        print(f"  {name:28}{seconds:8.3f} s{seconds / whole:8.1%}")


if __name__ == "__main__":
    main()
