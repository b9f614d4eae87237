"""The launch form's grader, tried on the dataset's own first answer before anything is launched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends

from app.errors import TuningForkError
from app.protocol import GradeRequest, Outcome
from app.web import launch_form, launch_graders
from app.web.deps import Typed, WorkerDep
from app.web.launch_stock import Stock, StockDep
from app.web.trial_material import tried_row


@dataclass(frozen=True)
class Trial:
    kind: str
    sentence: str


def trial(form: Typed, stock: StockDep, worker: WorkerDep) -> Trial | None:
    """The grader tried on the dataset's own first answer, before the request's transaction begins."""
    row = _first_demonstration(form, stock)
    # A stored grader was tried where it was made.
    if form.get("action") != "check" or row is None or form.get("grader") not in launch_graders.TYPED:
        return None
    specs = launch_form.read(form).specs
    if not specs or specs[0].grader is None:
        return None
    answer, item = row
    try:
        outcome = worker.grade(GradeRequest(grader=specs[0].grader, output_text=answer, item=item))
    except TuningForkError:
        return None
    return _tried(outcome)


def _tried(outcome: Outcome) -> Trial:
    match outcome.kind:
        case "score" if outcome.value == 1:
            return Trial("ok", "It scores the first demonstration’s own answer as right.")
        case "score":
            return Trial(
                "bad", f"It gives the first demonstration’s own answer {outcome.value:g} of 1. Is it right?"
            )
        case "abstain":
            return Trial("bad", f"It does not apply to the first demonstration’s own answer: {outcome.why}")
        case "error":
            return Trial("bad", f"It failed on the first demonstration’s own answer: {outcome.why}")


def _first_demonstration(form: Mapping[str, str], stock: Stock) -> tuple[str, dict[str, object]] | None:
    summary = stock.datasets.get(form.get("dataset", "").partition(":")[2])
    rows = (_first_answer(row) for row in (summary.preview if summary else []))
    return next((row for row in rows if row), None)


def _first_answer(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """A demonstration's own answer and its fields, to try a grader on."""
    messages = row.get("messages") or []
    if not messages or messages[-1].get("role") != "assistant":
        return None
    return str(messages[-1].get("content", "")), tried_row(row).item


TrialDep = Annotated[Trial | None, Depends(trial)]
