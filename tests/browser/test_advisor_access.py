"""Every page of the advisor, for eyes, hands and screen readers of all kinds."""

import gzip
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page

from app.main import read_rulebook

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]

PAGES = (
    "/",
    "/help",
    "/help/method",
    "/help/api",
    "/assessments",
    "/assessments/new",
    "{decided}",
    "/quick",
    "{decided}/quick",
    "{decided}/describe",
    "{decided}/proposals",
    "{decided}/q/O1",
    "{decided}/q/C1",
    "{decided}/q/C2",
    "{decided}/weights",
    "{decided}/check",
    "{decided}/result",
    "{decided}/whatif",
    "{decided}/history",
    "{decided}/milestones/1/restore",
    "{scenario}/scenarios/2",
    "{scenario}/scenarios/2/delete",
    "{scenario}/result?number=2",
    "{scenario}/history",
    "/compare",
    "/compare?ids={four}",
    "{decided}/record",
    "{decided}/share",
    "/assessments/import",
    "{decided}/delete",
    "{not_yet}/result",
    "/nothing-here",
)

COLOURFUL = frozenset(
    {
        "/",
        "{decided}/q/O1",
        "{decided}/weights",
        "{decided}/result",
        "{decided}/whatif",
        "{decided}/record",
        "{scenario}/history",
        "/compare?ids={four}",
    }
)
"""Pages that between them have every coloured part: these are read in the dark scheme too."""

BUDGET = 40 * 1024


STANDING: dict[str, str] = {}
"""Assessments that these tests only look at, by what is special about them: made once."""


@pytest.fixture
def path(decided: Start, site: str) -> Callable[[str], str]:
    def once(name: str, make: Callable[[], str]) -> str:
        if name not in STANDING:
            STANDING[name] = make()
        return STANDING[name]

    def standing(example: str = "legal_reasoning") -> str:
        return once(example, lambda: decided(example))

    def with_scenario() -> str:
        path = decided()
        kept = {"label": "Nothing scores an answer", "answers": {"D3": "cannot"}}
        assert httpx.post(f"{site}/api/v1{path}/scenarios", json=kept).status_code == 201
        return path

    def four() -> str:
        ids = [standing(example).rsplit("/", 1)[1] for example in ("legal_reasoning", "brand_voice")]
        scenario = once("scenario", with_scenario).rsplit("/", 1)[1]
        return ",".join([*ids, f"draft:{ids[0]}", scenario])

    def fill(page: str) -> str:
        page = page.replace("{decided}", standing()) if "{decided}" in page else page
        page = page.replace("{scenario}", once("scenario", with_scenario)) if "{scenario}" in page else page
        page = page.replace("{four}", four()) if "{four}" in page else page
        return page.replace("{not_yet}", standing("catalogue_facts")) if "{not_yet}" in page else page

    return fill


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_everybody_fits_320_pixels_and_needs_no_inline_code(
    look: Browse, path, violations, page: str
):
    window = look()
    answer = window.goto(path(page))
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-inline" not in policy
    assert window.locator("[style], script:not([src]), style").count() == 0
    open_all(window)
    assert violations(window, both_schemes=page in COLOURFUL) == ""
    window.set_viewport_size({"width": 320, "height": 800})
    wide = window.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


@pytest.mark.parametrize(
    "page",
    [
        "{decided}/q/O1",
        "{decided}/result",
        "/compare?ids={four}",
    ],
)
def test_axe_finds_nothing_wrong_in_forced_colours(browse: Browse, path, violations, page: str):
    window = browse(forced_colors="active")
    window.goto(path(page))
    open_all(window)
    assert violations(window) == ""


def open_all(window: Page) -> None:
    window.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")


