"""Fetches a dataset's rows or a model's tokenizer from the hub: `python -m app.engine.fetch ORDER`.

The commit is looked up first and pinned, so that what is fetched is what is told. No code of a dataset's own
is run: the library refuses loading scripts since its version 4.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from app.logs import redacted
from app.protocol import Fetched, FetchOrder, HubDataset, HubModel

QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
ROWS = "rows.jsonl"
TOKENIZER_FILES = ("tokenizer.json", "config.json")


class CannotFetch(Exception):
    """Why, and what to do."""


def fetch(order: FetchOrder) -> str:
    """The commit. Raises CannotFetch, or what the library raises."""
    if order.dataset:
        return _dataset(order.dataset, order)
    assert order.model
    return _tokenizer(order.model, Path(order.folder))


def _dataset(wanted: HubDataset, order: FetchOrder) -> str:
    from datasets import load_dataset
    from huggingface_hub import HfApi

    commit = str(HfApi().dataset_info(wanted.id, revision=wanted.revision).sha)
    rows = load_dataset(wanted.id, name=wanted.config, split=wanted.split, revision=commit, streaming=True)
    write_rows(rows, Path(order.folder) / ROWS, order.max_rows, order.max_bytes)
    return commit


def write_rows(rows: Iterable[Mapping[str, Any]], out: Path, max_rows: int, max_bytes: int) -> None:
    """JSON lines without the nulls that columns are filled up with."""
    size = 0
    with out.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, start=1):
            size += file.write(json.dumps(without_nulls(row), ensure_ascii=False, default=_plain) + "\n")
            if number > max_rows:
                raise CannotFetch(f"it has more than {max_rows:,} rows; name a smaller split")
            if size > max_bytes:
                raise CannotFetch(f"it is larger than {max_bytes:,} bytes; name a smaller split")


def without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, date | time):
        return value.isoformat()
    raise CannotFetch(f"it holds values of the type {type(value).__name__}; choose a dataset of texts")


def _tokenizer(model: HubModel, folder: Path) -> str:
    from huggingface_hub import HfApi, hf_hub_download

    commit = str(HfApi().model_info(model.id, revision=model.revision).sha)
    for name in TOKENIZER_FILES:
        shutil.copyfile(hf_hub_download(model.id, name, revision=commit), folder / name)
    return commit


def why(error: BaseException) -> str:
    """In words: the libraries' errors by the names of their classes, for several modules define the same."""
    names = {cls.__name__ for cls in type(error).__mro__}
    for known, sentence in _KNOWN.items():
        if known in names:
            return sentence
    said = redacted(str(error).strip().splitlines()[0])[:300] if str(error).strip() else type(error).__name__
    if isinstance(error, ValueError):
        return f"{said.rstrip('.')}; name the configuration or split that you want"
    return f"the hub's library says: {said}"


_KNOWN = {
    "GatedRepoError": "its owner lets only some in; accept its terms and give the worker a token as HF_TOKEN",
    "RepositoryNotFoundError": "the hub has none of this name, or only for those with a token; check it",
    "DatasetNotFoundError": "the hub has no such dataset, or only for those with a token; check the spelling",
    "RevisionNotFoundError": "it has no such revision; name one of its commits, branches or tags",
    "EntryNotFoundError": "it has no tokenizer.json; choose a model with a fast tokenizer",
    "LocalEntryNotFoundError": "the hub cannot be reached from this worker; bring the file itself",
    "OfflineModeIsEnabled": "this worker works without the hub (HF_HUB_OFFLINE); bring the file itself",
    "ConnectError": "the hub cannot be reached from this worker; bring the file itself",
    "ConnectionError": "the hub cannot be reached from this worker; bring the file itself",
    "TimeoutException": "the hub does not answer in time; try again later, or bring the file itself",
    "ProxyError": "the hub cannot be reached through this worker's proxy; bring the file itself",
    "HfHubHTTPError": "the hub did not answer as it should; try again later",
}


def main(order: FetchOrder) -> None:
    os.environ.update(QUIET)
    try:
        told = Fetched(commit=fetch(order))
    except CannotFetch as problem:
        told = Fetched(why=str(problem))
    except Exception as error:
        told = Fetched(why=why(error))
    (Path(order.folder) / "fetched.json").write_text(told.model_dump_json())


if __name__ == "__main__":
    main(FetchOrder.model_validate_json(sys.argv[1]))
