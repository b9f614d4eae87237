"""No accepted run is lost, doubled or left running, whatever is killed and whenever."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest

from app.protocol import RunState
from tests.worker_process import WorkerProcess, eventually


def lines(worker: WorkerProcess, run_id: UUID) -> list[dict]:
    text = (worker.data_dir / "runs" / str(run_id) / "events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def assert_one_verdict(worker: WorkerProcess, run_id: UUID) -> None:
    events = lines(worker, run_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["what"]["kind"] for event in events].count("end") == 1
    assert events[-1]["what"]["kind"] == "end"


def test_a_run_goes_from_queued_to_succeeded_with_a_gapless_log(worker, spec):
    run_id = worker.put(spec("steps 5"))
    status = worker.until_over(run_id)
    assert status.state is RunState.SUCCEEDED
    assert_one_verdict(worker, run_id)
    page = worker.page(run_id)
    assert page.status.last_seq == len(page.events) == status.last_seq


def test_killing_the_worker_leaves_the_engine_running_and_the_next_worker_adopts_it(worker, spec):
    run_id = worker.put(spec("waits 3"))
    worker.until_training(run_id)
    engine = worker.engine(run_id)
    worker.restart()
    assert worker.status(run_id).state is RunState.RUNNING
    assert worker.engine(run_id) == engine
    (worker.data_dir / "runs" / str(run_id) / "go").touch()
    assert worker.until_over(run_id).state is RunState.SUCCEEDED
    assert_one_verdict(worker, run_id)


def test_stopping_the_worker_politely_leaves_the_engine_running_too(worker, spec):
    run_id = worker.put(spec("hang"))
    worker.until_training(run_id)
    worker.stop()
    assert worker.engine(run_id) is not None
    worker.start()
    assert worker.status(run_id).state is RunState.RUNNING


def test_an_adopted_engine_can_be_cancelled(worker, spec):
    run_id = worker.put(spec("hang"))
    worker.until_training(run_id)
    worker.restart()
    worker.http.post(f"/runs/{run_id}/cancel").raise_for_status()
    assert worker.until_over(run_id).state is RunState.CANCELLED
    assert_one_verdict(worker, run_id)


def test_an_adopted_engine_that_ignores_the_request_is_killed(worker, spec):
    run_id = worker.put(spec("deaf"))
    worker.until_training(run_id)
    worker.restart()
    worker.http.post(f"/runs/{run_id}/cancel").raise_for_status()
    assert worker.until_over(run_id).state is RunState.CANCELLED
    assert_one_verdict(worker, run_id)


def test_a_cancel_that_the_worker_did_not_live_to_finish_is_finished_by_the_next(worker, spec):
    run_id = worker.put(spec("deaf"))
    worker.until_training(run_id)
    worker.http.post(f"/runs/{run_id}/cancel").raise_for_status()
    worker.restart()
    assert worker.until_over(run_id).state is RunState.CANCELLED


def test_an_engine_killed_in_mid_run_is_a_failed_run_with_a_reason_and_a_log(worker, spec):
    run_id = worker.put(spec("hang"))
    worker.until_training(run_id)
    worker.kill_engine(run_id)
    status = worker.until_over(run_id)
    assert status.state is RunState.FAILED
    assert "was killed from outside" in status.detail
    assert_one_verdict(worker, run_id)
    end = lines(worker, run_id)[-1]["what"]
    assert end["log_tail"] == "step 1"
    assert (end["steps_done"], end["total_steps"]) == (1, 3)


def test_an_engine_that_died_while_no_worker_lived_is_found_dead(worker, spec):
    run_id = worker.put(spec("hang"))
    worker.until_training(run_id)
    worker.kill()
    worker.kill_engine(run_id)
    worker.start()
    assert worker.until_over(run_id).state is RunState.FAILED
    assert_one_verdict(worker, run_id)


def test_an_engine_that_finished_while_no_worker_lived_has_succeeded(worker, spec):
    run_id = worker.put(spec("waits 3"))
    worker.until_training(run_id)
    worker.kill()
    (worker.data_dir / "runs" / str(run_id) / "go").touch()
    eventually(lambda: worker.engine(run_id) is None, "the engine's end")
    worker.start()
    assert worker.status(run_id).state is RunState.SUCCEEDED


def test_a_torn_last_line_is_cut_before_the_verdict_is_written(worker, spec):
    run_id = worker.put(spec("crash 5"))
    status = worker.until_over(run_id)
    assert status.state is RunState.FAILED
    assert "status 3" in status.detail
    assert_one_verdict(worker, run_id)
    assert "out of luck" in lines(worker, run_id)[-1]["what"]["log_tail"]


def test_an_engine_that_dies_before_its_first_event_is_a_failed_run(worker, spec):
    run_id = worker.put(spec("silent"))
    assert worker.until_over(run_id).state is RunState.FAILED
    assert "no such module" in lines(worker, run_id)[-1]["what"]["log_tail"]


def test_what_a_dead_engine_started_does_not_keep_its_run_alive(worker, spec):
    run_id = worker.put(spec("child"))
    assert worker.until_over(run_id).state is RunState.FAILED
    lock = str(worker.data_dir / "runs" / str(run_id) / "lock")
    eventually(lambda: not holders(lock), "the end of what the engine started")


def test_what_an_engine_left_behind_is_not_taken_for_it_by_the_next_worker(worker, spec):
    run_id = worker.put(spec("orphan"))
    worker.until_training(run_id)
    worker.kill()
    (worker.data_dir / "runs" / str(run_id) / "go").touch()
    lock = str(worker.data_dir / "runs" / str(run_id) / "lock")
    eventually(lambda: not any(os.getsid(each.pid) == each.pid for each in holders(lock)), "its end")
    assert holders(lock)
    worker.start()
    assert worker.until_over(run_id).state is RunState.FAILED
    assert_one_verdict(worker, run_id)


def holders(lock: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            found += [process for file in process.open_files() if file.path == lock]
        except psutil.Error:
            continue
    return found


def test_an_engine_that_lingers_after_its_verdict_is_removed_and_its_slot_freed(worker, spec):
    first = worker.put(spec("lingers"))
    second = worker.put(spec("steps 1"))
    assert worker.until_over(first).state is RunState.SUCCEEDED
    assert worker.until_over(second).state is RunState.SUCCEEDED
    assert worker.engine(first) is None


def test_the_queue_keeps_its_order_over_a_restart(worker, spec):
    running = worker.put(spec("hang"))
    queued = [worker.put(spec(f"steps {n}")) for n in (1, 2, 3)]
    worker.restart()
    assert [worker.status(run_id).queue_position for run_id in queued] == [1, 2, 3]
    worker.http.post(f"/runs/{running}/cancel").raise_for_status()
    for run_id in queued:
        assert worker.until_over(run_id).state is RunState.SUCCEEDED
    starts = [lines(worker, run_id)[0]["at"] for run_id in queued]
    assert starts == sorted(starts)


def test_no_more_engines_run_at_once_than_there_are_slots(start_worker, spec):
    worker = start_worker(slots=2)
    runs = [worker.put(spec("hang")) for _ in range(3)]
    for run_id in runs[:2]:
        worker.until_training(run_id)
    assert worker.status(runs[2]).state is RunState.QUEUED
    health = worker.http.get("/health").json()
    assert health["running"] == [str(run_id) for run_id in runs[:2]]
    assert health["queued"] == [str(runs[2])]


def test_fifty_puts_of_one_id_at_once_make_one_run(worker, spec):
    run_id, wanted = uuid4(), spec("steps 2")
    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(lambda _: worker.send(run_id, wanted).status_code, range(50)))
    assert sorted(codes) == [200] * 49 + [201]
    assert worker.until_over(run_id).state is RunState.SUCCEEDED
    assert_one_verdict(worker, run_id)


def test_an_accepted_run_survives_a_kill_right_after_the_answer(worker, spec):
    blocker = worker.put(spec("hang"))
    for _ in range(3):
        run_id = worker.put(spec("steps 1"))
        worker.restart()
        assert worker.status(run_id).state is RunState.QUEUED
    assert worker.status(blocker).state is RunState.RUNNING


def test_a_worker_killed_before_it_started_the_engine_starts_it_the_next_time(start_worker, spec, tmp_path):
    worker = start_worker()
    blocker = worker.put(spec("hang"))
    run_id = worker.put(spec("steps 1"))
    (worker.data_dir / "runs" / str(run_id) / "inputs.json").write_text("{}")
    (worker.data_dir / "runs" / str(run_id) / "log.txt").touch()
    worker.restart()
    worker.http.post(f"/runs/{blocker}/cancel").raise_for_status()
    assert worker.until_over(run_id).state is RunState.SUCCEEDED


def test_cancel_racing_completion_leaves_exactly_one_verdict(worker, spec):
    for _ in range(8):
        run_id = worker.put(spec("steps 1"))
        worker.until_training(run_id)
        answer = worker.http.post(f"/runs/{run_id}/cancel")
        assert answer.status_code in (200, 409)
        worker.until_over(run_id)
        assert_one_verdict(worker, run_id)


def test_a_second_worker_on_the_same_directory_refuses_to_start(worker, tmp_path):
    with pytest.raises(AssertionError, match="Another worker already uses"):
        WorkerProcess(worker.data_dir)


def test_half_made_runs_and_half_deleted_ones_are_swept_up(worker, spec):
    runs: Path = worker.data_dir / "runs"
    worker.kill()
    for name in (f".{uuid4()}.new", f".{uuid4()}.deleted"):
        (runs / name).mkdir()
        (runs / name / "spec.json").write_text("{")
    (worker.data_dir / "datasets" / ".upload-x").write_text("half")
    worker.start()
    assert list(runs.iterdir()) == []
    assert list((worker.data_dir / "datasets").iterdir()) == []


def test_a_folder_that_is_no_run_does_not_keep_the_worker_from_starting(worker, spec):
    worker.kill()
    (worker.data_dir / "runs" / str(uuid4())).mkdir()
    (worker.data_dir / "runs" / "notes").mkdir()
    worker.start()
    assert worker.http.get("/runs").json() == []
