"""Engines as processes of this machine, each in a session of its own, able to outlive the worker."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

import app
from app.run_dir import JUDGE_KEY, TRACKING_KEY, RunDir
from app.worker.losses import Ending, ending, memory_kills

PASSED_ON = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR",
    "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "TRITON_CACHE_DIR",
    "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""Of the worker's environment. An engine loads files by strangers: it gets no token but the hub's."""

NO_TELEMETRY = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",  # TRL imports it, for a second, wherever it is installed
}


class Engine:
    """One engine, started here or found again by the lock that it holds."""

    def __init__(self, run_dir: RunDir, process: subprocess.Popen[bytes] | None = None) -> None:
        self._run_dir = run_dir
        self._process = process
        self._leader: psutil.Process | None = None
        self._memory_kills = memory_kills()

    def is_running(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._leader_lives() or (self._lock_is_held() and self._has_leader())

    def ending(self) -> Ending:
        """Only once it has ended."""
        status = self._process.returncode if self._process is not None else None
        return ending(status, memory_kills() - self._memory_kills)

    def ask_to_stop(self) -> None:
        for process in self._processes():
            if _leads_its_session(process):
                _signal(process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """The engine and everything that it started."""
        groups = {group for process in self._processes() if (group := _group(process))}
        if self._process is not None:
            groups.add(self._process.pid)
        for group in groups - {os.getpgrp()}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def let_go(self) -> None:
        """The worker stops, the engine does not: it is found again by its lock."""
        if self._process is not None and self._process.poll() is None:
            self._process.returncode = 0  # what Popen would otherwise warn about is meant

    def _processes(self) -> list[psutil.Process]:
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                return [psutil.Process(self._process.pid)]
        return list(_holders(self._run_dir.lock_file))

    def _leader_lives(self) -> bool:
        with suppress(psutil.Error):
            leader = self._leader
            return bool(leader and leader.is_running() and leader.status() != psutil.STATUS_ZOMBIE)
        return False

    def _has_leader(self) -> bool:
        """What a dead engine has left behind may hold its lock on: that alone is no engine."""
        leaders = (each for each in self._processes() if _leads_its_session(each))
        self._leader = next(leaders, None)
        return self._leader is not None

    def _lock_is_held(self) -> bool:
        fd = self._run_dir.take_lock()
        if fd is None:
            return True
        os.close(fd)
        return False


def launch(run_dir: RunDir, module: str, lock: int, environment: dict[str, str]) -> Engine:
    """`lock` is passed on before the engine's first instruction, so at no moment is the run unclaimed."""
    with run_dir.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(run_dir.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=run_dir.path,
            env=environment,
            pass_fds=(lock,),
            start_new_session=True,
            umask=0o077,
        )
    return Engine(run_dir, process)


def environment(
    threads: int, device: str, online: bool, judge_key: str = "", tracking_key: str = ""
) -> dict[str, str]:
    """`judge_key` is given only where the run's graders ask the judge."""
    given = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    hidden = {} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
    offline = {} if online else {"HF_HUB_OFFLINE": "1"}
    key = {JUDGE_KEY: judge_key} if judge_key else {}
    key |= {TRACKING_KEY: tracking_key} if tracking_key else {}
    code = str(Path(app.__file__).parent.parent)
    return {
        **given,
        **hidden,
        **offline,
        **key,
        **NO_TELEMETRY,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "PYTHONPATH": code,
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _holders(lock_file: Path) -> Iterator[psutil.Process]:
    """Other processes with this lock open. Only one that leads its own session was started as an engine."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(f.path == str(lock_file) for f in process.open_files()):
                yield process


def _leads_its_session(process: psutil.Process) -> bool:
    with suppress(OSError):
        return os.getsid(process.pid) == process.pid
    return False


def _group(process: psutil.Process) -> int | None:
    with suppress(OSError):
        return os.getpgid(process.pid)
    return None


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
