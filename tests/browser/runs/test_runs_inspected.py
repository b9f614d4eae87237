"""From a file to accepted answers: linked on the page, settled one by one, with and without scripts."""

import json
import random
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

WORDS = ("court", "tenant", "notice", "deposit", "letter", "claim", "appeal", "clause", "party", "judge")


def rows(count: int) -> bytes:
    chance = random.Random(5)
    asked = (f"Case {n}: " + " ".join(chance.choice(WORDS) for _ in range(14)) for n in range(count))
    given = (
        {"prompt": each, "completion": "Granted, as it was served in time.", "source": "expert"}
        for each in asked
    )
    return b"\n".join(json.dumps(each).encode() for each in given)


@pytest.fixture(scope="module")
def dataset(workshop) -> str:
    found: str = workshop.upload("Sixty <b>worked</b> cases", rows(60))
    return found


@pytest.fixture
def told(workshop, dataset: str) -> str:
    """An assessment that says otherwise about its data; answers its path."""
    answers = {"D1": {"choice": "1000_or_more", "note": "The archive has them."}, "D2": "raw_logs"}
    made = workshop.http.post("/api/v1/assessments", json={"name": "Rulings", "answers": answers})
    return f"/assessments/{made.json()['id']}"


def linked(page: Page, told: str) -> None:
    page.goto(told)
    page.get_by_label("Dataset").select_option(label="Sixty <b>worked</b> cases")
    page.get_by_role("button", name="Link and inspect").click()
    page.wait_for_url("**/proposals?inspected=true")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_dataset_is_linked_and_what_it_found_is_settled_one_by_one(
    workshop, browse: Callable[..., Page], told: str, violations, scripts: bool
):
    page = browse(base_url=workshop.address, java_script_enabled=scripts)
    linked(page, told)
    expect(page.get_by_role("status")).to_contain_text("2 contradict what you told")
    against = page.get_by_role("region", name="Told and found differ")
    expect(against).to_contain_text("The archive has them.")
    expect(against).to_contain_text("60 of 60 rows end with an answer.")
    if scripts:
        assert violations(page) == ""
    against.get_by_role("button", name=re.compile("Take what was found.*Demonstrations")).click()
    against.get_by_role("button", name=re.compile("Keep my answer.*Where demonstrations")).click()
    expect(against).to_have_count(0)
    page.get_by_role("checkbox", name=re.compile("50 to 199")).check()
    page.get_by_role("button", name="Accept all that are ticked").click()
    answers = workshop.http.get(f"/api/v1{told}").json()["answers"]
    assert answers["D1"]["basis"] == answers["D6"]["basis"] == "inspected"
    assert answers["D2"] == "raw_logs"


def test_a_contradiction_is_settled_by_keyboard_and_the_check_page_leads_to_it(
    workshop, browse: Callable[..., Page], told: str, violations
):
    page = browse(base_url=workshop.address)
    linked(page, told)
    page.goto(f"{told}/check")
    page.get_by_role("link", name="See both side by side").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/proposals")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") and "Take" in page.evaluate(
            "document.activeElement.innerText"
        ):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_text("What was found", exact=False).first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Take what was found"))).to_have_count(1)
    page.goto(f"{told}/check")
    assert violations(page) == ""


def test_both_sides_read_well_in_both_themes_and_on_a_narrow_screen(
    workshop, browse: Callable[..., Page], told: str, dataset: str, violations
):
    linked(browse(base_url=workshop.address), told)
    for scheme in ("light", "dark"):
        page = browse(base_url=workshop.address, color_scheme=scheme, viewport={"width": 320, "height": 800})
        for address in (f"{told}/proposals", told, f"/datasets/{dataset}"):
            page.goto(address)
            assert violations(page) == ""
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_dataset_s_page_links_it_to_an_assessment(
    workshop, browse: Callable[..., Page], told: str, dataset: str
):
    page = browse(base_url=workshop.address, java_script_enabled=False)
    page.goto(f"/datasets/{dataset}")
    page.get_by_label("Assessment").select_option(value=told.rpartition("/")[2])
    page.get_by_role("button", name="Link and inspect").click()
    page.wait_for_url(f"**{told}/proposals?inspected=true")
    page.goto(told)
    expect(page.get_by_role("link", name="the dataset “Sixty <b>worked</b> cases”")).to_be_visible()
    page.get_by_role("button", name="Unlink it").click()
    expect(page.get_by_label("Dataset")).to_be_visible()
