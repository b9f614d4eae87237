"""What the advisor's one estimator says of this run, with the model's dimensions and the recipe's sizes."""

from functools import cache
from importlib import resources
from typing import Any

from app.advisor import memory
from app.advisor.answers import ModelConfig
from app.advisor.job import model_from_config
from app.advisor.memory import Parts, Rollouts, Setup, setup_of
from app.advisor.rulebook import Rulebook
from app.advisor.tables import Model, Tables
from app.engine.reporting import Run
from app.engine.trl_config import RECOMPUTES_FROM
from app.protocol import GrpoRecipe, RewardModelRecipe, SftRecipe

PROCESS_BYTES = 0.6e9
"""What an engine on a CPU holds beside the training: interpreter and libraries; measured with torch 2.13."""

IN_WORDS = {
    "weights": "the weights",
    "lora": "the adapters",
    "optimizer": "the optimizer’s averages",
    "gradients": "gradients",
    "activations": "activations",
    "logits": "logits",
    "extras": "buffers",
    "generator": "sampling",
}

OTHER_NAMES = {
    "num_hidden_layers": "n_layer",
    "hidden_size": "n_embd",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
}
"""Of dimensions, in the config of older models."""


@cache
def tables() -> Tables:
    folder = resources.files("app.advisor")
    files = [file for part in ("rulebook", "tables") for file in (folder / part).iterdir()]
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(files, key=str)
        if file.name.endswith(".toml")
    }
    return Rulebook.parse(texts).tables


def estimated(
    run: Run, config: dict[str, Any], parameters: int, longest: int, device_bytes: int
) -> tuple[float, str]:
    """Peak in bytes, and in words what most of it is for. `longest`: tokens of the longest row or prompt."""
    recipe, constants = run.spec.recipe, tables().constants
    assert isinstance(recipe, SftRecipe | GrpoRecipe | RewardModelRecipe)
    on_cuda = run.inputs.device == "cuda"
    model = shape_of(config, parameters)
    setup = setup_for(recipe, longest, on_cuda=on_cuda, recomputes=parameters >= RECOMPUTES_FROM)
    if isinstance(recipe, GrpoRecipe):
        parts = memory.grpo_parts(constants, model, setup, _rollouts(recipe, longest), device_bytes)
    else:
        parts = memory.training_parts(constants, model, setup)
    if on_cuda:
        return parts.peak(constants.memory), IN_WORDS[parts.largest]
    return _on_cpu(parts)


def shape_of(config: dict[str, Any], parameters: int) -> Model:
    """The model's own dimensions; where its config has others than we know, those of a model of its size."""
    text = config.get("text_config", config)
    known = {name: text.get(name, text.get(OTHER_NAMES.get(name, ""))) for name in ModelConfig.model_fields}
    try:
        given = {name: value for name, value in known.items() if value is not None}
        return model_from_config("your model", ModelConfig.model_validate(given))
    except ValueError:
        return tables().of_size(max(parameters, 1) / 1e9)


def setup_for(
    recipe: SftRecipe | GrpoRecipe | RewardModelRecipe, longest: int, *, on_cuda: bool, recomputes: bool
) -> Setup:
    """All weights are trained in float32, adapters on a GPU beside weights in bf16."""
    tuning = recipe.tuning.kind
    stack = tables().constants.stacks["trl" if on_cuda and tuning != "full" else "trl_fp32"]
    answer = recipe.max_completion_length if isinstance(recipe, GrpoRecipe) else 0
    batch = recipe.micro_batch_size * (2 if isinstance(recipe, RewardModelRecipe) else 1)
    return setup_of(
        stack,
        tuning,
        micro_batch=batch,
        length=longest + answer,
        scored=batch * answer or None,
        accumulation=recipe.batch_size // recipe.micro_batch_size,
        checkpointing=on_cuda and recomputes,
        rank=recipe.tuning.rank if recipe.tuning.kind != "full" else 16,
    )


def _rollouts(recipe: GrpoRecipe, longest: int) -> Rollouts:
    return Rollouts(
        engine="hf_generate",
        prompts=recipe.batch_size // recipe.num_generations,
        group=recipe.num_generations,
        prompt=longest,
        mean=recipe.max_completion_length,
        longest=recipe.max_completion_length,
    )


def _on_cpu(parts: Parts) -> tuple[float, str]:
    """The formulas count activations and logits in bf16; a CPU computes in float32."""
    training = parts.allocated + parts.activations + parts.logits
    small = training < PROCESS_BYTES
    return training + PROCESS_BYTES, "the process itself" if small else IN_WORDS[parts.largest]
