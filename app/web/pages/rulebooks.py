"""Rulebooks: those in store, what two of them differ in, bringing one's own, and putting it in force."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.advisor.rulebook import Rulebook
from app.errors import Conflict, InvalidInput, NotFound, Problem, TooLarge
from app.models import StoredRulebook
from app.rulebooks import find, read, standing_on
from app.web.advice_shown import worked
from app.web.deps import Parts, PartsDep, SessionDep, SettingsDep, readable, render
from app.web.rulebook_effects import compared, grouped
from app.web.rulebook_files import texts_of, zipped

router = APIRouter()

LONGEST_NOTE = 2000


@router.get("/rulebooks")
def list_rulebooks(request: Request, session: SessionDep) -> Response:
    stored = session.scalars(select(StoredRulebook).order_by(StoredRulebook.added_at.desc()))
    rows = [(each, standing_on(session, each.checksum)) for each in stored]
    return render(request, "rulebooks.html", rows=rows)


# Bringing one's own


@router.get("/rulebooks/new")
def new_page(request: Request) -> Response:
    return _form(request)


def _form(
    request: Request, problems: Sequence[Problem] = (), faults: Sequence[Problem] = (), note: str = ""
) -> Response:
    return render(
        request,
        "rulebooks_new.html",
        422 if problems else 200,
        problems=problems,
        faults=faults,
        note=note,
    )


@router.post("/rulebooks/new")
async def upload(request: Request, parts: PartsDep) -> Response:
    most = parts.settings.max_rulebook_files
    async with request.form(max_files=most + 1, max_fields=10) as form:
        note = str(form.get("note") or "").replace("\r\n", "\n").strip()
        files = [each for each in form.getlist("files") if isinstance(each, UploadFile) and each.filename]
        given = [(file.filename or "", await file.read()) for file in files]
    try:
        stored = await run_in_threadpool(bring, parts, given, checked_note(note))
    except (InvalidInput, TooLarge, Conflict) as error:
        return _form(request, [Problem(where="files", what=error.sentence)], error.problems, note)
    return RedirectResponse(f"/rulebooks/{stored.checksum}", 303)


def checked_note(note: str) -> str:
    if len(note) > LONGEST_NOTE or "\x00" in note:
        raise InvalidInput(f"The note must be text of at most {LONGEST_NOTE:,} characters.")
    return note


def bring(parts: Parts, given: Sequence[tuple[str, bytes]], note: str) -> StoredRulebook:
    """Reads, tries and keeps it as a draft; nothing is kept of one that cannot be used."""
    if not given:
        raise InvalidInput("Choose the files of the rulebook, or a zip of them.")
    files = texts_of(given, parts.settings)
    rulebook = read(files)
    with parts.database.writing() as session, session.begin():
        return parts.rulebooks.add(session, rulebook, files, note)


# One of them


@router.get("/rulebooks/{checksum}")
def show_rulebook(request: Request, checksum: str, session: SessionDep, parts: PartsDep) -> Response:
    stored = find(session, checksum)
    rulebook = readable(parts.rulebooks, session, checksum)
    active = find(session, parts.rulebook.checksum)
    others = [each for each in session.scalars(select(StoredRulebook)) if each.checksum != checksum]
    return render(
        request,
        "rulebook.html",
        stored=stored,
        active=active,
        rulebook=rulebook,
        others=sorted(others, key=lambda each: each.added_at, reverse=True),
        standing=standing_on(session, checksum),
        examples=_examples(rulebook) if rulebook else [],
        deletable=stored.published_at is None and not stored.shipped,
        **(_comparison(session, parts, active, stored) if checksum != active.checksum else NOT_COMPARED),
    )


NOT_COMPARED: dict[str, Any] = {"comparison": None, "groups": []}


def _comparison(
    session: Session, parts: Parts, before: StoredRulebook, after: StoredRulebook
) -> dict[str, Any]:
    made = compared(session, parts.rulebooks, before, after, parts.settings.compared_assessments)
    return {"comparison": made, "groups": grouped(made.differences)}


def _examples(rulebook: Rulebook) -> list[dict[str, Any]]:
    wanted = {example.id: example for example in rulebook.examples}
    return [
        {
            "title": each.title,
            "recommendation": each.recommendation,
            "wanted": wanted[each.id],
            "kept": (wanted[each.id].method, wanted[each.id].plan)
            == (each.recommendation.method, each.recommendation.plan.id),
        }
        for each in worked(rulebook)
    ]


@router.get("/rulebooks/{checksum}/rulebook.zip")
def download_all(checksum: str, session: SessionDep) -> Response:
    stored = find(session, checksum)
    return _file(zipped(stored.files), f"rulebook-{stored.version}.zip", "application/zip")


@router.get("/rulebooks/{checksum}/rulebook.json")
def download_json(checksum: str, session: SessionDep) -> Response:
    stored = find(session, checksum)
    name = f'attachment; filename="rulebook-{stored.version}.json"'
    content = {"files": stored.files, "note": stored.note}
    return JSONResponse(content, headers={"Content-Disposition": name})


@router.get("/rulebooks/{checksum}/files/{name}")
def download_file(checksum: str, name: str, session: SessionDep) -> Response:
    files: Mapping[str, str] = find(session, checksum).files
    if name not in files:
        raise NotFound("This rulebook has no file of that name.")
    return _file(files[name].encode(), name, "application/toml; charset=utf-8")


def _file(body: bytes, name: str, kind: str) -> Response:
    return Response(body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.get("/rulebooks/{checksum}/diff")
def choose_diff(checksum: str, after: str, session: SessionDep) -> Response:
    return RedirectResponse(
        f"/rulebooks/{find(session, checksum).checksum}/diff/{find(session, after).checksum}", 303
    )


@router.get("/rulebooks/{checksum}/diff/{other}")
def diff(request: Request, checksum: str, other: str, session: SessionDep, parts: PartsDep) -> Response:
    before, after = find(session, checksum), find(session, other)
    shown = _comparison(session, parts, before, after)
    return render(request, "rulebooks_diff.html", before=before, after=after, **shown)


# Putting it in force, or away


@router.get("/rulebooks/{checksum}/publish")
def publish_page(request: Request, checksum: str, session: SessionDep, settings: SettingsDep) -> Response:
    return render(request, "rulebooks_publish.html", stored=find(session, checksum))


@router.post("/rulebooks/{checksum}/publish")
def publish(checksum: str, session: SessionDep, parts: PartsDep) -> Response:
    parts.rulebooks.publish(session, find(session, checksum))
    return RedirectResponse("/rulebooks", 303)


@router.get("/rulebooks/{checksum}/delete")
def delete_page(request: Request, checksum: str, session: SessionDep) -> Response:
    return render(request, "rulebooks_delete.html", stored=find(session, checksum))


@router.post("/rulebooks/{checksum}/delete")
def delete(checksum: str, session: SessionDep, parts: PartsDep) -> Response:
    parts.rulebooks.delete(session, find(session, checksum))
    return RedirectResponse("/rulebooks", 303)
