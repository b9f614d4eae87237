"""The install steps of both images work in clean environments. No registry is needed: the steps are pip's."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

DOCKERFILE = Path("Dockerfile").read_text()


def install_step(target: str) -> list[str]:
    stage = DOCKERFILE.split(f"FROM source AS {target}")[1].split("\nFROM")[0]
    (step,) = re.findall(r"^RUN pip (install .*)$", stage, re.MULTILINE)
    return [word.strip("'") for word in step.split()]


def copied_into_the_image() -> list[str]:
    lines = re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.fixture(params=["web", "worker"])
def image(request, tmp_path):
    """A folder with what the Dockerfile copies and an environment with what it installs."""
    for source in copied_into_the_image():
        target = tmp_path / source
        if Path(source).is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    subprocess.run(
        [tmp_path / ".venv/bin/pip", *install_step(request.param)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return request.param, tmp_path


def test_each_image_holds_its_program_and_only_the_worker_holds_torch(image):
    target, folder = image
    python = folder / ".venv/bin/python"

    def works(*command: str) -> bool:
        return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0

    assert works(str(folder / ".venv/bin/tuning-fork"), target, "--help")
    module = {"web": "app.main", "worker": "app.worker.main"}[target]
    assert works(str(python), "-c", f"import {module}")
    assert works(str(python), "-c", "import torch, trl") == (target == "worker")
    if target == "worker":
        assert works(str(python), "-c", "import app.engine.sft, app.engine.grpo")
