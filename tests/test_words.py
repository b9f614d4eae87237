"""What our own texts must never say."""

import re
import subprocess
from pathlib import Path

import pytest

TEXT = {".py", ".toml", ".md", ".html", ".js", ".css", ".yaml", ".json", ".txt", ""}


def our_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    return [
        path
        for path in map(Path, listed)
        if path.suffix in TEXT and path.is_file() and "vendor" not in path.parts and path != Path(__file__)
    ]


@pytest.fixture(scope="module")
def our_text() -> dict[str, str]:
    this = Path(__file__).name
    return {str(path): path.read_text(errors="replace") for path in our_files() if path.name != this}


def test_grpo_is_never_expanded_to_anything_but_group_relative_policy_optimization(our_text):
    expansion = re.compile(r"\b(\w+)[\s-]+(\w+)[\s-]+Policy[\s-]+Optimi[sz]ation", re.IGNORECASE)
    wrong = {
        (path, match[0])
        for path, text in our_text.items()
        for match in expansion.finditer(text)
        if (match[1].lower(), match[2].lower()) != ("group", "relative")
        and match[1].lower()
        in ("generative", "guided", "gradient", "generalized", "generalised", "grouped", "group")
    }
    assert wrong == set()


def test_no_machine_path_is_left_in_the_project(our_text):
    machine = re.compile(r"/(?:root|home/\w+|work|Users/\w+)/|\.\./shared")
    assert {path for path, text in our_text.items() if machine.search(text)} == set()


def test_nothing_calls_a_product_page_unfinished(our_text):
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|lorem ipsum)\b", re.IGNORECASE)
    assert {path for path, text in our_text.items() if unfinished.search(text)} == set()
