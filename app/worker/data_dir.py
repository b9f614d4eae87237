"""The worker's part of the data directory: where things lie, whose it is, and the token that opens it."""

import fcntl
import os
import secrets
import shutil
from contextlib import suppress

from app.errors import Conflict
from app.settings import WorkerSettings


class DataDir:
    def __init__(self, settings: WorkerSettings) -> None:
        self.root = settings.data_dir.resolve()
        self.runs = self.root / "runs"
        self.datasets = self.root / "datasets"
        self.brought = self.root / "brought"
        self.starter_cache = self.root / "starter"
        self.evaluations = self.root / "evaluations"
        self.models = (settings.models_dir or self.root / "models").resolve()
        self.files = (settings.datasets_dir or self.root / "files").resolve()

    def claim(self) -> int:
        """An open file that keeps other workers away for as long as it stays open."""
        self.root.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.root / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Conflict(
                f"Another worker already uses {self.root}; stop it, or give this one another "
                "directory (TUNING_FORK_WORKER_DATA_DIR)."
            ) from None
        return fd

    def prepare(self) -> None:
        """Makes the folders, and sweeps up what a crash left half made."""
        for folder in (self.runs, self.datasets, self.brought, self.starter_cache):
            folder.mkdir(mode=0o700, exist_ok=True)
        for folder in (self.runs, self.datasets, self.brought):
            for leftover in folder.glob(".*"):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)
        self.models.mkdir(parents=True, exist_ok=True)
        self.files.mkdir(parents=True, exist_ok=True)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.root).free

    def token(self) -> str:
        """Made once; the web on the same machine reads the same file."""
        path = self.root / "worker-token"
        self.root.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            making = path.with_name(f".worker-token.{os.getpid()}")
            making.touch(mode=0o600)
            making.write_text(secrets.token_urlsafe(32))
            try:
                os.link(making, path)  # unlike a rename, never replaces one that is already in use
            finally:
                making.unlink()
        return path.read_text().strip()
