"""From the start page to a recommendation: by keyboard, without JavaScript, and with mistakes on the way."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
Start = Callable[..., str]


def verdict(page: Page) -> tuple[str, str]:
    return page.locator("h1").inner_text(), page.locator(".sum .total .bar").get_attribute("data-value") or ""


def test_the_keyboard_alone_leads_from_the_start_page_to_a_result(browse: Browse):
    page = browse()
    page.goto("/")
    tab_to(page, "Start an assessment")
    page.keyboard.press("Enter")
    page.wait_for_url("**/assessments/new")
    tab_to(page, "", "name")
    page.keyboard.type("Keyboard pilot")
    tab_to(page, "Start")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/assessments/[0-9a-f-]{36}$"))
    tab_to(page, "Begin")
    page.keyboard.press("Enter")
    for _ in range(22):
        page.wait_for_url("**/q/*")
        here = page.url
        answer_by_keyboard(page)
        page.wait_for_url(lambda url, here=here: url != here)
    tab_to(page, "Continue")
    page.keyboard.press("Enter")
    page.wait_for_url("**/check")
    tab_to(page, "Get recommendation")
    page.keyboard.press("Enter")
    page.wait_for_url("**/result")
    expect(page.locator("h1")).not_to_be_empty()


def answer_by_keyboard(page: Page) -> None:
    """The first choice there is; quantities stay unknown."""
    first = page.locator("input[name=choice]").first
    tab_to(page, "", first.get_attribute("id") or "")
    page.keyboard.press("Space")
    tab_to(page, "Continue")
    page.keyboard.press("Enter")


def tab_to(page: Page, text: str, id: str = "") -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        reached = page.evaluate("[document.activeElement.innerText || '', document.activeElement.id || '']")
        if (id and reached[1] == id) or (text and reached[0].strip() == text):
            return
    pytest.fail(f"the keyboard does not reach {text or id} on {page.url}")


def test_without_javascript_the_example_leads_to_the_same_result(browse: Browse):
    results = []
    for scripts in (True, False):
        page = browse(java_script_enabled=scripts)
        page.goto("/")
        page.get_by_role("link", name="Start from this example").click()
        page.get_by_label("Name").fill("With" if scripts else "Without")
        page.get_by_role("button", name="Start").click()
        page.get_by_role("link", name="Check your answers").click()
        page.get_by_role("button", name="Get recommendation").first.click()
        page.wait_for_url("**/result")
        results.append(verdict(page))
    assert results[0] == results[1]
    assert "GRPO" in results[0][0]


def test_without_javascript_a_mistake_is_told_as_well(browse: Browse, assessment: Start):
    page = browse(java_script_enabled=False)
    page.goto(f"{assessment('')}/q/O1")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("There is a problem")


def test_an_empty_answer_is_refused_with_a_way_to_the_field(browse: Browse, assessment: Start):
    page = browse()
    page.goto(f"{assessment('')}/q/O1")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.get_by_role("button", name="Continue").click()
    assert answered.value.status == 422
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.locator(".error-summary")).to_be_focused()
    words = page.locator(".error-summary a").inner_text()
    assert page.locator("#choice-error").inner_text().endswith(words)
    page.locator(".error-summary a").click()
    expect(page.locator("#choice")).to_be_focused()


def test_numbers_are_kept_as_typed_and_each_mistake_stands_beside_its_field(
    browse: Browse, assessment: Start
):
    page = browse()
    page.goto(f"{assessment('')}/q/C1")
    page.get_by_label("Size of the model").fill("seven")
    page.get_by_label("Number of GPUs").fill("1.5")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Size of the model")).to_have_value("seven")
    field = page.get_by_label("Size of the model")
    assert field.get_attribute("aria-invalid") == "true"
    described = (field.get_attribute("aria-describedby") or "").split()
    assert any("must be a number" in page.locator(f"[id='{id}']").inner_text() for id in described)
    field.fill("7")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Number of GPUs must be a whole number.").first).to_be_visible()
    page.get_by_label("Number of GPUs").fill("2")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/q/C2")


def test_does_not_apply_asks_for_a_reason_and_keeps_it(browse: Browse, assessment: Start):
    path = assessment("")
    page = browse()
    page.goto(f"{path}/q/O2")
    page.get_by_label("Does not apply").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("why this does not apply")
    page.get_by_label("Why does it not apply?").fill("Nobody reads the text.")
    page.get_by_role("button", name="Continue").click()
    page.goto(f"{path}/check")
    expect(page.get_by_text("Does not apply: Nobody reads the text.")).to_be_visible()


def test_change_links_have_names_of_their_own_and_return_straight_to_the_check_page(
    browse: Browse, assessment: Start
):
    page = browse()
    page.goto(f"{assessment()}/check")
    changes = page.locator("dd.change a")
    names = [" ".join(each.inner_text().split()) for each in changes.all()]
    assert len(names) == len(set(names)) == 23
    page.get_by_role("link", name="Change “Will real inputs differ from your examples?”").click()
    page.get_by_label("Strongly").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/check")
    row = page.locator("dl.summary > div", has_text="Will real inputs differ from your examples?")
    expect(row).to_contain_text("Strongly")


def test_going_back_shows_the_answer_given_before(browse: Browse, assessment: Start):
    page = browse()
    page.goto(f"{assessment('')}/q/O2")
    page.get_by_label("A few").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/q/O3")
    page.go_back()
    page.reload()
    expect(page.get_by_label("A few")).to_be_checked()


def test_a_draft_survives_the_browser(browse: Browse, assessment: Start):
    path = assessment("")
    page = browse()
    page.goto(f"{path}/q/O1")
    page.get_by_label("Tone or voice").check()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/q/O2")
    page.context.close()
    later = browse()
    later.goto(path)
    expect(later.get_by_text("Answered 1 of 22")).to_be_visible()
    later.get_by_role("link", name="Go on answering").click()
    later.wait_for_url("**/q/O2")


def test_a_double_click_on_start_makes_one_assessment(browse: Browse):
    page = browse()
    page.goto("/assessments/new")
    page.get_by_label("Name").fill("Clicked twice")
    page.get_by_role("button", name="Start").dblclick()
    page.wait_for_url(re.compile(r"/assessments/[0-9a-f-]{36}$"))
    page.goto("/assessments")
    expect(page.get_by_role("link", name="Clicked twice", exact=True)).to_have_count(1)


def test_weights_change_the_shares_and_can_be_taken_back(browse: Browse, assessment: Start):
    page = browse()
    page.goto(f"{assessment()}/weights")
    for label in ("Objective", "Data", "Stability & control", "Compute economics", "Deployment reality"):
        page.get_by_role("textbox", name=label).fill("50")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/check")
    expect(page.get_by_text("Objective 20 %, Data 20 %")).to_be_visible()
    page.get_by_role("link", name="Change the weights").click()
    page.get_by_role("textbox", name="Data").fill("many")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("textbox", name="Data")).to_have_value("many")
    page.get_by_role("button", name="Use the rulebook’s weights").click()
    page.wait_for_url("**/check")
    expect(page.get_by_text("Objective 30 %, Data 40 %")).to_be_visible()


def test_deleting_asks_first(browse: Browse, decided: Start):
    path = decided(name="Soon gone")
    page = browse()
    page.goto(path)
    page.get_by_role("link", name="Delete this assessment").click()
    page.get_by_role("link", name="Keep it").click()
    page.wait_for_url(f"**{path}")
    page.get_by_role("link", name="Delete this assessment").click()
    page.get_by_role("button", name="Delete the assessment").click()
    page.wait_for_url("**/assessments")
    expect(page.get_by_role("link", name="Soon gone")).to_have_count(0)
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 404


def test_a_page_of_another_site_cannot_post_here(
    chromium: Browser, browse: Browse, site: str, assessment: Start
):
    path = assessment()
    page = browse()
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<form method=post action="{site}{path}/delete"><button>Go</button></form>',
        ),
    )
    page.goto("http://elsewhere.example/")
    page.get_by_role("button", name="Go").click()
    expect(page.locator("h1")).to_have_text("Refused")
    answer = page.goto(f"{site}{path}")
    assert answer is not None
    assert answer.status == 200
