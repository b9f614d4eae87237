"""When a run ends, the operator's address is told: once, and a few times more if it does not listen."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from app.database import Database, now
from app.models import Run
from app.protocol import RunState
from app.webhook import OLDEST, PAUSES, Webhook
from tests.test_runs import spec_of
from tests.weather import settings_for
from tests.web.launching import SPEC, named


class Listener:
    def __init__(self) -> None:
        self.heard: list[httpx.Request] = []
        self.status = 204

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.heard.append(request)
        if self.status == 0:
            raise httpx.ConnectError("nobody there", request=request)
        return httpx.Response(self.status)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def database(database_url: str):
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def webhook(database_url: str, tmp_path: Path, listener: Listener):
    settings = settings_for(
        database_url, tmp_path, webhook_url="http://listener/ended", public_url="http://tf"
    )
    webhook = Webhook(settings, httpx.MockTransport(listener))
    yield webhook
    webhook.close()


def ended(database: Database, ago: timedelta = timedelta(0), **more: object) -> UUID:
    run_id = uuid4()
    usual = {"spec": spec_of(SPEC), "state": RunState.SUCCEEDED, "ended_at": now() - ago}
    with database.writing() as session, session.begin():
        session.add(Run(id=run_id, **{**usual, **more}))
    return run_id


def deliver(webhook: Webhook, database: Database) -> None:
    for run_id in webhook.due(database):
        webhook.tell(database, run_id)


def test_the_end_of_a_run_is_told_once(webhook, database, listener):
    run_id = ended(database)
    deliver(webhook, database)
    deliver(webhook, database)
    [heard] = listener.heard
    assert heard.method == "POST"
    told = httpx.Response(200, content=heard.content).json()
    assert told["event"] == "run.ended"
    assert (told["run"]["id"], told["run"]["state"]) == (str(run_id), "succeeded")
    assert told["run"]["url"] == f"http://tf/runs/{run_id}"


@pytest.mark.parametrize("status", [0, 302, 404, 500])
def test_who_does_not_listen_is_told_again_later_and_not_for_ever(webhook, database, listener, status):
    listener.status = status
    run_id = ended(database)
    deliver(webhook, database)
    assert webhook.due(database) == []
    for _ in range(20):
        with database.writing() as session, session.begin():
            run = session.get(Run, run_id)
            run.ended_at = now() - timedelta(hours=2)
        deliver(webhook, database)
    assert len(listener.heard) == len(PAUSES)


def test_one_that_listens_at_last_is_not_told_again(webhook, database, listener):
    listener.status = 500
    ended(database, ago=timedelta(hours=2))
    deliver(webhook, database)
    listener.status = 204
    for _ in range(5):
        deliver(webhook, database)
    assert len(listener.heard) == 2


def test_neither_old_nor_unfinished_runs_nor_the_starter_are_told(webhook, database, listener):
    ended(database, ago=OLDEST + timedelta(hours=1))
    ended(database, state=RunState.RUNNING, ended_at=None)
    ended(database, spec=spec_of(named("x", recipe={"kind": "starter"})))
    deliver(webhook, database)
    assert listener.heard == []


def test_without_an_address_nobody_is_told(database_url, database, tmp_path):
    webhook = Webhook(settings_for(database_url, tmp_path))
    ended(database)
    assert webhook.due(database) == []
    webhook.close()
