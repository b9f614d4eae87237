"""Graders over HTTP: checked, and tried out before they reward anything."""

import time

from fastapi import APIRouter

from app.errors import InvalidInput
from app.graders.grading import check
from app.graders.trying import try_out
from app.http_json import StrictRoute
from app.protocol import GradeRequest, Outcome, Trial, TrialReport, TriedAnswer
from app.worker.parts import PartsDep
from app.worker.reward_trials import reward_models, try_with_models

router = APIRouter(route_class=StrictRoute)


@router.post("/grade")
def grade_answer(request: GradeRequest, parts: PartsDep) -> Outcome:
    answer = TriedAnswer(output_text=request.output_text, item=request.item, prompt=request.prompt)
    return _tried(Trial(grader=request.grader, answers=[answer]), parts).outcomes[0]


@router.post("/graders/try")
def try_grader(trial: Trial, parts: PartsDep) -> TrialReport:
    """With neither answers nor rows this is a check: 422 names every problem of the grader."""
    return _tried(trial, parts)


def _tried(trial: Trial, parts: PartsDep) -> TrialReport:
    if problems := check(trial.grader):
        raise InvalidInput("This grader cannot be used.", problems)
    models = reward_models(trial.grader, parts.around)
    if models and (trial.answers or trial.rows):
        return try_with_models(trial, models, parts.around)
    return try_out(trial, parts.bench.grade, time.perf_counter)
