"""What it means that an engine is gone without a verdict: whose fault it is, and whether it starts again."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.run_dir import NO_ROOM_FOR_THE_VERDICT, Loss

FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that a process does not send itself: an operator, a container or a shutdown does."""

SAME_PLACE_STEPS = 10
"""Two losses of one kind so close together, with no checkpoint in between, are not chance."""

LONGEST_PAUSE_SECONDS = 360

OUT_OF_MEMORY = (
    "The system ended the training process because memory ran out; lower micro_batch_size first, "
    "then the length limits, or start from a smaller model."
)
DISK_FULL = (
    "The disk was so full that the training process could not write how it ended; "
    "delete runs or datasets on the worker and retry the run."
)

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Ending:
    sentence: str
    signature: str
    is_loss: bool
    """Not the run's own fault: the same again may well succeed."""


def ending(status: int | None, memory_kills: int) -> Ending:
    """`status` as Popen gives it, None where nobody knows; `memory_kills` since the engine's start."""
    if status is None:
        sentence = "The training process ended while no worker watched it, before it had a result."
        return Ending(sentence, "unseen", is_loss=True)
    if status == -signal.SIGKILL and memory_kills:
        return Ending(OUT_OF_MEMORY, "out of memory", is_loss=False)
    if status == NO_ROOM_FOR_THE_VERDICT:
        return Ending(DISK_FULL, "disk full", is_loss=False)
    if -status in FROM_OUTSIDE:
        name = signal.Signals(-status).name
        return Ending(f"The training process was killed from outside ({name}).", name, is_loss=True)
    how = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
    sentence = f"The training process {how} before it had a result; its log may say why."
    return Ending(sentence, how, is_loss=False)


def why_not_again(losses: Sequence[Loss], retries: int) -> str | None:
    """Judges the last of them. None: start again."""
    *_, last = losses
    if any(_is_same_place(earlier, last) for earlier in losses[:-1]):
        return (
            "That happened twice at the same place without progress in between, so it is not started again "
            "by itself; its log may say why."
        )
    if len(losses) > retries:
        times = f"{retries} times" if retries != 1 else "once"
        return (
            f"It was started again {times}, as often as TUNING_FORK_WORKER_RETRIES allows." if retries else ""
        )
    return None


def pause_seconds(losses: Sequence[Loss], first: float) -> float:
    """Doubles each time."""
    return min(LONGEST_PAUSE_SECONDS, first * 2.0 ** (len(losses) - 1))


def memory_kills() -> int:
    """Processes that the kernel ended for want of memory, in the worker's own control group where it has one.

    Counted since boot or since the group was made: only a difference says anything.
    """
    for path, key in _counters():
        if (count := _count(path, key)) is not None:
            return count
    return 0


def _counters() -> list[tuple[Path, str]]:
    """Where both kinds of hierarchy are mounted, the older one has the memory controller."""
    groups = _own_groups()
    unified, memory = groups.get("", ""), groups.get("memory", "")
    return [
        (CGROUPS / unified / "memory.events", "oom_kill"),
        (CGROUPS / "memory.events", "oom_kill"),
        (CGROUPS / "memory" / memory / "memory.oom_control", "oom_kill"),
        (CGROUPS / "memory" / "memory.oom_control", "oom_kill"),
        (Path("/proc/vmstat"), "oom_kill"),
    ]


def _own_groups() -> dict[str, str]:
    """Below their hierarchies, by controller; of the unified one by no name."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    groups: dict[str, str] = {}
    for _, controllers, path in (line.split(":", 2) for line in lines):
        groups |= dict.fromkeys(controllers.split(","), path.strip("/"))
    return groups


def _count(path: Path, key: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(counts[key]) if key in counts else None


def _is_same_place(earlier: Loss, last: Loss) -> bool:
    return (
        earlier.signature == last.signature
        and abs(last.step - earlier.step) <= SAME_PLACE_STEPS
        and last.saved <= earlier.saved
    )
