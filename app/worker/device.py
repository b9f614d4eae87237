"""What this machine trains on, found out without importing torch."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from app.protocol import Device
from app.settings import WorkerSettings

NVIDIA_SMI_SECONDS = 20
"""A cold driver takes some."""

PACKAGES = ("tuning-fork", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


@dataclass(frozen=True)
class Processors:
    device: Device
    threads: int
    """For each engine."""
    slots: int
    """Engines that may run at the same time."""
    gpus: tuple[str, ...]
    """As CUDA_VISIBLE_DEVICES names them; each engine sees one."""


def processors(settings: WorkerSettings) -> Processors:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device = _device(settings.device, cores)
    gpus = _names(device) if device.kind == "cuda" else ()
    slots = settings.slots or max(1, len(gpus))
    return Processors(device, settings.threads or max(1, cores // slots), slots, gpus)


def _names(device: Device) -> tuple[str, ...]:
    """The worker itself may have been given only some of the machine's."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    named = tuple(name.strip() for name in given.split(",") if name.strip())
    return named or tuple(str(number) for number in range(device.count))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device(wanted: Literal["auto", "cpu", "cuda"], cores: int) -> Device:
    gpus = [] if wanted == "cpu" else _gpus()
    if gpus:
        name, memory = gpus[0]
        return Device(kind="cuda", name=name, count=len(gpus), memory_bytes=memory)
    if wanted == "cuda":
        return Device(kind="cuda", name="CUDA device that nvidia-smi does not list", count=1, memory_bytes=0)
    return Device(kind="cpu", name=_cpu_name(), count=cores, memory_bytes=_memory())


def _gpus() -> list[tuple[str, int]]:
    """Name and memory in bytes of each, as the driver's own tool lists them."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rsplit(",", 1) for line in said.stdout.splitlines() if "," in line]
    return [(name.strip(), int(mib) * 2**20) for name, mib in rows if mib.strip().isdecimal()]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory() -> int:
    """A container may have less than its machine."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
