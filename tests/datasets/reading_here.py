"""Reading a file as the worker's child does, in this process: the same code without its limits."""

from pathlib import Path

from app.datasets import kept
from app.datasets.profiling import profile
from app.datasets.reading import read
from app.datasets.rows import Row
from app.datasets.task import Limits, Task
from app.protocol import ColumnMapping, DatasetSummary, Reading, UploadedDataset

LIMITS = Limits(memory_bytes=2**62, seconds=3600, max_line_bytes=10_000, max_rows=2000, max_bytes=5_000_000)
REF = UploadedDataset(sha256="0" * 64)


def task(folder: Path, **more: object) -> Task:
    return Task(**{"limits": LIMITS, "folder": folder, "ref": REF, **more})


def rows_of(folder: Path, content: bytes, columns: dict[str, str] | None = None, **more: object) -> list[Row]:
    """Raises InvalidInput as the child would."""
    reading = Reading(columns=ColumnMapping(**columns) if columns else None, **more)
    file = folder / "file"
    file.write_bytes(content)
    read(file, task(folder, reading=reading))
    return list(kept.kept_rows(folder / kept.CANONICAL))


def profiled(folder: Path, content: bytes, **more: object) -> DatasetSummary:
    rows_of(folder, content)
    profile(task(folder, **more))
    return DatasetSummary.model_validate_json((folder / kept.SUMMARY).read_bytes())
