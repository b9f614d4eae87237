"""A disk without room for the database: what cannot be kept is refused in words, the rest goes on."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import fill, mounted
from tests.web.conftest import program
from tests.web.launching import SPEC


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "4m") as disk:
        yield disk


def test_nothing_is_half_kept_and_all_goes_on_once_there_is_room(small_disk, sqlite_url, make_app):
    database = small_disk / "tuning-fork.db"
    shutil.copy(sqlite_url.removeprefix("sqlite:///"), database)
    api = program(make_app(database_url=f"sqlite:///{database}", data_dir=small_disk))
    kept = api.post("/api/v1/assessments", json={"name": "Before"}).json()["id"]
    filler = fill(small_disk)

    refused = [
        api.post("/api/v1/assessments", json={"name": "While full", "answers": {"O1": None}}),
        api.post("/api/v1/runs", json=SPEC),
        api.put(
            f"/api/v1/assessments/{kept}/answers/O1",
            json={"choice": "multi_step_reasoning", "note": "n" * 2000},
        ),
    ]
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert "disk" in answer.json()["detail"]
    assert api.get(f"/api/v1/assessments/{kept}").json()["name"] == "Before"
    assert api.get("/api/v1/assessments").status_code == 200
    assert api.post("/api/v1/recommendations", json={"answers": {}}).status_code == 200
    with sqlite3.connect(database) as looked:
        assert looked.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    filler.unlink()
    assert api.post("/api/v1/assessments", json={"name": "After"}).status_code == 201
    names = [each["name"] for each in api.get("/api/v1/assessments").json()["items"]]
    assert sorted(names) == ["After", "Before"]
