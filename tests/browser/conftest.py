"""A real Chromium and the real web service, for tests that see what a user sees."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from app.main import create_app
from app.settings import WebSettings

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

HOW_TO_GET_CHROMIUM = (
    "no Chromium was found on PATH (chromium, chromium-headless-shell, chromium-browser or google-chrome); "
    "on Debian and Ubuntu `apt-get install chromium` brings one"
)


def chromium_path() -> str:
    for name in ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.fail(HOW_TO_GET_CHROMIUM, pytrace=False)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def serving(settings: WebSettings) -> Iterator[str]:
    """The web service on a free port of the loopback interface; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(
            uvicorn.Config(create_app(settings), log_level="error", ws="none", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the web service did not start"
            time.sleep(0.05)
        yield address
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="session")
def serve() -> Callable[[WebSettings], AbstractContextManager[str]]:
    return serving


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service without sign-in and without a worker: enough for every page of the advisor."""
    data: Path = tmp_path_factory.mktemp("web")
    settings = WebSettings(
        data_dir=data, sign_in="off", worker_url="http://127.0.0.1:9", recommendations_per_minute=0
    )
    with serving(settings) as address:
        yield address


@pytest.fixture
def browse(chromium: Browser, site: str) -> Iterator[Callable[..., Page]]:
    """Opens pages in contexts of their own: `browse(color_scheme="dark", java_script_enabled=False)`."""
    contexts: list[BrowserContext] = []

    def open_page(**options: object) -> Page:
        context = chromium.new_context(base_url=site, **options)  # type: ignore[arg-type]
        context.set_default_timeout(10_000)
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
