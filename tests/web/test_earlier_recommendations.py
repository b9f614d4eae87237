"""A recommendation frozen by an earlier version still opens, prints and exports."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.main import read_rulebook
from tests.web.conftest import owner, parts_of, program

FROZEN = Path(__file__).parent / "data" / "recommendation-1.2.0.json"
LEGAL = dict(next(each for each in read_rulebook().examples if each.id == "legal_reasoning").answers)


@pytest.mark.parametrize("page", ["result", "record", "record.md", "check", "history", "whatif", "launch"])
def test_what_an_earlier_version_froze_still_opens(app: FastAPI, page: str) -> None:
    api = program(app)
    made = api.post("/api/v1/assessments", json={"name": "From before", "answers": LEGAL}).json()["id"]
    api.post(f"/api/v1/assessments/{made}/recommendation")
    with parts_of(app).database.writing() as session, session.begin():
        session.execute(text("UPDATE milestones SET recommendation = :old"), {"old": FROZEN.read_text()})
    shown = owner(app).get(f"/assessments/{made}/{page}")
    assert shown.status_code == 200, shown.text
    told = api.get(f"/api/v1/assessments/{made}/recommendation").json()["recommendation"]
    assert told["rulebook"]["version"] == "1.2.0"
