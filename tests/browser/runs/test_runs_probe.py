"""A probe as people meet it: one click from the result, watched, and read on its page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.main import read_rulebook
from tests.browser.runs.scenes import RULING

pytestmark = pytest.mark.browser

EXAMPLE = next(each for each in read_rulebook().examples if each.id == "legal_reasoning")


@pytest.fixture
def look(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


@pytest.fixture(scope="session")
def probed(workshop) -> str:
    (run_id,) = workshop.launch(
        {
            "name": "Probe: Appeals",
            "model": {"kind": "hub", "id": "somebody/some-model"},
            "dataset": {"kind": "generated", "name": "rulings"},
            "grader": RULING,
            "recipe": {"kind": "probe"},
        }
    )
    assert workshop.until_over(run_id)["state"] == "succeeded"
    return run_id


def test_one_click_leads_from_the_result_to_what_the_probe_found(workshop, look):
    made = workshop.http.post(
        "/api/v1/assessments",
        json={"name": "Appeals", "description": EXAMPLE.description, "answers": dict(EXAMPLE.answers)},
    ).json()
    workshop.http.post(f"/api/v1/assessments/{made['id']}/recommendation")
    page = look(f"/assessments/{made['id']}/result")
    page.get_by_role("button", name="Probe the model").click()
    page.wait_for_url("**/runs/*")
    expect(page.locator("#now .lead")).to_contain_text("GRPO has something to learn from")
    expect(page.get_by_role("heading", name="What it means")).to_be_visible()
    expect(page.get_by_role("link", name="Look at what it suggests")).to_be_visible()


def test_the_picture_the_table_and_the_api_say_the_same(workshop, look, probed):
    report = workshop.run(probed)["probe"]
    page = look(f"/runs/{probed}")
    shares = page.locator("#probe .intervals .interval-value").all_inner_texts()
    assert shares == [f"{100 * each['share']:.1f}\u00a0%" for each in report["dead"]]
    page.get_by_text("The same as a table").click()
    table = page.get_by_role("region", name="Groups that teach nothing")
    expect(table.get_by_role("row")).to_have_count(1 + len(report["dead"]))
    counts = page.get_by_role("region", name="Prompts by right answers").locator("td").all_inner_texts()
    assert sum(map(int, counts)) == len(report["prompts"])
    assert page.locator(".columns rect").count() == len(counts)


def test_twenty_answers_can_be_read(look, probed):
    page = look(f"/runs/{probed}")
    expect(page.get_by_role("heading", name="20 answers to read")).to_be_visible()
    page.locator("#answer-2 summary").click()
    expect(page.get_by_label("Answer 2", exact=True)).to_be_visible()


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"java_script_enabled": False}])
def test_its_page_is_accessible(look, violations, probed, options):
    page = look(f"/runs/{probed}", **options)
    if options.get("java_script_enabled", True):
        assert violations(page) == ""
    expect(page.get_by_role("heading", name="All figures")).to_be_visible()


@pytest.mark.parametrize("width", [390, 320])
@pytest.mark.parametrize("path", ["/runs/{probed}", "/runs/probe"])
def test_nothing_is_wider_than_a_phone(look, probed, width, path):
    page = look(path.format(probed=probed), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_form_is_accessible_and_promises_a_time(look, violations, probed):
    page = look(f"/runs/probe?like={probed}")
    assert violations(page) == ""
    expect(page.get_by_text("256 answers, likely about")).to_be_visible()


def test_while_it_runs_the_page_counts_and_offers_to_cancel(workshop, look):
    (run_id,) = workshop.launch(
        {
            "name": "slow",
            "model": {"kind": "hub", "id": "somebody/some-model"},
            "dataset": {"kind": "generated", "name": "rulings"},
            "grader": RULING,
            "recipe": {"kind": "probe"},
        }
    )
    page = look(f"/runs/{run_id}")
    expect(page.locator("#step")).to_contain_text("of 256")
    expect(page.locator("#eta")).to_contain_text("left")
    expect(page.get_by_role("button", name="Pause this run")).to_have_count(0)
    page.get_by_role("link", name="Cancel this run").click()
    page.get_by_role("button", name="Cancel the run").click()
    assert workshop.until_over(run_id)["state"] == "cancelled"
