"""Uploaded datasets by content hash, each beside the summary made when it came in; generated ones by name."""

import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool

from app.datasets import generated
from app.datasets.formats import read_rows, summarise
from app.errors import InvalidInput, Problem
from app.protocol import DatasetRef, DatasetSummary, GeneratedDataset, UploadedDataset
from app.run_dir import write_durably

SHA256 = re.compile(r"[0-9a-f]{64}")


class DatasetStore:
    def __init__(self, folder: Path, max_line_bytes: int) -> None:
        self._folder = folder
        self._max_line_bytes = max_line_bytes

    def find(self, sha256: str) -> Path | None:
        """The file itself; None for whatever is not the hash of an upload."""
        path = self._folder / f"{sha256}.jsonl"
        return path if SHA256.fullmatch(sha256) and path.is_file() else None

    async def receive(self, sha256: str, body: AsyncIterator[bytes]) -> DatasetSummary:
        """Streams to a hidden file, which becomes the dataset only when every row of it is good."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".upload-", delete=False) as file:
            arriving = Path(file.name)
            try:
                digest = await _write(file, body)
                if digest != sha256:
                    what = f"what arrived has the SHA-256 {digest}; name that, or send the file again"
                    raise InvalidInput("The file is not the one that was named.", (_problem("sha256", what),))
                return await run_in_threadpool(self._keep, sha256, arriving)
            finally:
                arriving.unlink(missing_ok=True)

    def summary(self, ref: DatasetRef) -> DatasetSummary | None:
        if isinstance(ref, GeneratedDataset):
            return generated_summary(ref.name)
        if not self.find(ref.sha256):
            return None
        return DatasetSummary.model_validate_json(self._summary_file(ref.sha256).read_bytes())

    def uploads(self) -> list[DatasetSummary]:
        hashes = sorted(path.stem for path in self._folder.glob("*.jsonl"))
        found = (self.summary(UploadedDataset(sha256=sha256)) for sha256 in hashes)
        return [summary for summary in found if summary]

    def delete(self, sha256: str) -> None:
        if path := self.find(sha256):
            path.unlink()
            self._summary_file(sha256).unlink(missing_ok=True)

    def _keep(self, sha256: str, arrived: Path) -> DatasetSummary:
        rows = read_rows(arrived, self._max_line_bytes)
        summary = summarise(UploadedDataset(sha256=sha256), rows, arrived.stat().st_size)
        write_durably(self._summary_file(sha256), summary.model_dump_json().encode())
        arrived.replace(self._folder / f"{sha256}.jsonl")
        return summary

    def _summary_file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.summary.json"


@lru_cache(maxsize=8)
def generated_summary(name: str) -> DatasetSummary:
    made = generated.generate(name)
    ref = GeneratedDataset.model_validate({"name": name})
    return summarise(ref, made.train, bytes=0, held_out=len(made.held_out))


async def _write(file: IO[bytes], body: AsyncIterator[bytes]) -> str:
    digest = hashlib.sha256()
    async for chunk in body:
        digest.update(chunk)
        await run_in_threadpool(file.write, chunk)
    file.flush()
    await run_in_threadpool(os.fsync, file.fileno())
    return digest.hexdigest()


def _problem(where: str, what: str) -> Problem:
    return Problem(where=where, what=what)
