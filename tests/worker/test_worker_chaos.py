"""Worker and engines are killed at random while runs come and go; every run ends with one true verdict."""

import json
import random
import time
from uuid import UUID

import pytest

from app.protocol import RunState
from tests.worker_process import WorkerProcess

NAMES = (
    "steps 1", "steps 8", "steps 20", "limited 20", "crash", "fail", "silent", "child", "lingers", "lost",
    "doomed", "hang", "deaf",
)  # fmt: skip
ENDLESS = ("hang", "deaf")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
def test_after_any_sequence_of_kills_every_run_has_exactly_one_verdict(start_worker, spec, seed):
    chance = random.Random(seed)
    worker = start_worker(slots=2, cancel_grace_seconds=0.3, retries=3, retry_seconds=0.1)
    runs: dict[UUID, str] = {}
    for _ in range(60):
        do_something(worker, runs, spec, chance)
        time.sleep(chance.random() / 4)
    for run_id in runs:
        worker.http.post(f"/runs/{run_id}/resume", json={})
        if runs[run_id] in ENDLESS:
            cancel_unless_over(worker, run_id)
    for run_id in runs:
        worker.until_over(run_id)
        assert_one_true_verdict(worker, run_id)


def do_something(worker: WorkerProcess, runs: dict[UUID, str], spec, chance: random.Random) -> None:
    chosen = chance.choice(list(runs)) if runs else None
    match chance.choice(("put", "put", "put", "kill worker", "kill engine", "cancel", "pause", "resume")):
        case "kill worker":
            worker.restart()
        case "kill engine" if chosen:
            if engine := worker.engine(chosen):
                engine.kill()
        case "cancel" if chosen:
            cancel_unless_over(worker, chosen)
        case "pause" | "resume" as wish if chosen:
            assert worker.http.post(f"/runs/{chosen}/{wish}", json={}).status_code in (200, 409)
        case _:
            name = chance.choice(NAMES)
            runs[worker.put(spec(name, starts_from=chosen if chance.random() < 0.3 else None))] = name


def cancel_unless_over(worker: WorkerProcess, run_id: UUID) -> None:
    assert worker.http.post(f"/runs/{run_id}/cancel").status_code in (200, 409)


def assert_one_true_verdict(worker: WorkerProcess, run_id: UUID) -> None:
    folder = worker.data_dir / "runs" / str(run_id)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["what"]["kind"] for event in events].count("end") == 1
    state = worker.status(run_id).state
    assert events[-1]["what"]["state"] == state
    assert state is not RunState.SUCCEEDED or (folder / "model").is_dir()
