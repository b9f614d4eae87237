"""No accepted run is ever lost, doubled or left running, whatever happens between web and worker."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import copying, runs
from app.database import Database, now
from app.errors import Conflict, InvalidInput, RateLimited
from app.models import Dataset, Removal, Report, Run
from app.protocol import (
    DatasetKind,
    DatasetSummary,
    EndEvent,
    EventPage,
    Limits,
    MetricEvent,
    ResumeEvent,
    RunEvent,
    RunSpec,
    RunState,
    RunStatus,
    StateEvent,
    UploadedDataset,
)
from app.settings import WebSettings
from app.sweep import Sweep
from app.web.api.runs import Launch
from tests.disks import fill, mounted
from tests.weather import Weather, answering, away, client_through, settings_for, slow
from tests.web.launching import SPEC, named
from tests.worker_process import WorkerProcess, eventually


class World:
    """A web's half of the matter: its database, its sweep, and the weather on the way to the worker."""

    def __init__(self, settings: WebSettings, worker: WorkerProcess | None) -> None:
        self.settings = settings
        self.weather = Weather(worker)
        self.database = Database(settings.resolved_database_url())
        self.client = client_through(self.weather)
        self.sweep = Sweep(settings, self.database, self.client)

    def launch(self, *specs: dict[str, object], key: str | None = None) -> list[UUID]:
        plan = [spec_of(spec) for spec in specs]
        with self.database.writing() as session, session.begin():
            launched, _ = runs.launch(session, plan, self.settings, key=key)
            return [run.id for run in launched]

    def run(self, run_id: UUID) -> Run:
        with self.database.reading() as session:
            found = session.get(Run, run_id)
        assert found is not None
        return found

    def sweep_until(self, run_id: UUID, *states: RunState) -> Run:
        def reached() -> Run | None:
            self.sweep.once()
            run = self.run(run_id)
            return run if run.state in states else None

        return eventually(reached, f"one of {states}")

    def seqs(self, run_id: UUID) -> list[int]:
        with self.database.reading() as session:
            return list(
                session.scalars(select(Report.seq).where(Report.run_id == run_id).order_by(Report.seq))
            )

    def close(self) -> None:
        # First, as the web does: what the sweep still holds would outlive a pool that is closed.
        self.sweep.stop()
        self.client.close()
        self.database.close()


def spec_of(spec: dict[str, object]) -> RunSpec:
    return Launch.model_validate({"plan": [spec]}).plan[0]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(tmp_path / "worker")
    yield process
    process.kill()
    process.kill_every_engine()


@pytest.fixture
def make_world(database_url: str, tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(worker: WorkerProcess | None = None, **settings: object) -> World:
        made.append(World(settings_for(database_url, tmp_path, **settings), worker))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[..., World], worker: WorkerProcess) -> World:
    return make_world(worker)


@pytest.fixture
def alone(make_world: Callable[..., World]) -> World:
    """No worker at all."""
    return make_world()


OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


# With the real worker


def test_a_launched_run_is_handed_over_and_followed_to_its_end(world):
    [run_id] = world.launch(named("steps 5"))
    assert world.run(run_id).state is RunState.REQUESTED
    run = world.sweep_until(run_id, *OVER)
    assert run.state is RunState.SUCCEEDED
    assert (run.steps_done, run.total_steps) == (5, 5)
    assert run.accepted_at
    assert run.started_at <= run.ended_at
    assert world.seqs(run_id) == list(range(1, run.last_seq + 1))


def test_a_run_launched_while_the_worker_is_away_starts_when_it_is_back(world):
    world.weather.fault = away
    [run_id] = world.launch(named("steps 2"))
    world.sweep.once()
    assert world.sweep.worker_away
    assert world.run(run_id).state is RunState.REQUESTED
    world.weather.fault = None
    assert world.sweep_until(run_id, *OVER).state is RunState.SUCCEEDED
    assert world.sweep.worker_away is None


def test_a_lost_answer_to_a_launch_costs_nothing(world):
    [run_id] = world.launch(named("steps 2"))
    world.weather.lose_next = 1
    world.sweep.once()
    assert world.run(run_id).accepted_at is None
    assert world.sweep_until(run_id, *OVER).state is RunState.SUCCEEDED
    assert [str(status.id) for status in world.client.runs()] == [str(run_id)]


