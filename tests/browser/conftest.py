"""A real Chromium and the real web service, for tests that see what a user sees."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from app.settings import WebSettings
from tests.browser.served import PATIENCE_SECONDS, serving

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOUR_RULES = ("color-contrast", "link-in-text-block")

TELLS_WHAT_POLICY_REFUSED = (
    "addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective))"
)

Browse = Callable[..., Page]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path) -> Iterator[str]:
    """A service without sign-in and without a worker: enough for every page of the advisor."""
    data: Path = tmp_path_factory.mktemp("web")
    shutil.copy(_migrated_sqlite, data / "tuning-fork.db")
    settings = WebSettings(
        data_dir=data,
        sign_in="off",
        worker_url="http://127.0.0.1:9",
        worker_token="nobody listens there",
        recommendations_per_minute=0,
    )
    with serving(settings) as address:
        yield address


@pytest.fixture
def complaints() -> list[str]:
    """What browsers of this test found wrong: failed scripts, refused styles, strange hosts."""
    return []


@pytest.fixture
def browse(chromium: Browser, site: str, complaints: list[str]) -> Iterator[Browse]:
    """Opens pages in contexts of their own: `browse(color_scheme="dark", java_script_enabled=False)`."""
    contexts: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        page = _window(chromium, complaints, **{"base_url": site} | options)
        contexts.append(page.context)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def _shared(chromium: Browser) -> Iterator[tuple[dict[str, Page], list[str]]]:
    """Windows by the address that they are for, and what they complained of."""
    windows: dict[str, Page] = {}
    yield windows, []
    for window in windows.values():
        window.context.close()


@pytest.fixture
def look(
    chromium: Browser, site: str, _shared: tuple[dict[str, Page], list[str]]
) -> Iterator[Callable[..., Page]]:
    """A window for tests that only look, as it would be new: `look(width=390, color_scheme="dark")`.

    It is the same one for a whole module: opening one costs four times what a page does.
    """
    windows, complaints = _shared

    def show(width: int = 1280, color_scheme: str = "light", base_url: str = site) -> Page:
        window = windows.get(base_url)
        if window is None:
            window = windows[base_url] = _window(chromium, complaints, base_url=base_url)
            window.add_init_script(TELLS_WHAT_POLICY_REFUSED)
        window.set_viewport_size({"width": width, "height": 720})
        window.emulate_media(color_scheme=color_scheme)
        return window

    yield show
    for window in windows.values():
        window.goto("about:blank")
    wrong = list(complaints)
    complaints.clear()
    assert wrong == []


def _window(chromium: Browser, complaints: list[str], **options: Any) -> Page:
    def note(message: ConsoleMessage) -> None:
        # Chromium reports every answer of 400 and above, also those that a form asks for.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    context = chromium.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    return page


@pytest.fixture(scope="session")
def violations() -> Callable[..., str]:
    """What axe finds wrong on a page, as text; empty when nothing is.

    With `both_schemes` also in the other colour scheme, where nothing but colours can have changed.
    """

    def find(page: Page, both_schemes: bool = False) -> str:
        wrong = _found(page, {"type": "tag", "values": list(RULES)})
        if both_schemes:
            dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
            page.emulate_media(color_scheme="light" if dark else "dark")
            wrong += _found(page, {"type": "rule", "values": list(COLOUR_RULES)})
        return wrong

    return find


def _found(page: Page, only: dict[str, Any]) -> str:
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]})
    return found.generate_report() if found.violations_count else ""


@pytest.fixture
def assessment(site: str) -> Callable[..., str]:
    """Starts an assessment from a worked example, as the form does; answers its path."""

    def start(example: str = "legal_reasoning", name: str = "Pilot", description: str = "") -> str:
        answer = httpx.post(
            f"{site}/assessments/new",
            data={"name": name, "description": description, "example": example},
            headers={"Origin": site},
        )
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    return start


@pytest.fixture
def decided(site: str, assessment: Callable[..., str]) -> Callable[..., str]:
    """An assessment whose recommendation is frozen; answers its path."""

    def start(example: str = "legal_reasoning", **named: str) -> str:
        path = assessment(example, **named)
        answer = httpx.post(f"{site}{path}/result", headers={"Origin": site})
        assert answer.status_code == 303, answer.text
        return path

    return start
