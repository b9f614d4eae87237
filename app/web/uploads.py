"""A dataset on its way to the worker: kept on disk as it arrives, counted, hashed, handed on, forgotten."""

import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from starlette.concurrency import run_in_threadpool

from app import runs
from app.database import Database
from app.errors import InvalidInput, Problem, TooLarge
from app.models import Dataset
from app.settings import WebSettings
from app.worker_client import WorkerClient

ABANDONED_AFTER = 3600.0
"""Seconds after which a file in transit belongs to a request that no longer exists."""


@dataclass(frozen=True)
class Arrived:
    path: Path
    sha256: str

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)


async def receive(chunks: AsyncIterator[bytes], settings: WebSettings) -> Arrived:
    folder = settings.data_dir / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    sweep_out(folder)
    digest, size = hashlib.sha256(), 0
    with NamedTemporaryFile(dir=folder, suffix=".jsonl", delete=False) as file:
        arrived = Path(file.name)
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > settings.max_upload_bytes:
                    raise TooLarge(f"The file is larger than {settings.max_upload_bytes:,} bytes.")
                digest.update(chunk)
                await run_in_threadpool(file.write, chunk)
            if not size:
                raise InvalidInput("The file is empty.", (Problem(where="line 1", what="there is no row"),))
        except BaseException:
            arrived.unlink(missing_ok=True)
            raise
    return Arrived(arrived, digest.hexdigest())


def sweep_out(folder: Path) -> None:
    for left in folder.glob("*.jsonl"):
        if time.time() - left.stat().st_mtime > ABANDONED_AFTER:
            left.unlink(missing_ok=True)


def keep_dataset(
    database: Database, worker: WorkerClient, sweep: runs.Sweep, arrived: Arrived, name: str
) -> Dataset:
    """The worker judges every row first; the name is the user's, the hash is the dataset's identity."""
    try:
        with sweep.uploading:
            with database.writing() as session, session.begin():
                runs.forget_removal(session, arrived.sha256)
            with arrived.path.open("rb") as rows:
                summary = worker.put_dataset(arrived.sha256, rows)
            with database.writing() as session, session.begin():
                dataset = Dataset(name=name, sha256=arrived.sha256, summary=summary)
                session.add(dataset)
    finally:
        arrived.discard()
    return dataset