def test_the_second_stage_starts_from_the_first(world):
    first, second = world.launch(named("steps 2"), named("steps 3"))
    run = world.sweep_until(second, *OVER)
    assert run.state is RunState.SUCCEEDED
    assert run.starts_from == first
    assert (run.stage, run.stages) == (2, 2)


def test_a_stage_whose_predecessor_failed_fails_with_that_reason(world):
    _, second = world.launch(named("fail 2"), named("steps 2"))
    run = world.sweep_until(second, *OVER)
    assert run.state is RunState.FAILED
    assert run.detail


def test_a_run_that_crashes_is_failed_with_its_reason(world):
    [run_id] = world.launch(named("crash 5"))
    run = world.sweep_until(run_id, *OVER)
    assert run.state is RunState.FAILED
    with world.database.reading() as session:
        shown = runs.view(session, run)
    assert shown.failure.reason == run.detail
    assert "out of luck" in shown.failure.log_tail


def test_a_cancelled_run_ends_as_cancelled(world):
    [run_id] = world.launch(named("hang 5"))
    world.sweep_until(run_id, RunState.RUNNING)
    with world.database.writing() as session, session.begin():
        runs.cancel(session, session.get(Run, run_id))
    assert world.run(run_id).cancel_requested
    assert world.sweep_until(run_id, *OVER).state is RunState.CANCELLED


def test_a_cancellation_is_repeated_until_the_worker_has_it(world):
    [run_id] = world.launch(named("hang 5"))
    world.sweep_until(run_id, RunState.RUNNING)
    world.weather.fault = slow
    with world.database.writing() as session, session.begin():
        runs.cancel(session, session.get(Run, run_id))
    world.sweep.once()
    assert world.run(run_id).state is RunState.RUNNING
    world.weather.fault = None
    assert world.sweep_until(run_id, *OVER).state is RunState.CANCELLED


def test_a_run_cancelled_before_the_worker_had_it_never_starts(world):
    world.weather.fault = away
    [run_id] = world.launch(named("steps 2"))
    with world.database.writing() as session, session.begin():
        runs.cancel(session, session.get(Run, run_id))
    world.weather.fault = None
    world.sweep.once()
    assert world.run(run_id).state is RunState.CANCELLED
    assert world.client.runs() == []


def test_a_run_the_worker_no_longer_knows_is_failed_in_words(world):
    [run_id] = world.launch(named("hang 5"))
    world.sweep_until(run_id, RunState.RUNNING)
    world.weather.worker = None
    world.weather.fault = forgetful
    run = world.sweep_until(run_id, *OVER)
    assert run.state is RunState.FAILED
    assert "no longer knows it" in run.detail


def test_a_run_that_turns_up_again_is_followed_again(world):
    [run_id] = world.launch(named("steps 40"))
    world.sweep_until(run_id, RunState.RUNNING)
    world.weather.fault = forgetful
    world.sweep_until(run_id, RunState.FAILED)
    world.weather.fault = None
    run = world.sweep_until(run_id, RunState.SUCCEEDED)
    assert world.seqs(run_id) == list(range(1, run.last_seq + 1))


def forgetful(request):
    """A worker that started with another, empty data directory."""
    import httpx

    if request.url.path == "/runs":
        return httpx.Response(200, json=[])
    body = {"error": "NotFound", "detail": "There is no such run.", "status": 404, "problems": []}
    return httpx.Response(404, json=body)


def test_killing_the_worker_in_mid_run_changes_nothing_but_the_time(world, worker):
    [run_id] = world.launch(named("steps 40"))
    world.sweep_until(run_id, RunState.RUNNING)
    worker.kill()
    world.sweep.once()
    assert world.sweep.worker_away
    worker.start()
    run = world.sweep_until(run_id, *OVER)
    assert run.state is RunState.SUCCEEDED
    assert world.seqs(run_id) == list(range(1, run.last_seq + 1))


