"""The worker: how it is, what it has, and trying a grader on it."""

from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel

from app.http_json import StrictRoute
from app.protocol import GradeRequest, ModelSummary, Outcome, WorkerHealth
from app.web.api.examples import GRADES
from app.web.deps import WorkerDep

router = APIRouter(tags=["worker"], route_class=StrictRoute)


class WorkerView(BaseModel):
    health: WorkerHealth
    models: list[ModelSummary]


@router.get("/worker", summary="Device, versions, queue, disk and models of the worker")
def show_worker(worker: WorkerDep) -> WorkerView:
    return WorkerView(health=worker.health(), models=worker.models())


@router.post("/grade", summary="Try a grader on one answer")
def grade(request: Annotated[GradeRequest, Body(openapi_examples=GRADES)], worker: WorkerDep) -> Outcome:
    """Runs on the worker. The outcome is a score, an abstention, or an error of the grader itself."""
    return worker.grade(request)
