"""Models that runs may start from: directories in Hugging Face's format with safetensors weights."""

import json
import math
import re
import struct
from pathlib import Path

from app.protocol import LocalModel, ModelSummary

NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
LARGEST_HEADER = 100_000_000


class ModelStore:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Path | None:
        path = self._folder / name
        return path if NAME.fullmatch(name) and (path / "config.json").is_file() else None

    def summaries(self) -> list[ModelSummary]:
        if not self._folder.is_dir():
            return []
        names = sorted(path.name for path in self._folder.iterdir())
        return [self._summary(name, path) for name in names if (path := self.find(name))]

    def _summary(self, name: str, path: Path) -> ModelSummary:
        problem = problem_with_model(path)
        return ModelSummary(
            ref=LocalModel(name=name),
            title=name,
            parameters=None if problem else parameters(path),
            ready=problem is None,
            note=problem,
        )


def problem_with_model(path: Path) -> str | None:
    """Nothing in the folder may be run as code, so weights are safetensors and the config names no module."""
    try:
        config = json.loads((path / "config.json").read_bytes())
    except ValueError:
        return "Its config.json cannot be read."
    if not isinstance(config, dict) or "auto_map" in config or "_attn_implementation_internal" in config:
        return "Its config asks for code of its own, which is not run here."
    if not list(path.glob("*.safetensors")):
        return "It has no safetensors weights; save it with `save_pretrained(..., safe_serialization=True)`."
    return None


def parameters(path: Path) -> int | None:
    """Counted in the headers of the weight files; the weights themselves are not read."""
    try:
        return sum(_parameters_in(file) for file in path.glob("*.safetensors"))
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        return None


def _parameters_in(file: Path) -> int:
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(min(length, LARGEST_HEADER)))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
