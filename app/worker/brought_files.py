"""Files on their way to becoming datasets: held by content hash for a day, whatever they turn out to be."""

import hashlib
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from starlette.concurrency import run_in_threadpool

from app.errors import InvalidInput, NotFound, Problem, TooLarge
from app.protocol import BroughtFile, ListedFile
from app.run_dir import write_durably

SHA256 = re.compile(r"[0-9a-f]{64}")
KEPT_SECONDS = 24 * 3600.0
MOST_FILES = 50
MOST_LISTED = 500
CHUNK = 1 << 20


class BroughtFiles:
    def __init__(self, folder: Path, local: Path, max_bytes: int) -> None:
        self._folder = folder
        self._local = local
        self._max_bytes = max_bytes

    def find(self, sha256: str) -> tuple[Path, BroughtFile]:
        path = self._folder / f"{sha256}.bin"
        if not (SHA256.fullmatch(sha256) and path.is_file()):
            raise NotFound("The file is no longer on the worker; bring it again.")
        return path, BroughtFile.model_validate_json(self._words_of(sha256).read_bytes())

    async def receive(self, sha256: str, body: AsyncIterator[bytes], name: str, source: str) -> BroughtFile:
        with self._arriving() as (file, path):
            digest = hashlib.sha256()
            async for chunk in body:
                digest.update(chunk)
                await run_in_threadpool(file.write, chunk)
            if digest.hexdigest() != sha256:
                what = f"what arrived has the SHA-256 {digest.hexdigest()}; name that, or send the file again"
                raise InvalidInput("The file is not the one that was named.", (_problem("sha256", what),))
            return await run_in_threadpool(self._keep, file, path, sha256, name, source)

    def adopt(self, made: Path, name: str, source: str) -> BroughtFile:
        """A file that was fetched or made here; it is copied, so that what is read is what was hashed."""
        with made.open("rb") as opened:
            return self._copy(opened, name, source)

    # The worker's own folder of files

    def local_files(self) -> list[ListedFile]:
        """Plain files only: no links, no pipes, nothing hidden, nothing in folders."""
        if not self._local.is_dir():
            return []
        with os.scandir(self._local) as entries:
            found = [
                ListedFile(name=entry.name, bytes=entry.stat(follow_symlinks=False).st_size)
                for entry in entries
                if entry.is_file(follow_symlinks=False) and _can_be_listed(entry.name)
            ]
        return sorted(found, key=lambda file: file.name)[:MOST_LISTED]

    def bring_local(self, name: str) -> BroughtFile:
        if name not in {file.name for file in self.local_files()}:
            raise NotFound("There is no such file in the worker's folder of datasets.")
        fd = os.open(self._local / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as opened:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise NotFound("This is no plain file.")
            return self._copy(opened, Path(name).stem, f"the worker's file {name}")

    def _copy(self, opened: IO[bytes], name: str, source: str) -> BroughtFile:
        digest, size = hashlib.sha256(), 0
        with self._arriving() as (file, path):
            while chunk := opened.read(CHUNK):
                size += len(chunk)
                if size > self._max_bytes:
                    raise TooLarge(f"The file is larger than {self._max_bytes:,} bytes.")
                digest.update(chunk)
                file.write(chunk)
            return self._keep(file, path, digest.hexdigest(), name, source)

    @contextmanager
    def _arriving(self) -> Iterator[tuple[IO[bytes], Path]]:
        self._forget_old()
        with NamedTemporaryFile(dir=self._folder, prefix=".arriving-", delete=False) as file:
            path = Path(file.name)
            try:
                yield file, path
            finally:
                path.unlink(missing_ok=True)

    def _keep(self, file: IO[bytes], path: Path, sha256: str, name: str, source: str) -> BroughtFile:
        file.flush()
        os.fsync(file.fileno())
        kept = BroughtFile(sha256=sha256, bytes=path.stat().st_size, name=name, source=source)
        write_durably(self._words_of(sha256), kept.model_dump_json().encode())
        path.replace(self._folder / f"{sha256}.bin")
        return kept

    def _words_of(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"

    def _forget_old(self) -> None:
        files = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime, reverse=True)
        for number, path in enumerate(files):
            if number >= MOST_FILES or time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)


def _can_be_listed(name: str) -> bool:
    return name.isprintable() and not name.startswith(".") and len(name) <= 255


def _problem(where: str, what: str) -> Problem:
    return Problem(where=where, what=what)
