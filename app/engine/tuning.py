"""What of the model is trained: all of it, or adapters beside frozen or 4-bit weights; and how it is kept."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from app.engine.reporting import CannotTrain, Run
from app.protocol import AdapterTuning, FullTuning, HubModel, RunSpec, TrainingRecipe

REWARD_HEAD = "score"
"""Of a sequence classification model: new, so trained in full beside the adapters."""


ELSEWHERE = "start"
"""What an adapter calls the model it belongs to where that is not on the hub, as bundles call its folder."""


@dataclass(frozen=True)
class Weights:
    """How the starting weights are held while they are trained."""

    dtype: torch.dtype
    quantization: Any = None


def weights(run: Run) -> Weights:
    """Trained weights stay in float32: updates of a small learning rate are lost when added to bfloat16."""
    tuning = tuning_of(run.spec)
    on_cuda = run.inputs.device == "cuda"
    if isinstance(tuning, FullTuning) or not on_cuda:
        refuse_quantization_without_cuda(run)
        return Weights(torch.float32)
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return Weights(dtype, _four_bits(dtype) if tuning.kind == "qlora" else None)


def tuning_of(spec: RunSpec) -> FullTuning | AdapterTuning:
    return spec.recipe.tuning if isinstance(spec.recipe, TrainingRecipe) else FullTuning()


def refuse_quantization_without_cuda(run: Run) -> None:
    if tuning_of(run.spec).kind != "qlora":
        return
    if run.inputs.device != "cuda":
        raise CannotTrain("QLoRA keeps its weights in 4 bits, which needs a CUDA device; use LoRA on a CPU.")
    if find_spec("bitsandbytes") is None:
        raise CannotTrain(
            "QLoRA needs the package bitsandbytes, which this worker does not have; install it there "
            "(`pip install bitsandbytes`), or use LoRA."
        )


def _four_bits(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def adapter_settings(spec: RunSpec) -> dict[str, Any] | None:
    """As peft's LoraConfig names them, in JSON's types; None where all weights are trained."""
    tuning = tuning_of(spec)
    if isinstance(tuning, FullTuning):
        return None
    grades = spec.recipe.kind == "reward_model"
    return {
        "r": tuning.rank,
        "lora_alpha": tuning.alpha,
        "lora_dropout": tuning.dropout,
        "target_modules": tuning.target_modules or "all-linear",
        "task_type": "SEQ_CLS" if grades else "CAUSAL_LM",
        **({"modules_to_save": [REWARD_HEAD]} if grades else {}),
    }


def adapter_config(spec: RunSpec) -> Any:
    settings = adapter_settings(spec)
    if settings is None:
        return None
    from peft import LoraConfig

    return LoraConfig(**settings)


def save(model: Any, spec: RunSpec, base: Path, model_folder: Path, adapter_folder: Path) -> None:
    """The model as it stands, in a form that loads anywhere; an adapter beside it, where one was trained.

    The adapter is added to the weights that the run started from, in float32, so that what 4 bits or bfloat16
    rounded away in training is not lost in what is kept. `base` is the folder these lie in.
    """
    if not hasattr(model, "merge_and_unload"):
        model.save_pretrained(model_folder)
        return
    hub = spec.model.id if isinstance(spec.model, HubModel) and spec.starts_from is None else None
    for adapter in model.peft_config.values():
        # A folder of this machine means nothing elsewhere.
        adapter.base_model_name_or_path = hub or ELSEWHERE
    model.save_pretrained(adapter_folder, save_embedding_layers=False)
    (adapter_folder / "README.md").unlink(
        missing_ok=True
    )  # a form with blanks that names this machine's folder
    _merged(model, base, adapter_folder).save_pretrained(model_folder)


def _merged(model: Any, base: Path, adapter: Path) -> Any:
    from peft import PeftModel

    inner = model.get_base_model()
    more = {"num_labels": 1} if hasattr(inner, REWARD_HEAD) else {}
    fresh = type(inner).from_pretrained(
        base,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        **more,
    )
    fresh.config.pad_token_id = inner.config.pad_token_id
    whole = PeftModel.from_pretrained(fresh, adapter).merge_and_unload()
    return whole.to(_stored_dtype(base))


def _stored_dtype(base: Path) -> torch.dtype:
    from transformers import AutoConfig

    return (
        AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).dtype
        or torch.float32
    )
