"""Takes the pictures of docs/tour.md while it climbs the whole ladder of evidence for the worked example.

    .venv/bin/tuning-fork up                                             # in one terminal
    .venv/bin/python docs/tour.py "$(.venv/bin/tuning-fork login-link)"  # in another

The pictures go to docs/images/tour. It takes as long as a probe, a pilot and two trainings do.
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import Page
from window import WIDE, window

from tests.journeys.climbing import MINUTE, confirm, inspect, pilot, probe, train
from tests.journeys.test_road import decide

IMAGES = Path(__file__).parent / "images" / "tour"
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


if __name__ == "__main__":
    with window(IMAGES) as page:
        tour(page, sys.argv[1])
