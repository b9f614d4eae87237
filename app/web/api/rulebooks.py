"""Rulebooks: those in store, the difference of two, and bringing, publishing and deleting one's own."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StringConstraints, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.advisor.difference import Effect, LeftOpen, effect_on
from app.errors import InvalidInput, WrongMediaType
from app.http_json import StrictRoute, problems_of
from app.models import StoredRulebook
from app.protocol import Message
from app.rulebooks import find, standing_on
from app.strict_json import strict_loads
from app.web.assessing import latest, told, upgrade
from app.web.deps import AssessmentDep, ItsReadableRulebookDep, PartsDep, RulebookDep, SessionDep
from app.web.pages.rulebooks import LONGEST_NOTE, bring, checked_note
from app.web.rulebook_effects import Comparison, compared

router = APIRouter(tags=["rulebooks"], route_class=StrictRoute)


class NewRulebook(Message):
    files: dict[str, str]
    """TOML by file name."""
    note: Annotated[str, StringConstraints(max_length=LONGEST_NOTE)] = ""


class RulebookRow(BaseModel):
    checksum: str
    version: str
    shipped: bool
    """With the product, not uploaded."""
    note: str
    added_at: datetime
    published_at: datetime | None
    """Null while it is a draft."""
    in_force: bool
    assessments: int
    """How many stand on it."""


class RulebookView(RulebookRow):
    files: dict[str, str]


class Rulebooks(BaseModel):
    items: list[RulebookRow]


class Upgraded(BaseModel):
    rulebook_version: str
    rulebook_checksum: str
    milestone: int | None
    """Number of the frozen recommendation from before."""
    left_open: tuple[LeftOpen, ...]


UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewRulebook.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "note": {"type": "string"},
                    },
                }
            },
        },
    }
}


@router.get("/rulebooks", summary="All rulebooks in store, newest first")
def list_rulebooks(session: SessionDep, parts: PartsDep) -> Rulebooks:
    rows = session.scalars(select(StoredRulebook).order_by(StoredRulebook.added_at.desc()))
    return Rulebooks(items=[RulebookRow(**_row(session, parts, row)) for row in rows])


@router.post("/rulebooks", status_code=201, summary="Upload a rulebook as a draft", openapi_extra=UPLOAD)
async def upload_rulebook(request: Request, parts: PartsDep, response: Response) -> RulebookRow:
    """As JSON, or as a form with a zip or single files. Nothing is stored unless all of it can be used."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=parts.settings.max_rulebook_files + 1, max_fields=10) as form:
            files = [each for each in form.getlist("files") if isinstance(each, UploadFile)]
            given = [(file.filename or "", await file.read()) for file in files]
            note = str(form.get("note") or "")
    elif kind == "application/json":
        body = _read(await request.body())
        given = [(name, text.encode()) for name, text in body.files.items()]
        note = body.note
    else:
        raise WrongMediaType("Send the files as JSON, or as `multipart/form-data`.")
    stored = await run_in_threadpool(bring, parts, given, checked_note(note))
    response.headers["Location"] = f"/api/v1/rulebooks/{stored.checksum}"
    return RulebookRow(**_fields(stored), in_force=False, assessments=0)


def _read(body: bytes) -> NewRulebook:
    try:
        return NewRulebook.model_validate(strict_loads(body))
    except ValidationError as error:
        raise InvalidInput(
            "These are not the files of a rulebook.", tuple(problems_of(error.errors()))
        ) from None


@router.get("/rulebooks/{checksum}", summary="A rulebook with its files")
def show_rulebook(checksum: str, session: SessionDep, parts: PartsDep) -> RulebookView:
    stored = find(session, checksum)
    return RulebookView(**_row(session, parts, stored), files=stored.files)


@router.get(
    "/rulebooks/{checksum}/diff/{other}",
    summary="What differs between two rulebooks, and what it does to every assessment",
)
def show_diff(checksum: str, other: str, session: SessionDep, parts: PartsDep) -> Comparison:
    before, after = find(session, checksum), find(session, other)
    return compared(session, parts.rulebooks, before, after, parts.settings.compared_assessments)


@router.post("/rulebooks/{checksum}/publish", summary="Put a rulebook in force for new assessments")
def publish_rulebook(checksum: str, session: SessionDep, parts: PartsDep) -> RulebookRow:
    """Assessments that exist stay on theirs. An older one can be published again."""
    stored = find(session, checksum)
    parts.rulebooks.publish(session, stored)
    return RulebookRow(**_row(session, parts, stored) | {"in_force": True})


@router.delete("/rulebooks/{checksum}", status_code=204, summary="Delete a draft")
def delete_rulebook(checksum: str, session: SessionDep, parts: PartsDep) -> None:
    parts.rulebooks.delete(session, find(session, checksum))


@router.get("/assessments/{assessment_id}/upgrade", summary="What the rulebook in force would change")
def preview_upgrade(assessment: AssessmentDep, before: ItsReadableRulebookDep, after: RulebookDep) -> Effect:
    return effect_on(told(assessment), before, after)


@router.post("/assessments/{assessment_id}/upgrade", summary="Freeze, then move to the rulebook in force")
def upgrade_assessment(
    session: SessionDep, assessment: AssessmentDep, before: ItsReadableRulebookDep, after: RulebookDep
) -> Upgraded:
    """An assessment that stands on it already is left as it is."""
    there = assessment.rulebook_checksum == after.checksum
    left_open = () if there else upgrade(session, assessment, before, after)
    milestone = latest(assessment)
    return Upgraded(
        rulebook_version=after.version,
        rulebook_checksum=after.checksum,
        milestone=milestone.number if milestone else None,
        left_open=left_open,
    )


def _row(session: Session, parts: PartsDep, stored: StoredRulebook) -> dict[str, Any]:
    return _fields(stored) | {
        "in_force": stored.checksum == parts.rulebook.checksum,
        "assessments": standing_on(session, stored.checksum),
    }


def _fields(stored: StoredRulebook) -> dict[str, Any]:
    names = ("checksum", "version", "shipped", "note", "added_at", "published_at")
    return {name: getattr(stored, name) for name in names}