def test_a_refused_run_is_failed_with_the_workers_reason(make_world, tmp_path):
    strict = WorkerProcess(tmp_path / "strict", allow_hub=False)
    try:
        world = make_world(strict)
        [run_id] = world.launch(named("steps 2"))
        run = world.sweep_until(run_id, *OVER)
        assert run.state is RunState.FAILED
        assert "refused" in run.detail
    finally:
        strict.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "8m") as disk:
        yield disk


def test_a_full_disk_of_the_worker_keeps_only_what_needs_room_from_being_done(make_world, small_disk):
    full = WorkerProcess(small_disk / "worker")
    try:
        world = make_world(full)
        done, hanging = world.launch(named("steps 2"))[0], world.launch(named("hang"))[0]
        world.sweep_until(done, RunState.SUCCEEDED)
        world.sweep_until(hanging, RunState.RUNNING)
        filler = fill(small_disk)
        (waiting,) = world.launch(named("steps 1"))
        world.sweep.once()
        assert world.sweep.worker_away is None
        assert world.run(waiting).state is RunState.REQUESTED
        assert "No space left on device. Free some space" in (world.run(waiting).detail or "")
        with world.database.writing() as session, session.begin():
            runs.cancel(session, session.get(Run, hanging))
            runs.delete(session, session.get(Run, done))
        world.sweep.once()
        assert done not in {status.id for status in world.client.runs()}
        eventually(lambda: full.engine(hanging) is None, "the end of the cancelled run's engine")
        filler.unlink()
        assert world.sweep_until(hanging, *OVER).state is RunState.CANCELLED
        assert world.sweep_until(waiting, *OVER).state is RunState.SUCCEEDED
    finally:
        full.kill()
        full.kill_every_engine()


def test_a_worker_that_can_do_nothing_right_now_is_asked_everything_once(world):
    running, queued = world.launch(named("hang"))[0], world.launch(named("hang"))[0]
    world.sweep_until(running, RunState.RUNNING)
    with world.database.writing() as session, session.begin():
        runs.cancel(session, session.get(Run, running))
    wish(world, queued, runs.pause)
    (waiting,) = world.launch(named("steps 1"))
    body = json.dumps({"error": "Unavailable", "detail": "Not now."}).encode()
    world.weather.fault, world.weather.asked = answering(503, body), []
    world.sweep.once()
    assert world.weather.asked == [
        ("POST", f"/runs/{running}/cancel"),
        ("PUT", f"/runs/{waiting}"),
        ("POST", f"/runs/{queued}/pause"),
        ("GET", "/runs"),
    ]
    assert world.sweep.worker_away == "Not now."
    assert world.run(waiting).state is RunState.REQUESTED
    assert world.run(queued).wish == "pause"
    world.weather.fault = None
    assert world.sweep_until(running, *OVER).state is RunState.CANCELLED
    assert world.sweep_until(waiting, *OVER).state is RunState.SUCCEEDED
    assert world.run(waiting).detail is None
    assert world.sweep_until(queued, RunState.PAUSED)


def test_runs_the_worker_has_of_its_own_are_adopted(world, worker):
    run_id = worker.put(spec_of(named("steps 2")))
    run = eventually(lambda: swept(world, run_id), "the adoption")
    assert run.spec.name == "steps 2"
    assert world.sweep_until(run_id, *OVER).state is RunState.SUCCEEDED


def test_of_runs_that_were_over_before_they_were_adopted_none_waits_for_another(world, worker):
    """They would count among the live ones, and a launch would be refused for them."""
    over = [worker.put(spec_of(named("steps 1"))) for _ in range(3)]
    for run_id in over:
        worker.until_over(run_id)
    live: list[int] = []

    def noting(request):
        live.append(live_runs(world))
        world.weather.fault = None
        try:
            return world.weather.handle_request(request)
        finally:
            world.weather.fault = noting

    world.weather.fault = noting
    world.sweep.once()
    assert max(live) == 1
    assert {world.run(run_id).state for run_id in over} == {RunState.SUCCEEDED}


def live_runs(world: World) -> int:
    with world.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Run).where(Run.state.not_in(OVER))) or 0


def swept(world: World, run_id: UUID) -> Run | None:
    world.sweep.once()
    with world.database.reading() as session:
        return session.get(Run, run_id)


