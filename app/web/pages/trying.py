"""Trying a stored grader: scores of single answers, attacks with degenerate ones, agreement with experts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.datasets import generated
from app.errors import Conflict, InvalidInput, NotFound, Problem, TooLarge, TuningForkError, Unavailable
from app.models import Dataset, NamedGrader
from app.protocol import DatasetRef, Trial, TrialReport, TriedAnswer, TriedRow, pass_threshold
from app.strict_json import strict_loads
from app.web import named_graders
from app.web.deps import Parts, PartsDep, SessionDep, render
from app.web.expert_scores import read_rows, read_scores
from app.web.grader_form import NUMBER
from app.web.trial_material import answers_of_run, evaluated_runs, rows_of_dataset, trial, tried_row

router = APIRouter()

REF: TypeAdapter[DatasetRef] = TypeAdapter(DatasetRef)


@dataclass(frozen=True)
class Sent:
    """What one of the page's three forms sent."""

    typed: Mapping[str, str] = field(default_factory=dict)
    file: bytes | None = None

    def text(self, name: str) -> str:
        return self.typed.get(name, "").replace("\r\n", "\n")


@router.get("/graders/{grader_id}/try")
def ask_what_to_try(request: Request, grader_id: UUID, session: SessionDep) -> Response:
    return _page(request, session, named_graders.find(session, grader_id), Sent())


@router.post("/graders/{grader_id}/try")
async def try_grader(request: Request, grader_id: UUID, parts: PartsDep) -> Response:
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        content = await file.read() if isinstance(file, UploadFile) and file.filename else None
        sent = Sent({key: value for key, value in form.items() if isinstance(value, str)}, content)
    return await run_in_threadpool(_tried, request, grader_id, parts, sent)


def _tried(request: Request, grader_id: UUID, parts: Parts, sent: Sent) -> Response:
    """Attacks and agreement are kept and shown on the grader's page; single scores are shown at once."""
    with parts.database.reading() as session:
        grader = named_graders.find(session, grader_id)
    try:
        wanted, said = _wanted(parts, grader, sent)
        report = parts.worker.try_grader(wanted, parts.settings.trying_seconds)
    except (InvalidInput, TooLarge, NotFound, Conflict, Unavailable) as error:
        with parts.database.reading() as session:
            return _page(request, session, grader, sent, problems=_beside(error, sent))
    if sent.typed.get("action") == "score":
        with parts.database.reading() as session:
            report = report.model_copy(update={"remark": said})
            return _page(request, session, grader, sent, wanted, report)
    with parts.database.writing() as session, session.begin():
        named_graders.keep_report(named_graders.find(session, grader_id), report, said)
    return RedirectResponse(f"/graders/{grader_id}#tried", 303)


FIELD = {"score": "answer", "attack": "dataset", "compare": "file"}
"""Of each form the one that a general problem belongs to."""


def _beside(error: TuningForkError, sent: Sent) -> list[Problem]:
    usual = FIELD.get(sent.typed.get("action", ""), "answer")
    places = ("answer", "prompt", "item", "several", "run", "dataset", "rows", "file", "expert_pass")
    if isinstance(error, Unavailable):
        return [Problem(where="", what=error.sentence)]
    if len(error.problems) > 1 or any(each.where.startswith("line") for each in error.problems):
        lines = [Problem(where=usual, what=_sentence(each)) for each in error.problems[:8]]
        return [Problem(where=usual, what=error.sentence), *lines]
    where = next((each.where for each in error.problems if each.where in places), usual)
    return [Problem(where=where, what=error.sentence)]


def _sentence(problem: Problem) -> str:
    return f"{problem.where.capitalize()}: {problem.what}."


# What is to be tried


def _wanted(parts: Parts, grader: NamedGrader, sent: Sent) -> tuple[Trial, str]:
    """The trial, and in words where its rows are from, or what its answers lack."""
    settings = parts.settings
    match sent.typed.get("action"):
        case "score":
            answers, remark = _answers(parts, sent)
            return trial(grader.spec, answers, (), settings), remark
        case "attack":
            rows, rows_from = _rows(parts, sent)
            return trial(grader.spec, (), rows, settings), rows_from
        case "compare":
            if sent.file is None:
                raise _missing("file", "Choose a file with answers and experts’ scores.")
            answers = read_scores(sent.file, settings)
            return trial(grader.spec, answers, (), settings, _expert_pass(sent)), ""
    raise InvalidInput("Choose what to try.")


