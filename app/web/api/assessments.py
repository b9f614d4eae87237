"""Assessments: a project with its answers, weights and frozen recommendations."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from app import runs
from app.advisor.advice import Basis, Recommendation
from app.advisor.rulebook import Rulebook
from app.advisor.rungs import stands_on
from app.errors import Conflict, Malformed, NotFound, Outdated, WrongMediaType
from app.http_json import StrictRoute
from app.models import Assessment, Milestone
from app.protocol import Message, Name
from app.strict_json import strict_loads
from app.web import assessing, etags, launch_defaults, launch_form
from app.web.api.examples import ANSWERS, CHANGES, NEW_ASSESSMENT
from app.web.api.paging import Cursor, Limit, Page, page_of
from app.web.api.recommendations import MOST_ANSWERS
from app.web.api.runs import Launch
from app.web.deps import AssessmentDep, ItsRulebookDep, RulebookDep, SessionDep
from app.web.inspecting import chosen_by

router = APIRouter(tags=["assessments"], route_class=StrictRoute)

Description = Annotated[str, StringConstraints(max_length=4000)]
Weights = Annotated[dict[str, float], Field(max_length=20)]
Measurements = Annotated[dict[str, float], Field(max_length=50)]


class NewAssessment(Message):
    name: Name
    description: Description = ""
    answers: Annotated[dict[str, Any], Field(max_length=MOST_ANSWERS, default_factory=dict)]
    weights: Annotated[Weights, Field(default_factory=dict)]
    """Empty means the rulebook's own."""
    measurements: Annotated[Measurements, Field(default_factory=dict)]
    """What an inspection or a probe found, by the names the rulebook's gates use."""


class Changes(Message):
    name: Name | None = None
    description: Description | None = None
    weights: Weights | None = None
    measurements: Measurements | None = None


class MilestoneView(BaseModel):
    id: UUID
    number: int
    kind: str
    label: str
    name: str
    description: str
    status: Literal["proposed", "accepted", "rejected", "deprecated", "superseded"]
    owner: str
    review_by: date | None
    supersedes_id: UUID | None
    """The `id` of the recommendation that this one takes the place of."""
    created_at: datetime
    rulebook_version: str
    rulebook_checksum: str
    answers: dict[str, Any]
    weights: dict[str, float]
    measurements: dict[str, float]
    stands_on: dict[Basis, int]
    """How many of its answers stand on each rung of the ladder of evidence."""
    recommendation: Recommendation


class AssessmentView(BaseModel):
    id: UUID
    name: str
    description: str
    answers: dict[str, Any]
    weights: dict[str, float]
    measurements: dict[str, float]
    rulebook_version: str
    dataset: str | None
    """The one it is linked to: its id, or `generated:<name>`."""
    milestones: int
    """How often a recommendation was frozen."""
    created_at: datetime
    updated_at: datetime


class AnswerView(BaseModel):
    question: str
    answer: Any
    revision: int


@router.get("/assessments", summary="All assessments, newest first")
def list_assessments(session: SessionDep, limit: Limit = 50, cursor: Cursor = None) -> Page[AssessmentView]:
    found, following = page_of(session, Assessment, limit, cursor)
    return Page(items=[assessment_view(assessment) for assessment in found], next=following)


@router.post("/assessments", status_code=201, summary="Begin an assessment")
def create_assessment(
    body: Annotated[NewAssessment, Body(openapi_examples=NEW_ASSESSMENT)],
    session: SessionDep,
    rulebook: RulebookDep,
    response: Response,
) -> AssessmentView:
    assessment = Assessment(
        name=body.name,
        description=body.description,
        weights=body.weights,
        measurements=body.measurements,
        rulebook_version=rulebook.version,
        rulebook_checksum=rulebook.checksum,
        answers=[],
        milestones=[],
    )
    for question, given in body.answers.items():
        assessing.answer(assessment, question, given)
    _check(assessment, rulebook)
    session.add(assessment)
    session.flush()
    response.headers["Location"] = f"/api/v1/assessments/{assessment.id}"
    return assessment_view(assessment)


IfMatch = Annotated[
    str | None,
    Header(
        description="The ETag that was read: the change is refused with 412 if something else stands there."
    ),
]


CHANGED_MEANWHILE: dict[int | str, Any] = {
    412: {"description": "It was changed since; `present` and `ETag` tell what stands there."}
}


@router.get("/assessments/{assessment_id}", summary="An assessment with its answers")
def show_assessment(assessment: AssessmentDep, response: Response) -> AssessmentView:
    """Its `ETag` names what was read, for `If-Match` on a change."""
    view = assessment_view(assessment)
    response.headers["ETag"] = etags.of_view(view)
    return view


@router.patch(
    "/assessments/{assessment_id}",
    summary="Change name, description, weights or measurements",
    responses=CHANGED_MEANWHILE,
)
def change_assessment(
    body: Annotated[Changes, Body(openapi_examples=CHANGES)],
    assessment: AssessmentDep,
    rulebook: ItsRulebookDep,
    response: Response,
    if_match: IfMatch = None,
) -> AssessmentView:
    present = assessment_view(assessment)
    if not etags.matches(if_match, etags.of_view(present)):
        raise Outdated(present=present.model_dump(mode="json"), etag=etags.of_view(present))
    for field, value in body.model_dump(exclude_none=True).items():
        assessing.change(assessment, field, value)
    _check(assessment, rulebook)
    view = assessment_view(assessment)
    response.headers["ETag"] = etags.of_view(view)
    return view


