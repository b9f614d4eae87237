"""Other answers beside a saved result, and an assessment's history: what the pages offer, for programs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel, Field
from sqlalchemy import select

from app.http_json import StrictRoute
from app.models import Change
from app.protocol import Message, Name
from app.web import assessing
from app.web.api.assessments import (
    AssessmentView,
    MilestoneView,
    Weights,
    assessment_view,
    milestone_view,
)
from app.web.api.milestones import milestone_at
from app.web.api.recommendations import MOST_ANSWERS, included
from app.web.deps import (
    AssessmentDep,
    ItsRulebookDep,
    LookedAtDep,
    PartsDep,
    ReadingDep,
    SessionDep,
)
from app.web.differing import Difference, change_in_words
from app.web.whatif import Verdict, WhatIf, verdict_of, what_if

router = APIRouter(tags=["assessments"], route_class=StrictRoute)


class Tried(Message):
    """What is to be different from the saved result; everything else stays as it was frozen."""

    answers: Annotated[dict[str, Any], Field(max_length=MOST_ANSWERS, default_factory=dict)]
    """By question id. Null makes an answer unknown."""
    weights: Weights | None = None
    milestone: int | None = None
    """The recommendation or scenario to start from; the latest recommendation where left out."""


class Scenario(Tried):
    label: Name
    """What it is called."""


TRIED: Any = {
    "an answer": {
        "summary": "What if the model never succeeded?",
        "value": {"answers": {"D5": "under_2"}},
    }
}
SCENARIO: Any = {
    "named": {
        "summary": "Keep other answers under a name",
        "value": {"label": "Ten times the budget", "answers": {"C2": {"gpu_hours": 1000}}},
    }
}


@router.post("/assessments/{assessment_id}/whatif", summary="The advice under other answers; keeps nothing")
def try_answers(
    body: Annotated[Tried, Body(openapi_examples=TRIED)],
    assessment: LookedAtDep,
    session: ReadingDep,
    parts: PartsDep,
    include: str = "",
) -> WhatIf:
    """`include` takes `flips`, `robustness` and `estimate`, separated by commas."""
    milestone = milestone_at(assessment, body.milestone)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    weights = milestone.weights if body.weights is None else body.weights
    return what_if(milestone, milestone.answers | body.answers, weights, rulebook, included(include))


@router.post("/assessments/{assessment_id}/scenarios", status_code=201, summary="Keep other answers by name")
def keep_scenario(
    body: Annotated[Scenario, Body(openapi_examples=SCENARIO)],
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
) -> MilestoneView:
    """A scenario is frozen like a recommendation and leaves the assessment's own answers as they are."""
    milestone = milestone_at(assessment, body.milestone)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    weights = milestone.weights if body.weights is None else body.weights
    answers = milestone.answers | body.answers
    rulebook.read({"answers": answers, "weights": weights or None})
    return milestone_view(
        assessing.keep_scenario(session, assessment, milestone, rulebook, answers, weights, body.label)
    )


class NewLabel(Message):
    label: Name


@router.patch("/assessments/{assessment_id}/scenarios/{number}", summary="Rename a scenario")
def rename_scenario(number: int, body: NewLabel, assessment: AssessmentDep) -> MilestoneView:
    scenario = assessing.scenario_of(assessment, number)
    scenario.label = body.label
    return milestone_view(scenario)


@router.delete(
    "/assessments/{assessment_id}/scenarios/{number}", status_code=204, summary="Delete a scenario for good"
)
def delete_scenario(number: int, assessment: AssessmentDep) -> None:
    assessment.milestones.remove(assessing.scenario_of(assessment, number))


class MilestoneLine(BaseModel):
    number: int
    id: str
    kind: Literal["decision", "scenario"]
    label: str
    created_at: datetime
    rulebook_version: str
    verdict: Verdict


@router.get("/assessments/{assessment_id}/milestones", summary="Recommendations and scenarios, oldest first")
def list_milestones(assessment: AssessmentDep) -> list[MilestoneLine]:
    return [
        MilestoneLine(
            number=each.number,
            id=str(each.id),
            kind="scenario" if each.kind == "scenario" else "decision",
            label=each.label,
            created_at=each.created_at,
            rulebook_version=each.rulebook_version,
            verdict=verdict_of(each.recommendation),
        )
        for each in assessment.milestones
    ]


@router.post(
    "/assessments/{assessment_id}/milestones/{number}/restore",
    summary="Make the answers of a recommendation or scenario the present ones",
)
def restore(number: int, assessment: AssessmentDep, rulebook: ItsRulebookDep) -> AssessmentView:
    """What they replace stays in the history."""
    assessing.restore(assessment, assessing.at_number(assessment, number), rulebook)
    return assessment_view(assessment)


class HistoryEntry(BaseModel):
    number: int
    at: datetime
    what: str
    """A question id, or `weights`, `name`, `description`, `measurements`, `rulebook`."""
    before: Any
    after: Any
    why: str
    words: Difference


class History(BaseModel):
    items: list[HistoryEntry]
    """Newest first."""
    next: int | None
    """Send as `before` for the ones before."""


@router.get("/assessments/{assessment_id}/history", summary="Every change of an assessment, newest first")
def show_history(
    assessment: AssessmentDep,
    session: SessionDep,
    rulebook: ItsRulebookDep,
    before: Annotated[int | None, Field(ge=1)] = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 50,
) -> History:
    wanted = select(Change).where(Change.assessment_id == assessment.id)
    if before is not None:
        wanted = wanted.where(Change.number < before)
    found = list(session.scalars(wanted.order_by(Change.number.desc()).limit(limit)))
    return History(items=[_entry(change, rulebook) for change in found], next=_next(found, limit))


def _entry(change: Change, rulebook: ItsRulebookDep) -> HistoryEntry:
    return HistoryEntry(
        number=change.number,
        at=change.at,
        what=change.what,
        before=change.before,
        after=change.after,
        why=change.why,
        words=change_in_words(change, rulebook),
    )


def _next(found: list[Change], limit: int) -> int | None:
    return found[-1].number if len(found) == limit and found[-1].number > 1 else None
