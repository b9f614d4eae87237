"""From a followed recommendation to the page that counts it, and the ladder under the advice."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from app.cli import cli
from app.main import read_rulebook
from benchmarks import calibration
from tests.browser.runs.scenes import grpo, sft

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def followed(workshop) -> str:
    """An assessment whose plan was trained, by its path."""
    answers = read_rulebook().examples[0].answers
    made = workshop.http.post("/api/v1/assessments", json={"name": "Tenancy appeals", "answers": answers})
    path = made.headers["location"]
    assert workshop.http.post(f"{path}/recommendation").status_code == 201
    plan = [sft("Tenancy appeals, SFT"), grpo("Tenancy appeals, GRPO")]
    asked = {"plan": plan, "assessment": path.rsplit("/", 1)[1]}
    launched = workshop.http.post("/api/v1/runs", json=asked)
    assert launched.status_code == 201, launched.text
    for run in launched.json()["runs"]:
        assert workshop.until_over(run["id"])["state"] == "succeeded"
    return path.removeprefix("/api/v1")


@pytest.fixture
def look(workshop, browse: Callable[..., Page]):
    def open_page(path: str, **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


PAGES = ("/confirmed", "{followed}/result", "{followed}/record")


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_wrong_in_light_and_dark(look, followed, violations, path):
    page = look(path.format(followed=followed))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == ""


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_narrow_screen(look, followed, path, width):
    page = look(path.format(followed=followed), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_the_end_of_a_run_leads_to_the_record_and_the_page_over_all(look, workshop, followed):
    (run_id,) = [
        each["run_id"]
        for each in workshop.http.get("/api/v1/confirmations").json()["items"]
        if each["name"] == "Tenancy appeals"
    ]
    page = look(f"/runs/{run_id}")
    expect(page.locator("#results")).to_contain_text("The advice held: the score rose from")
    page.get_by_role("link", name="In the decision record").click()
    page.wait_for_url(re.compile(re.escape(followed) + r"/record\?number=1#confirmation"))
    section = page.locator("section.record-confirmation")
    expect(section.locator("p").first).to_contain_text("The advice held: the score rose from")
    page.goto("/assessments")
    page.get_by_role("link", name="How often the advice held").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The advice held in")
    page.get_by_role("link", name="Tenancy appeals, number 1").click()
    page.wait_for_url("**/record?number=1#confirmation")


def test_the_ladder_is_five_rungs_in_order_on_paper_too(look, followed):
    page = look(f"{followed}/result")
    ladder = page.get_by_role("region", name="What it rests on")
    names = ladder.get_by_role("heading", level=3).all_inner_texts()
    assert names == ["Told", "Inspected", "Probed", "Piloted", "Confirmed"]
    expect(ladder.get_by_role("link", name="Train again")).to_be_visible()
    page.emulate_media(media="print")
    expect(ladder.get_by_text("The advice held: the score rose from")).to_be_visible()
    expect(ladder.get_by_role("link", name="Train again")).to_be_hidden()


def test_the_terminal_lists_counts_and_exports_them(workshop, followed, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TUNING_FORK_URL", workshop.address)
    monkeypatch.setenv("TUNING_FORK_KEY", "tf_anybody")

    def typed(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli(["confirmations", *arguments])
        assert not ended.value.code
        return capfd.readouterr().out

    assert "The advice held: the score rose from" in " ".join(typed("list").split())
    counted = re.sub(r"[^\w ]+", " ", typed("summary"))
    assert "All followed" in counted
    assert "The decision held if the score rose" in " ".join(counted.split())
    file = tmp_path / "cases.json"
    typed("export", str(file))
    assert [case.outcome for case in calibration.read_own(file)] == ["sft_then_grpo"]
    assert "Tenancy appeals" not in file.read_text()
    assert "Tenancy appeals" in typed("export", "--names")
