"""Bringing a dataset: every problem by line, what it allows, and deleting it."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def demonstration(n: int) -> bytes:
    return json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"Case {n} <script>alert(1)</script>"},
                {"role": "assistant", "content": "Granted."},
            ]
        }
    ).encode()


def prompt(n: int, **fields: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": f"Case {n}"}], **fields}).encode()


@pytest.fixture
def send(workshop, browse: Callable[..., Page]):
    def upload(rows: bytes, name: str = "", **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto("/datasets/new")
        page.get_by_label("File", exact=True).first.set_input_files(
            {"name": "cases.jsonl", "mimeType": "application/jsonl", "buffer": rows}
        )
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Upload and check").click()
        page.wait_for_url(lambda url: not url.endswith("/datasets/new"))
        return page

    return upload


@pytest.mark.parametrize("script", [True, False])
def test_a_good_file_becomes_a_dataset_that_says_what_it_allows(send, script):
    page = send(b"\n".join(demonstration(n) for n in range(60)), "Sixty cases", java_script_enabled=script)
    expect(page.get_by_role("heading", level=1)).to_have_text("Sixty cases")
    expect(page.get_by_text("60 demonstrations to learn from")).to_be_visible()
    expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()


def test_prompts_alone_allow_grpo_and_the_page_says_what_sft_lacks(send):
    page = send(b"\n".join(prompt(n, answer="granted") for n in range(30)))
    expect(page.get_by_role("heading", level=1)).to_have_text("cases")
    allows = page.get_by_role("region", name="What this data allows")
    expect(allows.get_by_role("listitem").first).to_contain_text("SFT no. Missing: demonstrations")
    expect(allows.get_by_role("listitem").last).to_contain_text("compare with item.answer")


def test_every_problem_is_named_by_its_line(send):
    rows = [demonstration(0), b'{"messages": []}', b"not json", demonstration(1)]
    page = send(b"\n".join(rows))
    assert page.title().startswith("Error: ")
    table = page.get_by_role("region", name="Problems by line")
    expect(table).to_contain_text("line 2")
    expect(table).to_contain_text("line 3")
    expect(table).not_to_contain_text("line 4")


def test_no_file_is_a_sentence(workshop, browse):
    page = browse(base_url=workshop.address)
    page.goto("/datasets/new")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator(".error-summary")).to_contain_text("Choose a file to upload.")


def test_a_dataset_is_deleted_after_a_question(send, workshop):
    page = send(b"\n".join(demonstration(n) for n in range(100, 160)), "Short-lived")
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete this dataset?")).to_be_visible()
    page.get_by_role("button", name="Delete the dataset").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Datasets")
    expect(page.get_by_role("link", name="Short-lived")).to_have_count(0)


def test_training_with_a_dataset_starts_from_its_page(send):
    page = send(b"\n".join(demonstration(n) for n in range(200, 260)), "To train with")
    page.get_by_role("link", name="Train with it").click()
    expect(page.get_by_label("To train with")).to_be_checked()


def test_an_upload_goes_on_after_the_connection_was_lost(workshop, browse):
    page = browse(base_url=workshop.address)
    lost = []

    def lose_the_second(route):
        if route.request.method == "PATCH" and len(lost) < 2:
            lost.append(route.request.headers["upload-offset"])
            if len(lost) == 2:
                route.abort("connectionreset")
                return
        route.continue_()

    page.route("**/api/v1/uploads/*", lose_the_second)
    rows = [prompt(n, answer="granted", story="x" * 1000) for n in range(5000)]
    page.goto("/datasets/new")
    page.get_by_label("File", exact=True).first.set_input_files(
        {"name": "long.jsonl", "mimeType": "application/jsonl", "buffer": b"\n".join(rows)}
    )
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_text("The connection was lost")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("long")
    assert lost == ["0", str(4 * 2**20)]


@pytest.mark.parametrize("script", [True, False])
def test_a_table_is_read_once_its_columns_are_named(send, script):
    rows = b"".join(b"What is %d and %d?;%d\n" % (n, n, 2 * n) for n in range(40))
    page = send(b"Exercise;Outcome\n" + rows, "Sums in a table", java_script_enabled=script)
    expect(page.get_by_role("heading", level=1)).to_have_text("Which column is what?")
    expect(page.get_by_role("region", name="The first rows")).to_contain_text("What is 4 and 4?")
    page.get_by_role("button", name="Read it").click()
    expect(page.locator(".error-summary")).to_contain_text("Say which column")
    page.get_by_label("Prompt").select_option("Exercise")
    page.get_by_label("Answer", exact=True).select_option("Outcome")
    page.get_by_role("button", name="Read it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sums in a table")
    expect(page.get_by_role("region", name="What a program could check")).to_contain_text("numbers")
    page.get_by_role("link", name="All 40 rows").click()
    page.get_by_role("link", name="Next 20").click()
    expect(page.get_by_text("21 to 40 of 40")).to_be_visible()


def test_findings_are_told_by_line_and_a_repaired_copy_tells_what_it_changed(send):
    rows = [demonstration(n) for n in range(300, 340)]
    page = send(b"\n".join([*rows, rows[0]]), "With a repeat")
    expect(page.get_by_role("region", name="What to look at")).to_contain_text("Line 41")
    page.get_by_role("button", name="Make a repaired copy").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("With a repeat, repaired")
    expect(page.get_by_role("region", name="What was repaired")).to_contain_text(
        "40 rows were kept, 1 left out"
    )


def test_bad_rows_can_be_left_out(send):
    rows = [b"nonsense", *(demonstration(n) for n in range(400, 420))]
    page = send(b"\n".join(rows), "Mended")
    page.get_by_role("button", name="Leave these rows out and go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mended")
