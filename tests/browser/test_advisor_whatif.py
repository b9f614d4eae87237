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
        window.wait_for_url(re.compile("only=differences"))
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


def test_what_if_follows_a_change_says_so_politely_and_marks_what_changed(browse: Browse, decided: Start):
    window = browse()
    window.goto(f"{decided()}/whatif")
    told = window.locator("#told")
    assert told.get_attribute("role") == "status"
    before = told.inner_text()
    expect(window.get_by_role("button", name="Recalculate")).to_be_hidden()
    window.locator("#D3").select_option("cannot")
    expect(told).not_to_have_text(before)
    assert told.inner_text().count(".") - told.inner_text().count("0.") == 1
    expect(window.locator("#mark-D3")).to_contain_text("Changed. Saved: Compare with the known result")
    assert window.locator(".mark strong").count() == 1
    window.get_by_label("Weight (points) of Data").fill("5")
    expect(window.locator("#mark-data")).to_contain_text("Changed. Now")
    window.get_by_label("Number of GPUs").fill("some")
    expect(window.locator("#mark-C1")).to_contain_text("Number of GPUs must be a number")
    expect(window.get_by_label("Number of GPUs")).to_have_value("some")
    window.get_by_role("link", name="Discard").click()
    expect(window.locator("#told")).to_have_text("Nothing is changed yet: this is the saved result.")


def test_the_keyboard_tries_an_answer_saves_it_and_makes_it_the_answer(browse: Browse, decided: Start):
    path = decided()
    window = browse()
    window.goto(f"{path}/whatif")
    window.locator("#D3").focus()
    window.keyboard.press("End")
    for _ in range(3):
        window.keyboard.press("ArrowUp")
    expect(window.locator("#mark-D3")).to_contain_text("Changed.")
    window.locator("#label").focus()
    window.keyboard.type("By keyboard")
    window.keyboard.press("Enter")
    window.wait_for_url("**/result?number=2")
    expect(window.get_by_role("heading", name="This is a scenario: “By keyboard”")).to_be_visible()
    window.get_by_role("link", name="Make these my answers").click()
    button = window.get_by_role("button", name="Restore these answers")
    button.focus()
    window.keyboard.press("Enter")
    window.wait_for_url("**/check")
    window.goto(f"{path}/history")
    expect(window.locator(".changes > li").first).to_contain_text("(restored from scenario 2)")


def test_on_a_phone_the_sentence_stays_in_sight_and_never_covers_what_has_focus(
    browse: Browse, decided: Start
):
    window = browse(viewport={"width": 390, "height": 700})
    window.goto(f"{decided()}/whatif")
    for _ in range(45):
        window.keyboard.press("Tab")
        seen = window.evaluate(
            """() => {
              const each = document.activeElement;
              const box = each.getBoundingClientRect();
              const top = document.elementFromPoint(box.left + Math.min(box.width / 2, 40), box.top + 6);
              return [each.outerHTML.slice(0, 60), !!top && (each.contains(top) || top.contains(each))];
            }"""
        )
        assert seen[1], seen
    window.locator("#C1-gpus").scroll_into_view_if_needed()
    box = window.locator("#told").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 200


def test_without_javascript_factors_are_ranked_and_answers_taken_over(browse: Browse, decided: Start):
    path = decided()
    window = browse(java_script_enabled=False)
    window.goto(f"{path}/weights")
    window.get_by_role("button", name="Move down Data").click()
    expect(window.get_by_role("textbox", name="Objective")).to_have_value("45.67")
    expect(window.get_by_role("textbox", name="Data")).to_have_value("25.67")
    window.get_by_role("textbox", name="Data").fill("45.67")
    window.get_by_role("button", name="Recalculate").click()
    expect(window.locator("[data-share=data]")).to_have_text(re.compile("^38"))
    window.get_by_role("button", name="Continue").click()
    window.wait_for_url("**/check")
    window.goto(f"{path}/whatif")
    window.get_by_label("Automatic score").select_option("cannot")
    window.get_by_role("button", name="Make these my answers").click()
    window.wait_for_url("**/check")
    expect(window.get_by_text("It cannot")).to_be_visible()


def test_points_move_in_steps_and_shares_follow_at_once(browse: Browse, decided: Start):
    window = browse()
    window.goto(f"{decided()}/weights")
    window.get_by_role("button", name="5 points more for Data").click()
    expect(window.get_by_role("textbox", name="Data")).to_have_value("45")
    expect(window.locator("[data-share=data]")).to_have_text(re.compile("^43"))
    window.get_by_role("button", name="Move up Stability & control").focus()
    window.keyboard.press("Enter")
    expect(window.get_by_role("textbox", name="Stability & control")).to_have_value("25.67")
    expect(window.get_by_role("button", name="Move up Stability & control")).to_be_focused()
    widths = [
        float((part.get_attribute("width") or "").rstrip("%"))
        for part in window.locator(".stacked > svg").all()
    ]
    assert sum(widths) == pytest.approx(100, abs=0.01)


def test_history_compares_what_was_chosen(browse: Browse, decided: Start, site: str):
    path = decided()
    httpx.put(f"{site}/api/v1{path}/answers/D5", json="under_2")
    window = browse()
    window.goto(f"{path}/history")
    window.get_by_role("checkbox", name="Choose Recommendation 1").check()
    window.get_by_role("checkbox", name="Choose the present answers").check()
    window.get_by_role("button", name="Compare the chosen").click()
    window.wait_for_url("**/compare?*")
    expect(window.get_by_text("1 of 22 answers differ.")).to_be_visible()
    window.goto(f"{path}/milestones/1/restore")
    expect(window.get_by_text("The present answers are in no recommendation yet")).to_be_visible()


def test_two_results_become_cards_on_a_phone(browse: Browse, decided: Start):
    ids = ",".join(decided(example).rsplit("/", 1)[1] for example in ("legal_reasoning", "brand_voice"))
    window = browse(viewport={"width": 390, "height": 800})
    window.goto(f"/compare?ids={ids}")
    cells = window.locator("tr[data-question]").first.locator("td")
    first, second = cells.nth(0).bounding_box(), cells.nth(1).bounding_box()
    assert first is not None
    assert second is not None
    assert second["y"] >= first["y"] + first["height"]
    assert second["x"] == first["x"]


def test_newer_answers_are_replaced_only_when_asked_to_and_the_question_stays_to_be_read(
    browse: Browse, site: str, decided: Start
):
    path = decided()
    newer = {"choice": "cannot", "note": "Nobody could score it."}
    httpx.put(f"{site}/api/v1{path}/answers/D3", json=newer)
    page = browse()
    page.goto(f"{path}/whatif")
    with page.expect_response("**/whatif"):
        page.get_by_label("Automatic score").select_option("judge_free_form")
    page.get_by_role("button", name="Make these my answers").click()
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("answered since the saved result, now “It cannot”")
    page.wait_for_timeout(600)  # Longer than a recalculation waits.
    expect(summary).to_contain_text("answered since the saved result, now “It cannot”")
    page.get_by_role("button", name="Replace what was changed since").click()
    page.wait_for_url("**/check")
    assert httpx.get(f"{site}/api/v1{path}/answers/D3").json()["answer"] == "judge_free_form"
