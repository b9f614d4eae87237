"""Finds a Chromium for the browser tests, or gets one: python tests/browser/chromium.py"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")

HOW_TO_GET_ONE = (
    "The browser tests need Chromium and found none. Install one with `apt-get install chromium` (as root) "
    "or `.venv/bin/playwright install chromium`, then run the tests again."
)


def find() -> str | None:
    """Path of an installed Chromium: the system's first, then Playwright's own."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    return _playwrights_own()


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def get() -> None:
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False, env=environment)
    if not find():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


if __name__ == "__main__":
    if not find():
        sys.stdout.write("Getting Chromium for the browser tests ...\n")
        get()
    if not find():
        sys.stdout.write(HOW_TO_GET_ONE + "\n")
