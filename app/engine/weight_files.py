"""What the headers of weight files tell: how many parameters, and whether a file is whole."""

import json
import struct
from pathlib import Path
from typing import Any

LARGEST_HEADER = 100_000_000


def trouble_with_weights(folder: Path) -> str:
    """A file that is missing or cut short, found in headers and sizes; the weights are not read."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set(json.loads(index.read_bytes()).get("weight_map", {}).values())
        if missing := sorted(name for name in named if not (folder / str(name)).is_file()):
            return f"The model lacks {missing[0]}, which its index names."
    for file in sorted(folder.glob("*.safetensors")):
        try:
            ends = [tensor["data_offsets"][1] for tensor in _tensors(file)]
            start = 8 + _header_length(file)
        except (OSError, ValueError, struct.error, KeyError, TypeError, IndexError):
            return f"The model’s {file.name} cannot be read as safetensors."
        if file.stat().st_size != start + max(ends, default=0):
            return f"The model’s {file.name} is cut short or damaged."
    return ""


def _header_length(file: Path) -> int:
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
    return int(length)


def _tensors(file: Path) -> list[dict[str, Any]]:
    length = _header_length(file)
    if length > LARGEST_HEADER:
        raise ValueError("the header is too large")
    with file.open("rb") as opened:
        opened.seek(8)
        header = json.loads(opened.read(length))
    return [tensor for name, tensor in header.items() if name != "__metadata__"]


def parameters(file: Path) -> int:
    total = 0
    for tensor in _tensors(file):
        count = 1
        for size in tensor["shape"]:
            count *= size
        total += count
    return total
