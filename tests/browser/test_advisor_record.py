"""The record as people meet it: printed, exported, imported, shared, and edited in two tabs at once."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.main import read_rulebook

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]

RULEBOOK = read_rulebook()

NOTE = (
    "We asked the two people who know, and neither could say; the pilot in March should tell, once the first "
    "two hundred contracts were read by both reviewers and compared."
)
MADR = (
    "Context and Problem Statement",
    "Decision Drivers",
    "Considered Options",
    "Decision Outcome",
    "Consequences",
    "Confirmation",
    "Pros and Cons of the Options",
    "More Information",
)


def noted(site: str, path: str, answers: dict[str, object]) -> str:
    """The assessment with a note and a link beside every answer, decided again."""
    for question in (each.id for each in RULEBOOK.questions.values() if not each.measured_only):
        given = answers.get(question)
        long = given if isinstance(given, dict) and "quantity" in given else {"choice": given}
        long = {"quantity": given} if isinstance(given, dict) and "quantity" not in given else long
        body = long | {"note": NOTE, "evidence": "https://wiki.example.org/decisions/fine-tuning"}
        answer = httpx.put(f"{site}/api/v1{path}/answers/{question}", json=body)
        assert answer.status_code == 200, answer.text
    assert httpx.post(f"{site}{path}/result", headers={"Origin": site}).status_code == 303
    return path


def sheets(page: Page) -> int:
    page.emulate_media(media="print")
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4", prefer_css_page_size=True)))


# Printed


@pytest.mark.parametrize("answers", [RULEBOOK.examples[0].answers, {}], ids=["all answered", "nothing known"])
def test_the_record_prints_on_four_sheets_even_with_a_note_at_every_answer(
    browse: Browse, site: str, decided: Start, answers: dict[str, object]
):
    page = browse()
    page.goto(f"{noted(site, decided(), answers)}/record")
    assert 1 <= sheets(page) <= 4
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    expect(page.get_by_role("button", name="Save the decision")).to_be_hidden()
    expect(page.get_by_role("link", name="JSON")).to_be_hidden()
    assert NOTE[:40] in page.locator(".record-notes").inner_text()


def test_who_reads_only_the_print_knows_why_what_would_change_it_and_what_was_not_checked(
    browse: Browse, site: str, decided: Start
):
    path = decided()
    said = httpx.get(f"{site}/api/v1{path}/recommendation").json()["recommendation"]
    page = browse()
    page.goto(f"{path}/record")
    assert 1 <= sheets(page) <= 4
    printed = page.locator("main").inner_text()
    assert printed.index(said["headline"]) < printed.index("Context and Problem Statement")
    for factor in said["factors"]:
        assert factor["title"] in printed
    for flip in said["flips"]:
        assert flip["to_label"] in page.locator(".record-changes").inner_text()
    for gate in said["gates"]:
        if gate["state"] == "unknown":
            assert gate["title"] in page.locator(".record-unchecked").inner_text()
        assert not re.search(rf"\b{gate['id']}\b", printed), gate["id"]
    for setting in said["plan"]["stages"][0]["recipe"]:
        assert setting["name"] in page.locator(".record-plan").inner_text()
    assert said["rulebook"]["checksum"] in printed
    assert "waits for the run" in page.locator(".record-confirmation").inner_text()


# Exported and imported


def test_the_exports_are_what_the_page_says(browse: Browse, site: str, decided: Start, tmp_path: Path):
    path = decided()
    page = browse()
    page.goto(f"{path}/record")
    shown = page.locator("#record").text_content() or ""
    files = {}
    for name in ("Markdown", "JSON", "CSV of contributions"):
        with page.expect_download() as started:
            page.get_by_role("link", name=name, exact=True).click()
        files[started.value.suggested_filename] = started.value.path()
    markdown = files["decision-record-1.md"].read_text(encoding="utf-8")
    assert markdown.strip() == shown.strip()
    headings = re.findall(r"^#{2,3} (.+)$", markdown, re.MULTILINE)
    assert [heading for heading in headings if heading in MADR] == list(MADR)
    for heading in headings:
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    said = httpx.get(f"{site}/api/v1{path}/recommendation").json()["recommendation"]
    assert json.loads(files["decision-record-1.json"].read_bytes())["recommendation"] == said
    with files["contributions-1.csv"].open(newline="", encoding="utf-8") as sheet:
        rows = list(csv.DictReader(sheet))
    assert sum(float(row["contribution"]) for row in rows) == pytest.approx(said["lean"], abs=1e-4)


def test_an_exported_decision_imports_to_the_same_result(
    browse: Browse, site: str, decided: Start, tmp_path: Path
):
    exported = httpx.get(f"{site}/api/v1{decided()}/record.json")
    file = tmp_path / "decision.json"
    file.write_bytes(exported.content)
    page = browse()
    page.goto("/assessments/new")
    page.get_by_role("link", name="Start from an exported record").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    page.wait_for_url("**/record?number=1")
    expect(
        page.get_by_role("definition").filter(has_text="Imported: the same result, byte for byte")
    ).to_be_visible()
    again = httpx.get(page.url.replace(site, f"{site}/api/v1").replace("/record?", "/record.json?"))
    tail = b'"recommendation": '
    assert again.content.split(tail)[1] == exported.content.split(tail)[1]


def test_two_loads_and_the_api_say_the_same(browse: Browse, site: str, decided: Start):
    path = decided()
    page = browse()
    texts = []
    for _ in range(2):
        page.goto(f"{path}/record")
        texts.append(page.locator("main").inner_text())
    assert texts[0] == texts[1]
    assert page.locator("#record").text_content() == httpx.get(f"{site}/api/v1{path}/record.md").text


# What people decide


def test_a_decision_is_recorded_by_keyboard_and_without_javascript(browse: Browse, decided: Start):
    page = browse(java_script_enabled=False)
    page.goto(f"{decided()}/record")
    page.get_by_label("Status").select_option("accepted")
    page.get_by_label("Owner").fill("Head of research")
    page.get_by_label("Review by").fill("2020-01-31")
    page.get_by_label("Review by").press("Enter")
    page.wait_for_url("**/record?number=1")
    expect(page.locator(".reading")).to_contain_text("Accepted")
    expect(page.locator(".reading")).to_contain_text("Head of research")
    expect(page.get_by_role("heading", name="The review is overdue")).to_be_visible()
    page.goto("/home")
    expect(page.get_by_text("its review was due on 31 January 2020").first).to_be_visible()


# Shared


def test_a_shared_record_is_read_only_and_closed_once_revoked(
    browse: Browse, site: str, decided: Start, violations: Callable[[Page], str]
):
    path = noted(site, decided(), RULEBOOK.examples[0].answers)
    page = browse()
    page.goto(f"{path}/share")
    page.get_by_label("For whom").fill("Review board")
    page.get_by_role("button", name="Make the link").click()
    page.wait_for_load_state()
    link = page.locator("#link").inner_text()
    assert violations(page) == ""
    reader = browse(java_script_enabled=False)
    answer = reader.goto(link)
    assert answer is not None
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert reader.context.cookies() == []
    expect(reader.locator("h1")).to_contain_text("Train with GRPO")
    assert NOTE[:40] not in reader.content()
    assert "wiki.example.org" not in reader.content()
    inside = reader.locator('a[href^="/"], form, input')
    expect(inside).to_have_count(0)
    page.goto(f"{path}/share")
    page.get_by_role("button", name="Revoke").click()
    page.wait_for_url("**/share")
    gone = reader.goto(link)
    assert gone is not None
    assert gone.status == 410
    expect(reader.get_by_text("was revoked")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_shared_page_is_legible_to_everybody(
    browse: Browse, site: str, decided: Start, violations: Callable[[Page], str], scheme: str
):
    link = httpx.post(f"{site}/api/v1{decided()}/shares", json={}).json()["url"]
    page = browse(color_scheme=scheme, viewport={"width": 320, "height": 800})
    page.goto(link)
    assert violations(page) == ""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


# Two tabs, two browsers


def test_two_tabs_that_edit_one_answer_lose_nothing(
    browse: Browse, site: str, assessment: Start, violations: Callable[[Page], str]
):
    path = assessment()
    first, second = browse(), browse(viewport={"width": 320, "height": 800})
    for tab in (first, second):
        tab.goto(f"{path}/q/D3?then=check")
        tab.get_by_text("Add a note or a link to evidence").click()
    first.get_by_label("Run it").check()
    first.get_by_label("Note").fill("The tests decide.")
    first.get_by_role("button", name="Continue").click()
    first.wait_for_url("**/check")
    second.get_by_label("It cannot").check()
    second.get_by_label("Note").fill("Nobody wrote a check yet.")
    second.get_by_role("button", name="Continue").click()
    expect(second.get_by_role("heading", name="This answer was changed in the meantime")).to_be_visible()
    for text in ("The tests decide.", "Nobody wrote a check yet."):
        expect(second.get_by_text(text).first).to_be_visible()
    assert violations(second) == ""
    wide = second.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    stored = f"{site}/api/v1{path}/answers/D3"
    assert httpx.get(stored).json()["answer"] == {"choice": "run_it", "note": "The tests decide."}
    second.get_by_role("button", name="Keep the stored answer").click()
    second.wait_for_url("**/check")
    both = "The tests decide.\n\nNobody wrote a check yet."
    assert httpx.get(stored).json()["answer"] == {"choice": "run_it", "note": both}


def test_an_assessment_goes_on_in_another_browser_where_it_was_left(browse: Browse, assessment: Start):
    path = assessment("")
    first = browse()
    first.goto(f"{path}/q/O1")
    first.locator("input[name=choice]").first.check()
    first.get_by_role("button", name="Continue").click()
    first.wait_for_url("**/q/*")
    following = first.url
    first.goto(path)
    progress = first.locator(".tasks").inner_text()
    second = browse()
    second.goto(path)
    assert second.locator(".tasks").inner_text() == progress
    second.get_by_role("link", name="Go on answering").click()
    assert second.url == following
    second.goto(f"{path}/q/O1")
    expect(second.locator("input[name=choice]").first).to_be_checked()


def test_notes_and_evidence_stand_behind_the_answer_on_check_and_result(
    browse: Browse, site: str, decided: Start
):
    path = noted(site, decided(), RULEBOOK.examples[0].answers)
    page = browse()
    for where in ("check", "result"):
        page.goto(f"{path}/{where}")
        page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")
        expect(page.get_by_text(NOTE)).to_have_count(22)
        link = page.get_by_role("link", name="Evidence at wiki.example.org").first
        expect(link).to_be_visible()
        rel = link.get_attribute("rel") or ""
        assert {"noreferrer", "noopener"} <= set(rel.split())
