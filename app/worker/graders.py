"""Graders over HTTP: checked, and tried out before they reward anything."""

import time

from fastapi import APIRouter

from app.errors import InvalidInput
from app.graders.bench import Answer, Bench
from app.graders.grading import check
from app.graders.trying import try_out
from app.http_json import StrictRoute
from app.protocol import Grader, GradeRequest, Outcome, Trial, TrialReport

router = APIRouter(route_class=StrictRoute)


@router.post("/grade")
def grade_answer(request: GradeRequest) -> Outcome:
    _refuse_unusable(request.grader)
    with Bench() as bench:
        return bench.grade(request.grader, [Answer(request.output_text, request.item, request.prompt)])[0]


@router.post("/graders/try")
def try_grader(trial: Trial) -> TrialReport:
    """With neither answers nor rows this is a check: 422 names every problem of the grader."""
    _refuse_unusable(trial.grader)
    with Bench() as bench:
        return try_out(trial, bench.grade, time.perf_counter)


def _refuse_unusable(grader: Grader) -> None:
    if problems := check(grader):
        raise InvalidInput("This grader cannot be used.", problems)
