"""The web service on both databases, with a real worker behind it or none at all."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import WebSettings
from app.web import security
from app.web.deps import Parts

SITE = "http://localhost"


def nobody_there(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


@pytest.fixture
def make_app(sqlite_url: str, tmp_path: Path) -> Iterator[Callable[..., FastAPI]]:
    """An app on SQLite unless told otherwise; its worker does not answer unless given a transport."""
    made: list[FastAPI] = []

    def make(transport: httpx.BaseTransport | None = None, **settings: object) -> FastAPI:
        usual = {
            "database_url": sqlite_url,
            "data_dir": tmp_path,
            "worker_token": "a-token-for-tests",
            "recommendations_per_minute": 0,
            "logins_per_minute": 0,
            "lost_run_seconds": 0,
        }
        app = create_app(WebSettings(**{**usual, **settings}), transport or httpx.MockTransport(nobody_there))
        made.append(app)
        return app

    yield make
    for app in made:
        app.state.parts.worker.close()
        app.state.parts.database.close()
        app.state.parts.sweep.stop()


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app()


@pytest.fixture
def on_both(make_app: Callable[..., FastAPI], database_url: str) -> FastAPI:
    """The same app, once on each database."""
    return make_app(database_url=database_url)


def parts_of(app: FastAPI) -> Parts:
    parts: Parts = app.state.parts
    return parts


def api_key(app: FastAPI, days: float = 1) -> str:
    with parts_of(app).database.writing() as session, session.begin():
        _, key = security.new_key(session, "tests", days)
    return key


def login_token(app: FastAPI) -> str:
    parts = parts_of(app)
    with parts.database.writing() as session, session.begin():
        return security.new_login_token(session, parts.settings)


def stranger(app: FastAPI, **more: object) -> TestClient:
    """Sends neither key nor cookie; a browser at our own pages otherwise."""
    return TestClient(app, base_url=SITE, follow_redirects=False, headers={"Origin": SITE}, **more)


def program(app: FastAPI, key: str | None = None) -> TestClient:
    headers = {"Authorization": f"Bearer {key or api_key(app)}"}
    return TestClient(app, base_url=SITE, follow_redirects=False, headers=headers)


def owner(app: FastAPI) -> TestClient:
    """A browser that has signed in."""
    browser = stranger(app)
    assert browser.post("/login", data={"token": login_token(app)}).status_code == 303
    return browser


@pytest.fixture
def api(app: FastAPI) -> TestClient:
    return program(app)


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return owner(app)
