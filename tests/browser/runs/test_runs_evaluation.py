"""Before and after: every grader, what got worse first, blind reading, and several runs side by side."""

import csv
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def look(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


def test_each_grader_has_its_interval_and_its_wins_and_losses(look, workshop, told):
    page = look(f"/runs/{told}/evaluation")
    table = page.get_by_role("region", name="Every grader, before and after")
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table.get_by_role("row").nth(1)).to_contain_text("rewarded")
    expect(table.get_by_role("row").nth(2)).to_contain_text("strict")
    run = workshop.run(told)
    before, after = (run[when]["sampled_outcomes"] for when in ("before", "after"))
    lost = sum(old == "1" and new == "0" for old, new in zip(before, after, strict=True))
    expect(page.locator(".lead")).to_contain_text(f"{lost} of 99 held-out answers got worse")
    expect(page.get_by_text("The start was measured by an earlier run")).to_be_visible()


def test_what_got_worse_stands_first(look, workshop, told):
    page = look(f"/runs/{told}/evaluation")
    run = workshop.run(told)
    before, after = (run[when]["sampled_outcomes"] for when in ("before", "after"))
    worse = [n for n in range(25) if before[n] == "1" and after[n] == "0"]
    courses = page.locator("#answers .items > li > details > summary").all_inner_texts()
    assert worse
    assert [course.endswith("right before, wrong after") for course in courses[: len(worse) + 1]] == [
        *[True] * len(worse),
        False,
    ]
    lost = sum(old == "1" and new == "0" for old, new in zip(before, after, strict=True))
    assert lost > len(worse)
    kept = f"The answers to 25 of 100 items were kept, with {len(worse)} of the {lost} that got worse;"
    expect(page.locator("#answers")).to_contain_text(kept)


def test_a_guard_set_that_fell_is_said(look, told):
    page = look(f"/runs/{told}/evaluation")
    expect(page.get_by_role("region", name="Guard set")).to_contain_text("Training cost something here: −")


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_blind_nobody_is_told_which_is_which_until_they_ask(look, told, java_script_enabled):
    page = look(f"/runs/{told}/evaluation", java_script_enabled=java_script_enabled)
    page.get_by_role("button", name="Compare them blind").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/evaluation?blind=1#answers")
    first = page.locator("#answer-0")
    expect(first.get_by_text("Answer A", exact=True)).to_be_visible()
    expect(first.get_by_text("Before", exact=True)).to_have_count(0)
    told_by = first.locator("#reveal-0 li")
    expect(told_by.first).to_be_hidden()
    first.locator("#reveal-0 summary").focus()
    page.keyboard.press("Enter")
    expect(told_by.first).to_contain_text("A is the answer")
    said = told_by.first.inner_text()
    page.reload()
    page.locator("#reveal-0 summary").click()
    assert page.locator("#reveal-0 li").first.inner_text() == said


def test_blind_the_sides_are_not_always_the_same(look, told):
    page = look(f"/runs/{told}/evaluation?blind=1")
    firsts = {page.locator(f"#reveal-{n} li").first.text_content().split("answer ")[1][:6] for n in range(20)}
    assert firsts == {"before", "after "}


def test_every_score_is_a_table_without_formulas(workshop, told):
    text = workshop.http.get(f"/runs/{told}/evaluation.csv").text
    head, *rows = csv.reader(text.splitlines(keepends=True))
    assert head[:5] == ["item", "grader", "role", "sampled before", "sampled after"]
    assert len(rows) == 200
    assert not any(cell[:1] in ("=", "+", "@") for row in rows for cell in row)


def test_a_reward_model_shows_agreement_and_whether_its_certainty_can_be_believed(look, reward_model):
    page = look(f"/runs/{reward_model}")
    expect(page.get_by_text("Agreement with people, after training")).to_be_visible()
    expect(page.get_by_role("img", name="Predicted chance against how often it was right")).to_have_count(1)
    expect(page.get_by_role("region", name="Certainty and truth, after").get_by_role("row")).to_have_count(11)


def test_runs_are_chosen_from_the_list_and_compared_without_a_script(look, plan, told):
    page = look("/runs", java_script_enabled=False)
    page.get_by_label("Compare Legal reasoning, GRPO").check()
    page.get_by_label("Compare Tenancy warned forgets remembered").check()
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page.get_by_role("heading", name="2 runs side by side")).to_be_visible()
    rewards = page.locator(".overlay").filter(has_text="Reward")
    assert rewards.locator("polyline").count() == 2
    settings = page.get_by_role("region", name="Settings side by side")
    expect(settings).to_contain_text("Guard set")
    expect(settings).not_to_contain_text("Learning rate\n")
    page.get_by_role("link", name="Show all settings").click()
    expect(page.get_by_role("row", name="Learning rate Training")).to_be_visible()
    page.get_by_role("link", name="By time").click()
    expect(page.locator(".axis").first).to_contain_text("min")


def test_one_run_alone_is_not_compared(look, told):
    page = look(f"/runs/compare?ids={told}")
    expect(page.locator(".error-summary")).to_contain_text("Choose at least 2 runs")
    expect(page.get_by_label("Tenancy warned forgets remembered")).to_be_checked()


def test_a_comparison_is_a_table_for_a_spreadsheet(workshop, plan, told):
    text = workshop.http.get(f"/runs/compare.csv?ids={plan[1]},{told}").text
    rows = {tuple(row[:2]): row[2:] for row in csv.reader(text.splitlines(keepends=True))}
    assert rows["Start", "Method"] == ["GRPO", "GRPO"]
    assert float(rows["Result", "Score after"][0]) > float(rows["Result", "Score before"][0])
    assert "62 %" in rows["Result", "Findings"][1]


@pytest.mark.parametrize("ids", ["nonsense", "7b0b0a1e-6a0f-4c62-9d5e-0f6f2b7f4f10,told"])
def test_a_run_that_is_not_here_cannot_be_compared(workshop, told, ids):
    assert workshop.http.get(f"/runs/compare?ids={ids.replace('told', told)}").status_code == 404
