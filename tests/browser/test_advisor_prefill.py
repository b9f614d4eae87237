"""Quick check and proposed answers as a user meets them: by keyboard, without scripts, on a narrow screen."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.settings import WebSettings
from tests.browser.served import serving
from tests.web.endpoint import Endpoint, proposing, sending, serving_endpoint

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]

TEXT = (
    "We draft rulings and check them. A program compares each ruling with the known outcome. "
    "There are about sixty worked cases. <script>alert(1)</script> was in one of them."
)
PROPOSED = (
    {"question": "D3", "answer": "exact_match", "sentence": "A program compares each ruling"},
    {"question": "D1", "answer": "50_to_99", "sentence": "about sixty worked cases"},
    {"question": "O1", "answer": "self_correction", "sentence": "We draft rulings and check them."},
    {
        "question": "D2",
        "answer": "expert_verified",
        "sentence": "<script>alert(1)</script> was in one of them.",
    },
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving_endpoint() as server:
        yield server


@pytest.fixture(scope="module")
def assisted(tmp_path_factory, _migrated_sqlite: Path, endpoint: Endpoint) -> Iterator[str]:
    data = tmp_path_factory.mktemp("assisted")
    shutil.copy(_migrated_sqlite, data / "tuning-fork.db")
    settings = WebSettings(
        data_dir=data,
        sign_in="off",
        worker_url="http://127.0.0.1:9",
        worker_token="nobody listens there",
        assistant_url=endpoint.url,
        assistant_model="small",
    )
    with serving(settings) as address:
        yield address


def described(page: Page, endpoint: Endpoint) -> None:
    """From the start page to the proposals."""
    endpoint.reply = proposing(*PROPOSED)
    page.goto("/assessments/new")
    page.get_by_label("Name").fill("Rulings")
    page.get_by_label("With a description").check()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/describe")
    expect(page.get_by_text(f"127.0.0.1:{endpoint.server_port}")).to_be_visible()
    page.get_by_label("Description").fill(TEXT)
    page.get_by_role("button", name="Send and propose answers").click()
    page.wait_for_url("**/proposals?*")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_description_becomes_answers_once_they_are_ticked(
    browse: Browse, assisted: str, endpoint: Endpoint, scripts: bool
):
    page = browse(base_url=assisted, java_script_enabled=scripts)
    described(page, endpoint)
    boxes = page.get_by_role("checkbox")
    assert boxes.count() == 4
    assert not any(box.is_checked() for box in boxes.all())
    page.get_by_role("checkbox", name=re.compile("50 to 99")).check()
    page.get_by_role("button", name="Accept all that are ticked").click()
    page.wait_for_url(re.compile(r"/proposals$"))
    expect(page.get_by_role("checkbox")).to_have_count(3)
    page.get_by_role("button", name=re.compile("Leave.*Experts")).click()
    expect(page.get_by_role("checkbox")).to_have_count(2)
    page.get_by_role("link", name="Back to the overview").click()
    expect(page.get_by_text("Answered 1 of 22.")).to_be_visible()
    expect(page.get_by_role("link", name="2 proposed answers wait for you")).to_be_visible()


def test_a_failure_keeps_what_was_typed_and_leads_to_it(browse: Browse, assisted: str, endpoint: Endpoint):
    page = browse(base_url=assisted)
    described(page, endpoint)
    endpoint.reply = sending(429, b"{}")
    page.goto(page.url.partition("/proposals")[0] + "/describe")
    page.get_by_label("Description").fill("A long text.")
    page.get_by_role("button", name="Send and propose answers").click()
    expect(page.locator(".error-summary")).to_be_focused()
    expect(page.get_by_label("Description")).to_have_value("A long text.")
    assert page.get_by_label("Description").get_attribute("aria-invalid") == "true"


def test_proposals_read_well_in_both_themes_and_on_a_narrow_screen(
    browse: Browse, assisted: str, endpoint: Endpoint, violations
):
    page = browse(base_url=assisted)
    described(page, endpoint)
    page.get_by_role("button", name=re.compile("Leave.*Experts")).click()
    address = page.url
    page.goto(address.replace("/proposals", "/q/D3"))
    page.get_by_label("Run it").first.check()
    page.get_by_role("button", name="Continue").click()
    for scheme in ("light", "dark"):
        window = browse(base_url=assisted, color_scheme=scheme, viewport={"width": 320, "height": 800})
        window.goto(address)
        expect(window.get_by_text("Accepting replaces it.")).to_be_visible()
        window.locator("summary").click()
        assert violations(window) == ""
        assert window.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        window.goto(address.replace("/proposals", "/describe"))
        assert violations(window) == ""


def tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText || document.activeElement.id").strip() == name:
            return
    pytest.fail(f"the keyboard does not reach {name} on {page.url}")


@pytest.mark.parametrize("scripts", [True, False])
def test_the_quick_check_leads_by_keyboard_from_the_start_page_to_a_verdict(
    browse: Browse, violations, scripts: bool
):
    page = browse(java_script_enabled=scripts)
    page.goto("/")
    if scripts:
        tab_to(page, page.get_by_role("link", name=re.compile("Quick check")).inner_text())
        page.keyboard.press("Enter")
    else:
        page.get_by_role("link", name=re.compile("Quick check")).click()
    page.wait_for_url("**/quick")
    page.get_by_role("button", name="Start the quick check").click()
    page.wait_for_url("**/q/**")
    asked = 0
    while "/q/" in page.url:
        asked += 1
        assert asked <= 7
        if scripts:
            assert violations(page) == ""
        page.locator("input[name=choice]").first.check()
        here = page.url
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(lambda url, here=here: url != here)
    expect(page.locator("h1")).not_to_be_empty()
    expect(page.get_by_text(re.compile("The full questionnaire would ask"))).to_be_visible()
    if scripts:
        assert violations(page) == ""
