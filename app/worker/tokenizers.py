"""The tokenizer of a model, found here or fetched, for counting a dataset's tokens."""

import json
from dataclasses import dataclass
from pathlib import Path

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class FoundTokenizer:
    file: Path
    name: str
    context: int | None
    """Tokens that its model sees at once, where its config says so."""


def tokenizer_in(folder: Path, name: str) -> FoundTokenizer | None:
    file = folder / TOKENIZER
    return FoundTokenizer(file, name, _context(folder)) if file.is_file() else None


def _context(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    most = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return most if isinstance(most, int) and most > 0 else None
