"""What the hub has, fetched by a process of its own: it may import `datasets`, the worker may not."""

import subprocess
import sys
from pathlib import Path

from app.errors import InvalidInput, Problem
from app.protocol import Fetched, FetchOrder
from app.settings import WorkerSettings
from app.worker.children import last_line
from app.worker.launchers.local import environment

NO_HUB = (
    "loading from the Hugging Face hub is turned off on this worker; set TUNING_FORK_WORKER_ALLOW_HUB=true, "
    "or bring the file itself"
)


def fetch(order: FetchOrder, settings: WorkerSettings, where: str) -> Fetched:
    """Raises InvalidInput, with a sentence of what to do, where it cannot be had."""
    if not settings.allow_hub:
        raise _cannot(where, NO_HUB)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "app.engine.fetch", order.model_dump_json()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=order.folder,
            env=environment(1, "cpu", online=True),
            timeout=settings.fetch_seconds,
            umask=0o077,
        )
    except subprocess.TimeoutExpired:
        raise _cannot(
            where,
            f"fetching it takes longer than {settings.fetch_seconds:,.0f} seconds; raise "
            "TUNING_FORK_WORKER_FETCH_SECONDS on the worker, or bring the file itself",
        ) from None
    said = Path(order.folder) / "fetched.json"
    if done.returncode or not said.exists():
        raise _cannot(where, f"the process that fetches it failed: {last_line(done.stderr)}")
    fetched = Fetched.model_validate_json(said.read_bytes())
    if fetched.why:
        raise _cannot(where, fetched.why)
    return fetched


def _cannot(where: str, why: str) -> InvalidInput:
    return InvalidInput("It could not be fetched from the hub.", (Problem(where=where, what=why),))
