"""What would change the advice: every change that the page lists really does; picture and table agree."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]

EXAMPLES = ("legal_reasoning", "contract_clauses", "brand_voice")


def frozen(site: str, path: str) -> dict[str, Any]:
    said = httpx.get(f"{site}/api/v1{path}/recommendation").json()
    return said.get("recommendation", said)


def advised(site: str, answers: dict[str, Any]) -> dict[str, Any]:
    return httpx.post(f"{site}/api/v1/recommendations", json={"answers": answers}).json()


@pytest.mark.parametrize("example", EXAMPLES)
def test_applying_each_listed_change_flips_the_method(
    browse: Browse, site: str, decided: Start, example: str
):
    path = decided(example)
    said = frozen(site, path)
    answers = httpx.get(f"{site}/api/v1{path}").json()["answers"]
    singles = [[flip] for flip in (*said["flips"], *said["fixed_flips"])]
    for changes in [*singles, *(pair["changes"] for pair in said["paired_flips"])]:
        changed = answers | {each["question"]: each["to_answer"] for each in changes}
        assert advised(site, changed)["method"] != said["method"]
    assert singles or said["paired_flips"]

    page = browse()
    page.goto(f"{path}/result")
    section = page.locator("section", has=page.get_by_role("heading", name="What would change it"))
    for pair in said["paired_flips"]:
        for change in pair["changes"]:
            expect(section).to_contain_text(change["title"])
            expect(section).to_contain_text(change["to_label"])


def test_a_change_made_on_the_pages_flips_as_listed(browse: Browse, site: str, decided: Start):
    path = decided("legal_reasoning")
    said = frozen(site, path)
    flip = next(flip for flip in said["flips"] if flip["to_choice"])
    page = browse()
    page.goto(f"{path}/q/{flip['question']}?then=check")
    page.get_by_label(flip["to_label"], exact=True).check()
    page.get_by_role("button", name="Continue").click()
    page.goto(f"{path}/result")
    page.get_by_role("button", name="Get a new recommendation").click()
    page.wait_for_url("**/result")
    assert frozen(site, path)["method"] == flip["method_after"] != said["method"]


def test_picture_and_table_of_the_ranges_agree(browse: Browse, site: str, decided: Start):
    path = decided("brand_voice")
    bars = frozen(site, path)["robustness"]["tornado"]
    page = browse()
    page.goto(f"{path}/result")
    for bar, row in zip(bars, page.locator(".ranges .bar").all(), strict=True):
        drawn = [
            (float(part.get_attribute("x") or "nan"), float(part.get_attribute("width") or "nan"))
            for part in row.locator("rect").all()
        ]
        low, high = min(x for x, _ in drawn), max(x + width for x, width in drawn)
        assert low == pytest.approx(100 * min(bar["unknown_low"], bar["weight_low"]), abs=0.01)
        assert high == pytest.approx(100 * max(bar["unknown_high"], bar["weight_high"]), abs=0.01)
    page.get_by_text("The ranges as a table").click()
    rows = page.get_by_role("region", name="How far each factor can move the lean").locator("tbody tr")
    assert [row.locator("th").inner_text() for row in rows.all()] == [bar["title"] for bar in bars]


def test_what_is_not_known_is_listed_and_never_called_strong(browse: Browse, site: str):
    made = httpx.post(
        f"{site}/api/v1/assessments",
        json={"name": "Little known", "answers": {"O1": "multi_step_reasoning", "D3": "run_it"}},
    )
    path = f"/assessments/{made.json()['id']}"
    httpx.post(f"{site}{path}/result", headers={"Origin": site})
    said = frozen(site, path)
    if said["interval"]["low"] < 0 < said["interval"]["high"]:
        assert said["band"] != "strong"
    page = browse()
    page.goto(f"{path}/result")
    section = page.locator("section", has=page.get_by_role("heading", name="What was not checked"))
    expect(section.locator("li")).to_have_count(len(said["unknowns"]))
    expect(section).to_contain_text(re.compile(r"of its \d+ answers would change what is advised"))
    expect(section).to_contain_text(said["interval"]["sentence"])
    assert not re.search(r"\b(S?G|N)\d", section.inner_text())


def test_answers_that_do_not_fit_are_named_before_and_after(browse: Browse, site: str):
    made = httpx.post(
        f"{site}/api/v1/assessments",
        json={"name": "Odd", "answers": {"D3": "cannot", "D4": "0_8_or_more"}},
    )
    path = f"/assessments/{made.json()['id']}"
    page = browse()
    page.goto(f"{path}/check")
    expect(page.get_by_role("heading", name="Answers that do not fit together")).to_be_visible()
    page.get_by_role("button", name="Get recommendation").first.click()
    page.wait_for_url("**/result")
    expect(page.get_by_text("you say how well the score agrees with experts")).to_be_visible()
