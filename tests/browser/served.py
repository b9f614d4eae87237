"""One Chromium for the whole test run, and the real web service on a free port."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, expect, sync_playwright

from app.main import create_app
from app.settings import WebSettings
from tests.browser import chromium as installed

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PATIENCE_SECONDS = 60
"""How long a page may take to show what it must, on a machine that does three other things."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = installed.find() or pytest.fail(installed.HOW_TO_GET_ONE, pytrace=False)
    expect.set_options(timeout=1000 * PATIENCE_SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def serving(settings: WebSettings) -> Iterator[str]:
    """The web service on a free port of the loopback interface; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(settings)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the web service did not start"
            time.sleep(0.05)
        yield address
        app.state.parts.stopping.set()
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture(scope="session")
def serve() -> Callable[[WebSettings], AbstractContextManager[str]]:
    return serving
