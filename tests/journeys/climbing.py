"""The ladder of evidence as a user climbs it, one rung a function; each begins and ends at the result."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

MINUTE = 60_000

Look = Callable[[str], None]
"""Called at each stop of the way, with its name."""


def nobody_looks(stop: str) -> None:
    pass


def rung(page: Page, name: str) -> str:
    """What stands on a rung of the result page."""
    ladder = page.get_by_role("region", name="What it rests on")
    return ladder.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name)).inner_text()


def climb(page: Page, action: str) -> None:
    ladder = page.get_by_role("region", name="What it rests on")
    ladder.get_by_role("link", name=action).or_(ladder.get_by_role("button", name=action)).click()


def accept_everything(page: Page, look: Look, stop: str) -> None:
    """From the proposals of one source to a new recommendation that knows them."""
    page.wait_for_url("**/proposals*")
    while (take := page.get_by_role("button", name=re.compile("^Take what was found"))).count():
        with page.expect_navigation():
            take.first.click()
    for box in page.get_by_role("checkbox").all():
        box.check()
    look(stop)
    if (accept := page.get_by_role("button", name="Accept all that are ticked")).count():
        with page.expect_navigation():
            accept.click()
    page.goto(f"{page.url.partition('/proposals')[0]}/check")
    page.get_by_role("button", name="Get recommendation").first.click()
    page.wait_for_url("**/result")


def inspect(page: Page, dataset: str, look: Look = nobody_looks) -> None:
    climb(page, "Link a dataset")
    page.get_by_label("Dataset", exact=True).select_option(label=dataset)
    look("link")
    page.get_by_role("button", name="Link and inspect").click()
    page.wait_for_url("**/proposals?inspected=true")
    look("inspected")
    accept_everything(page, look, "accepted")


def probe(page: Page, patience: int, look: Look = nobody_looks) -> None:
    climb(page, "Probe the model")
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    expect(page.locator("#now")).to_contain_text("Succeeded", timeout=patience)
    page.reload()
    look("probed")
    page.get_by_role("link", name=re.compile("^Look at what it suggests")).click()
    accept_everything(page, look, "probe-accepted")


def pilot(page: Page, minutes: str, patience: int, look: Look = nobody_looks) -> None:
    climb(page, "Let both try")
    page.get_by_label("Minutes of training").fill(minutes)
    look("let-both-try")
    page.get_by_role("button", name="Start the pilot").click()
    page.wait_for_url(re.compile(r"/pilots/[0-9a-f-]{36}$"))
    expect(page.get_by_role("link", name="Let both try again")).to_be_visible(timeout=patience)
    page.reload()
    look("piloted")
    page.get_by_role("link", name="Look at the proposed answer").click()
    accept_everything(page, look, "pilot-accepted")


def train(page: Page, patience: int, look: Look = nobody_looks) -> None:
    """The plan that is advised now, of one stage or two, to the page of its last run."""
    climb(page, "Launch the training")
    page.get_by_role("button", name="Check and continue").click()
    page.get_by_role("button", name=re.compile("^Launch ")).click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    look("training")
    stages = page.get_by_role("navigation", name="Stages of this plan")
    while True:
        expect(page.locator("#now")).to_contain_text("Succeeded", timeout=patience)
        if not stages.get_by_role("listitem").last.get_by_role("link").count():
            break
        stages.get_by_role("listitem").last.get_by_role("link").click()
    page.reload()
    look("trained")


def confirm(page: Page, look: Look = nobody_looks) -> None:
    """From the run page of the last stage to the record and to the page over all decisions."""
    expect(page.locator("#results")).to_contain_text(re.compile("advice held|advice did not hold"))
    page.get_by_role("link", name="In the decision record").click()
    page.wait_for_url("**/record?number=*#confirmation")
    look("record")
    site = "/".join(page.url.split("/")[:3])
    page.goto(f"{site}/confirmed")
    look("confirmed")
