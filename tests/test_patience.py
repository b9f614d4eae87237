"""Browser tests wait for what a click leads to: the click returns while that page is still coming."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted([*(HERE / "browser").rglob("*.py"), *(HERE / "journeys").glob("*.py")])

AT_ONCE = {
    "title", "content", "inner_text", "all_inner_texts", "text_content", "all_text_contents", "inner_html",
    "count", "all", "is_visible", "is_checked", "get_attribute", "input_value", "evaluate", "violations",
}  # fmt: skip
"""Reads that take the page as it is at that moment, half parsed or not."""

WAITS = {
    "expect", "expect_navigation", "goto", "reload", "wait_for", "wait_for_function", "wait_for_load_state",
    "wait_for_url",
}  # fmt: skip


def name(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=called) | ast.Name(id=called):
            return called
    return ""


def leads_on(call: ast.Call) -> bool:
    """Whether this clicks a button or a link; other clicks unfold or tick, and are done when they return."""
    return name(call) == "click" and any(
        isinstance(part, ast.Constant) and part.value in ("button", "link") for part in ast.walk(call.func)
    )


def steps(function: ast.FunctionDef, clicking: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """What a function does, in order: each call that leads on, waits, or reads at once."""
    calls = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0)):
        if leads_on(call) or name(call) in clicking:
            yield "leads on", call
        elif name(call) in WAITS:
            yield "waits", call
        elif name(call) in AT_ONCE and (isinstance(call.func, ast.Attribute) or name(call) == "violations"):
            yield "reads", call


def hasty(tree: ast.Module) -> list[tuple[int, str]]:
    """Lines that read at once what a click led to, also a click at the end of a function of the same file."""
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    ends = {each.name: [step for step, _ in steps(each, set()) if step != "reads"][-1:] for each in functions}
    clicking = {called for called, end in ends.items() if end == ["leads on"]}
    found = []
    for function in functions:
        before = "waits"
        for step, call in steps(function, clicking):
            if step == "reads" and before == "leads on":
                found.append((call.lineno, name(call)))
            before = before if step == "reads" else step
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_click_leads_to_is_waited_for(path: Path):
    found = [f"line {line}: {read}()" for line, read in hasty(ast.parse(path.read_text()))]
    assert found == [], f"{path.name}: use expect(...) or wait_for_url(...) after the click"


def test_a_hasty_read_is_found():
    source = """
def send(page):
    page.get_by_role("button", name="Send").click()

def test_one(page):
    page.get_by_role("link", name="On").click()
    assert page.title() == "On"

def test_two(page):
    send(page)
    assert page.locator("main").inner_text()

def test_three(page):
    send(page)
    expect(page).to_have_title("On")
    assert page.locator("main").inner_text()
"""
    assert hasty(ast.parse(source)) == [(7, "title"), (11, "inner_text")]
