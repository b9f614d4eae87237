"""A rulebook of the owner's, as a user meets it: uploaded, published, and an assessment upgraded."""

import io
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.main import read_rulebook, rulebook_files
from app.settings import WebSettings
from tests.browser.served import serving

pytestmark = pytest.mark.browser

Browse = Callable[..., Page]
NOW = read_rulebook().version


@pytest.fixture
def site(tmp_path: Path, _migrated_sqlite: Path) -> Iterator[str]:
    """A service of its own: publishing changes it for everybody else."""
    shutil.copy(_migrated_sqlite, tmp_path / "tuning-fork.db")
    settings = WebSettings(
        data_dir=tmp_path,
        sign_in="off",
        worker_url="http://127.0.0.1:9",
        worker_token="nobody listens there",
        recommendations_per_minute=0,
    )
    with serving(settings) as address:
        yield address


def turned() -> bytes:
    """A rulebook in which all that spoke for GRPO speaks for SFT, as a zip."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, text in rulebook_files().items():
            if name in ("objective.toml", "data.toml", "stability.toml", "deployment.toml"):
                text = re.sub(r"^effect = ([123])", r"effect = -\1", text, flags=re.MULTILINE)
            archive.writestr(name, text.replace(f'version = "{NOW}"', 'version = "9.0.0"'))
    return body.getvalue()


def test_from_upload_to_an_upgraded_assessment(browse: Browse, site: str, assessment, violations):
    path = assessment("legal_reasoning", name="Legal pilot")
    assessment("contract_clauses", name="Clauses")
    page = browse(java_script_enabled=False)
    page.goto("/rulebooks")
    page.get_by_role("link", name="Upload a rulebook").click()
    page.get_by_label("Files").set_input_files(
        {"name": "rulebook.zip", "mimeType": "application/zip", "buffer": turned()}
    )
    page.get_by_label("Note").fill("Everything the other way.")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_text("would get another verdict")).to_be_visible()
    expect(page.locator(".shift")).to_have_count(2)
    draft = page.url
    page.get_by_role("link", name="Publish").click()
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/rulebooks")
    page.goto(path)
    page.get_by_role("link", name="See what upgrading would change").click()
    expect(page.get_by_text("Upgrading changes the verdict.")).to_be_visible()
    page.get_by_role("button", name="Freeze a milestone and upgrade").click()
    page.wait_for_url(f"**{path}")
    expect(page.locator("#upgrade-notice")).to_have_count(0)
    frozen = httpx.get(f"{site}/api/v1{path}/recommendation").json()
    assert (frozen["label"], frozen["recommendation"]["method"]) == ("Before rulebook 9.0.0", "grpo")
    page.goto(f"{path}/check")
    page.get_by_role("button", name="Get recommendation").first.click()
    page.wait_for_url("**/result")
    assert "SFT" in page.locator("h1").inner_text()
    pages = ("/rulebooks", "/rulebooks/new", draft, f"{draft}/publish", f"/assessments{path[12:]}/upgrade")
    for scheme in ("light", "dark"):
        window = browse(color_scheme=scheme)
        for each in pages:
            window.goto(each)
            assert violations(window) == "", (each, scheme)
    narrow = browse(viewport={"width": 320, "height": 800})
    for each in pages:
        narrow.goto(each)
        wide = narrow.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, each


def test_a_broken_upload_is_told_by_file_and_key_and_leaves_nothing(browse: Browse):
    page = browse()
    page.goto("/rulebooks/new")
    page.get_by_label("Files").set_input_files(
        [{"name": "gates.toml", "mimeType": "application/toml", "buffer": b"[[gates"}]
    )
    page.get_by_role("button", name="Upload and check").click()
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.locator(".error-summary")).to_be_focused()
    expect(page.get_by_role("rowheader", name="plan.toml", exact=True)).to_be_visible()
    page.goto("/rulebooks")
    expect(page.locator("tbody tr")).to_have_count(1)
