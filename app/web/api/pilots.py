"""Pilots: both methods tried on equal terms, compared with intervals, and what that does to the advice."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Response

from app import pilots
from app.http_json import StrictRoute
from app.models import Assessment, Pilot
from app.pilots import PilotPlan
from app.protocol import (
    DatasetRef,
    EvaluationPlan,
    Grader,
    GrpoRecipe,
    Message,
    ModelRef,
    Name,
    ProbeRecipe,
    Recipe,
    RunId,
    RunSpec,
    SftRecipe,
)
from app.web import pilot_form, probe_form
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.api.probes import RULINGS, whole
from app.web.api.runs import Key
from app.web.deps import AssessmentDep, ItsReadableRulebookDep, SessionDep, SettingsDep, SweepDep
from app.web.launch_stock import StockDep
from app.web.pilot_deps import PilotDep, PilotViewDep
from app.web.pilot_view import PilotSummary, PilotView, summary, view

router = APIRouter(tags=["pilots"], route_class=StrictRoute)


class PilotRecipes(Message):
    """Instead of the usual settings for model and data. A budget of minutes ends each training, its learning
    rate stays constant, and each arm keeps its best checkpoint, whatever a recipe says."""

    sft: SftRecipe | None = None
    warm_start: SftRecipe | None = None
    grpo: GrpoRecipe | None = None


class PilotOrder(Message):
    """What is left out is as it was chosen before: in the last launch of this assessment, or its dataset."""

    name: Name | None = None
    plan: PilotPlan | None = None
    model: ModelRef | None = None
    starts_from: RunId | None = None
    dataset: DatasetRef | None = None
    grader: Grader | None = None
    evaluation: EvaluationPlan | None = None
    recipes: PilotRecipes = PilotRecipes()
    seed: int | None = None


THREE_SEEDS = {"minutes": 10.0, "arms": ["sft", "grpo", "sft_then_grpo"], "seeds": 3}

ORDERS = {
    "starter": {"summary": "The starter model on the rulings", "value": RULINGS},
    "three_seeds": {
        "summary": "Ten minutes for each of three arms, three times",
        "value": RULINGS | {"plan": THREE_SEEDS},
    },
}


@router.post("/assessments/{assessment_id}/pilots", status_code=201, summary="Let both methods try")
def launch_pilot(
    assessment: AssessmentDep,
    rulebook: ItsReadableRulebookDep,
    stock: StockDep,
    session: SessionDep,
    settings: SettingsDep,
    sweep: SweepDep,
    response: Response,
    after: BackgroundTasks,
    order: Annotated[PilotOrder | None, Body(openapi_examples=ORDERS)] = None,
    key: Key = None,
) -> PilotView:
    """Its runs wait for each other on one device. It overrides no advice: it finds out whether it holds.
    When all are over, what it showed is among the assessment's proposals."""
    asked = order or PilotOrder()
    known = probe_form.known(session, assessment, rulebook)
    base = _base(assessment, asked, known)
    plan = asked.plan or PilotPlan(minutes=pilot_form.usual_minutes(base), arms=list(pilots.ARMS))
    recipes = _recipes(asked.recipes)
    pilot, is_new = pilot_form.launch(session, stock, assessment, base, plan, settings, key, recipes)
    session.flush()
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/pilots/{pilot.id}"
    after.add_task(sweep.wake)
    return view(session, pilot, rulebook)


def _base(assessment: Assessment, order: PilotOrder, known: RunSpec | None) -> RunSpec:
    fields = ("name", "model", "starts_from", "dataset", "grader", "evaluation", "seed")
    given = {name: value for name in fields if (value := getattr(order, name)) is not None}
    if order.model is not None and order.starts_from is None:
        given["starts_from"] = None
    usual: dict[str, Any] = {"name": pilot_form.name_for(assessment.name), "recipe": ProbeRecipe()}
    if known is not None:
        usual |= {name: getattr(known, name) for name in fields if name != "name"}
    return whole(usual | given, "It is not known what to try both methods on.")


def _recipes(given: PilotRecipes) -> dict[str, Recipe]:
    return {name: recipe for name, recipe in given if recipe is not None}


@router.get("/pilots", summary="All pilots, newest first")
def list_pilots(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> Page[PilotSummary]:
    found, following = page_of(session, Pilot, limit, cursor)
    return Page(items=[summary(session, pilot) for pilot in found], next=following)


@router.get("/pilots/{pilot_id}", summary="Where a pilot stands, what it measured, and what that changes")
def show_pilot(shown: PilotViewDep) -> PilotView:
    return shown


@router.post("/pilots/{pilot_id}/cancel", status_code=202, summary="Ask all runs of a pilot to stop")
def cancel_pilot(
    pilot: PilotDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks
) -> PilotSummary:
    pilots.cancel(session, pilot)
    after.add_task(sweep.wake)
    return summary(session, pilot)


@router.delete("/pilots/{pilot_id}", status_code=204, summary="Delete a pilot that is over, with its runs")
def delete_pilot(pilot: PilotDep, session: SessionDep, sweep: SweepDep, after: BackgroundTasks) -> None:
    pilots.delete(session, pilot)
    after.add_task(sweep.wake)
