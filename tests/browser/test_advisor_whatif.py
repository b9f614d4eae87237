"""Trying other answers, comparing results, and setting weights, as a user does."""

import csv
import re
from collections.abc import Callable
from io import StringIO

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]


def test_a_changed_answer_is_advised_on_at_once_and_the_saved_result_stays(
    browse: Browse, decided: Start, site: str
):
    path = decided()
    saved = httpx.get(f"{site}/api/v1{path}/recommendation").json()
    window = browse()
    window.goto(f"{path}/whatif")
    status = window.locator("[role=status]", has_text="saved result")
    expect(status).to_be_visible()
    window.get_by_label("Automatic score").select_option("cannot")
    expect(window.locator("main")).to_contain_text("This would change the advice")
    assert httpx.get(f"{site}/api/v1{path}/recommendation").json() == saved
    window.get_by_label("Name of the scenario").fill("Nothing scores")
    window.get_by_role("button", name="Save as scenario").click()
    expect(window.locator("main")).to_contain_text("scenario")
    assert httpx.get(f"{site}/api/v1{path}/recommendation").json() == saved
    kinds = [line["kind"] for line in httpx.get(f"{site}/api/v1{path}/milestones").json()]
    assert kinds == ["decision", "scenario"]


def test_without_javascript_what_if_recalculates_by_a_button(browse: Browse, decided: Start):
    window = browse(java_script_enabled=False)
    window.goto(f"{decided()}/whatif")
    window.get_by_label("Automatic score").select_option("cannot")
    window.get_by_role("button", name="Recalculate").click()
    expect(window.locator("main")).to_contain_text("This would change the advice")


@pytest.mark.parametrize("count", [2, 4])
def test_a_comparison_puts_what_differs_first_and_can_hide_the_rest(
    browse: Browse, decided: Start, site: str, count: int
):
    examples = ("legal_reasoning", "legal_reasoning", "contract_clauses", "text_to_sql")[:count]
    ids = ",".join(decided(example).rsplit("/", 1)[1] for example in examples)
    if count == 2:
        first, second = ids.split(",")
        answer = {"D5": {"choice": "under_2"}}
        httpx.put(f"{site}/api/v1/assessments/{second}/answers/D5", json=answer["D5"])
        ids = f"{first},draft:{second}"
    window = browse()
    window.goto(f"/compare?ids={ids}")
    found = httpx.get(f"{site}/api/v1/compare", params={"ids": ids}).json()
    different = [row["title"] for row in found["answers"] if row["differs"]]
    assert different
    rows = [each.inner_text().strip() for each in window.locator("main tbody th[scope=row]").all()]
    asked = [title for title in rows if title in {row["title"] for row in found["answers"]}]
    assert asked[: len(different)] == different
    if len(different) < len(found["answers"]):
        window.get_by_role("link", name="Only differences").click()
        left = [each.inner_text().strip() for each in window.locator("main tbody th[scope=row]").all()]
        assert [title for title in left if title in asked] == different
    table = httpx.get(f"{site}/compare.csv", params={"ids": ids}).text
    assert {len(row) for row in csv.reader(StringIO(table))} == {count + 1}


def test_a_preset_or_a_rank_fills_the_points_and_continue_keeps_them(browse: Browse, decided: Start):
    window = browse()
    path = decided()
    stability = window.get_by_role("textbox", name="Stability & control")
    for button, points in (("Safety first", "40"), ("Use this order", "45.6")):
        window.goto(f"{path}/weights")
        window.get_by_role("button", name=button).click()
        expect(stability).to_have_value(re.compile(f"^{points}"))
        window.get_by_role("button", name="Continue").click()
        window.goto(f"{path}/weights")
        expect(stability).to_have_value(re.compile(f"^{points}"))
