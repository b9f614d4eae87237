"""Evaluations of models, kept by all that they depend on: a run that starts there need not measure again."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from app.datasets.formats import Row
from app.engine.reporting import Run
from app.graders.parts import asks_judge
from app.protocol import (
    AdapterTuning,
    Evaluation,
    Grader,
    HubModel,
    RunSpec,
    TrainingRecipe,
)

MANNER = 1
"""Raised when the way of measuring changes, so that older measurements are not used again."""

MOST_REMEMBERED = 200
"""Evaluations; those unused for longest are forgotten."""

LIBRARIES = ("torch", "transformers", "tokenizers")


class Memory:
    """What earlier runs measured, for one model, items, graders, sampling and seed."""

    def __init__(self, run: Run, spec: RunSpec, model: Path, rows: Sequence[Row]) -> None:
        """`model` is the folder of the model's files: the one it starts from, or the one it made."""
        self._folder = Path(run.inputs.evaluation_cache)
        self._file: Path | None = None
        if run.inputs.evaluation_cache and not _is_judged(spec):
            self._file = self._folder / f"{_key(run, spec, model, rows)}.json"

    def recall(self) -> Evaluation | None:
        if self._file is None:
            return None
        try:
            found = Evaluation.model_validate_json(self._file.read_bytes())
            os.utime(self._file)
        except (OSError, ValueError):
            return None
        return found.model_copy(update={"is_remembered": True})

    def keep(self, evaluation: Evaluation) -> None:
        """A disk that is full costs the memory, not the run."""
        if self._file is None:
            return
        with suppress(OSError):
            _write(self._file, evaluation.model_dump_json().encode())
            for old in sorted(self._folder.glob("*.json"), key=_used)[:-MOST_REMEMBERED]:
                old.unlink(missing_ok=True)


def _is_judged(spec: RunSpec) -> bool:
    """A judge may change behind its name, so what it said once is not taken for what it would say."""
    return any(asks_judge(grader) for grader in spec.graders)


def _key(run: Run, spec: RunSpec, model: Path, rows: Sequence[Row]) -> str:
    plan = spec.evaluation
    depends_on: dict[str, Any] = {
        "manner": MANNER,
        "libraries": [version(name) for name in LIBRARIES],
        "device": run.inputs.device,
        "bits": _bits(spec),
        "model": _identity(run, model),
        "rows": sha256("\n".join(row.model_dump_json() for row in rows).encode()).hexdigest(),
        "graders": [_plain(spec.grader), _plain(spec.draft_grader), *map(_plain, spec.independent_graders)],
        "sampling": [plan.max_completion_length, plan.temperature, plan.samples_shown],
        "seed": spec.seed,
    }
    return sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def _plain(grader: Grader | None) -> Any:
    return None if grader is None else grader.model_dump(mode="json", by_alias=True)


def _bits(spec: RunSpec) -> str:
    """Weights in 4 bits answer otherwise than the same in 16."""
    recipe = spec.recipe
    if not isinstance(recipe, TrainingRecipe) or not isinstance(recipe.tuning, AdapterTuning):
        return "full"
    return recipe.tuning.kind


def _identity(run: Run, folder: Path) -> str:
    made_here = folder == run.dir.model_dir
    if isinstance(run.spec.model, HubModel) and run.inputs.model_dir is None and not made_here:
        return f"{run.spec.model.id}@{folder.name}"
    return _hash_of(folder, Path(run.inputs.evaluation_cache) / "hashes")


def _hash_of(folder: Path, known: Path) -> str:
    """Of every file's name and bytes. A file whose size, times and inode are as before is not read."""
    digest = sha256()
    for file in sorted(each for each in folder.iterdir() if each.is_file() and each.name != "README.md"):
        digest.update(f"{file.name}\0{_hash_of_file(file, known)}\0".encode())
    return digest.hexdigest()


def _hash_of_file(file: Path, known: Path) -> str:
    stat = file.stat()
    place = f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_ino}"
    note = known / sha256(place.encode()).hexdigest()
    with suppress(OSError):
        return note.read_text()
    with file.open("rb") as opened:
        found = file_digest(opened, "sha256").hexdigest()
    with suppress(OSError):
        _write(note, found.encode())
    return found


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    making = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        making.write_bytes(content)
        making.replace(file)
    finally:
        making.unlink(missing_ok=True)


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
