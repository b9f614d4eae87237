"""Pausing, resuming, priorities, and runs whose process is lost: what becomes of an accepted run."""

import signal
from uuid import UUID

import pytest

from app.protocol import Limits, ResumeEvent, RunState
from app.run_dir import Loss
from app.worker.losses import ending, pause_seconds, why_not_again
from tests.worker_process import WorkerProcess, eventually


@pytest.fixture
def stubborn(start_worker) -> WorkerProcess:
    """Starts lost runs again, at once."""
    return start_worker(retries=3, retry_seconds=0)


def post(worker: WorkerProcess, run_id: UUID, verb: str, **body: object):
    return worker.http.post(f"/runs/{run_id}/{verb}", json=body)


def paused(worker: WorkerProcess, spec, name: str = "waits 4", **more: object) -> UUID:
    run_id = worker.put(spec(name, **more))
    worker.until_training(run_id)
    assert post(worker, run_id, "pause").json()["state"] in ("pausing", "paused")
    worker.until(run_id, RunState.PAUSED)
    return run_id


def resumptions(worker: WorkerProcess, run_id: UUID) -> list[ResumeEvent]:
    return [e.what for e in worker.page(run_id).events if isinstance(e.what, ResumeEvent)]


# Pausing


def test_a_paused_run_frees_its_slot_and_goes_on_from_its_checkpoint(worker, spec):
    run_id = paused(worker, spec)
    other = worker.put(spec("steps 1"))
    assert worker.until_over(other).state is RunState.SUCCEEDED
    assert worker.http.get("/health").json()["running"] == []
    (worker.data_dir / "runs" / str(run_id) / "go").touch()
    assert post(worker, run_id, "resume").status_code == 200
    assert worker.until_over(run_id).state is RunState.SUCCEEDED
    assert [(r.from_step, r.attempt, r.why) for r in resumptions(worker, run_id)] == [(1, 1, "Resumed.")]


def test_a_paused_run_is_paused_for_the_next_worker_too(worker, spec):
    run_id = paused(worker, spec, "hang")
    worker.restart()
    assert worker.status(run_id).state is RunState.PAUSED
    assert worker.engine(run_id) is None
    assert post(worker, run_id, "cancel").json()["state"] == "cancelled"


def test_a_run_that_has_not_started_is_paused_at_once(client, spec):
    run_id = put(client, spec())
    assert client.post(f"/runs/{run_id}/pause").json()["state"] == "paused"
    assert client.post(f"/runs/{run_id}/pause").status_code == 409
    assert client.get(f"/runs/{run_id}").json()["queue_position"] is None
    assert client.post(f"/runs/{run_id}/resume", json={}).json()["state"] == "queued"
    refused = client.post(f"/runs/{run_id}/resume", json={})
    assert refused.status_code == 409
    assert "not paused" in refused.json()["detail"]


def test_a_run_that_is_over_can_neither_be_paused_nor_resumed_nor_moved(client, spec):
    run_id = put(client, spec())
    client.post(f"/runs/{run_id}/cancel").raise_for_status()
    for verb, body in (("pause", {}), ("resume", {}), ("priority", {"priority": 1})):
        refused = client.post(f"/runs/{run_id}/{verb}", json=body)
        assert refused.status_code == 409
        assert "already over" in refused.json()["detail"]


def test_a_run_lost_while_pausing_is_paused(stubborn, spec):
    run_id = stubborn.put(spec("hang"))
    stubborn.until_training(run_id)
    engine = stubborn.engine(run_id)
    engine.suspend()
    assert post(stubborn, run_id, "pause").json()["state"] == "pausing"
    engine.kill()
    assert "to pause anyway" in stubborn.until(run_id, RunState.PAUSED).detail
    assert stubborn.engine(run_id) is None


def test_what_lingers_after_a_pause_is_removed_when_the_run_goes_on(worker, spec):
    run_id = worker.put(spec("lingers 40"))
    worker.until_training(run_id)
    post(worker, run_id, "pause")
    eventually(lambda: any(getattr(e.what, "state", "") == "paused" for e in worker.page(run_id).events))
    assert post(worker, run_id, "resume").status_code == 200
    assert worker.until_over(run_id).state is RunState.SUCCEEDED


def test_a_run_that_its_limit_paused_goes_on_with_a_higher_one(worker, spec):
    run_id = worker.put(spec("limited 4", limits=Limits(steps=2)))
    worker.until(run_id, RunState.PAUSED)
    refused = post(worker, run_id, "resume")
    assert refused.status_code == 409
    assert "limit `steps`" in refused.json()["detail"]
    assert post(worker, run_id, "resume", limits={"steps": 4}).status_code == 200
    status = worker.until_over(run_id)
    assert (status.state, status.limits) == (RunState.SUCCEEDED, Limits(steps=4))


# The queue


def test_a_priority_changes_who_is_next_and_survives_a_restart(worker, spec):
    worker.put(spec("hang"))
    first, second, third = (worker.put(spec(f"steps {n}")) for n in (1, 2, 3))
    assert post(worker, third, "priority", priority=1).json()["priority"] == 1
    post(worker, first, "priority", priority=-1).raise_for_status()
    worker.restart()
    assert [worker.status(each).queue_position for each in (third, second, first)] == [1, 2, 3]
    assert post(worker, third, "priority", priority=2).status_code == 422


# Lost processes


def test_a_run_whose_process_was_killed_is_started_again(stubborn, spec):
    run_id = stubborn.put(spec("lost 4"))
    status = stubborn.until_over(run_id)
    assert (status.state, status.attempt) == (RunState.SUCCEEDED, 2)
    (again,) = resumptions(stubborn, run_id)
    assert (again.from_step, again.attempt) == (0, 2)
    assert "killed from outside (SIGKILL)" in again.why


