"""Copies the graders' modules out of the project with those that they import, and names what they need."""

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import app

ROOT = Path(app.__file__).parent
ROOTS = ("graders", "engine/reward_models.py")
"""What is taken: the graders, and how a reward model is asked."""

DISTRIBUTIONS = {"re2": "google-re2"}
"""Packages whose name is not that of what they are installed by."""

TRAINING = ("trl", "transformers", "torch", "datasets", "accelerate")


def copy(folder: Path) -> None:
    for file in modules():
        target = folder / "app" / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def requirements(folder: Path, needs_peft: bool) -> str:
    """Exact versions of what is installed here; of what graders need if they are in `folder`."""
    names = {*TRAINING, *(("peft",) if needs_peft else ())}
    if (folder / "vendor").is_dir():
        packages = {name for file in modules() for name in _packages(file)}
        names |= {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in packages}
    pinned = (f"{name}=={_plain(found)}" for name in sorted(names) if (found := _version(name)))
    return "".join(f"{line}\n" for line in pinned)


@cache
def modules() -> list[Path]:
    """Of the project, with their packages' own `__init__`, in order."""
    found: set[Path] = set()
    waiting = [file for name in ROOTS for file in _files(ROOT / name)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [each for name in _imports(file) for each in _modules_named(name)]
    return sorted(found | {_package_of(file) for file in found})


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix == ".py"]


def _package_of(file: Path) -> Path:
    return file.parent / "__init__.py"


def _modules_named(name: str) -> Iterator[Path]:
    """`app.graders.bench.Bench` leads to the module and to the packages on the way."""
    parts = name.split(".")
    if parts[0] != "app":
        return
    for length in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[1:length])
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _packages(file: Path) -> set[str]:
    return {name.split(".")[0] for name in _imports(file)} - {"app"} - sys.stdlib_module_names


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plain(found: str) -> str:
    """Without a build's own label, which only its own index knows."""
    return re.sub(r"\+.*", "", found)