def test_a_deleted_run_is_deleted_on_the_worker_too_however_late(world):
    [run_id] = world.launch(named("steps 2"))
    world.sweep_until(run_id, *OVER)
    world.weather.fault = away
    with world.database.writing() as session, session.begin():
        runs.delete(session, session.get(Run, run_id))
    world.sweep.once()
    with world.database.reading() as session:
        assert session.get(Run, run_id) is None
        assert session.get(Removal, str(run_id))
        assert session.scalar(select(func.count()).select_from(Report)) == 0
    world.weather.fault = None
    world.sweep.once()
    assert world.client.runs() == []
    with world.database.reading() as session:
        assert session.get(Run, run_id) is None
        assert session.get(Removal, str(run_id)) is None


def test_eight_watchers_of_one_run_copy_every_event_once(world):
    [run_id] = world.launch(named("steps 30"))
    world.sweep.once()
    start = threading.Barrier(8)

    def watch() -> None:
        start.wait()
        while not world.run(run_id).state.is_over:
            copying.sync(world.database, world.client, run_id)

    with ThreadPoolExecutor(8) as watchers:
        for watcher in [watchers.submit(watch) for _ in range(8)]:
            watcher.result()
    run = world.run(run_id)
    assert run.state is RunState.SUCCEEDED
    assert world.seqs(run_id) == list(range(1, run.last_seq + 1))


# Without a worker


def status(run_id: UUID, state: RunState, last_seq: int, detail: str | None = None) -> RunStatus:
    return RunStatus(
        id=run_id, spec=spec_of(SPEC), state=state, detail=detail, last_seq=last_seq, created_at=0.0
    )


def keep(world: World, page: EventPage) -> Run:
    with world.database.writing() as session, session.begin():
        copying.keep(session, page.status.id, page)
    return world.run(page.status.id)


def events(*happenings, first: int = 1, at: float = 1000.0) -> list[RunEvent]:
    return [RunEvent(seq=n, at=at + n, what=what) for n, what in enumerate(happenings, first)]


def timed(*told) -> list[RunEvent]:
    """Seconds since the start, and what happened."""
    return [RunEvent(seq=seq, at=1000.0 + at, what=what) for seq, (at, what) in enumerate(told, 1)]


def step(number: int, of: int = 200) -> MetricEvent:
    return MetricEvent(step=number, total_steps=of, values={"loss": 1.0})


def test_a_page_of_events_may_arrive_twice_late_or_torn(alone):
    [run_id] = alone.launch(SPEC)
    metrics = [MetricEvent(step=n, total_steps=9, values={"loss": 1.0}) for n in range(1, 7)]
    first, second = events(*metrics[:3]), events(*metrics[3:], first=4)
    keep(alone, EventPage(status=status(run_id, RunState.RUNNING, 3), events=first))
    keep(alone, EventPage(status=status(run_id, RunState.RUNNING, 3), events=first))
    keep(alone, EventPage(status=status(run_id, RunState.RUNNING, 6), events=events(metrics[5], first=6)))
    assert alone.seqs(run_id) == [1, 2, 3]
    run = keep(alone, EventPage(status=status(run_id, RunState.RUNNING, 6), events=first + second))
    assert alone.seqs(run_id) == [1, 2, 3, 4, 5, 6]
    assert run.steps_done == 6


def test_an_old_answer_cannot_bring_back_a_run_that_is_over(alone):
    [run_id] = alone.launch(SPEC)
    end = EndEvent(state=RunState.SUCCEEDED, steps_done=3, total_steps=3)
    keep(alone, EventPage(status=status(run_id, RunState.SUCCEEDED, 1), events=events(end)))
    run = keep(alone, EventPage(status=status(run_id, RunState.QUEUED, 0), events=[]))
    assert run.state is RunState.SUCCEEDED
    run = keep(alone, EventPage(status=status(run_id, RunState.RUNNING, 1), events=[]))
    assert run.state is RunState.SUCCEEDED


