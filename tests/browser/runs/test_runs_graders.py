"""A grader from its first form to the attack that finds its hole, on the real worker."""

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

RULING = {
    "type": "regex",
    "name": "Seen by axe",
    "pattern": "Ruling: (\\w+)",
    "reference": "{{ item.answer }}",
}
ROWS = [
    {"prompt": f"Is case {n} valid?", "item": {"answer": label, "reference": f"Ruling: {label}"}}
    for n, label in enumerate(("valid", "invalid", "void", "remanded"))
]
ANSWERS = [
    {"output_text": f"Ruling: {said}", "item": {"answer": "void"}, "expert": expert}
    for said, expert in (("void", 5), ("valid", 1), ("void", 4), ("valid", 4))
]


@pytest.fixture
def at(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


@pytest.fixture(scope="module")
def tried(workshop) -> str:
    """A grader that was attacked and compared, in its second version."""
    http = workshop.http
    first = http.post("/api/v1/graders", json={"grader": RULING}).json()["id"]
    changed = {"grader": {**RULING, "match": "any"}, "note": "any match"}
    second = http.post(f"/api/v1/graders/{first}/versions", json=changed).json()["id"]
    found = http.post(f"/api/v1/graders/{second}/try", json={"rows": ROWS, "answers": ANSWERS})
    assert found.json()["attacks"]["verdict"] == "gameable"
    return second


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_grader_is_made_tried_attacked_and_mended(at, script):
    page = at("/graders", java_script_enabled=script)
    page.get_by_role("link", name="New grader").first.click()
    page.get_by_role("link", name="Compare text").click()
    name = f"Contains it, {'with' if script else 'without'} script"
    page.get_by_label("Comparison").select_option("like")
    page.get_by_label("Reference").fill("{{ item.answer }}")
    page.get_by_role("button", name="Check and save").click()
    expect(page.locator(".error-summary")).to_contain_text("Enter a name")
    expect(page.get_by_label("Comparison")).to_have_value("like")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Check and save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)

    page.get_by_role("link", name="Try it", exact=True).click()
    page.get_by_label("Answer", exact=True).fill("It is valid, I think.")
    page.get_by_label("The row’s fields").fill('{"answer": "valid"}')
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_role("heading", name="It scores 100 %")).to_be_visible()

    page.get_by_text("Or paste rows").click()
    lines = "\n".join(json.dumps({"prompt": row["prompt"], "answer": row["item"]["answer"]}) for row in ROWS)
    page.get_by_label("Rows", exact=True).fill(lines)
    page.get_by_role("button", name="Attack it").click()
    expect(page.get_by_role("heading", name=re.compile("of 9 attacks pay"))).to_be_visible()
    expect(page.get_by_text("A list of every label earns 100 %")).to_be_visible()

    page.get_by_role("link", name="Change it").click()
    page.get_by_label("Comparison").select_option("eq")
    page.get_by_role("button", name="Check and save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("version 2 of 2")
    expect(page.get_by_text("It has not been attacked yet.")).to_be_visible()
    page.goto("/graders")
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("Not yet: try it")


def test_experts_scores_are_uploaded_and_read(at, tried):
    page = at(f"/graders/{tried}/try")
    content = "output_text,score,answer\n" + "".join(
        f"Ruling: {'void' if n % 3 else 'valid'},{n % 3},void\n" for n in range(12)
    )
    file = {"name": "scores.csv", "mimeType": "text/csv", "buffer": content.encode()}
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Agreement with experts: 0.87")).to_be_visible()
    expect(page.get_by_text("good enough to train on", exact=False).first).to_be_visible()


PAGES = (
    "/graders",
    "/graders/new",
    "/graders/new/regex",
    "/graders/new/python",
    "/graders/new/score_model",
    "/graders/new/self_correction",
    "/graders/new/multi",
    "/graders/new/json",
    "/graders/{tried}",
    "/graders/{tried}/edit",
    "/graders/{tried}/try",
    "/graders/{tried}/delete",
)


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_wrong_and_nothing_is_too_wide(at, tried, violations, path):
    page = at(path.format(tried=tried), viewport={"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == ""


def test_axe_finds_nothing_wrong_with_a_form_sent_back_and_scores_shown(at, tried, violations):
    page = at("/graders/new/multi")
    page.get_by_role("button", name="Check and save").click()
    expect(page).to_have_title(re.compile("^Error: "))
    assert violations(page) == ""
    page.goto(f"/graders/{tried}/try")
    page.get_by_label("Answer", exact=True).fill("Ruling: void")
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_text("Failed: the row has no")).to_be_visible()
    assert violations(page) == ""
