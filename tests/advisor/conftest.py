"""The shipped rulebook with its tables, read once."""

from pathlib import Path

import pytest

import app.advisor
from app.advisor.rulebook import Rulebook

FOLDER = Path(app.advisor.__file__).parent


@pytest.fixture(scope="session")
def rulebook_texts() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*/*.toml")}


@pytest.fixture(scope="session")
def rulebook(rulebook_texts: dict[str, str]) -> Rulebook:
    return Rulebook.parse(rulebook_texts)
