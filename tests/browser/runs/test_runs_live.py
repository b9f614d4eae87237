"""A run watched in the browser: one stream, every point once, and an end that closes it."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.web.run_words import quantity
from tests.browser.runs.scenes import grpo

pytestmark = pytest.mark.browser


@pytest.fixture
def watch(workshop, browse: Callable[..., Page]):
    """A page on a run, and the streams that it opened."""

    def open_page(run_id: str, **options) -> tuple[Page, list[str]]:
        page = browse(base_url=workshop.address, **options)
        streams: list[str] = []
        page.on("request", lambda r: streams.append(r.url) if r.resource_type == "eventsource" else None)
        page.goto(f"/runs/{run_id}")
        return page, streams

    return open_page


def points(page: Page) -> int:
    return int(page.locator("figure[data-series=reward]").get_attribute("data-points"))


def until_more_than(page: Page, count: int) -> None:
    """Asked from here: the page's policy forbids the evaluated predicate of Playwright's own waiting."""
    for _ in range(300):
        if points(page) > count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"there are still only {points(page)} points")


def test_the_first_point_is_there_when_the_page_opens_and_more_follow(watch, live):
    page, streams = watch(live)
    expect(page.locator("figure[data-series=reward] .uplot")).to_be_visible()
    first = points(page)
    assert first >= 1
    until_more_than(page, first + 3)
    assert len(streams) == 1


def test_a_finished_run_closed_its_only_stream_and_shows_every_point_once(watch, workshop):
    (run_id,) = workshop.launch(grpo("Watched paced", steps=25))
    page, streams = watch(run_id)
    expect(page).to_have_title("Finished: Watched paced - Tuning Fork")
    expect(page.get_by_role("heading", name="Before and after", exact=True)).to_be_visible()
    assert points(page) == 25
    page.wait_for_timeout(3000)
    assert len(streams) == 1
    expect(page.locator("#pause")).to_be_hidden()


def test_reloading_loses_nothing(watch, live):
    page, _ = watch(live)
    until_more_than(page, 5)
    before = points(page)
    page.reload()
    expect(page.locator("figure[data-series=reward] .uplot")).to_be_visible()
    assert points(page) >= before


def settled(page: Page) -> int:
    """Points once what had arrived before is drawn."""
    page.wait_for_timeout(1000)
    return points(page)


def test_a_hidden_page_keeps_no_stream_and_catches_up_when_it_is_seen_again(watch, live):
    page, streams = watch(live)
    until_more_than(page, points(page))  # so the page follows the run, whatever it was sent with
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    hidden_at = settled(page)
    page.wait_for_timeout(2500)
    assert points(page) == hidden_at
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    until_more_than(page, hidden_at + 5)
    assert len(streams) == 2
    assert "after=" in streams[1]
    assert not streams[1].endswith("after=0")


def test_updates_can_be_paused(watch, live):
    page, _ = watch(live)
    until_more_than(page, 2)
    page.get_by_role("button", name="Pause updates").click()
    paused_at = settled(page)
    page.wait_for_timeout(2000)
    assert points(page) == paused_at
    page.get_by_role("button", name="Resume updates").click()
    until_more_than(page, paused_at)


def test_cancelling_asks_first_and_the_page_then_says_so(watch, workshop, live):
    page, _ = watch(live)
    page.get_by_role("link", name="Cancel this run").click()
    expect(page.get_by_role("heading", name="Cancel this run?")).to_be_visible()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#now")).to_contain_text("Cancelled")
    again = workshop.http.post(f"/runs/{live}/cancel")
    assert again.status_code == 303
    assert workshop.run(live)["state"] == "cancelled"


def test_without_a_script_the_numbers_are_in_tables(browse, workshop, plan):
    page = browse(base_url=workshop.address, java_script_enabled=False)
    page.goto(f"/runs/{plan[1]}")
    page.locator("#chart-reward summary").click()
    rows = page.locator("#chart-reward tbody tr")
    assert rows.count() == 25
    page.locator("#chart-reward").get_by_role("link", name="Older").click()
    expect(page.locator("#chart-reward tbody th").first).to_have_text("35")


def test_a_chart_has_a_name_with_its_values(watch, plan):
    page, _ = watch(plan[1])
    name = page.locator("#chart-reward [role=img]").get_attribute("aria-label")
    assert "at step 60" in name
    assert "at step 1" in name


def test_the_numbers_can_be_downloaded(workshop, plan):
    text = workshop.http.get(f"/runs/{plan[1]}/metrics.csv").text
    header, *rows = text.splitlines()
    assert {"step", "reward", "entropy", "loss"} <= set(header.split(","))
    assert len(rows) == 60


def test_grpo_is_not_judged_by_its_loss(workshop, plan):
    assert 'data-series="loss"' not in workshop.http.get(f"/runs/{plan[1]}").text
    assert 'data-series="loss"' in workshop.http.get(f"/runs/{plan[0]}").text


def test_a_finished_run_shows_before_and_after_on_the_same_items(watch, workshop, plan):
    page, _ = watch(plan[1])
    run = workshop.run(plan[1])
    table = page.get_by_role("region", name="Right answers on held-out items")
    for when in ("before", "after"):
        share = run[when]["sampled"]
        expect(table).to_contain_text(f"{share['right']} of {share['n']}")
    expect(table).to_contain_text("McNemar p < 0.001")
    expect(page.get_by_role("region", name="Drafts mended and spoiled")).to_contain_text(
        "Wrong drafts mended"
    )
    expect(page.get_by_role("navigation", name="Stages of this plan")).to_contain_text("SFT")


def test_a_failed_run_says_why_and_offers_another_try(watch, failed):
    page, _ = watch(failed)
    expect(page.locator("#now")).to_contain_text("The loss was not a number")
    expect(page.get_by_text("RuntimeError: loss is nan")).to_be_visible()
    page.get_by_role("link", name="New run with these settings").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Contract triage failing again")
    expect(page.get_by_label("Steps", exact=True)).to_have_value("20")


def test_a_worker_that_is_away_is_a_sentence_on_the_page(browse, own_workshop):
    (run_id,) = own_workshop.launch(grpo("Alone paced", steps=30))
    own_workshop.until_training(run_id)
    own_workshop.worker.kill()
    page = browse(base_url=own_workshop.address)
    page.goto(f"/runs/{run_id}")
    expect(page.get_by_text("The worker does not answer right now")).to_be_visible(timeout=30_000)
    expect(page.locator("figure[data-series=reward] .uplot")).to_be_visible()
    for path in ("/home", "/runs", "/runs/new", "/datasets", "/settings"):
        assert own_workshop.http.get(path).status_code == 200


def test_a_lost_connection_is_said_and_nothing_is_missing_when_it_is_back(browse, workshop, live):
    page = browse(base_url=workshop.address)
    page.route("**/events?*", lambda route: route.abort())
    page.goto(f"/runs/{live}")
    expect(page.locator("#lost")).to_be_visible(timeout=20_000)
    page.unroute("**/events?*")
    expect(page.locator("#lost")).to_be_hidden(timeout=30_000)
    first = workshop.run(live)["step"]
    until_more_than(page, first)
    steps = page.locator("#step").inner_text().split()
    assert points(page) == int(steps[1])


NUMBERS = (0, 1, 0.5, 0.055, 0.9999, 12.347, 123.4, 1234.6, 0.0004, 2.5e-7, -0.25, 3.14159, 64)


def test_page_and_script_write_numbers_alike(browse, workshop):
    page = browse(base_url=workshop.address)
    page.goto("/settings")
    written = page.evaluate(
        "async (asked) => { const { format } = await import('/static/charts.js');"
        " return asked.map(([value, unit]) => format(value, unit)); }",
        [[value, unit] for value in NUMBERS for unit in ("", "%", "tokens")],
    )
    assert written == [quantity(value, unit) for value in NUMBERS for unit in ("", "%", "tokens")]
