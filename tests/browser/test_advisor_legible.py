"""Pictures that can be read, and pages that hold together at twice the size of letters."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]

CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d');
  const light = (color) => {
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => {
      const s = v / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const page = light(getComputedStyle(document.documentElement).backgroundColor);
  return [...document.querySelectorAll('main svg :is(rect, path, line, circle)')]
    .map((each) => [each.getAttribute('class') || each.tagName, getComputedStyle(each)])
    .flatMap(([name, style]) => [style.fill, style.stroke].map((color) => [name, color]))
    .filter(([, color]) => color !== 'none' && !color.endsWith(', 0)'))
    .map(([name, color]) => {
      const mark = light(color);
      return [name, (Math.max(page, mark) + 0.05) / (Math.min(page, mark) + 0.05)]; });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_of_pictures_stand_out_from_the_page(browse: Browse, decided: Start, scheme: str):
    window = browse(color_scheme=scheme)
    window.goto(decided() + "/result")
    ratios = window.evaluate(CONTRASTS)
    assert ratios
    assert [pair for pair in ratios if pair[1] < 3] == []


def test_a_method_is_never_told_by_its_colour_alone(browse: Browse, decided: Start):
    window = browse()
    window.goto(decided() + "/result")
    for name in ("sft", "grpo"):
        marked = window.locator(f"main .method.{name}")
        assert marked.count()
        for each in marked.all():
            assert name.upper() in each.inner_text()


CLIPPED = """() => [...document.querySelectorAll('main :is(label, button, .button, summary, h1, h2)')]
  .filter((each) => each.checkVisibility() && !each.closest('.visually-hidden'))
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).overflow !== 'visible'
    || each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.outerHTML.slice(0, 90))"""

OVERLAPPING = """() => {
  const boxes = [...document.querySelectorAll('main button, main .button, main label, main summary')]
    .filter((each) => each.checkVisibility() && !each.closest('.visually-hidden'))
    .map((each) => [each, each.getBoundingClientRect()]);
  return boxes.flatMap(([a, x], n) => boxes.slice(n + 1)
    .filter(([b]) => !a.contains(b) && !b.contains(a))
    .filter(([, y]) => Math.min(x.right, y.right) - Math.max(x.left, y.left) > 2
      && Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 2)
    .map(([b]) => [a.outerHTML.slice(0, 60), b.outerHTML.slice(0, 60)]));
}"""


STICKING_OUT = """() => [...document.querySelectorAll('main *')]
  .filter((each) => !each.closest('.scroll, .visually-hidden') && each.checkVisibility())
  .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((each) => each.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("page", ["/q/O1", "/q/C1", "/weights", "/check", "/result"])
def test_letters_of_twice_the_size_are_neither_cut_nor_covered(browse: Browse, decided: Start, page: str):
    window = browse(viewport={"width": 1280, "height": 900})
    window.goto(decided() + page)
    sheet = "new CSSStyleSheet()"
    window.evaluate(
        f"() => {{ const s = {sheet}; s.replaceSync(':root {{ font-size: 32px !important }}');"
        " document.adoptedStyleSheets = [...document.adoptedStyleSheets, s]; }"
    )
    window.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")
    assert window.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") == 32
    assert window.evaluate(CLIPPED) == []
    assert window.evaluate(OVERLAPPING) == []
    assert window.evaluate(STICKING_OUT) == []