def test_a_process_that_was_asked_to_end_by_somebody_else_is_started_again(stubborn, spec):
    run_id = stubborn.put(spec("waits 3"))
    stubborn.until_training(run_id)
    stubborn.engine(run_id).terminate()
    eventually(lambda: resumptions(stubborn, run_id), "another start")
    (stubborn.data_dir / "runs" / str(run_id) / "go").touch()
    assert stubborn.until_over(run_id).state is RunState.SUCCEEDED
    assert "(SIGTERM)" in resumptions(stubborn, run_id)[0].why


def test_a_process_lost_with_its_worker_is_started_again_by_the_next(stubborn, spec):
    run_id = stubborn.put(spec("waits 3"))
    stubborn.until_training(run_id)
    stubborn.kill()
    stubborn.kill_engine(run_id)
    (stubborn.data_dir / "runs" / str(run_id) / "go").touch()
    stubborn.start()
    status = stubborn.until_over(run_id)
    assert (status.state, status.attempt) == (RunState.SUCCEEDED, 2)


def test_a_run_lost_twice_at_the_same_place_is_not_tried_a_third_time(stubborn, spec):
    run_id = stubborn.put(spec("doomed 5"))
    status = stubborn.until_over(run_id)
    assert status.state is RunState.FAILED
    assert "twice at the same place" in status.detail
    assert len(resumptions(stubborn, run_id)) == 1


@pytest.mark.parametrize("name", ["crash 5", "child"])
def test_a_process_that_ended_by_itself_is_never_started_again(stubborn, spec, name):
    run_id = stubborn.put(spec(name))
    assert stubborn.until_over(run_id).state is RunState.FAILED
    assert resumptions(stubborn, run_id) == []


def test_a_lost_run_waits_before_it_is_started_again_and_says_so(start_worker, spec):
    worker = start_worker(retries=2, retry_seconds=100)
    run_id = worker.put(spec("lost 4"))
    status = eventually(lambda: (s := worker.status(run_id)).attempt == 2 and s, "the loss")
    assert status.state is RunState.QUEUED
    assert "starts again after 100 s, as attempt 2 of at most 3" in status.detail
    assert worker.until_over(worker.put(spec("steps 1"))).state is RunState.SUCCEEDED
    assert post(worker, run_id, "cancel").json()["state"] == "cancelled"


def test_a_run_that_says_nothing_any_more_is_ended_as_stalled(start_worker, spec):
    worker = start_worker(stalled_minutes=0.02, retries=3)
    run_id = worker.put(spec("steps 100"))
    worker.until_training(run_id)
    worker.engine(run_id).suspend()
    status = worker.until_over(run_id)
    assert status.state is RunState.FAILED
    assert "stalled" in status.detail


@pytest.mark.parametrize(
    ("status", "memory_kills", "is_loss", "said"),
    [
        (-signal.SIGKILL, 0, True, "killed from outside (SIGKILL)"),
        (-signal.SIGKILL, 1, False, "lower micro_batch_size"),
        (-signal.SIGTERM, 0, True, "killed from outside (SIGTERM)"),
        (-signal.SIGSEGV, 0, False, "ended by signal 11"),
        (0, 0, False, "status 0"),
        (74, 0, False, "disk was so full"),
        (None, 5, True, "no worker watched"),
    ],
)
def test_how_a_process_ended_decides_whose_fault_it_was(status, memory_kills, is_loss, said):
    ended = ending(status, memory_kills)
    assert ended.is_loss is is_loss
    assert said in ended.sentence


def loss(step: int, saved: int = 0, signature: str = "SIGKILL") -> Loss:
    return Loss(seq=step, step=step, saved=saved, signature=signature)


@pytest.mark.parametrize(
    ("losses", "is_over"),
    [
        ([loss(5)], False),
        ([loss(5), loss(200)], False),
        ([loss(5), loss(6)], True),
        ([loss(5), loss(6, saved=6)], False),
        ([loss(5), loss(6, signature="SIGTERM")], False),
        ([loss(5), loss(200), loss(8)], True),
        ([loss(5), loss(100), loss(200), loss(300)], True),
    ],
)
def test_a_lost_run_is_tried_again_while_it_gets_on(losses, is_over):
    assert (why_not_again(losses, retries=3) is not None) is is_over


def test_the_pauses_double_up_to_six_minutes():
    losses = [loss(step) for step in range(10)]
    assert [pause_seconds(losses[:n], 10) for n in (1, 2, 3, 10)] == [10, 20, 40, 360]


# Retries by the user


def test_a_run_with_other_settings_cannot_go_on_from_a_checkpoint(client, spec):
    run_id = put(client, spec("first"))
    answer = client.put(
        f"/runs/{UUID(int=7)}",
        content=spec("second", continues=run_id, seed=3).model_dump_json(),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["where"] == "continues"


def test_a_run_is_kept_until_its_retry_has_a_checkpoint_of_its_own(worker, spec):
    first = worker.put(spec("crash 5"))
    worker.until_over(first)
    blocker = worker.put(spec("hang"))
    retry = worker.put(spec("crash 5", continues=first))
    worker.until_training(blocker)
    refused = worker.http.delete(f"/runs/{first}")
    assert refused.status_code == 409
    assert "goes on from this one" in refused.json()["detail"]
    post(worker, retry, "cancel").raise_for_status()
    assert worker.http.delete(f"/runs/{first}").status_code == 204


def put(client, spec) -> UUID:
    run_id = UUID(int=5)
    client.put(
        f"/runs/{run_id}", content=spec.model_dump_json(), headers={"Content-Type": "application/json"}
    ).raise_for_status()
    return run_id
