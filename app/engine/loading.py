"""Loads the model to start from and its tokenizer: weights as safetensors, and no code but the libraries'."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from app.engine.failures import first_line
from app.engine.model_files import Found
from app.engine.reporting import CannotTrain, Run
from app.protocol import RunState

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
"""For a base model that has no chat template of its own. It is saved with the trained model."""


@dataclass(frozen=True)
class Loaded:
    model: Any
    tokenizer: Any
    source: str
    """What the run started from, in words; for the hub with the commit."""
    folder: Path | None = None
    """Where its files lie; None for a model made here."""

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def load(run: Run, found: Found) -> Loaded:
    run.enter(RunState.STARTING, f"loading {found.source}")
    torch.set_num_threads(run.inputs.threads)
    disable_progress_bar()
    device = _device(run)
    try:
        tokenizer, model = _tokenizer(run, found.folder), starting_model(found.folder)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise CannotTrain(f"The model could not be loaded: {first_line(error)}.") from error
    if tokenizer.eos_token is None:
        raise CannotTrain("The model's tokenizer has no end token, so no answer would ever end.")
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise CannotTrain(
            f"The tokenizer knows {len(tokenizer)} tokens and the model only "
            f"{model.get_input_embeddings().num_embeddings}; they do not belong together."
        )
    return Loaded(model.to(device), tokenizer, found.source, found.folder)


def _tokenizer(run: Run, folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, padding_side="left"
    )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        run.note("The model has no chat template; a plain one is used and saved with the trained model.")
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def starting_model(folder: Path) -> Any:
    """Weights stay in float32: updates of a small learning rate are lost when added to bfloat16."""
    try:
        return _with_attention("sdpa", folder)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return _with_attention("eager", folder)


def _with_attention(kind: str, folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation=kind,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
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