def test_the_workers_clock_can_be_wrong_without_harm(alone):
    [run_id] = alone.launch(SPEC)
    happenings = (StateEvent(state=RunState.STARTING), EndEvent(state=RunState.SUCCEEDED, steps_done=1))
    for at in (4e9, 1e300, -1e300):
        page = EventPage(status=status(run_id, RunState.SUCCEEDED, 2), events=events(*happenings, at=at))
        run = keep(alone, page)
        assert run.started_at <= now()
        assert run.ended_at <= now()


def test_nul_from_a_broken_worker_does_not_stop_the_copying(alone):
    [run_id] = alone.launch(SPEC)
    end = EndEvent(state=RunState.FAILED, steps_done=0, reason="a\x00b")
    run = keep(alone, EventPage(status=status(run_id, RunState.FAILED, 1), events=events(end)))
    assert run.detail == "a\ufffdb"


def test_the_same_key_launches_once_even_from_many_threads(alone):
    start = threading.Barrier(8)

    def launch() -> list[UUID]:
        start.wait()
        return alone.launch(named("steps 2"), named("steps 3"), key="once")

    with ThreadPoolExecutor(8) as pool:
        launched = [each.result() for each in [pool.submit(launch) for _ in range(8)]]
    assert len({tuple(ids) for ids in launched}) == 1
    with alone.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == 2


def test_the_same_key_cannot_launch_something_else(alone):
    alone.launch(named("steps 2"), key="once")
    with pytest.raises(Conflict, match="Idempotency-Key"):
        alone.launch(named("steps 3"), key="once")


