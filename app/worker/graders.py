"""Graders over HTTP: checked, and tried out before they reward anything."""

import time

from fastapi import APIRouter

from app.errors import InvalidInput
from app.graders.answer import Answer
from app.graders.grading import check
from app.graders.trying import try_out
from app.http_json import StrictRoute
from app.protocol import Grader, GradeRequest, Outcome, Trial, TrialReport
from app.worker.parts import PartsDep

router = APIRouter(route_class=StrictRoute)


@router.post("/grade")
def grade_answer(request: GradeRequest, parts: PartsDep) -> Outcome:
    _refuse_unusable(request.grader)
    answer = Answer(request.output_text, request.item, request.prompt)
    return parts.bench.grade(request.grader, [answer])[0]


@router.post("/graders/try")
def try_grader(trial: Trial, parts: PartsDep) -> TrialReport:
    """With neither answers nor rows this is a check: 422 names every problem of the grader."""
    _refuse_unusable(trial.grader)
    return try_out(trial, parts.bench.grade, time.perf_counter)


def _refuse_unusable(grader: Grader) -> None:
    if problems := check(grader):
        raise InvalidInput("This grader cannot be used.", problems)
