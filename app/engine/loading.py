"""Loads the model to start from and its tokenizer: weights as safetensors, and no code but the libraries'."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from app.engine.reporting import CannotTrain, Run
from app.protocol import HubModel, LocalModel, ModelRef

NAMES_OF_CODE = frozenset(
    {"auto_map", "trust_remote_code", "custom_generate", "custom_pipelines", "_attn_implementation_internal"}
)
"""Keys in a model's JSON files that would have the libraries import code that came with the model."""

FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
NO_FILES = ("*/*",)
"""Folders hold exports for other programs."""

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

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def load(run: Run) -> Loaded:
    folder, source = _folder(run)
    refuse_foreign_code(folder)
    torch.set_num_threads(run.inputs.threads)
    disable_progress_bar()
    tokenizer = _tokenizer(run, folder)
    model = _model(folder).to(_device(run))
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise CannotTrain(
            f"The tokenizer knows {len(tokenizer)} tokens and the model only "
            f"{model.get_input_embeddings().num_embeddings}; they do not belong together."
        )
    return Loaded(model, tokenizer, source)


def refuse_foreign_code(folder: Path) -> None:
    for file in sorted(folder.glob("*.json")):
        if name := next(iter(NAMES_OF_CODE & set(_keys(_parsed(file)))), None):
            raise CannotTrain(
                f"The model's {file.name} asks for code of its own (`{name}`), which is never run here; "
                "choose a model that the transformers library supports by itself."
            )
    if not (folder / "config.json").is_file():
        raise CannotTrain("The model has no config.json, so there is nothing to load.")
    if (folder / "adapter_config.json").is_file() and not (folder / "model.safetensors").is_file():
        raise CannotTrain(
            "This is an adapter without its model; merge it into the model and name the result."
        )
    if not any(folder.glob("*.safetensors")):
        raise CannotTrain(
            "The model has no safetensors weights; other formats can run code when they are read. "
            "Convert it with `save_pretrained` and name the result."
        )
    if "quantization_config" in _parsed(folder / "config.json"):
        raise CannotTrain("The model is quantized, and all its weights are to be trained; name the original.")


def _folder(run: Run) -> tuple[Path, str]:
    if run.inputs.model_dir is not None:
        return Path(run.inputs.model_dir), _in_words(run)
    if not isinstance(model := run.spec.model, HubModel):
        raise CannotTrain("The model to start from is no longer on this worker.")
    folder = _downloaded(model)
    source = f"{model.id} at commit {folder.name}"
    run.note(f"The model is {source}.")
    return folder, source


def _in_words(run: Run) -> str:
    if run.spec.starts_from is not None:
        return f"the model that run {run.spec.starts_from} trained"
    return named(run.spec.model)


def named(model: ModelRef) -> str:
    match model:
        case HubModel():
            return model.id
        case LocalModel():
            return f"the local model {model.name}"
        case _:
            return "the starter model"


def _downloaded(model: HubModel) -> Path:
    try:
        return Path(
            snapshot_download(
                model.id, revision=model.revision, allow_patterns=list(FILES), ignore_patterns=list(NO_FILES)
            )
        )
    except GatedRepoError:
        why = "its owner lets only some in; accept its terms and give the worker a token as HF_TOKEN"
    except RepositoryNotFoundError:
        why = "the hub has no such model, or only for those with a token; check the spelling"
    except RevisionNotFoundError:
        why = f"it has no revision {model.revision}"
    except LocalEntryNotFoundError:
        why = "the hub cannot be reached from this worker and the model is not in its cache"
    except (HfHubHTTPError, ConnectionError, TimeoutError) as error:
        why = f"the hub did not answer as it should ({type(error).__name__}); try again later"
    raise CannotTrain(f"The model {model.id} could not be fetched: {why}.")


def _tokenizer(run: Run, folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, padding_side="left"
    )
    if tokenizer.eos_token is None:
        raise CannotTrain("The model's tokenizer has no end token, so no answer would ever end.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        run.note("The model has no chat template; a plain one is used and saved with the trained model.")
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def _model(folder: Path) -> Any:
    """Weights stay in float32: updates of a small learning rate are lost when added to bfloat16."""
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="sdpa",
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


def _parsed(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise CannotTrain(f"The model's {file.name} cannot be read.") from None
    return content if isinstance(content, dict) else {}


def _keys(value: Any) -> Iterator[str]:
    unseen = [value]
    while unseen:
        each = unseen.pop()
        if isinstance(each, dict):
            yield from each
            unseen.extend(each.values())
        elif isinstance(each, list):
            unseen.extend(each)
