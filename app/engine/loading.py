"""Loads the model to start from and its tokenizer: weights as safetensors, and no code but the libraries'."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from app.engine.failures import first_line
from app.engine.model_files import Found
from app.engine.reporting import CannotTrain, Run
from app.engine.tuning import Weights, weights
from app.protocol import RunState

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""For a base model that has no chat template of its own. It is saved with the trained model."""


IN_FULL = Weights(torch.float32)


@dataclass(frozen=True)
class Loaded:
    model: Any
    tokenizer: Any
    found: Found
    """Where it lies, and what it is in words; for the hub with the commit."""
    parameters: int
    """Of the starting model, without an adapter."""

    @property
    def source(self) -> str:
        return self.found.source

    @property
    def folder(self) -> Path:
        return self.found.folder

    def trained(self, model: Any) -> "Loaded":
        """With the model as the trainer has it: where an adapter is trained, it wraps ours."""
        return replace(self, model=model)


def load(run: Run, found: Found, kind: Any = AutoModelForCausalLM, **more: Any) -> Loaded:
    run.enter(RunState.STARTING, f"loading {found.source}")
    torch.set_num_threads(run.inputs.threads)
    disable_progress_bar()
    device, held = _device(run), weights(run)
    try:
        tokenizer, model = tokenizer_of(run, found.folder), starting_model(found.folder, kind, held, more)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise CannotTrain(f"The model could not be loaded: {first_line(error)}.") from error
    if tokenizer.eos_token is None:
        raise CannotTrain("The model's tokenizer has no end token, so no answer would ever end.")
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise CannotTrain(
            f"The tokenizer knows {len(tokenizer)} tokens and the model only "
            f"{model.get_input_embeddings().num_embeddings}; they do not belong together."
        )
    placed = model if held.quantization else model.to(device)
    return Loaded(placed, tokenizer, found, model.num_parameters())


def tokenizer_of(run: Run, folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, padding_side="left"
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        run.note("The model has no chat template; a plain one is used and saved with the trained model.")
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def starting_model(
    folder: Path,
    kind: Any = AutoModelForCausalLM,
    held: Weights = IN_FULL,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    try:
        return _with_attention("sdpa", folder, kind, held, more)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return _with_attention("eager", folder, kind, held, more)


def _with_attention(attention: str, folder: Path, kind: Any, held: Weights, more: Mapping[str, Any]) -> Any:
    in_four_bits = (
        {"quantization_config": held.quantization, "device_map": {"": 0}} if held.quantization else {}
    )
    return kind.from_pretrained(
        folder,
        dtype=held.dtype,
        attn_implementation=attention,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        **in_four_bits,
        **more,
    )


def _device(run: Run) -> str:
    if run.inputs.device == "cuda" and not torch.cuda.is_available():
        raise CannotTrain(
            "The worker says it has a CUDA device, but torch finds none; check the driver, "
            "or set TUNING_FORK_WORKER_DEVICE=cpu."
        )
    return run.inputs.device


def trains_in_bf16(run: Run) -> bool:
    """Arithmetic, not weights; measured as trained, so that before and after are comparable."""
    return run.inputs.device == "cuda" and torch.cuda.is_bf16_supported()
