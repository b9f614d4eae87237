"""A pilot seen in a browser: asked for, followed, read, and what it does to the advice."""

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.main import read_rulebook
from tests.browser.runs.conftest import PATIENCE_SECONDS, Workshop
from tests.browser.runs.scenes import RULING

pytestmark = pytest.mark.browser

LEGAL = next(example for example in read_rulebook().examples if example.id == "legal_reasoning")


def decided(workshop: Workshop, name: str) -> str:
    """An assessment of the worked example with a recommendation."""
    body = {"name": name, "description": LEGAL.description, "answers": dict(LEGAL.answers)}
    made: str = workshop.http.post("/api/v1/assessments", json=body).json()["id"]
    workshop.http.post(f"/api/v1/assessments/{made}/recommendation")
    return made


def tried(workshop: Workshop, assessment: str, name: str) -> str:
    order = {
        "name": name,
        "plan": {"minutes": 1.0, "arms": ["sft", "grpo", "sft_then_grpo"], "seeds": 1},
        "model": {"kind": "hub", "id": "somebody/some-model"},
        "dataset": {"kind": "generated", "name": "rulings"},
        "grader": RULING,
    }
    answer = workshop.http.post(f"/api/v1/assessments/{assessment}/pilots", json=order)
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def until_over(workshop: Workshop, pilot: str) -> dict:
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while time.monotonic() < deadline:
        told: dict = workshop.http.get(f"/api/v1/pilots/{pilot}").json()
        if told["is_over"]:
            return told
        time.sleep(0.2)
    raise AssertionError(told["sentence"])


def until_proposed(workshop: Workshop, assessment: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not workshop.http.get(f"/api/v1/assessments/{assessment}/proposals?waiting=true").json():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def assessment(workshop) -> str:
    return decided(workshop, "Appeals in a pilot")


@pytest.fixture(scope="module")
def finished(workshop, assessment) -> str:
    pilot = tried(workshop, assessment, "Both methods on appeals")
    until_over(workshop, pilot)
    return pilot


@pytest.fixture
def look(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


def test_the_verdict_comes_first_and_the_table_has_the_pictures_figures(look, workshop, finished):
    told = workshop.http.get(f"/api/v1/pilots/{finished}").json()
    assert told["reading"]["outcome"] in ("grpo_ahead", "warm_start_ahead")
    page = look(f"/pilots/{finished}")
    expect(page.locator("#now .lead")).to_have_text(told["sentence"])
    pictures = page.locator("section:has(#scores) .interval-value").all_inner_texts()
    table = page.get_by_role("region", name="Held-out scores by arm")
    shown = [strong.replace("\u00a0", " ") for strong in table.locator("td strong").all_inner_texts()]
    assert [each.replace("\u00a0", " ") for each in pictures] == shown
    assert shown[1::2] == [f"{100 * arm['after']['value']:.1f} %" for arm in told["reading"]["arms"]]
    expect(page.get_by_role("region", name="Throughput while training")).to_contain_text("times")
    expect(page.get_by_text("10 to 20 times")).to_be_visible()
    expect(page.get_by_role("heading", name="What it cannot tell")).to_be_visible()


def test_it_can_be_read_everywhere_and_by_everybody(look, violations, finished, assessment):
    for path in (f"/pilots/{finished}", f"/assessments/{assessment}/pilot"):
        page = look(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == ""
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_it_is_asked_for_with_one_form_followed_and_cancelled(look, workshop, java_script_enabled):
    made = decided(workshop, "A pilot that is cancelled")
    page = look(f"/assessments/{made}/pilot", java_script_enabled=java_script_enabled)
    page.get_by_label("Name", exact=True).fill(f"Tried slow {java_script_enabled}")
    page.get_by_label("A model from the Hugging Face hub").check()
    page.get_by_label("Model id").fill("somebody/some-model")
    page.get_by_role("button", name="Start the pilot").click()
    page.wait_for_url(re.compile(r"/pilots/[0-9a-f-]{36}$"))
    expect(page.locator("#now")).to_contain_text("of 4 runs")
    expect(page.get_by_role("progressbar", name="Trained of all runs")).to_be_visible()
    page.get_by_role("link", name="Cancel this pilot").click()
    page.get_by_role("button", name="Cancel the pilot").click()
    page.wait_for_url(re.compile(r"/pilots/[0-9a-f-]{36}$"))
    pilot = page.url.rsplit("/", 1)[1]
    assert until_over(workshop, pilot)["state"] == "cancelled"
    page.reload()
    expect(page.locator("#now .lead")).to_contain_text("There is no verdict")


def test_what_it_showed_is_accepted_and_the_result_page_shows_the_advice_with_and_without(look, workshop):
    made = decided(workshop, "A pilot that counts")
    pilot = tried(workshop, made, "It counts")
    until_over(workshop, pilot)
    until_proposed(workshop, made)
    page = look(f"/pilots/{pilot}")
    expect(page.get_by_role("heading", name="It suggests an answer")).to_be_visible()
    page.get_by_role("link", name="Look at the proposed answer").click()
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name=re.compile("Accept")).first.click()
    page.goto(f"/assessments/{made}/check")
    expect(page.get_by_text("What did a pilot of both methods show?", exact=True)).to_be_visible()
    page.get_by_role("button", name="Get recommendation").first.click()
    page.wait_for_url("**/result")
    expect(page.get_by_role("heading", name="What the pilot changed")).to_be_visible()
    expect(page.get_by_role("heading", name="The questionnaire alone")).to_be_visible()
