"""Whatever people type is shown as text: no markup, no template, no script."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]

TEXTS = (
    "<script>alert(1)</script> <svg onload=alert(1)> <a href='javascript:alert(1)'>x</a> &lt;b&gt;",
    '"><img src=x onerror=alert(1)> </textarea><script>alert(1)</script>',
    "javascript:alert(1);'-alert(1)-'",
    "{{7*7}} {{ cycler.__init__.__globals__ }} {% for i in range(10**9) %}x{% endfor %} ${7*7} <%= 7*7 %>",
)
"""Tags, an attribute or element that ends early, code where code stands already, and templates: each in one
visit, since a page either writes every text as text or writes none so."""


@pytest.mark.parametrize("text", TEXTS)
def test_a_name_or_note_is_shown_exactly_as_it_was_typed(browse: Browse, decided: Start, text: str):
    path = decided(name=text, description=text)
    page = browse()
    page.goto(f"{path}/q/O1")
    page.get_by_text("Add a note or a link to evidence").click()
    page.get_by_label("Note").fill(text)
    page.get_by_role("button", name="Continue").click()
    page.goto(path)
    expect(page.locator("h1")).to_have_text(text)
    for where in (
        "/check", "/result", "/record", "/share", "/delete", "/q/O1", "/weights", "/whatif", "/history"
    ):  # fmt: skip
        page.goto(path + where)
        assert text in page.locator("body").inner_text() + page.title()
        assert page.locator("main script, main img, main [onload], main [onerror]").count() == 0
    page.goto("/assessments")
    expect(page.get_by_role("link", name=text, exact=True).first).to_be_visible()


@pytest.mark.parametrize("text", TEXTS)
def test_the_name_of_a_scenario_is_text_wherever_it_stands(browse: Browse, decided: Start, text: str):
    path = decided(name=text)
    page = browse()
    page.goto(f"{path}/whatif")
    page.get_by_label("Name of the scenario").fill(text)
    page.get_by_role("button", name="Save as scenario").click()
    page.wait_for_url("**/result?number=2")
    for where in ("/result?number=2", "/scenarios/2", "/scenarios/2/delete", "/history", ""):
        page.goto(path + where)
        assert text in page.locator("body").inner_text() + page.title()
        assert page.locator("main script, main img, main [onload], main [onerror]").count() == 0
    page.goto(f"{path}/result?number=2")
    page.get_by_role("link", name="Compare with the recommendation").click()
    page.wait_for_url("**/compare?**")
    assert text in page.locator("main").inner_text()
    assert page.locator("main script, main img, main [onload], main [onerror]").count() == 0


def test_a_link_to_evidence_must_be_a_web_address(browse: Browse, assessment: Start):
    page = browse()
    page.goto(f"{assessment()}/q/O1")
    page.get_by_text("Add a note or a link to evidence").click()
    page.get_by_label("Link to evidence").fill("javascript:alert(1)")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("https://")
