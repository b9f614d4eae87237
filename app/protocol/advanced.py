"""Further fields of TRL 1.16's own configurations that a recipe may set, with TRL's defaults.

Left out on purpose: paths, hub and tracking settings, functions named by dotted paths, arguments that are
passed on unseen, and whatever the recipe itself, the device or the run directory decides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from app.errors import Problem
from app.protocol.recipes import AdvancedValue, Recipe, TrainingRecipe

FieldKind = Literal["yes_no", "whole", "number", "choice"]


@dataclass(frozen=True)
class AdvancedField:
    name: str
    kind: FieldKind
    default: AdvancedValue | None
    """TRL's; None where TRL then decides by itself, and where the run does."""
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def _yes_no(name: str, help: str, default: bool | None = False) -> AdvancedField:
    return AdvancedField(name, "yes_no", default, help)


def _whole(
    name: str, default: int | None, help: str, low: float = 0, high: float = 1_000_000
) -> AdvancedField:
    return AdvancedField(name, "whole", default, help, low, high)


def _number(name: str, default: float | None, help: str, low: float = 0, high: float = 1) -> AdvancedField:
    return AdvancedField(name, "number", default, help, low, high)


def _choice(name: str, default: str, help: str, *choices: str) -> AdvancedField:
    return AdvancedField(name, "choice", default, help, choices=choices)


_SHARED = (
    _choice(
        "optim",
        "adamw_torch_fused",
        "The optimizer. The 8-bit and paged ones need CUDA and bitsandbytes.",
        "adamw_torch_fused",
        "adamw_torch",
        "adafactor",
        "sgd",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
    ),
    _number("weight_decay", 0.0, "Pulls the weights towards zero at each update."),
    _number("adam_beta1", 0.9, "AdamW's memory of past gradients.", 0, 0.9999),
    _number("adam_beta2", 0.999, "AdamW's memory of their squares.", 0, 0.999999),
    _number("adam_epsilon", 1e-8, "Keeps AdamW from dividing by zero.", 1e-16, 1e-2),
    _yes_no(
        "activation_checkpointing",
        "Recomputes activations in the backward pass: less memory, about a fifth slower. "
        "Left alone, on for larger models on a GPU.",
        None,
    ),
    _number(
        "neftune_noise_alpha", None, "Noise on the embeddings while training (NEFTune); 5 is usual.", 0, 100
    ),
    _yes_no("torch_compile", "Compiles the model: a slow start, faster steps."),
    _yes_no("use_liger_kernel", "Fused kernels that save memory; needs CUDA and liger-kernel."),
    _yes_no("tf32", "TensorFloat-32 for what is computed in float32; needs an Ampere GPU or newer.", None),
    _whole(
        "torch_empty_cache_steps",
        None,
        "Empties the GPU's cache every so many steps: slower, less memory.",
        1,
    ),
    _whole("data_seed", None, "Seed of the rows' order; left alone, the run's seed.", 0, 2**31 - 1),
    _yes_no("full_determinism", "Only repeatable kernels: slower, for finding out why two runs differ."),
    _yes_no("dataloader_drop_last", "Leaves out the last batch of an epoch when it is not full."),
    _whole("dataloader_num_workers", 0, "Processes that prepare batches beside the training.", 0, 16),
)

_SFT = (
    _choice("loss_type", "nll", "Plain likelihood, or Dynamic Fine-Tuning (dft).", "nll", "dft"),
    _yes_no("completion_only_loss", "Whether only the answer is learned, not the prompt. Here on.", None),
    _choice(
        "packing_strategy",
        "bfd",
        "How packing fills a sequence: best fit, best fit with long rows split, or cut anywhere.",
        "bfd",
        "bfd_split",
        "wrapped",
    ),
    _yes_no("padding_free", "Batches without padding; needs FlashAttention 2 or 3."),
    _yes_no("shuffle_dataset", "Shuffles the rows once, before the first epoch."),
    _choice(
        "train_sampling_strategy",
        "random",
        "The order of rows within an epoch.",
        "random",
        "sequential",
        "group_by_length",
    ),
    _yes_no("activation_offloading", "Keeps activations in the CPU's memory; needs CUDA."),
    _number(
        "router_aux_loss_coef", None, "Weight of the load-balancing loss of a mixture of experts.", 0, 10
    ),
)

