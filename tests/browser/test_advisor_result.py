"""The result: its numbers agree wherever they stand, and it says when it is out of date."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]

EXAMPLES = ("legal_reasoning", "contract_clauses", "brand_voice", "text_to_sql", "catalogue_facts")


def number(text: str) -> float:
    found = re.search(r"[−+]?\d+\.\d+", text)
    assert found, text
    return float(found[0].replace("−", "-"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_picture_table_and_api_say_the_same(browse: Browse, site: str, decided: Start, example: str):
    path = decided(example)
    said = httpx.get(f"{site}/api/v1{path}/recommendation").json()
    said = said.get("recommendation", said)
    page = browse()
    page.goto(f"{path}/result")
    drawn = [float(each.get_attribute("data-value") or "nan") for each in page.locator(".sum .bar").all()]
    assert drawn == [factor["contribution"] for factor in said["factors"]] + [said["lean"]]
    assert sum(drawn[:-1]) == pytest.approx(drawn[-1], abs=0.005)

    page.get_by_text("The same as a table").click()
    table = page.get_by_role("region", name="Contributions of the factors")
    rows = [number(row.locator("td").last.inner_text()) for row in table.locator("tbody tr, tfoot tr").all()]
    assert rows == [pytest.approx(value, abs=0.0051) for value in drawn]

    for bar in page.locator(".sum .bar").all():
        value, scale = (float(bar.get_attribute(f"data-{name}") or "nan") for name in ("value", "scale"))
        widths = [float(part.get_attribute("width") or "nan") for part in bar.locator("rect").all()]
        sides = [float(part.get_attribute("x") or "nan") for part in bar.locator("rect").all()]
        assert sum(widths) == pytest.approx(abs(value) / scale * 100)
        assert all((side < 0) == (value < 0) for side in sides)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_answers_of_a_factor_add_up_to_its_bar(browse: Browse, site: str, decided: Start, example: str):
    path = decided(example)
    said = httpx.get(f"{site}/api/v1{path}/recommendation").json()
    said = said.get("recommendation", said)
    for factor in said["factors"]:
        parts = [each["contribution"] for each in said["contributions"] if each["factor"] == factor["id"]]
        assert sum(parts) == pytest.approx(factor["contribution"], abs=0.001)
    page = browse()
    page.goto(f"{path}/result")
    answers = page.locator(".factor tbody tr")
    assert answers.count() == len(said["contributions"]) == 22


def test_the_worked_example_is_grpo_after_a_short_sft(browse: Browse, decided: Start):
    page = browse()
    page.goto(f"{decided()}/result")
    expect(page.locator(".reading")).to_contain_text(re.compile(r"SFT\s+then\s+GRPO"))
    expect(page.get_by_role("link", name="Set up the training")).to_be_visible()
    for risk in ("over-optimisation", "Oscillation", "hallucination", "Entropy collapse"):
        expect(page.locator(".risks")).to_contain_text(risk)


def test_facts_are_not_trained_but_retrieved_and_the_gate_comes_first(browse: Browse, decided: Start):
    page = browse()
    page.goto(f"{decided('catalogue_facts')}/result")
    expect(page.locator(".blockers")).to_contain_text("etrieval")
    expect(page.get_by_role("link", name="Set up the training")).to_have_count(0)
    above = page.evaluate(
        "document.querySelector('.blockers').getBoundingClientRect().top"
        " < document.querySelector('.sum').getBoundingClientRect().top"
    )
    assert above


def test_a_result_says_which_answers_changed_since_and_keeps_the_old_one(browse: Browse, decided: Start):
    path = decided()
    page = browse()
    page.goto(f"{path}/q/D3?then=check")
    page.get_by_label("It cannot").check()
    page.get_by_role("button", name="Continue").click()
    page.goto(f"{path}/result")
    before = page.locator("h1").inner_text()
    expect(page.get_by_role("heading", name="Answers have changed since this recommendation")).to_be_visible()
    page.get_by_role("button", name="Get a new recommendation").click()
    page.wait_for_url("**/result")
    expect(page.locator(".blockers")).to_be_visible()
    assert page.locator("h1").inner_text() != before
    page.get_by_role("link", name=re.compile("^number 1")).click()
    expect(page.get_by_text("This is an earlier recommendation")).to_be_visible()
    assert page.locator("h1").inner_text() == before


def test_asking_again_without_a_change_freezes_nothing_new(browse: Browse, decided: Start):
    path = decided()
    page = browse()
    page.goto(f"{path}/check")
    page.get_by_role("button", name="Get recommendation").first.click()
    page.wait_for_url("**/result")
    expect(page.get_by_text("Recommendation 1, frozen on")).to_be_visible()


def test_on_paper_everything_is_open_and_fits_four_pages(browse: Browse, decided: Start):
    page = browse()
    page.goto(f"{decided()}/result")
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    expect(page.get_by_role("region", name="Contributions of the factors")).to_be_visible()
    sheets = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4", prefer_css_page_size=True)))
    assert 1 <= sheets <= 4
