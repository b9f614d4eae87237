"""What is taken elsewhere trains the same model: run for real, with this project out of reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app.protocol import AdapterTuning, EvaluationPlan, Python
from tests.engine.conftest import NAMES_THE_COLOUR, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

OUTSIDE = Path(__file__).with_name("without_project.py")

PLAN = EvaluationPlan(items=10, max_completion_length=8, checks=2, check_items=4)

LETTERS = Python(
    name="letters",
    source="def grade(sample, item):\n    return sum(c in item['colour'] for c in sample['output_text']) / 8",
)


def elsewhere(bundle, *arguments):
    """In the bundle's folder, with no more of the environment than a shell has."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-P", str(OUTSIDE), *arguments],
        cwd=bundle,
        env=known | offline,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def steps(log, *names):
    return [{name: entry[name] for name in names} for entry in log if names[0] in entry]


def metrics_of(bundle):
    return [json.loads(line) for line in (bundle / "metrics.jsonl").read_text().splitlines()]


def told(ended, *names):
    training = [m.values for m in ended.happenings("metric") if names[0] in m.values]
    return [{name: values[name] for name in names} for values in training]


def assert_alike(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.fixture(scope="module")
def sft(engines, micro_model, demonstrations):
    recipe = sft_recipe(
        epochs=1, tuning=AdapterTuning(kind="lora", rank=4, alpha=8), advanced={"weight_decay": 0.1}
    )
    return engines.run(recipe, micro_model, demonstrations, NAMES_THE_COLOUR, PLAN)


@pytest.mark.full
def test_sft_comes_out_the_same_by_the_script(sft, micro_model):
    assert sft.end.state.value == "succeeded", sft.end
    bundle = sft.dir.bundle_dir
    elsewhere(bundle, "train.py", str(micro_model))
    names = ("loss", "grad_norm", "learning_rate", "mean_token_accuracy")
    assert_alike(steps(metrics_of(bundle), *names), told(sft, *names))


def test_sft_comes_out_the_same_by_trls_own_command(sft, micro_model):
    total = str(sft.end.total_steps)
    bundle = sft.dir.bundle_dir
    start = ("--model_name_or_path", str(micro_model))
    kept = ("--save_strategy", "steps", "--save_steps", total, "--output_dir", "by_command")
    elsewhere(bundle, "trl", "sft", "--config", "sft.yaml", *start, *kept)
    state = json.loads((bundle / "by_command" / f"checkpoint-{total}" / "trainer_state.json").read_text())
    assert_alike(steps(state["log_history"], "loss", "grad_norm"), told(sft, "loss", "grad_norm"))


def test_grpo_comes_out_the_same_with_its_grader(engines, micro_model, prompts):
    grpo = engines.run(grpo_recipe(steps=3), micro_model, prompts, LETTERS, PLAN)
    assert grpo.end.state.value == "succeeded", grpo.end
    bundle = grpo.dir.bundle_dir
    elsewhere(bundle, "train.py", str(micro_model))
    names = ("reward", "loss", "entropy", "completions/mean_length")
    found = steps(metrics_of(bundle), *names)
    assert_alike(found, told(grpo, *names))
    assert found[0]["reward"] > 0


def test_the_bundle_names_versions_rows_and_where_to_start(sft):
    bundle = sft.dir.bundle_dir
    lines = (bundle / "requirements.txt").read_text().splitlines()
    assert all("==" in line and "+" not in line for line in lines)
    assert {"trl", "torch", "peft", "google-re2", "pydantic"} <= {line.split("==")[0] for line in lines}
    rows = [json.loads(line) for line in (bundle / "train.jsonl").read_text().splitlines()]
    assert rows[0]["completion"][0]["role"] == "assistant"
    assert len((bundle / "held_out.jsonl").read_text().splitlines()) == 10
    config = yaml.safe_load((bundle / "sft.yaml").read_text())
    assert config["weight_decay"] == 0.1
    assert config["lora_r"] == 4
    readme = (bundle / "README.md").read_text()
    assert "the local model micro" in readme
    assert (
        str(sft.dir.path)
        not in readme + (bundle / "sft.yaml").read_text() + (bundle / "train.py").read_text()
    )
