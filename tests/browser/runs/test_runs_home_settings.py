"""Home says what is open, what trains and what came out; settings show a key once."""

import pytest
from playwright.sync_api import expect

from tests.browser.runs.scenes import grpo, sft

pytestmark = pytest.mark.browser


def test_an_empty_home_teaches_three_steps(browse, own_workshop):
    page = browse(base_url=own_workshop.address)
    page.goto("/home")
    for step in ("Ask", "Decide", "Train"):
        expect(page.get_by_role("heading", name=step, exact=True)).to_be_visible()


def test_home_lists_what_trains_what_failed_and_what_came_out(browse, workshop):
    came_out, broke = workshop.launch(sft("Came out")), workshop.launch(grpo("Broke failing", steps=6))
    for run_id in (*came_out, *broke):
        workshop.until_over(run_id)
    trains = workshop.launch(grpo("Trains slow", steps=300))
    workshop.until_training(*trains)
    page = browse(base_url=workshop.address)
    page.goto("/home")
    expect(page.get_by_role("region", name="Runs that are not over")).to_contain_text("Trains slow")
    expect(page.get_by_role("region", name="Needs attention")).to_contain_text("The loss was not a number")
    expect(page.get_by_role("region", name="Recent runs")).to_contain_text("Came out")
    workshop.clear(*trains)


def test_runs_are_filtered_by_state_and_method(browse, workshop, plan, failed):
    page = browse(base_url=workshop.address)
    page.goto("/runs")
    page.get_by_label("State").select_option("failed")
    page.get_by_label("Method").select_option("grpo")
    page.get_by_role("button", name="Show").click()
    table = page.get_by_role("region", name="Runs", exact=True)
    expect(table).to_contain_text("Contract triage failing")
    expect(table).not_to_contain_text("Succeeded")


def test_a_key_is_shown_once_works_and_can_be_revoked(browse, workshop):
    page = browse(base_url=workshop.address)
    page.goto("/settings")
    page.get_by_label("Name of a new key").fill("nightly")
    page.get_by_role("button", name="Create a key").click()
    expect(page.locator("#key")).to_contain_text("tf_")
    key = page.locator("#key").inner_text()
    page.goto("/settings")
    assert key not in page.content()
    expect(page.get_by_role("region", name="Existing keys")).to_contain_text("nightly")
    page.get_by_role("button", name="Revoke nightly").click()
    expect(page.get_by_role("region", name="Existing keys")).to_contain_text("revoked")


def test_settings_tell_how_the_worker_is(browse, workshop):
    page = browse(base_url=workshop.address)
    page.goto("/settings")
    expect(page.get_by_text("Free disk")).to_be_visible()
    expect(page.get_by_text("transformers")).to_be_visible()
