"""Checkpoints on disk: published whole, with a manifest of hashes, and gone on from only while that holds."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.protocol import Message
from app.run_dir import RunDir, make_durable, write_durably

MANIFEST = "manifest.json"

NEWEST_KEPT = 2
"""Beside the best: one to go on from, and one in case it does not verify."""

CHUNK = 1 << 20


class Unsound(Exception):
    """A checkpoint that is not what was published. The message says in which way."""


class FileRecord(Message):
    bytes: int
    sha256: str


class Manifest(Message):
    step: int
    score: float | None = None
    """Of the held-out check at this step."""
    can_resume: bool = True
    """False in the middle of a batch of completions, which GRPO's trainer does not save."""
    learned_seconds: float = 0.0
    """Of training behind it, as a budget of training time counts it."""
    files: Mapping[str, FileRecord]
    """By path below the checkpoint, with `/`."""


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        return self.manifest.step

    @property
    def score(self) -> float | None:
        return self.manifest.score

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.manifest.files.values())


def publish(
    run_dir: RunDir,
    staged: Path,
    step: int,
    score: float | None = None,
    can_resume: bool = True,
    learned_seconds: float = 0.0,
) -> Checkpoint:
    """Durable before it has its name, so whoever finds `checkpoints/STEP` finds all of it."""
    for folder, _, names in os.walk(staged):
        for name in names:
            make_durable(Path(folder, name))
        make_durable(Path(folder))
    files = {name: _record(path) for name, path in _files(staged)}
    manifest = Manifest(
        step=step, score=score, can_resume=can_resume, learned_seconds=learned_seconds, files=files
    )
    write_durably(staged / MANIFEST, manifest.model_dump_json(indent=2).encode())
    final = run_dir.checkpoints_dir / str(step)
    run_dir.checkpoints_dir.mkdir(exist_ok=True)
    _remove(final)
    staged.rename(final)
    make_durable(final.parent)
    return Checkpoint(final, manifest)


def published(run_dir: RunDir) -> list[Checkpoint]:
    """By step, oldest first; unread folders are left out, hashes are not looked at."""
    found = []
    for path in _folders(run_dir):
        try:
            found.append(Checkpoint(path, _manifest(path)))
        except Unsound:
            continue
    return found


def verify(path: Path) -> Checkpoint:
    """Raises Unsound unless the files are exactly those of the manifest, in name, size and hash."""
    manifest = _manifest(path)
    there = dict(_files(path))
    if missing := sorted(manifest.files.keys() - there.keys()):
        raise Unsound(f"{missing[0]} is missing")
    if foreign := sorted(there.keys() - manifest.files.keys()):
        raise Unsound(f"{foreign[0]} does not belong to it")
    for name, record in manifest.files.items():
        if there[name].lstat().st_size != record.bytes:
            raise Unsound(f"{name} has another size than when it was saved")
        if _record(there[name]) != record:
            raise Unsound(f"{name} has other content than when it was saved")
    return Checkpoint(path, manifest)


def newest_sound(run_dir: RunDir) -> tuple[Checkpoint | None, list[str]]:
    """The newest that verifies and can be gone on from, and a sentence for each that was passed over."""
    passed_over = []
    for path in reversed(_folders(run_dir)):
        try:
            checkpoint = verify(path)
        except Unsound as why:
            passed_over.append(
                f"The checkpoint of step {path.name} cannot be trusted ({why}) and was left out."
            )
            continue
        if checkpoint.manifest.can_resume:
            return checkpoint, passed_over
    return None, passed_over


def sound(there: list[Checkpoint]) -> list[Checkpoint]:
    """Those that still are what was published; reads all their bytes."""
    found = []
    for each in there:
        try:
            found.append(verify(each.path))
        except Unsound:
            continue
    return found


def best(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """By held-out score; among equals the earliest, which has trained least for it."""
    scored = [each for each in checkpoints if each.score is not None]
    return max(scored, key=lambda each: (each.score, -each.step), default=None)


def prune(run_dir: RunDir, newest_kept: int = NEWEST_KEPT) -> None:
    """Called only after the newest is on disk: nothing is deleted before its successor is complete."""
    there = published(run_dir)
    newest = [each for each in there if each.manifest.can_resume][-newest_kept:] if newest_kept else []
    kept = {each.path for each in (*newest, best(there)) if each}
    for each in there:
        if each.path not in kept:
            _remove(each.path)


def take_over(old: RunDir, new: RunDir) -> list[str]:
    """The old run's newest sound checkpoint becomes the new run's own, without copying its bytes.

    Returns a sentence for each checkpoint that was passed over.
    """
    found, passed_over = newest_sound(old)
    if found:
        making = new.trainer_dir / "taken-over"
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(found.path, making, copy_function=_link)
        new.checkpoints_dir.mkdir(exist_ok=True)
        making.rename(new.checkpoints_dir / found.path.name)
        make_durable(new.checkpoints_dir)
    return passed_over


def sweep(run_dir: RunDir) -> None:
    """What a killed process left half saved or half deleted."""
    shutil.rmtree(run_dir.trainer_dir, ignore_errors=True)
    if run_dir.checkpoints_dir.is_dir():
        for leftover in run_dir.checkpoints_dir.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)


def forget_later(run_dir: RunDir, step: int) -> None:
    """Training goes on from `step`: what came later will be told again, and saved again."""
    for path in _folders(run_dir):
        if int(path.name) > step:
            _remove(path)


def _folders(run_dir: RunDir) -> list[Path]:
    if not run_dir.checkpoints_dir.is_dir():
        return []
    numbered = (path for path in run_dir.checkpoints_dir.iterdir() if path.name.isdecimal())
    return sorted(numbered, key=lambda path: int(path.name))


def _manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise Unsound("it has no manifest") from None
    except (OSError, ValidationError):
        raise Unsound("its manifest cannot be read") from None
    if str(manifest.step) != path.name:
        raise Unsound("its manifest is that of another step")
    return manifest


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Links are listed too, whatever they point to: none of them is ever published."""
    for path in sorted(folder.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and path != folder / MANIFEST:
            yield path.relative_to(folder).as_posix(), path


def _record(path: Path) -> FileRecord:
    if path.is_symlink() or not path.is_file():
        raise Unsound(f"{path.name} is not a plain file")
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileRecord(bytes=size, sha256=digest.hexdigest())


def _remove(path: Path) -> None:
    """Out of sight first: a half deleted one must not look like a checkpoint."""
    if not path.exists():
        return
    doomed = path.with_name(f".{path.name}.deleted")
    shutil.rmtree(doomed, ignore_errors=True)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _link(source: str, target: str) -> str:
    """A file that was published is never written again, so two runs may share it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
