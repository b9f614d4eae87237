"""A probe of an assessment: the starting model tried before anything is trained."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Response

from app import runs
from app.errors import InvalidInput, Problem
from app.http_json import StrictRoute
from app.models import Assessment
from app.protocol import DatasetRef, Grader, Message, ModelRef, Name, ProbeRecipe, RunId, RunSpec
from app.web import probe_form
from app.web.api.runs import Key
from app.web.deps import AssessmentDep, ItsReadableRulebookDep, SessionDep, SettingsDep, SweepDep

router = APIRouter(tags=["runs"], route_class=StrictRoute)


class ProbeOrder(Message):
    """What is left out is as it was chosen before: in the last launch of this assessment, or its dataset."""

    name: Name | None = None
    model: ModelRef | None = None
    starts_from: RunId | None = None
    dataset: DatasetRef | None = None
    grader: Grader | None = None
    recipe: ProbeRecipe | None = None
    seed: int | None = None


RULINGS = {
    "model": {"kind": "starter"},
    "dataset": {"kind": "generated", "name": "rulings"},
    "grader": {
        "type": "regex",
        "name": "ruling",
        "pattern": "Ruling: (\\w+)",
        "match": "last",
        "reference": "{{ item.answer }}",
    },
}
WARMER = {"kind": "probe", "prompts": 64, "samples": 8, "temperature": 1.2}

ORDERS = {
    "starter": {"summary": "The starter model on the rulings", "value": RULINGS},
    "warmer": {"summary": "The same on more prompts, and warmer", "value": RULINGS | {"recipe": WARMER}},
}


@router.post("/assessments/{assessment_id}/probe", status_code=201, summary="Probe the starting model")
def probe_assessment(
    assessment: AssessmentDep,
    rulebook: ItsReadableRulebookDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    response: Response,
    after: BackgroundTasks,
    order: Annotated[ProbeOrder | None, Body(openapi_examples=ORDERS)] = None,
    key: Key = None,
) -> runs.Standing:
    """A run of kind `probe`, told about like any other; its report is the run's `probe`, and what it
    suggests is among the assessment's proposals once it has succeeded."""
    known = probe_form.known(session, assessment, rulebook)
    spec = _spec(assessment, order or ProbeOrder(), known)
    launched, is_new = runs.launch(session, [spec], settings, assessment=assessment, key=key)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/runs/{launched[0].id}"
    after.add_task(sweep.wake)
    return runs.standing(session, launched[0])


def _spec(assessment: Assessment, order: ProbeOrder, known: RunSpec | None) -> RunSpec:
    given = {name: value for name, value in order if value is not None}
    if order.model is not None or order.starts_from is not None:
        given["starts_from"] = order.starts_from
    usual: dict[str, Any] = {"name": probe_form.name_for(assessment.name), "recipe": ProbeRecipe()}
    if known is not None:
        usual = {name: getattr(known, name) for name in ProbeOrder.model_fields}
        usual["evaluation"] = known.evaluation
    return whole(usual | given, "It is not known what to probe.")


def whole(asked: Mapping[str, Any], lacking: str) -> RunSpec:
    """Raises InvalidInput with the sentence `lacking` where model, dataset or grader is not known."""
    missing = [name for name in ("model", "dataset", "grader") if asked.get(name) is None]
    if missing:
        what = "name it: nothing was launched for this assessment before that says which"
        raise InvalidInput(lacking, tuple(Problem(where=name, what=what) for name in missing))
    return RunSpec.model_validate(asked)
