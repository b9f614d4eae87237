"""The whole road, once: from the start page over the advice to a model that was trained and measured."""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.engine]

MINUTE = 60_000


def decide(page: Page, address: str) -> None:
    """The worked example, from the start page to its recommendation."""
    page.goto(f"{address}/")
    page.get_by_role("link", name="Start from this example").click()
    page.get_by_label("Name").fill("Appeals")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("link", name="Check your answers").click()
    page.get_by_role("button", name="Get recommendation").first.click()
    page.wait_for_url("**/result")
    expect(page.locator("h1")).to_contain_text("GRPO")


def launch(page: Page) -> str:
    """From the filled-in form over the confirmation to the first run; answers its id."""
    page.get_by_role("button", name="Check and continue").click()
    page.get_by_role("button", name="Launch both runs").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    return page.url.rsplit("/", 1)[1]


def follow_both(page: Page, patience: int) -> None:
    """Watches the first run to its end, then the second, which went on from its model."""
    expect(page).to_have_title(re.compile("^Finished"), timeout=patience)
    page.get_by_role("navigation", name="Stages of this plan").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("GRPO")
    expect(page.locator("#now")).to_contain_text("Succeeded", timeout=patience)
    expect(page.get_by_role("heading", name="Before and after", exact=True)).to_be_visible()


@pytest.mark.timeout(900)
def test_the_worked_example_leads_to_a_trained_model(product, browser_page):
    page = browser_page
    decide(page, product.address)
    page.get_by_role("link", name=re.compile("Set up")).first.click()
    page.wait_for_load_state("networkidle")  # The form refreshes itself only once its script has come.
    with page.expect_response("**/launch"):
        page.get_by_label("micro", exact=True).check()
    shortened = {
        "Demonstrations used": "32",
        "Epochs": "1",
        "Longest row": "1024",
        "Steps": "2",
        "Longest completion": "24",
        "Held-out items": "16",
        "Longest answer": "24",
    }
    for label, value in shortened.items():
        page.get_by_label(re.compile(f"^{label}")).fill(value)
    for batch in page.get_by_label(re.compile("[Bb]atch size")).all():
        batch.fill("8")
    run_id = launch(page)
    follow_both(page, 8 * MINUTE)
    assert page.locator("figure[data-series=reward]").get_attribute("data-points") == "2"
    expect(page.get_by_role("link", name="Download the model")).to_be_visible()
    first = product.run(run_id)
    second = product.run(page.url.rsplit("/", 1)[1])
    assert second["starts_from"] == run_id
    assert first["after"]["greedy_outcomes"] == second["before"]["greedy_outcomes"]
    model = product.http.get(f"/api/v1/runs/{second['id']}/artifacts/model.zip")
    assert model.content[:2] == b"PK"


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_worked_example_at_full_length_makes_the_starter_model_better(product_with_starter, browser_page):
    page = browser_page
    decide(page, product_with_starter.address)
    page.get_by_role("link", name=re.compile("Set up")).first.click()
    run_id = launch(page)
    follow_both(page, 25 * MINUTE)
    first = product_with_starter.run(run_id)
    second = product_with_starter.run(page.url.rsplit("/", 1)[1])
    assert second["before"]["sampled"]["n"] >= 900
    start, end = first["before"]["sampled"]["interval"], second["after"]["sampled"]["interval"]
    assert start["high"] < end["low"]
    assert second["comparison"]["sampled_gain"] > 0
    assert second["comparison"]["sampled_p"] < 0.05
