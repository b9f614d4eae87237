"""`tuning-fork up`: worker and web together on this machine, started, watched and stopped as one."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import SecretStr
from rich.console import Console
from sqlalchemy import func, select

from app import logs, migrations
from app.database import Database
from app.errors import Unavailable
from app.http_server import listen, serve
from app.main import check_access, create_app, worker_token
from app.models import BrowserSession
from app.settings import WebSettings, WorkerSettings
from app.web.security import new_login_token
from app.worker.data_dir import DataDir
from app.worker_client import WorkerClient

WORKER_START_SECONDS = 180.0
STOP_SECONDS = 20.0
LINGERING_SECONDS = 2.0
ADDRESS = "address"

CALM_SECONDS = 60.0
RESTART_PAUSES = (1, 2, 5, 10, 30)
"""Seconds before each restart of a worker that stopped; the last one repeats."""


def up(console: Console) -> None:
    web, worker = WebSettings(), WorkerSettings()
    folder = prepare_data_dir(web.data_dir)
    with _alone(folder) as first:
        if not first:
            address = running_at(web) or site(web)
            console.print(
                f"Already running at [bold]{address}[/]; `tuning-fork login-link` signs a browser in."
            )
            return
        _run(console, web, worker)


def _run(console: Console, web: WebSettings, worker: WorkerSettings) -> None:
    check_access(web)
    listener = listen(web.host, web.port, "TUNING_FORK_WEB_PORT")
    web = web.model_copy(update={"port": listener.getsockname()[1]} | _joined(worker))
    database = prepare_database(console, web)
    logs.configure(web.log_level, web.data_dir / "web.log")
    with WorkerProcess(console, web, worker):
        app = create_app(web)
        (web.data_dir / ADDRESS).write_text(site(web))
        greet(console, web, database)
        database.close()
        try:
            serve(app, listener, app.state.parts.stopping.set)
        finally:
            (web.data_dir / ADDRESS).write_text("")
            console.print("\nStopping. Training under way goes on and is picked up at the next start.")


def greet(console: Console, web: WebSettings, database: Database) -> None:
    console.print(f"Tuning Fork is at [bold]{site(web)}[/]")
    if web.sign_in == "required" and not _has_signed_in(database):
        console.print(
            f"Open this link once to sign in:\n  [bold]{login_link(web, database)}[/]", soft_wrap=True
        )
    elif web.sign_in == "required":
        console.print("`tuning-fork login-link` signs in another browser.")
    console.print("Ctrl-C stops it.")


def login_link(web: WebSettings, database: Database) -> str:
    with database.writing() as session, session.begin():
        token = new_login_token(session, web)
    return f"{running_at(web) or site(web)}/login#token={token}"


def running_at(web: WebSettings) -> str:
    """The address of an `up` that serves this data directory; empty where none does."""
    noted = web.data_dir / ADDRESS
    return noted.read_text().strip() if noted.exists() else ""


def site(web: WebSettings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(web.host, web.host)
    return web.public_url.rstrip("/") or f"http://{host}:{web.port}"


def prepare_data_dir(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def prepare_database(console: Console, web: WebSettings) -> Database:
    """Up to date, with a copy beside it if that meant changing one that was in use."""
    url = web.resolved_database_url()
    database = Database(url)
    found = migrations.revision(database)
    if found != migrations.head():
        copy = migrations.back_up(url) if found else None
        if copy:
            console.print(f"The database is of an earlier version: copied to {copy}, bringing it up to date.")
        migrations.migrate(database)
    return database


def _has_signed_in(database: Database) -> bool:
    with database.reading() as session:
        return bool(session.scalar(select(func.count()).select_from(BrowserSession)))


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other `up` works on this data directory; the lock goes with the process."""
    with (folder / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


class WorkerProcess:
    """The worker as a child: started again when it stops by itself, and stopped with us."""

    def __init__(self, console: Console, web: WebSettings, worker: WorkerSettings) -> None:
        self._console = console
        self._worker = worker
        self._log_file = web.data_dir / "worker.log"
        self._client = WorkerClient(web.worker_url, worker_token(web))
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_alive, name="worker-watch", daemon=True)

    def __enter__(self) -> None:
        if self._is_served_already():
            self._console.print("A worker is already running; using it.")
            return
        self._child = self._start()
        self._wait_until_it_answers()
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._client.close()

    def _is_served_already(self) -> bool:
        """The worker of an `up` that was killed takes a moment to stop; one started by hand stays."""
        deadline = time.monotonic() + STOP_SECONDS
        while True:
            if self._answers() and self._answers_still():
                return True
            try:
                listen(self._worker.host, self._worker.port, "TUNING_FORK_WORKER_PORT").close()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return False

    def _answers_still(self) -> bool:
        time.sleep(LINGERING_SECONDS)
        return self._answers()

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in the terminal is for us, and we stop the worker in order.
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "app.cli", "worker", "--until-input-ends"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": _import_path()},
            )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + WORKER_START_SECONDS
        with self._console.status("Starting the worker"):
            while not self._answers():
                if self._child is None or self._child.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise Unavailable(f"The worker did not start: {_last_line(self._log_file)}")
                time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            self._client.health()
        except Unavailable:
            return False
        return True

    def _keep_alive(self) -> None:
        tries = 0
        while self._child is not None and not self._stopping.is_set():
            began = time.monotonic()
            self._child.wait()
            tries = 0 if time.monotonic() - began > CALM_SECONDS else tries
            if self._stopping.wait(RESTART_PAUSES[min(tries, len(RESTART_PAUSES) - 1)]):
                return
            tries += 1
            self._console.print("The worker stopped; starting it again. Engines were not disturbed.")
            self._child = self._start()


def _joined(worker: WorkerSettings) -> dict[str, object]:
    """The web's settings that follow from those of the worker beside it."""
    token = worker.token.get_secret_value() or DataDir(worker).token()
    return {"worker_url": f"http://{worker.host}:{worker.port}", "worker_token": SecretStr(token)}


def _import_path() -> str:
    here = str(Path(__file__).parent.parent)
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        return _tail(file) or "it said nothing"


def _tail(file: IO[bytes]) -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - 4096))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
