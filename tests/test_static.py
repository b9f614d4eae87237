"""Vendored files are the ones their authors published."""

import hashlib
import json
from pathlib import Path

import pytest

VENDOR = Path("static/vendor")
LISTED = json.loads((VENDOR / "VENDOR.json").read_text())


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_a_vendored_file_has_its_published_hash(entry):
    assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_every_vendored_file_is_listed_with_a_licence_beside_it():
    found = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*.*") if path.suffix in (".js", ".css")}
    assert found == {entry["file"] for entry in LISTED}
    assert all((VENDOR / entry["file"]).with_name("LICENSE").exists() for entry in LISTED)
