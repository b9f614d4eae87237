"""The whole ladder, once: the worked example from the landing page to its confirmed record."""

import pytest
from playwright.sync_api import expect

from tests.journeys.climbing import MINUTE, confirm, inspect, pilot, probe, rung, train
from tests.journeys.test_road import decide

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.full]

PILOT_MINUTES = "2"


@pytest.mark.timeout(5400)
def test_the_worked_example_climbs_every_rung(product_with_starter, browser_page):
    page, http = browser_page, product_with_starter.http
    decide(page, product_with_starter.address)
    assessment = page.url.removesuffix("/result")
    assert "Not yet." in rung(page, "Inspected")

    inspect(page, "Rulings, generated")
    assert "rest" in rung(page, "Inspected")

    probe(page, 10 * MINUTE)
    assert "sampled answers passed" in rung(page, "Probed")
    assert "rest" in rung(page, "Probed")

    pilot(page, PILOT_MINUTES, 30 * MINUTE)
    assert "rests on it" in rung(page, "Piloted")

    train(page, 25 * MINUTE)
    last = page.url.rsplit("/", 1)[1]
    confirm(page)
    (one,) = http.get("/api/v1/confirmations").json()["items"]
    assert one["run_id"] == last
    outcome = one["outcome"]
    assert (outcome["verdict"], outcome["rung"], outcome["is_override"]) == ("held", "piloted", False)
    assert outcome["score"]["before"]["high"] < outcome["score"]["after"]["low"]
    expect(page.get_by_role("heading", level=1)).to_contain_text("The advice held in 1 of 1")
    page.goto(f"{assessment}/result")
    assert "The advice held" in rung(page, "Confirmed")
