"""One run's evaluation: every grader before and after, what got worse first, answers side by side."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app import runs
from app.web import answer_pairs, evaluation_words, run_words
from app.web.deps import RunDep, SessionDep, render
from app.web.spreadsheet import csv_file

router = APIRouter()

PAIRS_PER_PAGE = 20


@router.get("/runs/{run_id}/evaluation")
def show_evaluation(
    request: Request,
    run: RunDep,
    session: SessionDep,
    blind: Annotated[bool, Query()] = False,
    page: Annotated[int, Query(ge=1, le=1000)] = 1,
) -> Response:
    view = runs.view(session, run)
    results = evaluation_words.grader_results(view.spec, view.before, view.after)
    if blind:
        # Worst first would tell which is which.
        pairs = answer_pairs.pairs_of(view.before, view.after)
    else:
        pairs = answer_pairs.regressions_first(view.before, view.after, results)
    shown = pairs[(page - 1) * PAIRS_PER_PAGE : page * PAIRS_PER_PAGE]
    return render(
        request,
        "run_evaluation.html",
        view=view,
        results=results,
        beside=evaluation_words.beside(view.before, view.after),
        guarded=evaluation_words.guarded(view.guard_before, view.guard_after),
        calibrations=evaluation_words.calibrations(view.before, view.after),
        corrections=evaluation_words.corrections(view.before, view.after),
        pairs=[(pair, answer_pairs.sides(run.id, pair, blind)) for pair in shown],
        left_out=answer_pairs.left_out(pairs, view.before, view.after, results),
        blind=blind,
        page=page,
        pages=max(1, -(-len(pairs) // PAIRS_PER_PAGE)),
        percent=run_words.percent,
        reach=evaluation_words.reach,
        outcome_word=answer_pairs.outcome_word,
    )


@router.get("/runs/{run_id}/evaluation.csv")
def evaluation_csv(run: RunDep, session: SessionDep) -> Response:
    view = runs.view(session, run)
    rows = answer_pairs.as_rows(view.spec, view.before, view.after)
    return csv_file(rows, f"run-{run.id}-evaluation.csv")