@pytest.mark.parametrize(
    "page",
    [
        "/assessments/new",
        "{decided}/q/O1",
        "{decided}/q/C1",
        "{decided}/weights",
        "{decided}/whatif",
        "{decided}/history",
    ],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_borders_of_controls_stand_out_from_the_page(look: Browse, path, page: str, scheme: str):
    window = look(color_scheme=scheme)
    window.goto(path(page))
    ratios = window.evaluate(
        """() => {
          const canvas = document.createElement('canvas').getContext('2d');
          const channels = (color) => {
            canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => {
              const s = v / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
          };
          const light = (color) => {
            const [r, g, b] = channels(color); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const page = light(getComputedStyle(document.documentElement).backgroundColor);
          return [...document.querySelectorAll('main input:not([type=hidden]), main textarea, main select')]
            .filter((each) => each.checkVisibility())
            .map((each) => {
              const border = light(getComputedStyle(each).borderTopColor);
              return (Math.max(page, border) + 0.05) / (Math.min(page, border) + 0.05);
            });
        }"""
    )
    assert ratios
    assert min(ratios) >= 3


@pytest.mark.parametrize(
    "page",
    [
        "/",
        "{decided}/q/O1",
        "{decided}/result",
        "{decided}/check",
        "{decided}/weights",
        "{decided}/whatif",
        "{scenario}/history",
        "/compare",
    ],
)
def test_every_target_outside_running_text_is_large_enough_to_hit(look: Browse, path, page: str):
    window = look(width=390)
    window.goto(path(page))
    small = window.evaluate(
        """() => [...document.querySelectorAll(
              'button, summary, input:not([type=hidden]), .button, .site-nav a')]
            .filter((each) => each.checkVisibility())
            .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
            .filter(([, box]) => box.width < 24 || box.height < 24)
            .map(([html]) => html)"""
    )
    assert small == []


@pytest.mark.parametrize("page", ["{decided}/q/O1", "{decided}/result", "/", "{decided}/whatif"])
def test_focus_is_always_visible_and_never_covered(look: Browse, path, page: str):
    window = look()
    window.goto(path(page))
    for _ in range(40):
        window.keyboard.press("Tab")
        seen = window.evaluate(
            """() => {
              const each = document.activeElement;
              if (each === document.body) return null;
              const style = getComputedStyle(each);
              const box = each.getClientRects()[0];  // of a link over two lines the first
              const x = Math.min(box.left + box.width / 2, innerWidth - 1);
              const y = box.top + Math.min(box.height / 2, 8);
              const top = document.elementFromPoint(x, y);
              return {html: each.outerHTML.slice(0, 80), outline: parseFloat(style.outlineWidth),
                      inside: box.bottom > 0 && box.top < innerHeight,
                      hit: !!top && (each.contains(top) || top.contains(each))};
            }"""
        )
        if seen is None:
            break
        assert seen["outline"] >= 2, seen
        assert seen["inside"], seen
        assert seen["hit"], seen


def test_headings_landmarks_and_titles_name_the_page(look: Browse, decided: Start):
    path = decided(name="Rulings for the appeal court")
    window = look()
    titles = set()
    for page in ("", "/q/O1", "/weights", "/check", "/result", "/record", "/delete"):
        window.goto(path + page)
        assert window.locator("h1").count() == 1
        assert window.locator("main").count() == 1
        titles.add(window.title())
    assert len(titles) == 7
    assert "Result: GRPO - Rulings for the appeal court - Tuning Fork" in titles


@pytest.mark.parametrize(
    "page",
    ["/", "{decided}/q/O1", "{decided}/result", "/help/method", "{decided}/whatif", "{decided}/weights"],
)
def test_styles_and_scripts_weigh_at_most_40_kilobytes_and_come_from_here(
    browse: Browse, site: str, path, page: str
):
    fetched: list[str] = []
    window = browse()
    window.on("request", lambda request: fetched.append(request.url))
    window.goto(path(page))
    window.wait_for_load_state("networkidle")
    assert all(url.startswith((site, "data:")) for url in fetched)
    parts = [url for url in fetched if ".css" in url or ".js" in url]
    assert parts
    assert sum(len(gzip.compress(httpx.get(url).content, 9)) for url in parts) <= BUDGET


def test_motion_stops_for_those_who_asked_for_less(browse: Browse):
    window = browse(reduced_motion="reduce")
    window.goto("/")
    moving = window.evaluate("document.getAnimations().length")
    assert moving == 0


def test_the_worked_picture_of_the_start_page_is_what_the_api_says(look: Browse, site: str):
    window = look()
    window.goto("/")
    shown = [float(each.get_attribute("data-value")) for each in window.locator(".example .sum .bar").all()]
    example = read_rulebook().examples[0]
    said = httpx.post(f"{site}/api/v1/recommendations", json={"answers": dict(example.answers)}).json()
    assert shown == [factor["contribution"] for factor in said["factors"]] + [said["lean"]]
