"""LoRA SFT and GRPO in bf16 on half a billion random parameters; prints memory and speed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.protocol import AdapterTuning, EvaluationPlan
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe

HAS_GPU = shutil.which("nvidia-smi") is not None

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.engine,
    pytest.mark.skipif(not HAS_GPU, reason="needs a CUDA device"),
]

LORA = AdapterTuning(kind="lora")
PLAN = EvaluationPlan(items=16, max_completion_length=32, checks=0)


@pytest.fixture(scope="module")
def half_a_billion(tmp_path_factory):
    """The shape of Qwen2.5-0.5B with random weights."""
    folder = tmp_path_factory.mktemp("models") / "half-a-billion"
    subprocess.run([sys.executable, "-m", "tests.engine.micro_model", str(folder), "1.0", "0.5B"], check=True)
    return folder


def trained(engines, recipe, model, rows, grader):
    run_dir = engines.prepare(recipe, model, rows, grader, PLAN)
    run_dir.write_inputs(run_dir.inputs.model_copy(update={"device": "cuda"}))
    process = engines.start(run_dir, "tests.engine.peak_memory", device="cuda")
    return engines.wait(run_dir, process)


def peak_gib(ended) -> float:
    return json.loads((Path(ended.dir.path) / "peak.json").read_text())["peak_gib"]


def test_lora_sft_in_bf16(engines, half_a_billion, demonstrations, capsys):
    recipe = sft_recipe(learning_rate=2e-4, epochs=4, tuning=LORA)
    ended = trained(engines, recipe, half_a_billion, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.state.value == "succeeded", ended.end
    assert ended.metrics("loss")[-1] < ended.metrics("loss")[0]
    with capsys.disabled():
        tell("SFT LoRA", ended)


def test_lora_grpo_in_bf16(engines, half_a_billion, prompts, capsys):
    recipe = grpo_recipe(learning_rate=1e-5, steps=8, max_completion_length=64, tuning=LORA)
    ended = trained(engines, recipe, half_a_billion, prompts, SAYS_E)
    assert ended.end.state.value == "succeeded", ended.end
    assert all(length > 0 for length in ended.metrics("completions/mean_length"))
    with capsys.disabled():
        tell("GRPO LoRA", ended)


def tell(what, ended):
    """Beside the published rule of thumb for this size, short context: 2 GB, and 4 to 5 GB for GRPO."""
    rule = "2 GB" if what.startswith("SFT") else "4 to 5 GB"
    seconds = [event.at for event in ended.dir.events(limit=100_000) if event.what.kind == "metric"]
    a_step = (seconds[-1] - seconds[1]) / max(1, len(seconds) - 2)
    sys.stdout.write(
        f"\n{what}: peak {peak_gib(ended):.2f} GiB, {a_step:.2f} s a step; rule of thumb {rule}\n"
    )
