"""Where the model to start from lies on disk, and whether its files are ones that we read. No torch yet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.engine.reporting import CannotTrain, Run
from app.protocol import HubModel, LocalModel, ModelRef
from app.run_dir import RunDir

NAMES_OF_CODE = frozenset(
    {"auto_map", "trust_remote_code", "custom_generate", "custom_pipelines", "_attn_implementation_internal"}
)
"""Keys in a model's JSON files that would have the libraries import code that came with the model."""

FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
NO_FILES = ("*/*",)
"""Folders hold exports for other programs."""


@dataclass(frozen=True)
class Found:
    folder: Path
    source: str
    """In words; for the hub with the commit."""


def find(run: Run) -> Found:
    found = _found(run)
    refuse_foreign_code(found.folder)
    if run.spec.recipe.kind != "reward_model":
        _refuse_classifier(found.folder)
    return found


def _refuse_classifier(folder: Path) -> None:
    """Its head gives one number; a language model's would be left at random."""
    made_for = _parsed(folder / "config.json").get("architectures") or []
    if any(str(name).endswith("ForSequenceClassification") for name in made_for):
        raise CannotTrain(
            "This is a reward model, which writes no text; start from a language model and name this one "
            "in a reward_model grader."
        )


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


def _found(run: Run) -> Found:
    if run.inputs.model_dir is not None:
        return Found(Path(run.inputs.model_dir), in_words(run))
    if not isinstance(model := run.spec.model, HubModel):
        raise CannotTrain("The model to start from is no longer on this worker.")
    folder = downloaded(model, commit_of(run))
    run.dir.write_commit(folder.name)
    source = f"{model.id} at commit {folder.name}"
    run.note(f"The model is {source}.")
    return Found(folder, source)


def commit_of(run: Run) -> str | None:
    """Of the first attempt, or of the run that this one continues: a name may mean other weights by now."""
    earlier = run.inputs.continues_dir
    return run.dir.commit or (RunDir(Path(earlier)).commit if earlier else None)


def in_words(run: Run) -> str:
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


def downloaded(model: HubModel, commit: str | None = None) -> Path:
    """The folder, which is named by the commit. `commit` goes before the model's own revision."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                model.id,
                revision=commit or model.revision,
                allow_patterns=list(FILES),
                ignore_patterns=list(NO_FILES),
            )
        )
    except GatedRepoError:
        why = "its owner lets only some in; accept its terms and give the worker a token as HF_TOKEN"
    except RepositoryNotFoundError:
        why = "the hub has no such model, or only for those with a token; check the spelling"
    except RevisionNotFoundError:
        why = f"it has no revision {model.revision}"
        if commit:
            why = f"it no longer has the commit {commit} that the run began with; launch the run anew"
    except LocalEntryNotFoundError:
        why = "the hub cannot be reached from this worker and the model is not in its cache"
    except (HfHubHTTPError, ConnectionError, TimeoutError) as error:
        why = f"the hub did not answer as it should ({type(error).__name__}); try again later"
    raise CannotTrain(f"The model {model.id} could not be fetched: {why}.")


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
