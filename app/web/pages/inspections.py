"""Linking a dataset and an assessment, from either's page: what it says is proposed."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Response
from starlette.responses import RedirectResponse

from app.datasets import generated
from app.errors import InvalidInput, NotFound, Problem
from app.web import inspecting
from app.web.deps import AssessmentDep, Parts, PartsDep, SessionDep

router = APIRouter()

Chosen = Annotated[str, Form(max_length=100)]


@router.post("/assessments/{assessment_id}/dataset")
def link(assessment_id: UUID, parts: PartsDep, dataset: Chosen = "") -> Response:
    return _inspected(parts, assessment_id, dataset)


@router.post("/assessments/{assessment_id}/dataset/unlink")
def unlink(assessment: AssessmentDep, session: SessionDep) -> Response:
    inspecting.unlink(session, assessment)
    return RedirectResponse(f"/assessments/{assessment.id}#data", 303)


@router.post("/datasets/{dataset_id}/inspect")
def link_from_dataset(dataset_id: UUID, parts: PartsDep, assessment: Chosen = "") -> Response:
    return _inspected(parts, _assessment_id(assessment), str(dataset_id))


@router.post("/datasets/generated/{name}/inspect")
def link_from_generated(name: str, parts: PartsDep, assessment: Chosen = "") -> Response:
    if name not in generated.NAMES:
        raise NotFound("There is no generated dataset of this name.")
    return _inspected(parts, _assessment_id(assessment), f"{inspecting.GENERATED}{name}")


def _assessment_id(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise InvalidInput(
            "Choose an assessment.", (Problem(where="assessment", what="Choose one."),)
        ) from None


def _inspected(parts: Parts, assessment_id: UUID, chosen: str) -> Response:
    inspecting.inspect(parts, assessment_id, chosen)
    return RedirectResponse(f"/assessments/{assessment_id}/proposals?inspected=true", 303)
