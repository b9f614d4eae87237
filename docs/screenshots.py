"""Takes the README's pictures from the running product while it trains the worked example.

    .venv/bin/tuning-fork up                                             # in one terminal
    .venv/bin/python docs/screenshots.py "$(.venv/bin/tuning-fork login-link)"   # in another

The pictures go to docs/images. It takes as long as the two trainings do.
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import Page, expect
from window import WIDE, window

from tests.journeys.test_road import MINUTE, decide, launch

IMAGES = Path(__file__).parent / "images"
PATIENCE = 30 * MINUTE


def picture(page: Page, name: str, *, height: int | None = None) -> None:
    page.set_viewport_size(WIDE | ({"height": height} if height else {}))
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{name}.png")


def tour(page: Page, link: str) -> None:
    page.goto(link)
    page.wait_for_url("**/home")
    site = page.url.removesuffix("/home")
    page.goto(f"{site}/")
    picture(page, "start")
    decide(page, site)
    picture(page, "result", height=1180)
    page.get_by_role("link", name=re.compile("Set up")).first.click()
    launch(page)
    expect(page).to_have_title(re.compile("^Finished"), timeout=PATIENCE)
    page.get_by_role("navigation", name="Stages of this plan").get_by_role("link").click()
    expect(page.locator("figure[data-series=reward]")).to_have_attribute(
        "data-points", re.compile(r"^(2[5-9]|[3-9]\d)$"), timeout=PATIENCE
    )
    picture(page, "run", height=1180)
    expect(page.locator("#now")).to_contain_text("Succeeded", timeout=PATIENCE)
    page.reload()
    picture(page, "compared", height=1340)
    sys.stdout.write(f"{page.url}\n{page.locator('#now').inner_text()}\n")


if __name__ == "__main__":
    with window(IMAGES) as page:
        tour(page, sys.argv[1])
