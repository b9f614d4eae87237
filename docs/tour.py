"""Takes the pictures of docs/tour.md while it climbs the whole ladder of evidence for the worked example.

    .venv/bin/tuning-fork up                                             # in one terminal
    .venv/bin/python docs/tour.py "$(.venv/bin/tuning-fork login-link)"  # in another

The pictures go to docs/images/tour. It takes as long as a probe, a pilot and two trainings do.
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.browser.chromium import HOW_TO_GET_ONE, find
from tests.journeys.climbing import MINUTE, confirm, inspect, pilot, probe, train
from tests.journeys.test_road import decide

IMAGES = Path(__file__).parent / "images" / "tour"
WIDE = {"width": 1280, "height": 900}
PATIENCE = 40 * MINUTE

TALL = {"told": 1500, "probed": 1300, "piloted": 1500, "trained": 1340}
"""Stops that say more than fits a usual window."""

TEXT = Path(__file__).parent / "tour.md"
PLACE = re.compile(r"<!-- picture: (\w+): (.+) -->\n(?:!\[.*\n)?")
"""Where a picture stands in the text: its stop, and what it shows."""


def place_pictures() -> None:
    """Beside each place the picture, once it is taken."""
    shown = PLACE.sub(
        r"<!-- picture: \1: \2 -->\n![\2](images/tour/\1.png)\n", TEXT.read_text(encoding="utf-8")
    )
    TEXT.write_text(shown, encoding="utf-8")


def tour(page: Page, link: str) -> None:
    shown = {stop for stop, _ in PLACE.findall(TEXT.read_text(encoding="utf-8"))}

    def look(stop: str) -> None:
        if stop not in shown:
            return
        page.set_viewport_size(WIDE | {"height": TALL.get(stop, WIDE["height"])})
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / f"{stop}.png")
        page.set_viewport_size(WIDE)
        sys.stdout.write(f"{stop}: {page.url}\n")

    page.goto(link)
    page.wait_for_url("**/home")
    site = page.url.removesuffix("/home")
    decide(page, site)
    assessment = page.url.removesuffix("/result")
    look("told")
    inspect(page, "Rulings, generated", look)
    probe(page, PATIENCE, look)
    pilot(page, "3", PATIENCE, look)
    train(page, PATIENCE, look)
    confirm(page, look)
    page.goto(f"{assessment}/result#ladder")
    look("climbed")
    place_pictures()


def main() -> None:
    path = find()
    if not path:
        raise SystemExit(HOW_TO_GET_ONE)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport=WIDE, device_scale_factor=1)
        context.set_default_timeout(20_000)
        tour(context.new_page(), sys.argv[1])
        browser.close()


if __name__ == "__main__":
    main()