@pytest.mark.parametrize(
    ("plan", "where"),
    [
        ([named("a", recipe={"kind": "starter"})], "plan.0.recipe.kind"),
        ([named("a", starts_from=str(uuid4()))], "plan.0.starts_from"),
        ([named("a"), named("b", starts_from=str(uuid4()))], "plan.1.starts_from"),
        ([named("a", dataset={"kind": "uploaded", "sha256": "0" * 64})], "plan.0.dataset"),
        (
            [named("a", recipe=SPEC["recipe"] | {"advanced": {"hub_token": "x"}})],
            "plan.0.recipe.advanced.hub_token",
        ),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anything_is_written(alone, plan, where):
    with pytest.raises(InvalidInput) as refusal:
        alone.launch(*plan)
    assert [problem.where for problem in refusal.value.problems] == [where]
    with alone.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == 0


def dataset_of(alone: World, kind: DatasetKind, demonstrations: int) -> str:
    sha256 = "a" * 64
    summary = DatasetSummary(
        ref=UploadedDataset(sha256=sha256),
        kind=kind,
        rows=10,
        demonstrations=demonstrations,
        prompts=10 - demonstrations,
        held_out=2,
        item_fields=[],
        bytes=100,
        preview=[],
    )
    with alone.database.writing() as session, session.begin():
        session.add(Dataset(name="Mine", sha256=sha256, summary=summary))
    return sha256


def test_sft_is_not_launched_on_prompts_alone(alone):
    sha256 = dataset_of(alone, DatasetKind.PROMPTS, 0)
    with pytest.raises(InvalidInput) as refusal:
        alone.launch(named("a", dataset={"kind": "uploaded", "sha256": sha256}))
    assert "demonstrations" in refusal.value.problems[0].what


def test_a_dataset_in_use_is_not_deleted(alone):
    sha256 = dataset_of(alone, DatasetKind.DEMONSTRATIONS, 10)
    [run_id] = alone.launch(named("a", dataset={"kind": "uploaded", "sha256": sha256}))
    with alone.database.writing() as session, pytest.raises(Conflict):
        runs.delete_dataset(session, session.scalars(select(Dataset)).one())
    with alone.database.writing() as session, session.begin():
        copying.conclude(session.get(Run, run_id), RunState.FAILED)
        runs.delete_dataset(session, session.scalars(select(Dataset)).one())
    with alone.database.reading() as session:
        assert session.get(Removal, sha256).kind == "dataset"


def test_the_dataset_of_a_guard_set_must_be_there_and_stays_while_a_run_needs_it(alone):
    guarded = {"guard": {"dataset": {"kind": "uploaded", "sha256": "ab" * 32}, "grader": SPEC["grader"]}}
    with pytest.raises(InvalidInput) as refusal:
        alone.launch(named("a", evaluation=guarded))
    assert refusal.value.problems[0].where == "plan.0.evaluation.guard.dataset"
    guarded["guard"]["dataset"]["sha256"] = dataset_of(alone, DatasetKind.DEMONSTRATIONS, 10)
    alone.launch(named("a", evaluation=guarded))
    with alone.database.writing() as session, pytest.raises(Conflict, match="uses this dataset"):
        runs.delete_dataset(session, session.scalars(select(Dataset)).one())


def test_a_reward_model_is_not_deleted_while_a_run_is_to_be_graded_by_it(alone):
    [trained] = alone.launch(SPEC)
    with alone.database.writing() as session, session.begin():
        copying.conclude(session.get(Run, trained), RunState.SUCCEEDED)
    asks = {"type": "reward_model", "name": "preferred", "run": str(trained)}
    alone.launch(named("a", independent_graders=[asks]))
    with alone.database.writing() as session, pytest.raises(Conflict, match="graded by this one's model"):
        runs.delete(session, session.get(Run, trained))


def test_only_so_many_runs_at_a_time(make_world):
    world = make_world(max_live_runs=2)
    world.launch(SPEC, SPEC)
    with pytest.raises(RateLimited):
        world.launch(SPEC)


def test_a_run_that_is_not_over_is_not_deleted_and_one_that_is_not_cancelled(alone):
    first, second = alone.launch(SPEC, SPEC)
    with alone.database.writing() as session, pytest.raises(Conflict, match="cancel it first"):
        runs.delete(session, session.get(Run, first))
    with alone.database.writing() as session, session.begin():
        copying.conclude(session.get(Run, first), RunState.SUCCEEDED)
    with alone.database.writing() as session, pytest.raises(Conflict, match="starts from this one"):
        runs.delete(session, session.get(Run, first))
    with alone.database.writing() as session, pytest.raises(Conflict, match="already over"):
        runs.cancel(session, session.get(Run, first))
    assert not alone.run(second).cancel_requested


def test_the_sweep_goes_on_after_a_failure_of_its_own(alone):
    alone.weather.fault = lambda request: 1 / 0
    alone.sweep.start()
    alone.launch(SPEC)
    eventually(lambda: len(alone.weather.asked) > 1 or alone.sweep.wake(), "a second try")


def test_looking_at_a_run_often_costs_the_worker_little(world):
    [run_id] = world.launch(named("hang 5"))
    world.sweep_until(run_id, RunState.RUNNING)
    before = len(world.weather.asked)
    for _ in range(50):
        world.sweep.look(run_id)
    assert len(world.weather.asked) - before <= 2
    with world.database.writing() as session, session.begin():
        runs.cancel(session, session.get(Run, run_id))
    world.sweep_until(run_id, *OVER)


def test_time_left_is_told_from_recent_steps(alone):
    [run_id] = alone.launch(SPEC)
    happenings = [StateEvent(state=RunState.STARTING)]
    happenings += [MetricEvent(step=n, total_steps=100, values={"loss": 1.0}) for n in range(1, 11)]
    page = EventPage(status=status(run_id, RunState.RUNNING, 11), events=events(*happenings))
    run = keep(alone, page)
    with alone.database.reading() as session:
        shown = runs.view(session, run)
    assert shown.eta_seconds == pytest.approx(90)
    assert shown.elapsed_seconds == pytest.approx(10)
    assert shown.progress == pytest.approx(0.1)
    assert [point.step for point in shown.metrics["loss"]] == list(range(1, 11))


def test_hours_in_which_the_machine_was_off_are_not_counted(alone):
    """Lost at second 320 and back after ten hours; the engine itself counts 320 + 400 seconds."""
    [run_id] = alone.launch(SPEC)
    back = 320 + 10 * 3600
    told = timed(
        (0, StateEvent(state=RunState.STARTING)),
        (20, StateEvent(state=RunState.RUNNING)),
        (320, step(100)),
        (back, StateEvent(state=RunState.QUEUED, detail="Its process was killed.")),
        (back + 30, StateEvent(state=RunState.STARTING)),
        (back + 50, ResumeEvent(from_step=100, attempt=2, why="Its process was killed.")),
        (back + 50, StateEvent(state=RunState.RUNNING)),
        (back + 350, step(200)),
        (back + 430, EndEvent(state=RunState.SUCCEEDED, steps_done=200, total_steps=200)),
    )
    run = keep(alone, EventPage(status=status(run_id, RunState.SUCCEEDED, len(told)), events=told))
    with alone.database.reading() as session:
        spent = runs.view(session, run).spent
    assert spent.gpu_hours == pytest.approx((320 + 400) / 3600)
    assert spent.training_minutes == pytest.approx((300 + 380) / 60)


@pytest.mark.parametrize("between", [[RunState.PAUSED, RunState.QUEUED], [RunState.QUEUED]])
def test_time_left_forgets_a_pause_and_a_lost_process(alone, between):
    """A second a step, and ten hours of nothing at step 100 of 400."""
    [run_id] = alone.launch(SPEC)
    turns = [*between, RunState.STARTING, RunState.RUNNING]
    later = 100 + 10 * 3600
    told = timed(
        (0, StateEvent(state=RunState.RUNNING)),
        *((n, step(n, of=400)) for n in range(1, 101)),
        *((100 if state is RunState.PAUSED else later, StateEvent(state=state)) for state in turns),
        *((later + n, step(100 + n, of=400)) for n in range(1, 4)),
    )
    run = keep(alone, EventPage(status=status(run_id, RunState.RUNNING, len(told)), events=told))
    with alone.database.reading() as session:
        assert runs.view(session, run).eta_seconds == pytest.approx(297)
        assert runs.standing(session, run).eta_seconds == pytest.approx(297)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ((RunState.EVALUATING, RunState.RUNNING, RunState.EVALUATING), True),
        ((RunState.EVALUATING, RunState.RUNNING), False),
        ((RunState.EVALUATING,), False),
    ],
    ids=["cancelled while measuring", "in training", "before training"],
)
def test_a_model_is_left_once_it_was_being_measured_after_training(alone, told, left):
    [run_id] = alone.launch(SPEC)
    happenings = [StateEvent(state=state) for state in told]
    happenings.append(EndEvent(state=RunState.CANCELLED, steps_done=1, total_steps=1))
    last = status(run_id, RunState.CANCELLED, len(happenings))
    run = keep(alone, EventPage(status=last, events=events(*happenings)))
    with alone.database.reading() as session:
        assert runs.left_a_model(session, run) is left


