"""Signing in with the printed link: the token works once and stays out of addresses and history."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.database import Database
from app.settings import WebSettings
from app.web.security import new_login_token

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]


@pytest.fixture
def settings(tmp_path: Path, _migrated_sqlite: Path) -> WebSettings:
    shutil.copy(_migrated_sqlite, tmp_path / "tuning-fork.db")
    return WebSettings(
        data_dir=tmp_path, worker_url="http://127.0.0.1:9", worker_token="nobody listens there"
    )


@pytest.fixture
def guarded(serve, settings: WebSettings) -> Iterator[str]:
    with serve(settings) as address:
        yield address


@pytest.fixture
def token(settings: WebSettings) -> str:
    database = Database(settings.resolved_database_url())
    with database.writing() as session, session.begin():
        made = new_login_token(session, settings)
    database.close()
    return made


def test_the_printed_link_signs_in_once_and_leaves_no_token_behind(browse: Browse, guarded: str, token: str):
    page = browse(base_url=guarded)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(f"/login?next=/assessments#token={token}")
    page.wait_for_url("**/assessments")
    expect(page.get_by_role("link", name="Settings")).to_be_visible()
    assert not any(token in url for url in requested)
    page.go_back()
    assert token not in page.url
    again = browse(base_url=guarded)
    again.goto(f"/login#token={token}")
    expect(again.get_by_role("alert")).to_contain_text("used before or has expired")


def test_without_javascript_the_token_can_be_pasted(browse: Browse, guarded: str, token: str):
    page = browse(base_url=guarded, java_script_enabled=False)
    page.goto("/assessments")
    page.wait_for_url("**/login?next=**")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/assessments")


def test_a_stranger_can_read_the_start_page_and_the_help_but_nothing_else(
    browse: Browse, guarded: str, violations: Callable[[Page], str]
):
    page = browse(base_url=guarded)
    for address in ("/", "/help", "/help/method", "/help/api", "/login"):
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200
        assert page.url == guarded + address
        assert violations(page) == ""
    page.goto("/")
    page.get_by_role("link", name="Start an assessment").click()
    page.wait_for_url("**/login?next=**")
