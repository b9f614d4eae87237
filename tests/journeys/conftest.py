"""The whole product: browser, web, worker and the real engine."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from app.worker.starter_run import starter_id
from tests.browser.runs.conftest import Workshop, open_workshop
from tests.browser.served import PATIENCE_SECONDS

LONGEST_PROMPT = 1024


@pytest.fixture(scope="session")
def product(tmp_path_factory, _migrated_sqlite, serve) -> Iterator[Workshop]:
    """With a micro model in the worker's models folder: it answers at once and knows nothing."""
    folder: Path = tmp_path_factory.mktemp("product")
    model = folder / "worker" / "models" / "micro"
    model.parent.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "tests.engine.micro_model", str(model)], check=True)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": LONGEST_PROMPT}))
    yield from open_workshop(
        folder, _migrated_sqlite, serve, engine_module="app.engine", prepare_starter=False
    )


@pytest.fixture(scope="session")
def product_with_starter(tmp_path_factory, _migrated_sqlite, serve) -> Iterator[Workshop]:
    """The starter is the one that `make up` has trained here, where it did; else it is trained first."""
    folder: Path = tmp_path_factory.mktemp("product-with-starter")
    trained = Path(".data/runs") / str(starter_id(0))
    if (trained / "model").is_dir():
        shutil.copytree(trained, folder / "worker" / "runs" / trained.name)
    yield from open_workshop(
        folder, _migrated_sqlite, serve, engine_module="app.engine", prepare_starter=True, threads=0
    )


@pytest.fixture
def browser_page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    yield context.new_page()
    context.close()