def test_times_are_aware_and_in_order(alone):
    [run_id] = alone.launch(SPEC)
    assert alone.run(run_id).created_at.tzinfo is UTC
    assert datetime.now(UTC) - alone.run(run_id).created_at < timedelta(minutes=1)


def test_a_pause_is_told_to_the_worker_until_it_has_confirmed_it(world):
    (run_id,) = world.launch(named("hang"))
    world.sweep_until(run_id, RunState.RUNNING)
    wish(world, run_id, runs.pause)
    world.weather.lose_next = 1
    world.sweep.once()
    paused = world.sweep_until(run_id, RunState.PAUSED)
    assert eventually(lambda: world.sweep.once() or world.run(run_id).wish is None)
    assert paused.detail == "Paused after 1 of 3 steps."
    with pytest.raises(Conflict, match="already paused"):
        wish(world, run_id, runs.pause)


def test_a_paused_run_goes_on_where_it_was_and_is_counted_once(world):
    (run_id,) = world.launch(named("waits 4"))
    world.sweep_until(run_id, RunState.RUNNING)
    wish(world, run_id, runs.pause)
    world.sweep_until(run_id, RunState.PAUSED)
    (world.weather.worker.data_dir / "runs" / str(run_id) / "go").touch()
    with world.database.writing() as session, session.begin():
        runs.resume(session, session.get(Run, run_id))
    assert world.run(run_id).state is RunState.PAUSED
    done = world.sweep_until(run_id, RunState.SUCCEEDED)
    assert (done.steps_done, done.attempt, done.wish) == (4, 1, None)
    with world.database.reading() as session:
        view = runs.view(session, session.get(Run, run_id))
    assert [point.step for point in view.metrics["loss"]] == [1, 2, 3, 4]


