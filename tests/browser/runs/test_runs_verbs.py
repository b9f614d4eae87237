"""Pausing, going on, trying again and its turn: the buttons follow the state, and each does what it says."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.runs.scenes import grpo

pytestmark = pytest.mark.browser


@pytest.fixture
def look(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


def buttons(page: Page) -> set[str]:
    return {each.inner_text() for each in page.locator("#actions :is(a, button)").all()}


def test_a_run_is_paused_and_goes_on_where_it_was(look, workshop, live):
    page = look(f"/runs/{live}")
    page.get_by_role("button", name="Pause this run").click()
    expect(page.locator("#now")).to_contain_text("Paused")
    paused_at = workshop.until(live, lambda run: run["state"] == "paused")["step"]
    page.reload()
    assert buttons(page) == {"Go on", "Cancel this run", "Copy"}
    expect(page.locator("#now")).to_contain_text("It goes on from there when you say so")
    page.get_by_role("button", name="Go on").click()
    assert workshop.until(live, lambda run: run["state"] == "running" and run["step"] > paused_at)
    page.reload()
    expect(page.locator("#checkpoints")).to_contain_text(f"ent on from step {paused_at}")
    assert "Pause this run" in buttons(page)


def test_a_limit_that_was_reached_is_raised_before_it_goes_on(look, workshop):
    (run_id,) = workshop.launch(grpo("Raised", steps=30, limits={"steps": 10}))
    workshop.until(run_id, lambda run: run["state"] == "paused")
    page = look(f"/runs/{run_id}", java_script_enabled=False)
    expect(page.locator("#now")).to_contain_text("It reached its limit")
    expect(page.locator("#spent")).to_contain_text("10 of 10")
    page.get_by_role("link", name="Go on with a higher limit").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".error-summary")).to_contain_text("would pause again at once")
    page.get_by_label("Step limit (optional)").fill("a few")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("[id='limits.steps-error']")).to_contain_text("whole number")
    expect(page.get_by_label("Step limit (optional)")).to_have_value("a few")
    page.get_by_label("Step limit (optional)").fill("30")
    page.get_by_role("button", name="Go on").click()
    assert workshop.until_over(run_id)["state"] == "succeeded"


def test_a_failed_run_is_tried_again_as_a_new_run(look, workshop):
    (run_id,) = workshop.launch(grpo("Once more failing", steps=10))
    workshop.until_over(run_id)
    page = look(f"/runs/{run_id}", java_script_enabled=False)
    assert buttons(page) == {"Try again", "New run with these settings", "Delete"}
    page.get_by_role("button", name="Try again").click()
    again = page.url.rsplit("/", 1)[1]
    assert again != run_id
    assert workshop.run(again)["spec"]["continues"] == run_id
    workshop.clear(again)


def test_a_run_that_waits_can_be_let_go_first(look, workshop, live):
    ids = workshop.launch(grpo("First in line")) + workshop.launch(grpo("Second in line"))
    workshop.until(ids[1], lambda run: run["state"] == "queued")
    page = look(f"/runs/{ids[1]}", java_script_enabled=False)
    expect(page.locator("#now")).to_contain_text("1 run goes before it")
    page.get_by_label("Its turn").select_option("1")
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#now")).to_contain_text("It is next")
    page.goto("/runs")
    expect(page.get_by_role("row", name="Second in line")).to_contain_text("before others")
    workshop.clear(*ids)


def test_a_succeeded_run_offers_neither_pause_nor_another_try(look, plan):
    assert buttons(look(f"/runs/{plan[1]}")) == {"New run with these settings", "Delete"}


def test_what_comes_too_late_changes_nothing(workshop, plan):
    for verb in ("pause", "cancel", "priority"):
        answer = workshop.http.post(f"/runs/{plan[1]}/{verb}", data={"priority": "1"})
        assert answer.status_code == 303
    assert workshop.http.post(f"/runs/{plan[1]}/retry").status_code == 409
    assert workshop.run(plan[1])["state"] == "succeeded"


def test_a_paused_run_waits_for_a_decision_on_the_home_page(look, limited):
    page = look("/home")
    expect(page.get_by_role("region", name="Needs attention")).to_contain_text(
        "Leases limited is paused and waits for you"
    )
    page.goto("/runs?state=paused")
    expect(page.get_by_role("link", name="Leases limited")).to_be_visible()


def test_findings_are_numbered_explained_and_drawn_at_their_step(look, told):
    page = look(f"/runs/{told}")
    first = page.locator("#finding-1")
    expect(first).to_contain_text("Warning, step 30: In 62 % of the groups")
    expect(first).to_contain_text("Use prompts that the model sometimes gets right")
    expect(first.get_by_role("link", name="DAPO")).to_have_attribute(
        "href", "https://arxiv.org/abs/2503.14476"
    )
    first.get_by_role("link", name="On its chart").click()
    chart = page.locator("#chart-frac-reward-zero-std")
    expect(chart.locator("[data-mark='30']")).to_contain_text("Finding 1")
    assert "finding 1 at step 30" in chart.locator("[role=img]").get_attribute("aria-label")
    chart.get_by_text("Data table").click()
    chart.get_by_role("link", name="Older").click()
    expect(chart.get_by_role("row", name="30 ")).to_contain_text("Finding 1")


def test_what_was_held_out_is_drawn_beside_the_reward_with_its_name(look, told):
    page = look(f"/runs/{told}")
    chart = page.locator("#chart-reward")
    expect(chart.locator(".uplot")).to_be_visible()
    beside = [each.get_attribute("data-beside") for each in chart.locator("[data-beside]").all()]
    assert beside == ["held_out/score", "held_out/independent/strict"]
    assert "held out" in chart.locator("[role=img]").get_attribute("aria-label")
    without = look(f"/runs/{told}", java_script_enabled=False)
    assert without.locator("#chart-reward .still polyline").count() == 3
    assert without.locator("#chart-reward .still .mark").count() == 1


def test_checkpoints_tell_their_score_and_which_is_best(look, told):
    row = look(f"/runs/{told}").get_by_role("row").filter(has_text="Best")
    expect(row).to_have_count(1)
    expect(row.get_by_role("cell").first).to_contain_text("0.")


def test_cost_and_limits_stand_beside_each_other(look, told):
    spent = look(f"/runs/{told}").locator("#spent")
    expect(spent).to_contain_text("of 30")
    expect(spent).to_contain_text("at 2.5 an hour")
