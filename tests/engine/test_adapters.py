"""Adapters: trained beside frozen weights, kept alone and merged, and gone on from like any model."""

import json

import pytest
from pydantic import ValidationError

from app.protocol import AdapterTuning, Limits
from tests.engine.conftest import NAMES_THE_COLOUR, SAYS_E, grpo_recipe, sft_recipe

pytestmark = pytest.mark.engine

LORA = AdapterTuning(kind="lora", rank=8, alpha=16)


@pytest.fixture(scope="module")
def sft(engines, micro_model, demonstrations):
    return engines.run(
        sft_recipe(epochs=8, learning_rate=3e-2, tuning=LORA), micro_model, demonstrations, NAMES_THE_COLOUR
    )


def test_an_adapter_learns(sft):
    assert sft.end.state.value == "succeeded", sft.end
    # The head of the micro model stays as it is, at random, so there is not much that an adapter can do.
    assert sft.metrics("loss")[-1] < sft.metrics("loss")[0] - 0.4


def test_the_model_loads_anywhere_and_the_adapter_lies_beside_it(sft):
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        file.name for file in sft.dir.model_dir.iterdir()
    }
    assert not (sft.dir.model_dir / "adapter_config.json").exists()
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {
        file.name for file in sft.dir.adapter_dir.iterdir()
    }
    adapter = json.loads((sft.dir.adapter_dir / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (8, 16)
    assert "lm_head" not in adapter["target_modules"]
    assert adapter["base_model_name_or_path"] == "start"
    assert not (sft.dir.adapter_dir / "README.md").exists()


def test_grpo_with_an_adapter_goes_on_from_the_merged_model(engines, sft, demonstrations):
    recipe = grpo_recipe(steps=2, tuning=LORA, beta=0.01)
    grpo = engines.run(recipe, sft.dir.model_dir, demonstrations, SAYS_E)
    assert grpo.end.state.value == "succeeded", grpo.end
    assert (grpo.dir.adapter_dir / "adapter_model.safetensors").exists()
    # The merged model answers as the one that was measured with its adapter on.
    again = engines.run(sft_recipe(epochs=0.01), sft.dir.model_dir, demonstrations, NAMES_THE_COLOUR)
    assert again.evaluation("before").greedy_outcomes == sft.evaluation("after").greedy_outcomes


def test_an_adapter_goes_on_after_a_pause_as_if_there_had_been_none(
    engines, sft, micro_model, demonstrations
):
    run_dir = engines.prepare(
        sft.dir.spec.recipe, micro_model, demonstrations, NAMES_THE_COLOUR, limits=Limits(steps=3)
    )
    paused = engines.again(run_dir, checkpoint_seconds=0, why="")
    assert paused.happenings("state")[-1].state.value == "paused"
    run_dir.write_limits(Limits(steps=1000))
    resumed = engines.again(run_dir)
    assert resumed.end.state.value == "succeeded", resumed.end
    told = {m.step: m.values["loss"] for m in resumed.happenings("metric") if "loss" in m.values}
    expected = {m.step: m.values["loss"] for m in sft.happenings("metric") if "loss" in m.values}
    assert told == pytest.approx(expected, rel=1e-4)
    assert resumed.evaluation("after").greedy_outcomes == sft.evaluation("after").greedy_outcomes


def test_four_bits_are_refused_on_a_cpu_before_anything_is_measured(engines, micro_model, demonstrations):
    recipe = sft_recipe(tuning=AdapterTuning(kind="qlora"))
    ended = engines.run(recipe, micro_model, demonstrations, NAMES_THE_COLOUR)
    assert ended.end.reason == (
        "QLoRA keeps its weights in 4 bits, which needs a CUDA device; use LoRA on a CPU."
    )
    assert ended.happenings("evaluation") == []


@pytest.mark.parametrize("names", [["lm_head"], ["q_proj", "model.score"]])
def test_an_adapter_on_the_head_is_refused(names):
    with pytest.raises(ValidationError, match="leave lm_head out"):
        AdapterTuning(kind="lora", target_modules=names)