def test_a_run_that_its_limit_paused_needs_a_higher_one(world):
    (run_id,) = world.launch(named("limited 4", limits={"steps": 2}))
    world.sweep_until(run_id, RunState.PAUSED)
    with pytest.raises(Conflict, match="limit `steps`"):
        resume(world, run_id, None)
    with pytest.raises(Conflict, match="limit `steps`"):
        resume(world, run_id, Limits(steps=2))
    resume(world, run_id, Limits(steps=9))
    assert world.sweep_until(run_id, RunState.SUCCEEDED).limits == Limits(steps=9)


def test_a_priority_changes_the_order_of_those_that_wait(world):
    (blocker,) = world.launch(named("waits 3"))
    world.sweep_until(blocker, RunState.RUNNING)
    first, second = (world.launch(named(f"steps {n}"))[0] for n in (1, 2))
    world.sweep.once()
    wish(world, second, lambda run: runs.set_priority(run, 1))
    world.sweep.once()
    statuses = {status.id: status for status in world.client.runs()}
    assert [statuses[each].queue_position for each in (second, first)] == [1, 2]
    assert world.run(second).priority_told == 1
    (world.weather.worker.data_dir / "runs" / str(blocker) / "go").touch()
    world.sweep_until(first, RunState.SUCCEEDED)
    with pytest.raises(Conflict, match="already over"):
        wish(world, first, lambda run: runs.set_priority(run, -1))


def test_a_failed_run_is_retried_once_at_a_time_from_its_checkpoint(world):
    (run_id,) = world.launch(named("crash 5"))
    world.sweep_until(run_id, RunState.FAILED)
    again = retry(world, run_id)
    with pytest.raises(Conflict, match="already being retried"):
        retry(world, run_id)
    world.sweep_until(again, RunState.FAILED)
    assert world.run(again).spec.continues == run_id
    inputs = world.weather.worker.data_dir / "runs" / str(again) / "inputs.json"
    assert str(run_id) in inputs.read_text()
    assert retry(world, run_id) != again


def test_a_retried_run_keeps_limits_that_were_raised_while_it_was_paused(world):
    (run_id,) = world.launch(named("crash 5", limits={"steps": 900}))
    world.sweep_until(run_id, RunState.FAILED)
    wish(world, run_id, lambda run: setattr(run, "limits", Limits(steps=950)))
    assert world.run(retry(world, run_id)).spec.limits == Limits(steps=950)


def test_a_retried_stage_starts_from_the_retry_of_the_stage_before_it(world):
    first, second = world.launch(named("fail"), named("steps 1"))
    world.sweep_until(second, RunState.FAILED)
    world.sweep_until(first, RunState.FAILED)
    with pytest.raises(InvalidInput):
        retry(world, second)
    again = retry(world, first)
    with world.database.writing() as session, session.begin():
        assert runs.retry(session, session.get(Run, second), world.settings).starts_from == again


def test_a_run_cannot_continue_one_that_nobody_knows(alone):
    with pytest.raises(InvalidInput) as refused:
        alone.launch(named("steps 1", continues=str(uuid4())))
    assert [problem.where for problem in refused.value.problems] == ["plan.0.continues"]
    assert "no run with this id" in refused.value.problems[0].what


def test_only_a_run_that_failed_or_was_cancelled_can_be_retried(world):
    (run_id,) = world.launch(named("steps 1"))
    with pytest.raises(Conflict, match="waiting for the worker"):
        retry(world, run_id)
    world.sweep_until(run_id, RunState.SUCCEEDED)
    with pytest.raises(Conflict, match="succeeded"):
        retry(world, run_id)


def wish(world: World, run_id: UUID, what: Callable[[Run], None]) -> None:
    with world.database.writing() as session, session.begin():
        run = session.get(Run, run_id)
        assert run is not None
        what(run)


def resume(world: World, run_id: UUID, limits: Limits | None) -> None:
    with world.database.writing() as session, session.begin():
        run = session.get(Run, run_id)
        assert run is not None
        runs.resume(session, run, limits)


def retry(world: World, run_id: UUID) -> UUID:
    with world.database.writing() as session, session.begin():
        run = session.get(Run, run_id)
        assert run is not None
        return runs.retry(session, run, world.settings).id
