"""The run's settings as TRL names them: trainers are built from them, and bundles carry them."""

import warnings
from importlib.util import find_spec
from typing import Any

import torch

from app.engine.failures import first_line
from app.engine.loading import Loaded, trains_in_bf16
from app.engine.reporting import Run
from app.protocol import GrpoRecipe, Recipe, RewardModelRecipe, RunSpec, SftRecipe, TrainingRecipe

RECOMPUTES_FROM = 300_000_000
"""Parameters. Below, activations fit and recomputing them would only cost time."""

FOLLOWED = {
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "save_total_limit": None,  # which are kept is decided after they are published
}
"""What following a run asks for: each step as it is, and no checkpoint but those that are wanted."""

NEEDS = {"use_vllm": "vllm", "use_liger_kernel": "liger_kernel"}
"""Packages that a field brings in; 8-bit and paged optimizers need bitsandbytes."""


def config(run: Run, loaded: Loaded, *, learns_texts: bool = False) -> Any:
    given = settings(
        run.spec,
        on_cuda=run.inputs.device == "cuda",
        bf16=trains_in_bf16(run),
        recomputes=recomputes(run, loaded),
        learns_texts=learns_texts,
    )
    return config_class(run.spec.recipe)(output_dir=str(run.dir.trainer_dir), **given, **FOLLOWED)


def recomputes(run: Run, loaded: Loaded) -> bool:
    return run.inputs.device == "cuda" and loaded.parameters >= RECOMPUTES_FROM


def config_class(recipe: Recipe) -> Any:
    import trl

    return {"sft": trl.SFTConfig, "grpo": trl.GRPOConfig, "reward_model": trl.RewardConfig}[recipe.kind]


def settings(
    spec: RunSpec, *, on_cuda: bool, bf16: bool, recomputes: bool, learns_texts: bool = False
) -> dict[str, Any]:
    """Everything that shapes the training, in JSON's types; the recipe's `advanced` comes last."""
    recipe = spec.recipe
    assert isinstance(recipe, TrainingRecipe)
    shared = {
        "per_device_train_batch_size": recipe.micro_batch_size,
        "gradient_accumulation_steps": recipe.batch_size // recipe.micro_batch_size,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler,
        "warmup_steps": min(recipe.warmup_ratio, 0.999999),  # below 1 it is a share of the steps
        "max_grad_norm": recipe.max_grad_norm,
        "seed": spec.seed,
        "use_cpu": not on_cuda,
        "bf16": bf16,
        "activation_checkpointing": recomputes,
        "dataloader_pin_memory": on_cuda,
    }
    return {**shared, **_of_method(recipe, learns_texts), **recipe.advanced}


def _of_method(recipe: Recipe, learns_texts: bool) -> dict[str, Any]:
    match recipe:
        case SftRecipe():
            return {
                "num_train_epochs": recipe.epochs,
                "max_length": recipe.max_length,
                "completion_only_loss": not learns_texts,
                "packing": recipe.packing,
            }
        case RewardModelRecipe():
            return {"num_train_epochs": recipe.epochs, "max_length": recipe.max_length}
        case GrpoRecipe():
            return {"max_steps": recipe.steps, **recipe.model_dump(include=set(GRPO_FIELDS))}
        case _:
            return {}


GRPO_FIELDS = (
    "num_generations",
    "max_completion_length",
    "temperature",
    "top_p",
    "beta",
    "epsilon",
    "epsilon_high",
    "loss_type",
    "scale_rewards",
    "mask_truncated_completions",
)
"""Named alike in the recipe. Left to itself the trainer draws one batch of completions for each update."""


def validate_with_trl(spec: RunSpec, device: str) -> str | None:
    """What TRL, or a package that is missing, has against these settings; None where nothing.

    `device` is `cpu` or `cuda`. Builds TRL's configuration and nothing else: no model is loaded.
    """
    if not isinstance(spec.recipe, TrainingRecipe):
        return None
    if missing := _missing_package(spec.recipe.advanced):
        return missing
    on_cuda = device == "cuda"
    given = settings(
        spec, on_cuda=on_cuda, bf16=on_cuda and torch.cuda.is_bf16_supported(), recomputes=on_cuda
    )
    try:
        with warnings.catch_warnings(action="ignore"):
            config_class(spec.recipe)(output_dir="unused", **given, **FOLLOWED)
    except (ValueError, TypeError, ImportError) as error:
        return f"TRL refuses these settings: {first_line(error)}"
    return None


def _missing_package(advanced: Any) -> str | None:
    needed = [(name, package) for name, package in NEEDS.items() if advanced.get(name)]
    if "8bit" in str(advanced.get("optim")) or "paged" in str(advanced.get("optim")):
        needed.append(("optim", "bitsandbytes"))
    for name, package in needed:
        if find_spec(package) is None:
            return f"`{name}` needs the package {package}, which this worker does not have; leave it out."
    return None
