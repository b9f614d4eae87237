"""The browser window in which the scripts of this folder take their pictures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.browser.chromium import HOW_TO_GET_ONE, find

WIDE = {"width": 1280, "height": 900}


@contextmanager
def window(images: Path) -> Iterator[Page]:
    """Makes the folder for the pictures too."""
    path = find()
    if not path:
        raise SystemExit(HOW_TO_GET_ONE)
    images.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport=WIDE, device_scale_factor=1)
        context.set_default_timeout(20_000)
        yield context.new_page()
        browser.close()
