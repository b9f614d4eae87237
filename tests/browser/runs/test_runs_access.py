"""Every page about runs and datasets is read by axe, in light and dark, and fits a narrow screen."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PAGES = (
    "/home",
    "/runs",
    "/runs?state=failed",
    "/runs/new",
    "/runs/{sft}",
    "/runs/{grpo}",
    "/runs/{failed}",
    "/runs/{told}",
    "/runs/{told}/evaluation",
    "/runs/{told}/evaluation?blind=1",
    "/runs/{reward_model}",
    "/runs/{limited}",
    "/runs/{limited}/resume",
    "/runs/compare",
    "/runs/compare?ids={grpo},{told}",
    "/runs/{grpo}/delete",
    "/datasets",
    "/datasets/new",
    "/datasets/{dataset}",
    "/datasets/{dataset}/delete",
    "/datasets/generated/rulings",
    "/settings",
)

COLOURFUL = frozenset(
    {"/home", "/runs", "/runs/new", "/runs/{grpo}", "/runs/{told}/evaluation", "/datasets/{dataset}"}
)
"""Pages that between them have every coloured part: these are read in the dark scheme too."""


@pytest.fixture(scope="module")
def scene(workshop, plan, failed, dataset, told, limited, reward_model):
    return {
        "sft": plan[0],
        "grpo": plan[1],
        "failed": failed,
        "dataset": dataset,
        "told": told,
        "limited": limited,
        "reward_model": reward_model,
    }


@pytest.fixture
def at(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_for_everybody_and_fits_a_narrow_screen(look, workshop, scene, violations, path):
    page = look(base_url=workshop.address)
    page.goto(path.format(**scene))
    assert violations(page, both_schemes=path in COLOURFUL) == ""
    page.set_viewport_size({"width": 320, "height": 800})
    # Charts follow a frame later.
    page.wait_for_function("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_axe_finds_nothing_wrong_with_a_run_while_it_trains(at, live, violations):
    page = at(f"/runs/{live}")
    page.locator(".uplot").first.wait_for()
    assert violations(page, both_schemes=True) == ""
    page.goto(f"/runs/{live}/cancel")
    assert violations(page) == ""


def test_axe_finds_nothing_wrong_with_a_form_sent_back(at, violations):
    page = at("/runs/new")
    page.get_by_label("Learning rate", exact=True).fill("fast")
    page.get_by_role("button", name="Check and continue").click()
    expect(page).to_have_title(re.compile("^Error: "))
    assert violations(page) == ""


def test_axe_finds_nothing_wrong_with_the_confirmation(at, violations):
    page = at("/runs/new")
    page.get_by_role("button", name="Check and continue").click()
    page.get_by_role("heading", name="Launch this run?").wait_for()
    assert violations(page) == ""


@pytest.mark.parametrize(
    ("path", "most"), [("/runs/{grpo}", 64_000), ("/home", 40_000), ("/runs/new", 40_000)]
)
def test_a_page_loads_little_and_only_from_its_own_host(at, workshop, scene, path, most):
    import gzip

    page = at("/settings")
    loaded: dict[str, int] = {}

    def weigh(response) -> None:
        if response.request.resource_type in ("stylesheet", "script"):
            loaded[response.url] = len(gzip.compress(response.body(), 9))

    page.on("response", weigh)
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(path.format(**scene))
    page.wait_for_load_state("networkidle")
    assert hosts == {workshop.address.split("/")[2]}
    assert 5_000 < sum(loaded.values()) <= most
