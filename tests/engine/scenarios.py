"""Runs of the starter model that fail in a known way, and the worked examples, which do not.

    .venv/bin/python -m tests.engine.scenarios STARTER_DIR [NAME...]

trains those named (all, without names) and writes what their rules saw to tests/engine/recorded/NAME.json,
with the findings that it led to. The normal suite holds the rules against these series; `make test-all`
trains the scenarios anew.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.datasets import generated
from app.protocol import (
    EvaluationPlan,
    GeneratedDataset,
    GrpoRecipe,
    Regex,
    RunSpec,
    SftRecipe,
    StarterModel,
    UploadedDataset,
)
from app.run_dir import Accepted, Inputs, create_run_dir
from tests.engine.conftest import Ended, Engines, write_rows

RECORDED = Path(__file__).parent / "recorded"

PLAN = generated.EVALUATION.model_copy(update={"items": 200, "samples_shown": 5})

RULING, CLAUSES = generated.grader("rulings"), generated.grader("clauses")
ALWAYS_PAYS = Regex(name="anything", pattern=".", match="any")
PAYS_FOR_A_WORD = Regex(name="void", pattern="Ruling: void", match="any")

SFT, GRPO = generated.starter_recipe("clauses", "sft"), generated.starter_recipe("rulings", "grpo")
WARM_START = generated.starter_recipe("rulings", "sft", warm_start=True)

KEPT = (
    "loss",
    "grad_norm",
    "entropy",
    "mean_token_accuracy",
    "reward",
    "frac_reward_zero_std",
    "grader/errors",
    "kl",
    "completions/clipped_ratio",
    "completions/mean_length",
)


def few_clauses() -> list[dict[str, Any]]:
    return _clauses(40, lambda answer: answer)


def padded_clauses() -> list[dict[str, Any]]:
    """Each record inside a courtesy, beside the record that was wanted."""
    return _clauses(
        400,
        lambda answer: (
            f"Thank you for asking. The clause says: {answer} The clause was read twice for you. "
            "The party shall keep the papers secret and the days are counted from the day of the notice."
        ),
    )


def _clauses(train: int, answered: Callable[[str], str]) -> list[dict[str, Any]]:
    """A fifth of the rows is held out of any file."""
    split = generated.generate("clauses")
    return [
        {
            "messages": [
                {"role": "user", "content": row.prompt[-1].content},
                {"role": "assistant", "content": answered(row.answer or "")},
            ],
            "reference": row.answer,
        }
        for row in (*split.train, *split.held_out)[: train * 5 // 4]
    ]


@dataclass(frozen=True)
class Scenario:
    what: str
    recipe: SftRecipe | GrpoRecipe
    expected: frozenset[str] = frozenset()
    """Rules that have to speak up; a worked example has none, and then nothing may."""
    task: str = "rulings"
    rows: Callable[[], list[dict[str, Any]]] | None = None
    after: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    plan: EvaluationPlan = PLAN

    @property
    def is_healthy(self) -> bool:
        return not self.expected


def changed(recipe: Any, **changes: Any) -> Any:
    return recipe.model_copy(update=changes)


SMALLER = changed(GRPO, batch_size=64, micro_batch_size=64, steps=40)

SCENARIOS: dict[str, Scenario] = {
    "healthy_warm_start": Scenario("SFT warm start on rulings, as shipped", WARM_START),
    "healthy_grpo": Scenario("GRPO on rulings, as shipped", GRPO, after="healthy_warm_start"),
    "healthy_clauses": Scenario("SFT on clauses, as shipped", SFT, task="clauses"),
    "sft_tenfold": Scenario(
        "SFT on clauses with ten times the learning rate",
        changed(SFT, learning_rate=SFT.learning_rate * 10),
        frozenset({"loss_climbs"}),
        task="clauses",
    ),
    "grpo_tenfold": Scenario(
        "GRPO on rulings with ten times the learning rate",
        changed(SMALLER, learning_rate=GRPO.learning_rate * 10, steps=30),
        frozenset({"signal_lost"}),
        after="healthy_warm_start",
    ),
    "constant_grader": Scenario(
        "GRPO under a grader that pays for any answer",
        changed(GRPO, steps=25, batch_size=32, micro_batch_size=32),
        frozenset({"never_any_signal"}),
        changes={"grader": ALWAYS_PAYS},
    ),
    "gamed_grader": Scenario(
        "GRPO under a grader that pays for the word “void”; the true grader only watches",
        SMALLER,
        frozenset({"reward_hacked"}),
        after="healthy_warm_start",
        changes={"grader": PAYS_FOR_A_WORD, "independent_graders": [RULING]},
    ),
    "forty_rows": Scenario(
        "SFT on forty clauses for a hundred epochs",
        changed(SFT, epochs=100.0, learning_rate=3e-3),
        frozenset({"over_fits"}),
        task="clauses",
        rows=few_clauses,
    ),
    "padded_answers": Scenario(
        "SFT on clauses whose records are wrapped in courtesies",
        changed(SFT, epochs=4.0, learning_rate=3e-3),
        frozenset({"very_verbose", "defers"}),
        task="clauses",
        rows=padded_clauses,
        changes={"on_finding": "warn"},
        plan=PLAN.model_copy(update={"max_completion_length": 64, "items": 60, "check_items": 24}),
    ),
}


def trained(engines: Engines, root: Path, name: str, model: Path) -> Ended:
    scenario = SCENARIOS[name]
    file = write_rows(root / f"{name}.jsonl", scenario.rows()) if scenario.rows else None
    spec = RunSpec(
        name=name,
        model=StarterModel(),
        dataset=UploadedDataset(sha256="0" * 64) if file else GeneratedDataset(name=scenario.task),
        recipe=scenario.recipe,
        evaluation=scenario.plan,
        **{"grader": generated.grader(scenario.task)} | dict(scenario.changes),
    )
    run_dir = create_run_dir(root, uuid4(), spec, Accepted(order=1, at=0.0))
    run_dir.write_inputs(
        Inputs(
            model_dir=str(model),
            dataset_file=str(file) if file else None,
            device="cpu",
            threads=1,
            starter_cache=str(root),
        )
    )
    return Ended(run_dir, engines.start(run_dir).wait())


def series(ended: Ended) -> dict[str, dict[str, list[Any]]]:
    """Metric -> its steps and values, four digits each."""
    found: dict[str, dict[str, list[Any]]] = {}
    for metric in ended.happenings("metric"):
        for name, value in metric.values.items():
            if name in KEPT or name.startswith(("held_out/", "rewards/")):
                line = found.setdefault(name, {"steps": [], "values": []})
                line["steps"].append(metric.step)
                line["values"].append(None if value is None else float(f"{value:.4g}"))
    return found


def record(name: str, ended: Ended) -> None:
    scenario = SCENARIOS[name]
    content = {
        "what": scenario.what,
        "method": scenario.recipe.kind,
        "findings": sorted({finding.rule for finding in ended.happenings("health")}),
        "metrics": series(ended),
    }
    (RECORDED / f"{name}.json").write_text(json.dumps(content) + "\n")


def main(starter: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root, models = Path(scratch), {None: starter}
        engines = Engines(root)
        for name, scenario in SCENARIOS.items():
            is_needed = any(SCENARIOS[each].after == name for each in names)
            if names and name not in names and not is_needed:
                continue
            ended = trained(engines, root, name, models[scenario.after])
            models[name] = ended.dir.model_dir
            record(name, ended)
            found = {finding.rule: finding.step for finding in ended.happenings("health")}
            sys.stdout.write(f"{name}: {ended.end.state.value} after {ended.end.steps_done} steps, {found}\n")
            sys.stdout.flush()
        engines.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
