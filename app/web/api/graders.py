"""Graders: named and versioned, and tried out before they reward anything."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field, StringConstraints

from app.http_json import StrictRoute
from app.models import NamedGrader
from app.protocol import DatasetRef, Grader, Message, RunId, TrialReport, TriedAnswer, TriedRow
from app.web import named_graders
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.deps import PartsDep, SessionDep, WorkerDep
from app.web.named_graders import KeptReport
from app.web.openai_graders import AnyGrader
from app.web.trial_material import answers_of_run, rows_of_dataset, trial

router = APIRouter(tags=["graders"], route_class=StrictRoute)

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="Repeating the call with the same key answers with the same grader.",
    ),
]


class GraderView(BaseModel):
    id: UUID
    name: str
    version: int
    grader: Grader
    note: str
    report: KeptReport
    """What trying this version last found."""
    created_at: datetime


class GraderHistory(GraderView):
    versions: list[GraderView]
    """All of this name, newest first."""
    used_by: list[UUID]
    """The latest runs that were launched with exactly this version."""


class NewGrader(Message):
    grader: AnyGrader
    """Its own `name` is what it is stored under."""
    note: Note = ""


class NewNote(Message):
    note: Note


class Samples(Message):
    """What a grader is tried on; everything given is used."""

    answers: Annotated[list[TriedAnswer], Field(max_length=5000)] = []
    """Scored one by one; those with `expert` are compared with the expert's score."""
    run: RunId | None = None
    """Its last evaluation's answers are scored too."""
    rows: Annotated[list[TriedRow], Field(max_length=100)] = []
    """The grader is attacked with degenerate answers to these."""
    dataset: DatasetRef | None = None
    """Its first rows are attacked too."""
    expert_pass: float | None = None
    """From here on an expert's score counts as right; left out: the middle of their scale."""


class StatelessTrial(Samples):
    grader: AnyGrader


@router.get("/graders", summary="All graders, each in its newest version")
def list_graders(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> Page[GraderView]:
    found, following = page_of(session, NamedGrader, limit, cursor, named_graders.is_newest())
    return Page(items=[view(grader) for grader in found], next=following)


@router.post("/graders", status_code=201, summary="Store a grader under its name")
def create_grader(
    body: NewGrader, worker: WorkerDep, session: SessionDep, response: Response, key: Key = None
) -> GraderView:
    named_graders.check(worker, body.grader)
    grader, new = named_graders.create(session, body.grader, body.note, key)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/graders/{grader.id}"
    return view(grader)


@router.post("/graders/try", summary="Try a grader that is not stored")
def try_grader(body: StatelessTrial, parts: PartsDep) -> TrialReport:
    """Score answers, attack it with degenerate ones, compare it with experts; nothing is kept."""
    return _tried(parts, body.grader, body)


@router.get("/graders/{grader_id}", summary="One version, its history, and the runs that use it")
def show_grader(grader_id: UUID, session: SessionDep) -> GraderHistory:
    grader = named_graders.find(session, grader_id)
    return GraderHistory(
        **dict(view(grader)),
        versions=[view(version) for version in named_graders.versions(session, grader.name)],
        used_by=[run.id for run in named_graders.used_by(session, grader.spec)],
    )


@router.post("/graders/{grader_id}/versions", status_code=201, summary="Change a grader: add a version")
def add_version(
    grader_id: UUID, body: NewGrader, worker: WorkerDep, session: SessionDep, response: Response
) -> GraderView:
    """Earlier versions stay as they are. The number follows the newest one, whichever is named."""
    named_graders.check(worker, body.grader)
    before = named_graders.find(session, grader_id)
    grader = named_graders.add_version(session, before, body.grader, body.note)
    response.headers["Location"] = f"/api/v1/graders/{grader.id}"
    return view(grader)


@router.patch("/graders/{grader_id}", summary="Change the note of a version")
def change_note(grader_id: UUID, body: NewNote, session: SessionDep) -> GraderView:
    grader = named_graders.find(session, grader_id)
    grader.note = body.note
    return view(grader)


@router.post("/graders/{grader_id}/try", summary="Try a stored grader, and keep what is found")
def try_stored(grader_id: UUID, body: Samples, parts: PartsDep) -> TrialReport:
    """Attacks and agreement are kept with the version; scores of single answers are not."""
    with parts.database.reading() as session:
        spec = named_graders.find(session, grader_id).spec
    report = _tried(parts, spec, body)
    with parts.database.writing() as session, session.begin():
        named_graders.keep_report(named_graders.find(session, grader_id), report)
    return report


@router.delete("/graders/{grader_id}", status_code=204, summary="Delete a grader with all its versions")
def delete_grader(grader_id: UUID, session: SessionDep) -> None:
    """Runs that use it keep their own copy."""
    named_graders.delete(session, named_graders.find(session, grader_id))


def view(grader: NamedGrader) -> GraderView:
    return GraderView(
        id=grader.id,
        name=grader.name,
        version=grader.version,
        grader=grader.spec,
        note=grader.note,
        report=named_graders.report_of(grader),
        created_at=grader.created_at,
    )


def _tried(parts: PartsDep, spec: Grader, samples: Samples) -> TrialReport:
    """Asks the worker; no transaction may be open."""
    answers, rows, remark = list(samples.answers), list(samples.rows), ""
    if samples.run:
        of_run, remark = answers_of_run(parts.database, parts.worker, samples.run)
        answers += of_run
    if samples.dataset:
        rows += rows_of_dataset(parts.database, parts.worker, samples.dataset)
    wanted = trial(spec, answers, rows, parts.settings, samples.expert_pass)
    report = parts.worker.try_grader(wanted, parts.settings.trying_seconds)
    return report.model_copy(update={"remark": remark})
