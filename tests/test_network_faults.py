"""The connection between web and worker is cut, slow or half open: no run is lost, doubled or untrue."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import select

from app import runs
from app.database import Database
from app.models import Report, Run
from app.protocol import RunState
from app.settings import WebSettings
from app.sweep import Sweep
from app.worker_client import WorkerClient
from tests.tcp_proxy import TcpProxy
from tests.test_runs import spec_of
from tests.weather import settings_for
from tests.web.launching import named
from tests.worker_process import TOKEN, WorkerProcess, eventually


@pytest.fixture
def worker(tmp_path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(tmp_path / "worker")
    yield process
    process.kill()
    process.kill_every_engine()


@pytest.fixture
def proxy(worker) -> Iterator[TcpProxy]:
    proxy = TcpProxy(worker.port)
    yield proxy
    proxy.close()


@pytest.fixture
def database(database_url) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def settings(database_url, tmp_path) -> WebSettings:
    return settings_for(database_url, tmp_path)


@pytest.fixture
def sweep(database, settings, proxy) -> Iterator[Sweep]:
    client = WorkerClient(proxy.url, TOKEN)
    sweep = Sweep(settings, database, client)
    yield sweep
    sweep.stop()
    client.close()


def launch(database, settings, name) -> UUID:
    with database.writing() as session, session.begin():
        return runs.launch(session, [spec_of(named(name))], settings)[0][0].id


def state(database, run_id) -> RunState:
    with database.reading() as session:
        return session.get(Run, run_id).state


def seqs(database, run_id) -> list[int]:
    with database.reading() as session:
        found = select(Report.seq).where(Report.run_id == run_id).order_by(Report.seq)
        return list(session.scalars(found))


def test_a_cut_while_a_run_trains_loses_and_doubles_nothing(database, settings, sweep, proxy, worker):
    run_id = launch(database, settings, "steps 40")
    eventually(lambda: sweep.once() or state(database, run_id) is RunState.RUNNING)
    proxy.cut()
    sweep.once()
    assert sweep.worker_away
    assert state(database, run_id) is RunState.RUNNING
    with database.writing() as session, session.begin():
        runs.pause(session.get(Run, run_id))
    sweep.once()
    proxy.line = "through"
    eventually(lambda: sweep.once() or state(database, run_id) is not RunState.RUNNING)
    eventually(lambda: sweep.once() or state(database, run_id) in (RunState.PAUSED, RunState.SUCCEEDED))
    assert sweep.worker_away is None
    assert len(worker.http.get("/runs").json()) == 1
    last = worker.status(run_id).last_seq
    assert seqs(database, run_id) == list(range(1, last + 1))


def test_a_launch_over_a_slow_line_is_one_run(database, settings, sweep, proxy, worker):
    proxy.delay = 0.3
    run_id = launch(database, settings, "steps 2")
    eventually(lambda: sweep.once() or state(database, run_id) is RunState.SUCCEEDED)
    assert [each["id"] for each in worker.http.get("/runs").json()] == [str(run_id)]


def test_a_line_that_is_half_open_is_given_up_and_tried_again(database, settings, sweep, proxy, worker):
    proxy.line = "half-open"
    run_id = launch(database, settings, "steps 2")
    sweep.once()
    assert "did not answer in time" in sweep.worker_away
    assert state(database, run_id) is RunState.REQUESTED
    proxy.line = "through"
    eventually(lambda: sweep.once() or state(database, run_id) is RunState.SUCCEEDED)
    assert len(worker.http.get("/runs").json()) == 1