def _answers(parts: Parts, sent: Sent) -> tuple[list[TriedAnswer], str]:
    if sent.text("run"):
        return answers_of_run(parts.database, parts.worker, _run_id(sent))
    if sent.text("several").strip():
        return [_answer(given) for given in read_rows(sent.text("several"), "several")], ""
    row = TriedRow(prompt=sent.text("prompt")[:65536], item=_item(sent))
    typed = {"output_text": sent.text("answer"), "prompt": row.prompt, "item": row.item}
    return [_checked_answer(typed)], ""


def _run_id(sent: Sent) -> UUID:
    try:
        return UUID(sent.text("run"))
    except ValueError:
        raise _missing("run", "Choose a run from the list.") from None


def _item(sent: Sent) -> dict[str, Any]:
    if not sent.text("item").strip():
        return {}
    try:
        found = strict_loads(sent.text("item").encode())
    except TuningForkError as error:
        raise _missing("item", error.sentence) from None
    if not isinstance(found, dict):
        raise _missing("item", 'The row’s fields must be a JSON object, such as {"answer": "valid"}.')
    return found


def _answer(given: dict[str, Any]) -> TriedAnswer:
    """A pasted line: `output_text` or `answer`, maybe `prompt`; `item`, or all further fields."""
    row = dict(given)
    text = row.pop("output_text", None)
    if text is None:
        text = row.pop("answer", None)
    prompt = row.pop("prompt", "")
    item = row.pop("item", row)
    return _checked_answer({"output_text": text, "prompt": prompt, "item": item})


def _checked_answer(given: dict[str, Any]) -> TriedAnswer:
    try:
        return TriedAnswer.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"Each line needs a text as “output_text” ({first['loc'][0]}: {first['msg']})."
        raise _missing("several" if given["output_text"] is None else "answer", what) from None


def _rows(parts: Parts, sent: Sent) -> tuple[list[TriedRow], str]:
    if sent.text("rows").strip():
        rows = [tried_row(_unfolded(given)) for given in read_rows(sent.text("rows"), "rows")]
        return rows, f"{len(rows)} pasted row{'' if len(rows) == 1 else 's'}"
    kind, _, name = sent.text("dataset").partition(":")
    given = {"kind": kind, "sha256" if kind == "uploaded" else "name": name}
    try:
        ref = REF.validate_python(given)
    except ValidationError:
        raise _missing("dataset", "Choose a dataset, or paste rows.") from None
    rows = rows_of_dataset(parts.database, parts.worker, ref)
    return rows, f"the first {len(rows)} rows of {_title(parts, ref)}"


def _unfolded(given: dict[str, Any]) -> dict[str, Any]:
    """A row may come as in a dataset, or with its fields under `item`."""
    inside = given.get("item")
    return {key: value for key, value in given.items() if key != "item"} | (
        inside if isinstance(inside, dict) else {}
    )


def _title(parts: Parts, ref: DatasetRef) -> str:
    if ref.kind == "generated":
        return generated.TASKS[ref.name].title
    with parts.database.reading() as session:
        found = session.scalars(select(Dataset).where(Dataset.sha256 == ref.sha256)).first()
    return found.name if found else "a dataset"


def _expert_pass(sent: Sent) -> float | None:
    text = sent.text("expert_pass").strip()
    if not text:
        return None
    if not NUMBER.fullmatch(text) or abs(float(text)) > 1e9:
        raise _missing("expert_pass", "The experts’ threshold must be a number with a point, such as 3.5.")
    return float(text)


def _missing(where: str, sentence: str) -> InvalidInput:
    return InvalidInput(sentence, (Problem(where=where, what=sentence),))


# The page


def _page(
    request: Request,
    session: Session,
    grader: NamedGrader,
    sent: Sent,
    tried: Trial | None = None,
    report: TrialReport | None = None,
    problems: Sequence[Problem] = (),
) -> Response:
    parts: Parts = request.app.state.parts
    return render(
        request,
        "grader_try.html",
        422 if problems else 200,
        grader=grader,
        form=sent.typed,
        problems=problems,
        scored=list(zip(tried.answers, report.outcomes, strict=True)) if tried and report else [],
        seconds=report.answers_seconds if report else 0.0,
        remark=report.remark if report else "",
        passes_from=pass_threshold(grader.spec),
        datasets=_datasets(session),
        runs=[("", "The answers below"), *((str(run.id), run.spec.name) for run in evaluated_runs(session))],
        settings=parts.settings,
        lasted=named_graders.lasted,
    )


def _datasets(session: Session) -> list[tuple[str, str]]:
    own = session.scalars(select(Dataset).order_by(Dataset.created_at.desc()).limit(100))
    return [
        *((f"uploaded:{each.sha256}", each.name) for each in own),
        *((f"generated:{name}", f"{task.title} (generated)") for name, task in generated.TASKS.items()),
    ]