@router.delete("/assessments/{assessment_id}", status_code=204, summary="Delete an assessment; its runs stay")
def delete_assessment(assessment: AssessmentDep, session: SessionDep) -> None:
    runs.delete_assessment(session, assessment)


async def _wire(request: Request) -> Any:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise WrongMediaType("Send the answer as JSON, with `Content-Type: application/json`.")
    body = await request.body()
    if not body:
        raise Malformed("The answer is missing; send `null` for one that is not known yet.")
    return strict_loads(body)


ANSWER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "examples": ANSWERS,
                "schema": {
                    "description": "A choice, a quantity, `not_applicable`, null for not known yet, "
                    "or an object with choice or quantity, basis, note and evidence."
                },
            }
        },
    }
}


@router.get("/assessments/{assessment_id}/answers/{question}", summary="One answer")
def show_answer(
    question: str, assessment: AssessmentDep, rulebook: ItsRulebookDep, response: Response
) -> AnswerView:
    """Its `ETag` names it as it stands, for `If-Match` on a change; what is not answered has revision 0."""
    _known(question, rulebook)
    return _answer_view(assessment, question, response)


@router.put(
    "/assessments/{assessment_id}/answers/{question}",
    summary="Answer a question",
    openapi_extra=ANSWER,
    responses=CHANGED_MEANWHILE,
)
def put_answer(
    question: str,
    given: Annotated[Any, Depends(_wire)],
    assessment: AssessmentDep,
    rulebook: ItsRulebookDep,
    response: Response,
    if_match: IfMatch = None,
) -> AnswerView:
    """The same answer again changes nothing. 412 tells what stands there, and its ETag."""
    _known(question, rulebook)
    rulebook.read({"answers": {question: given}})
    present = _answer_view(assessment, question, response)
    etag = response.headers["ETag"]
    if not etags.matches(if_match, etag) and present.answer != given:
        raise Outdated(
            "This answer was changed since you read it.", present=present.model_dump(mode="json"), etag=etag
        )
    assessing.answer(assessment, question, given)
    return _answer_view(assessment, question, response)


def _known(question: str, rulebook: Rulebook) -> None:
    if question not in rulebook.questions:
        raise NotFound(f"There is no such question; the questions are {', '.join(rulebook.questions)}.")


def _answer_view(assessment: Assessment, question: str, response: Response) -> AnswerView:
    row = next((row for row in assessment.answers if row.question == question), None)
    view = AnswerView(
        question=question, answer=row.answer if row else None, revision=row.revision if row else 0
    )
    response.headers["ETag"] = etags.of_answer(row)
    return view


@router.post(
    "/assessments/{assessment_id}/recommendation", status_code=201, summary="Recommend, and freeze the result"
)
def freeze_recommendation(
    assessment: AssessmentDep, session: SessionDep, rulebook: ItsRulebookDep
) -> MilestoneView:
    return milestone_view(assessing.freeze(session, assessment, rulebook))


@router.get("/assessments/{assessment_id}/recommendation", summary="The latest frozen recommendation")
def show_recommendation(assessment: AssessmentDep) -> MilestoneView:
    return milestone_view(latest_of(assessment))


@router.get("/assessments/{assessment_id}/plan", summary="The recommended plan, ready to launch")
def show_plan(assessment: AssessmentDep) -> Launch:
    """On the starter model, with the task that fits the advice. Change what you like and POST it to /runs."""
    advice = latest_of(assessment).recommendation
    if advice.plan.id == "not_yet":
        raise Conflict(f"There is nothing to launch yet. {advice.plan.sentence}")
    form = launch_defaults.from_advice(assessment.name, advice, has_pairs=False)
    return Launch(plan=launch_form.read(form).specs, assessment=assessment.id)


def latest_of(assessment: Assessment) -> Milestone:
    found = assessing.latest(assessment)
    if found is None:
        raise NotFound("Nothing was recommended yet; POST to this address first.")
    return found


def _check(assessment: Assessment, rulebook: Rulebook) -> None:
    """Refuse what could not be recommended on later."""
    assessing.project(assessment, rulebook)


def assessment_view(assessment: Assessment) -> AssessmentView:
    return AssessmentView(
        id=assessment.id,
        name=assessment.name,
        description=assessment.description,
        answers=assessing.answers(assessment),
        weights=assessment.weights,
        measurements=assessment.measurements,
        rulebook_version=assessment.rulebook_version,
        dataset=chosen_by(assessment.dataset_id),
        milestones=len(assessment.decisions),
        created_at=assessment.created_at,
        updated_at=assessment.updated_at,
    )


def milestone_view(milestone: Milestone) -> MilestoneView:
    told = {name: getattr(milestone, name) for name in MilestoneView.model_fields if name != "stands_on"}
    return MilestoneView(**told, stands_on=stands_on(milestone.recommendation.contributions))
