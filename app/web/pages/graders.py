"""Graders: what a good answer is, kept under a name; a form for each kind, versions, and their history."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound, Problem, Unavailable
from app.models import NamedGrader
from app.protocol import Grader
from app.web import grader_form, named_graders
from app.web.deps import Parts, PartsDep, SessionDep, Typed, render
from app.web.grader_choices import grader_choices, trained_reward_models
from app.web.grader_kinds import KINDS, MONTY_LACKS
from app.web.grader_problems import (
    AS_JSON,
    MOST_MESSAGES,
    MOST_PARTS,
    Form,
    message_rows,
    part_rows,
    problems_beside,
)

router = APIRouter()

LONGEST_NOTE = 2000
FEWEST_PART_ROWS = 3
FEWEST_MESSAGE_ROWS = 2


# The list


@router.get("/graders")
def list_graders(request: Request, session: SessionDep) -> Response:
    rows = [
        (each, named_graders.in_words(named_graders.report_of(each)))
        for each in named_graders.newest_of_each(session)
    ]
    return render(request, "graders.html", rows=rows, kinds=KINDS)


# Making one


@router.get("/graders/new")
def choose_kind(request: Request) -> Response:
    return render(request, "graders_new.html", kinds=KINDS.values())


@router.get("/graders/new/{kind}")
def new_grader(request: Request, kind: str, session: SessionDep) -> Response:
    return _form(request, session, _known(kind), grader_form.initial(kind))


@router.post("/graders/new/{kind}")
def store_grader(request: Request, kind: str, form: Typed, parts: PartsDep) -> Response:
    def keep(session: Session, spec: Grader, note: str) -> NamedGrader:
        return named_graders.create(session, spec, note)[0]

    kept = _kept(parts, _known(kind), form, keep)
    if isinstance(kept, NamedGrader):
        return RedirectResponse(f"/graders/{kept.id}", 303)
    with parts.database.reading() as session:
        return _form(request, session, kind, form, kept)


def _known(kind: str) -> str:
    if kind != AS_JSON and kind not in KINDS:
        raise NotFound("There is no such kind of grader.")
    return kind


def _kept(
    parts: Parts, kind: str, form: Form, keep: Callable[[Session, Grader, str], NamedGrader]
) -> NamedGrader | list[Problem]:
    """What was stored, or what is wrong. The worker is asked outside of any transaction."""
    with parts.database.reading() as session:
        reading = grader_form.read(kind, form, grader_choices(session))
    if reading.spec is None:
        return reading.problems
    try:
        note = _note(form)
        named_graders.check(parts.worker, reading.spec)
        with parts.database.writing() as session, session.begin():
            return keep(session, reading.spec, note)
    except InvalidInput as error:
        return problems_beside(kind, form, error.problems) or [Problem(where="note", what=error.sentence)]
    except Conflict as error:
        return [Problem(where=AS_JSON if kind == AS_JSON else "name", what=error.sentence)]
    except Unavailable as error:
        return [Problem(where="", what=f"{error.sentence} Nothing was stored; try again.")]


def _note(form: Form) -> str:
    note = form.get("note", "").strip().replace("\r\n", "\n")
    if len(note) > LONGEST_NOTE or "\x00" in note:
        raise InvalidInput(f"The note must be text of at most {LONGEST_NOTE:,} characters.")
    return note


def _form(
    request: Request,
    session: Session,
    kind: str,
    form: Form,
    problems: Sequence[Problem] = (),
    before: NamedGrader | None = None,
) -> Response:
    parts, messages = part_rows(form), message_rows(form)
    return render(
        request,
        "grader_form.html",
        422 if problems else 200,
        kind=KINDS.get(kind),
        form=form,
        problems=problems,
        before=before,
        stored=[
            (AS_JSON, "Choose one, or write it as JSON"),
            *((v, label) for v, label, _ in grader_choices(session)),
        ],
        reward_runs=_reward_runs(session) if kind == "reward_model" else [],
        part_rows=range(min(MOST_PARTS, max(FEWEST_PART_ROWS, (parts[-1] if parts else -1) + 2))),
        message_rows=range(
            min(MOST_MESSAGES, max(FEWEST_MESSAGE_ROWS, (messages[-1] if messages else -1) + 2))
        ),
        monty_lacks=MONTY_LACKS,
    )


def _reward_runs(session: Session) -> list[tuple[str, str]]:
    found = trained_reward_models(session)
    return [("", "Choose a run" if found else "No reward model has been trained yet"), *found]


# One of them


@router.get("/graders/{grader_id}")
def show_grader(request: Request, grader_id: UUID, session: SessionDep) -> Response:
    grader = named_graders.find(session, grader_id)
    versions = named_graders.versions(session, grader.name)
    return render(
        request,
        "grader.html",
        grader=grader,
        kind=KINDS[grader.spec.type],
        fields=_shown(grader.spec),
        as_json=grader_form.whole_as_json(grader.spec),
        report=named_graders.report_of(grader),
        newest=versions[0],
        versions=[
            (each, named_graders.changes(before.spec, each.spec) if before else None)
            for each, before in zip(versions, [*versions[1:], None], strict=True)
        ],
        used_by=named_graders.used_by(session, grader.spec),
        lasted=named_graders.lasted,
    )


def _shown(spec: Grader) -> list[tuple[str, str]]:
    """Label and text of every field that says something; parts are shown whole."""
    form = grader_form.values(spec)
    found: list[tuple[str, str]] = []
    for each in KINDS[spec.type].fields:
        match each.kind:
            case "messages":
                found += [
                    (form[f"input.{n}.role"].capitalize(), form[f"input.{n}.content"])
                    for n in message_rows(form)
                ]
            case "grader":
                found.append((each.label, form[f"{each.name}.json"]))
            case "graders":
                found += [(form[f"graders.{n}.name"], form[f"graders.{n}.json"]) for n in part_rows(form)]
            case "yes_no":
                found.append((each.label, form[each.name] or "no"))
            case _ if form.get(each.name):
                found.append((each.label, dict(each.choices).get(form[each.name], form[each.name])))
    return found


@router.post("/graders/{grader_id}/note")
def change_note(grader_id: UUID, form: Typed, session: SessionDep) -> Response:
    named_graders.find(session, grader_id).note = _note(form)
    return RedirectResponse(f"/graders/{grader_id}", 303)


# Changing it


@router.get("/graders/{grader_id}/edit")
def edit_grader(request: Request, grader_id: UUID, session: SessionDep, kind: str = "") -> Response:
    grader = named_graders.find(session, grader_id)
    if kind == AS_JSON:
        form: dict[str, Any] = {AS_JSON: grader_form.whole_as_json(grader.spec)}
        return _form(request, session, AS_JSON, form, before=grader)
    form = grader_form.values(grader.spec, grader_choices(session))
    return _form(request, session, grader.spec.type, form, before=grader)


@router.post("/graders/{grader_id}/edit")
def store_version(
    request: Request, grader_id: UUID, form: Typed, parts: PartsDep, kind: str = ""
) -> Response:
    with parts.database.reading() as session:
        before = named_graders.find(session, grader_id)

    def keep(session: Session, spec: Grader, note: str) -> NamedGrader:
        return named_graders.add_version(session, named_graders.find(session, grader_id), spec, note)

    chosen = AS_JSON if kind == AS_JSON else before.spec.type
    kept = _kept(parts, chosen, form, keep)
    if isinstance(kept, NamedGrader):
        return RedirectResponse(f"/graders/{kept.id}", 303)
    with parts.database.reading() as session:
        return _form(request, session, chosen, form, kept, before)


@router.get("/graders/{grader_id}/delete")
def ask_delete(request: Request, grader_id: UUID, session: SessionDep) -> Response:
    grader = named_graders.find(session, grader_id)
    versions = named_graders.versions(session, grader.name)
    used = {run.id: run for each in versions for run in named_graders.used_by(session, each.spec)}
    return render(
        request, "grader_delete.html", grader=grader, versions=versions, used_by=list(used.values())
    )


@router.post("/graders/{grader_id}/delete")
def delete_grader(grader_id: UUID, session: SessionDep) -> Response:
    named_graders.delete(session, named_graders.find(session, grader_id))
    return RedirectResponse("/graders", 303)
