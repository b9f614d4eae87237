"""The playground page of a run: one prompt, two answers side by side, as they are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound, Problem, TuningForkError
from app.http_json import problems_of
from app.models import Report, Run
from app.protocol import (
    Answered,
    Asked,
    EvaluationEvent,
    Outcome,
    PlaygroundLine,
    PlaygroundQuestion,
    SampledAnswer,
    Side,
    Trouble,
)
from app.web.deps import RunDep, SessionDep, Typed, WorkerDep, render
from app.web.run_words import model_words

router = APIRouter()

LINE: TypeAdapter[PlaygroundLine] = TypeAdapter(PlaygroundLine)

LONGEST_CHOICE = 70
"""Characters of a held-out prompt in the list to choose from."""

USUAL = {"prompt": "", "system": "", "item": "", "temperature": "1.0", "max_tokens": "256", "seed": "0"}

UNASKABLE = {
    "reward_model": "A reward model scores answers and writes none, so there is nothing to ask it.",
    "probe": "A probe trains no model; its page shows what the starting model answered.",
    "starter": "The starter model was made from nothing. Play with a run that starts from it.",
}


@dataclass(frozen=True)
class Exchange:
    """What both said, once they have said it."""

    asked: Asked | None
    answers: dict[Side, Answered]
    trouble: str


@router.get("/runs/{run_id}/playground")
def show_playground(
    request: Request,
    run: RunDep,
    session: SessionDep,
    item: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    form = USUAL | ({"item": str(item)} if item is not None else {})
    return _show(request, session, run, form)


@dataclass(frozen=True)
class Asking:
    """A form that was sent, and what came of it; the worker is asked before the transaction begins."""

    form: dict[str, str]
    problems: Sequence[Problem] = ()
    exchange: Exchange | None = None


def asking(run_id: UUID, form: Typed, worker: WorkerDep) -> Asking:
    given = USUAL | {name: form.get(name, "") for name in USUAL}
    try:
        question = _question(given)
    except ValidationError as error:
        return Asking(given, tuple(_problem(each) for each in problems_of(error.errors())))
    try:
        return Asking(given, exchange=_heard(worker, run_id, question))
    except TuningForkError as error:
        if isinstance(error, NotFound):
            raise
        return Asking(given, problems=(Problem(where="", what=error.sentence),))


@router.post("/runs/{run_id}/playground")
def post_question(
    request: Request, asking: Annotated[Asking, Depends(asking)], run: RunDep, session: SessionDep
) -> Response:
    """Without JavaScript: waits, and shows both answers whole."""
    return _show(request, session, run, asking.form, asking.problems, asking.exchange)


def _show(
    request: Request,
    session: Session,
    run: Run,
    form: dict[str, str],
    problems: Sequence[Problem] = (),
    exchange: Exchange | None = None,
) -> Response:
    samples = held_out(session, run)
    return render(
        request,
        "playground.html",
        422 if problems else 200,
        run=run,
        base=model_words(run.spec.model) if run.starts_from is None else "the model of the run before it",
        why_not=why_not(run),
        form=form,
        problems=problems,
        exchange=exchange,
        choices=[("", "Write my own"), *((str(each.item), _in_short(each)) for each in samples)],
        prompts={each.item: each.prompt for each in samples},
        grader=run.spec.grader.name if run.spec.grader else "",
        outcome_words=outcome_words,
    )


def why_not(run: Run) -> str:
    """Why this run has no playground, or nothing."""
    if run.kind in UNASKABLE:
        return UNASKABLE[run.kind]
    return "" if run.state.is_over else "The run is not over yet. Its model can be asked when it is."


def held_out(session: Session, run: Run) -> list[SampledAnswer]:
    """The rows that the run's evaluation shows, which its grader can score."""
    found = session.scalars(
        select(Report.what)
        .where(Report.run_id == run.id, Report.kind == "evaluation")
        .order_by(Report.seq.desc())
    )
    measured = (what.evaluation for what in found if isinstance(what, EvaluationEvent))
    return next((each.samples for each in measured if each.task == "main"), [])


def outcome_words(outcome: Outcome) -> tuple[str, str]:
    """Kind of mark, and the grader's word on one answer."""
    match outcome.kind:
        case "score":
            full = outcome.value == 1
            return ("ok" if full else "bad"), ("right" if full else f"{outcome.value:.2f} of 1")
        case "abstain":
            return "idle", f"not scored: {outcome.why}"
        case _:
            return "idle", f"grader failed: {outcome.why}"


def _question(form: dict[str, str]) -> PlaygroundQuestion:
    """Numbers as people type them; what is no number is told by the field's own rule."""
    return PlaygroundQuestion.model_validate(
        {
            "prompt": form["prompt"].replace("\r\n", "\n"),
            "system": form["system"].replace("\r\n", "\n"),
            "item": _number(form["item"]) if form["item"] else None,
            "temperature": _number(form["temperature"], float),
            "max_tokens": _number(form["max_tokens"]),
            "seed": _number(form["seed"]),
        }
    )


def _number(text: str, kind: type[int] | type[float] = int) -> int | float | str:
    try:
        return kind(text.strip().replace(",", ".") if kind is float else text.strip())
    except ValueError:
        return text


def _problem(problem: Problem) -> Problem:
    """What is wrong with the question as a whole stands beside the prompt."""
    return Problem(where="prompt", what=problem.what) if problem.where == "body" else problem


def _heard(worker: WorkerDep, run_id: UUID, question: PlaygroundQuestion) -> Exchange:
    content = b"".join(worker.play(run_id, question))
    lines = [LINE.validate_json(line) for line in content.splitlines() if line]
    return Exchange(
        asked=next((line for line in lines if isinstance(line, Asked)), None),
        answers={line.side: line for line in lines if isinstance(line, Answered)},
        trouble=next((line.sentence for line in lines if isinstance(line, Trouble)), ""),
    )


def _in_short(sample: SampledAnswer) -> str:
    text = " ".join(sample.prompt.split())
    cut = text if len(text) <= LONGEST_CHOICE else text[: LONGEST_CHOICE - 1] + "…"
    return f"Held-out row {sample.item + 1}: {cut}"
