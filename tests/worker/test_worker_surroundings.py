"""What the machine does to a worker: memory that runs out, a clock that is set, a kernel without locks."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.protocol import Python, RunState
from tests.worker_process import WorkerProcess, eventually

Under = Callable[..., WorkerProcess]
BECOMES = (sys.executable, "-m", "tests.worker.surroundings")


@pytest.fixture
def under(tmp_path: Path) -> Iterator[Under]:
    """A worker that some program becomes, in what it runs in."""
    started: list[WorkerProcess] = []

    def start(*program: str, **settings: object) -> WorkerProcess:
        started.append(WorkerProcess(tmp_path / "data", under=program, **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        worker.kill_every_engine()


# Memory

MEMORY = Path("/sys/fs/cgroup/memory")
UNIFIED = Path("/sys/fs/cgroup")
LIMIT = 400_000_000


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group of little memory, in whichever hierarchy this machine counts it."""
    is_older = (MEMORY / "memory.limit_in_bytes").exists()
    group = (MEMORY if is_older else UNIFIED) / f"tuning-fork-{uuid4()}"
    try:
        group.mkdir()
        limits = ("memory.limit_in_bytes",) if is_older else ("memory.max", "memory.swap.max")
        for name, most in zip(limits, (LIMIT, 0), strict=False):
            (group / name).write_text(str(most))
    except OSError:
        if group.is_dir():
            group.rmdir()
        pytest.skip("making a control group is not allowed here")
    yield group
    eventually(lambda: not (group / "cgroup.procs").read_text(), "the end of all in the group")
    group.rmdir()


def test_a_run_that_the_kernel_ended_for_want_of_memory_fails_with_what_to_lower(little_memory, under, spec):
    worker = under(*BECOMES, "group", str(little_memory), retries=3, retry_seconds=0)
    run_id = worker.put(spec("hungry"))
    status = worker.until_over(run_id)
    assert status.state is RunState.FAILED
    assert status.detail is not None
    assert "memory ran out; lower micro_batch_size first" in status.detail
    assert status.attempt == 1
    assert worker.until_over(worker.put(spec("steps 2"))).state is RunState.SUCCEEDED
    worker.kill()


# The clock


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_ends_nobody_and_starts_nobody_twice(under, spec, tmp_path, hours):
    shift = tmp_path / "shift"
    shift.write_text("0")
    worker = under(*BECOMES, "clock", str(shift), retries=3, retry_seconds=0)
    run_id = worker.put(spec("waits 3"))
    queued = worker.put(spec("steps 2"))
    worker.until_training(run_id)
    shift.write_text(str(hours * 3600))
    late = worker.put(spec("steps 1"))
    assert abs(worker.status(late).created_at - time.time() - hours * 3600) < 600
    assert worker.status(run_id).state is RunState.RUNNING
    assert [worker.status(each).queue_position for each in (queued, late)] == [1, 2]
    (worker.data_dir / "runs" / str(run_id) / "go").touch()
    for each in (run_id, queued, late):
        status = worker.until_over(each)
        assert (status.state, status.attempt) == (RunState.SUCCEEDED, 1)
        events = worker.page(each).events
        assert [event.seq for event in events] == list(range(1, len(events) + 1))


# The kernel


def test_a_python_grader_is_refused_where_its_sandbox_does_not_lock(under, spec):
    worker = under(*BECOMES, "no-seccomp")
    grader = Python(name="long", source="def grade(sample, item):\n    return 1.0", sandbox="cage")
    answer = worker.send(uuid4(), spec(grader=grader))
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["where"] == "grader.sandbox"
    assert problem["what"].startswith("this worker cannot run it (")
    assert problem["what"].endswith("choose the other sandbox")
    other = spec("steps 1", grader=grader.model_copy(update={"sandbox": "monty"}))
    assert worker.until_over(worker.put(other)).state is RunState.SUCCEEDED
