"""Files on their way to the worker: kept on disk as they arrive, counted, hashed, gone on with, forgotten.

What came in one request lives as long as that request. A resumable upload (tus 1.0) is a folder-less pair of
files: what has arrived so far, whose size is the offset, and the words about it.
"""

import fcntl
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from uuid import UUID, uuid4

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.errors import Conflict, InvalidInput, NotFound, Problem, RateLimited, TooLarge
from app.settings import WebSettings

ABANDONED_AFTER = 3600.0
"""Seconds after which a file in transit belongs to a request that no longer exists."""

CHUNK = 1 << 20


@dataclass(frozen=True)
class Arrived:
    path: Path
    sha256: str

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


async def receive(chunks: AsyncIterator[bytes], settings: WebSettings) -> Arrived:
    folder = _folder(settings)
    digest, size = hashlib.sha256(), 0
    with NamedTemporaryFile(dir=folder, suffix=".jsonl", delete=False) as file:
        arrived = Path(file.name)
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > settings.max_upload_bytes:
                    raise too_large(settings)
                digest.update(chunk)
                await run_in_threadpool(file.write, chunk)
            if not size:
                raise empty()
        except BaseException:
            arrived.unlink(missing_ok=True)
            raise
    return Arrived(arrived, digest.hexdigest())


def too_large(settings: WebSettings) -> TooLarge:
    return TooLarge(f"The file is larger than {settings.max_upload_bytes:,} bytes.")


def empty() -> InvalidInput:
    return InvalidInput("The file is empty.", (Problem(where="line 1", what="there is no row"),))


def _folder(settings: WebSettings) -> Path:
    folder = settings.data_dir / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    sweep_out(folder, settings)
    return folder


def sweep_out(folder: Path, settings: WebSettings) -> None:
    for pattern, seconds in (("*.jsonl", ABANDONED_AFTER), ("*.part", settings.upload_hours * 3600)):
        for left in folder.glob(pattern):
            if time.time() - left.stat().st_mtime > seconds:
                left.unlink(missing_ok=True)
                left.with_suffix(".json").unlink(missing_ok=True)


# Resumable


class Words(BaseModel):
    length: int
    filename: str


@dataclass(frozen=True)
class Upload:
    id: UUID
    part: Path
    words: Words

    @property
    def offset(self) -> int:
        return self.part.stat().st_size

    @property
    def is_complete(self) -> bool:
        return self.offset == self.words.length


def begin(settings: WebSettings, length: int, filename: str) -> Upload:
    """Raises RateLimited where too many are unfinished, TooLarge and InvalidInput for the size."""
    if length > settings.max_upload_bytes:
        raise too_large(settings)
    if not length:
        raise empty()
    folder = _folder(settings)
    if sum(1 for _ in folder.glob("*.part")) >= settings.max_uploads:
        raise RateLimited(
            f"{settings.max_uploads} uploads are unfinished already; finish or remove one of them first."
        )
    upload_id = uuid4()
    words = Words(length=length, filename=filename)
    _words_file(folder, upload_id).write_text(words.model_dump_json())
    (folder / f"{upload_id}.part").touch(mode=0o600)
    return Upload(upload_id, folder / f"{upload_id}.part", words)


def find(settings: WebSettings, upload_id: UUID) -> Upload:
    folder = settings.data_dir / "uploads"
    part = folder / f"{upload_id}.part"
    try:
        words = Words.model_validate_json(_words_file(folder, upload_id).read_bytes())
        part.stat()
    except FileNotFoundError:
        raise NotFound(
            "There is no such upload: it was finished, removed, or given up. Start it again."
        ) from None
    return Upload(upload_id, part, words)


async def go_on(upload: Upload, offset: int, chunks: AsyncIterator[bytes]) -> int:
    """The offset afterwards. What arrived before the connection broke is kept."""
    with _alone(upload) as file:
        if offset != upload.offset:
            raise Conflict(f"The upload stands at byte {upload.offset:,}; go on from there.")
        try:
            async for chunk in chunks:
                offset += len(chunk)
                if offset > upload.words.length:
                    raise TooLarge(
                        f"More arrives than the {upload.words.length:,} bytes that were announced."
                    )
                await run_in_threadpool(file.write, chunk)
        except ClientDisconnect:
            pass
        file.flush()
    return upload.offset


@contextmanager
def _alone(upload: Upload) -> Iterator[IO[bytes]]:
    with upload.part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("This upload is being received already; ask again in a moment.") from None
        yield file


def completed(upload: Upload) -> Arrived:
    if not upload.is_complete:
        raise Conflict(
            f"The upload is not complete: {upload.offset:,} of {upload.words.length:,} bytes are here; "
            "send the rest."
        )
    digest = hashlib.sha256()
    with upload.part.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return Arrived(upload.part, digest.hexdigest())


def remove(upload: Upload) -> None:
    upload.part.unlink(missing_ok=True)
    upload.part.with_suffix(".json").unlink(missing_ok=True)


def _words_file(folder: Path, upload_id: UUID) -> Path:
    return folder / f"{upload_id}.json"
