"""LoRA SFT and GRPO in bf16 on half a billion random parameters: memory and speed beside the estimates."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest

from app.advisor.memory import GIB, Rollouts, grpo_parts, training_parts
from app.advisor.throughput import Machine, grpo_step, sft_step_seconds
from app.engine.weight_files import parameters
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
        tell("SFT LoRA", ended, half_a_billion, demonstrations)


def test_lora_grpo_in_bf16(engines, half_a_billion, prompts, capsys):
    recipe = grpo_recipe(learning_rate=1e-5, steps=8, max_completion_length=64, tuning=LORA)
    ended = trained(engines, recipe, half_a_billion, prompts, SAYS_E)
    assert ended.end.state.value == "succeeded", ended.end
    assert all(length > 0 for length in ended.metrics("completions/mean_length"))
    with capsys.disabled():
        tell("GRPO LoRA", ended, half_a_billion, prompts)


@dataclass(frozen=True)
class Estimated:
    """By the advisor's estimator, for the same model, settings and card."""

    peak_gib: float
    """Of what torch allocates, which is what is measured."""
    step_seconds: float


def estimated(spec, model: Path, longest: int, answer: int, gpu: str) -> Estimated:
    """`longest`: tokens of the longest row or prompt; `answer`: mean tokens of GRPO's answers, as found."""
    from app.engine.estimated_memory import setup_for, shape_of, tables  # imports torch
    from app.engine.trl_config import RECOMPUTES_FROM

    recipe, constants = spec.recipe, tables().constants
    found = sum(parameters(file) for file in model.glob("*.safetensors"))
    shape = shape_of(json.loads((model / "config.json").read_text()), found)
    setup = setup_for(recipe, longest, on_cuda=True, recomputes=found >= RECOMPUTES_FROM)
    card = tables().gpu(gpu) or tables().gpu_of_memory(memory_gb())
    machine = Machine(card, constants.stacks["trl"], constants.time)
    if recipe.kind == "sft":
        peak = training_parts(constants, shape, setup).peak(constants.memory, "allocated")
        return Estimated(peak / GIB, sft_step_seconds(machine, shape, setup))
    rollouts = Rollouts(
        engine="hf_generate",
        prompts=recipe.batch_size // recipe.num_generations,
        group=recipe.num_generations,
        prompt=longest,
        mean=answer,
        longest=recipe.max_completion_length,
    )
    parts = grpo_parts(constants, shape, setup, rollouts, card.memory_gb * 1e9)
    typical = setup._replace(length=longest + answer, scored=setup.micro_batch * answer)
    seconds = grpo_step(machine, shape, typical, rollouts).seconds
    return Estimated(parts.peak(constants.memory, "allocated") / GIB, seconds)


def longest_of(rows: Path) -> int:
    """Every byte is a token; so are each turn's role, and what ends the row or asks for an answer."""
    turns = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    return max(1 + sum(1 + len(turn["content"].encode()) for turn in each) for each in turns)


def of_the_card(field: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0].strip()


def memory_gb() -> float:
    return float(of_the_card("memory.total")) * 2**20 / 1e9


def tell(what, ended, model, rows):
    """What was measured beside what the advisor would have said of it."""
    recipe, longest, card = ended.dir.spec.recipe, longest_of(rows), of_the_card("name")
    lengths = ended.metrics("completions/mean_length")
    answer = round(fmean(lengths)) if lengths else 0
    seconds = [event.at for event in ended.dir.events(limit=100_000) if event.what.kind == "metric"]
    a_step = (seconds[-1] - seconds[1]) / max(1, len(seconds) - 2)
    expected = estimated(ended.dir.spec, model, longest, answer, card)
    tokens = recipe.batch_size * (longest + answer)
    sys.stdout.write(
        f"\n{what} on {card}: peak {peak_gib(ended):.2f} GiB, estimated {expected.peak_gib:.2f}; "
        f"{a_step:.2f} s a step, estimated {expected.step_seconds:.2f}; "
        f"{tokens / a_step:,.0f} tokens a second, estimated {tokens / expected.step_seconds:,.0f}\n"
    )