_GRPO = (
    _whole("num_iterations", 1, "Updates from the same completions.", 1, 100),
    _whole("steps_per_generation", None, "Micro-batches that one round of sampling serves.", 1, 100_000),
    _choice(
        "importance_sampling_level",
        "token",
        "Ratios by token, or one for the sequence (GSPO), steadier for long answers and mixtures of experts.",
        "token",
        "sequence",
    ),
    _number(
        "delta",
        None,
        "Upper bound of the ratio where the advantage is negative (two-sided clipping).",
        1,
        1000,
    ),
    _whole("top_k", 0, "Sampling from the likeliest so many tokens; 0: from all.", 0, 1_000_000),
    _number("min_p", None, "Sampling only tokens at least so likely beside the likeliest."),
    _number("repetition_penalty", 1.0, "Above 1, tokens that were used become less likely.", 0.01, 10),
    _number("entropy_coef", 0.0, "Weight of a bonus for entropy.", 0, 10),
    _yes_no("use_adaptive_entropy", "Steers that weight so that entropy stays near `entropy_target`."),
    _number("entropy_target", 0.2, "The entropy it steers to, in nats a token.", 0, 20),
    _number("entropy_coef_delta", 0.005, "How far one step moves the weight."),
    _number("entropy_coef_min", 0.0, "Its least value.", 0, 10),
    _number("entropy_coef_max", 1.0, "Its greatest value.", 0, 10),
    _number("top_entropy_quantile", 1.0, "Only the share of tokens with the highest entropy is trained on."),
    _yes_no("disable_dropout", "Turns dropout off in the model."),
    _yes_no(
        "sync_ref_model",
        "Moves the reference model after the trained one; needs beta above 0 and full tuning.",
    ),
    _number("ref_model_mixup_alpha", 0.6, "How far it moves each time."),
    _whole("ref_model_sync_steps", 512, "Steps between two such moves.", 1),
    _yes_no("use_bias_correction_kl", "Corrects the KL estimate for completions of an older policy.", True),
    _number("off_policy_mask_threshold", None, "Leaves out sequences that moved further than this.", 0, 1000),
    _number("sapo_temperature_pos", 1.0, "Of loss sapo, where the advantage is positive.", 0.001, 100),
    _number("sapo_temperature_neg", 1.05, "Of loss sapo, where it is negative.", 0.001, 100),
    _number("vespo_k_pos", 2.0, "Of loss vespo.", 0, 100),
    _number("vespo_lambda_pos", 3.0, "Of loss vespo.", 0, 100),
    _number("vespo_k_neg", 3.0, "Of loss vespo.", 0, 100),
    _number("vespo_lambda_neg", 2.0, "Of loss vespo.", 0, 100),
    _yes_no("cast_lm_head_to_fp32", "Computes the head in float32, for steadier ratios in bf16."),
    _yes_no("shuffle_dataset", "Takes the prompts in random order.", True),
    _number(
        "router_aux_loss_coef", None, "Weight of the load-balancing loss of a mixture of experts.", 0, 10
    ),
    _yes_no("use_transformers_continuous_batching", "Samples with continuous batching; needs a GPU."),
    _yes_no("use_vllm", "Samples with vLLM inside the training process; needs CUDA and vLLM."),
    _number("vllm_gpu_memory_utilization", 0.3, "Share of the GPU that vLLM reserves.", 0.01, 1),
    _yes_no("vllm_enable_sleep_mode", "Lets vLLM give its memory back during updates."),
    _whole(
        "vllm_max_model_length", None, "Longest prompt and answer that vLLM makes room for.", 16, 1_000_000
    ),
    _yes_no("vllm_importance_sampling_correction", "Corrects for vLLM's own rounding.", True),
    _choice(
        "vllm_importance_sampling_mode",
        "sequence_mask",
        "How it corrects.",
        "token_truncate",
        "token_mask",
        "sequence_truncate",
        "sequence_mask",
    ),
    _number("vllm_importance_sampling_clip_max", 3.0, "Ratios above are cut or left out.", 0.001, 1000),
    _number("vllm_importance_sampling_clip_min", None, "Ratios below are cut or left out.", 0, 1000),
)

_REWARD_MODEL = (
    _number("center_rewards_coefficient", None, "Pulls the rewards' mean to zero; 0.01 is usual.", 0, 10),
    _yes_no("disable_dropout", "Turns dropout off in the model.", True),
    _yes_no("activation_offloading", "Keeps activations in the CPU's memory; needs CUDA."),
)

ADVANCED: Mapping[str, tuple[AdvancedField, ...]] = {
    "sft": (*_SFT, *_SHARED),
    "grpo": (*_GRPO, *_SHARED),
    "reward_model": (*_REWARD_MODEL, *_SHARED),
}
"""By the recipe's kind: SFTConfig, GRPOConfig, RewardConfig."""


def problems_with_advanced(recipe: Recipe) -> Iterator[Problem]:
    if not isinstance(recipe, TrainingRecipe):
        return
    known = {field.name: field for field in ADVANCED[recipe.kind]}
    for name, value in recipe.advanced.items():
        field = known.get(name)
        what = _unknown(name, recipe, known) if field is None else _ill_typed(field, value)
        if what:
            yield Problem(where=f"recipe.advanced.{name}", what=what)


def _unknown(name: str, recipe: Recipe, known: Mapping[str, AdvancedField]) -> str:
    if name in type(recipe).model_fields:
        return f"it is a setting of the recipe itself; set recipe.{name}"
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "leave it out"
    return f"it is no field of TRL's configuration that can be set for this method; {hint}"


def _ill_typed(field: AdvancedField, value: AdvancedValue) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match field.kind:
        case "yes_no" if not isinstance(value, bool):
            return "it must be true or false"
        case "choice" if value not in field.choices:
            return f"it must be one of {', '.join(field.choices)}"
        case "whole" if not is_number or isinstance(value, float):
            return "it must be a whole number"
        case "number" if not is_number:
            return "it must be a number"
        case "whole" | "number":
            return _out_of_range(field, value)
    return None


def _out_of_range(field: AdvancedField, value: AdvancedValue) -> str | None:
    assert field.low is not None
    assert field.high is not None
    assert not isinstance(value, str)
    return None if field.low <= value <= field.high else f"it must be from {field.low:g} to {field.high:g}"
