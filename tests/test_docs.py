"""The README says what is so: settings, commands, packages.

`python tests/test_docs.py` rewrites its settings table.
"""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

sys.path.insert(0, str(Path(__file__).parent.parent))

from app.settings import WebSettings, WorkerSettings

README = Path("README.md")
TABLE = re.compile(
    r"(?<=<!-- settings: written by tests/test_docs.py -->\n).*?(?=<!-- /settings -->)", re.DOTALL
)


def shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return f"`{default}`" if default not in ("", None, []) else "none"


def rows(settings: type[BaseSettings]) -> list[str]:
    prefix = settings.model_config["env_prefix"]
    return [
        f"| `{prefix}{name.upper()}` | {shown(field.default)} | {field.description} |"
        for name, field in settings.model_fields.items()
    ]


def settings_table() -> str:
    head = ["| variable | default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows(WebSettings), *rows(WorkerSettings)]) + "\n"


def test_the_settings_table_is_the_settings():
    assert TABLE.search(README.read_text())[0] == settings_table(), "run: .venv/bin/python tests/test_docs.py"


def test_every_package_we_install_is_in_the_table_with_its_reason():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    table = README.read_text().split("## What it stands on")[1]
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))))
    assert {re.split(r"[\[<>=]", name)[0] for name in wanted} <= named


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_between_our_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", Path(page).read_text())
    assert [target for target in targets if not Path(target).exists()] == []


def test_the_make_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.MULTILINE))
    named = {
        match
        for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md")
        for match in re.findall(r"(?:`|^    )make ([a-z-]+)", Path(page).read_text(), re.MULTILINE)
    }
    assert named <= targets


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: settings_table(), README.read_text()))
