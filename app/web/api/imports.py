"""An exported decision brought in over REST."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.advisor.decision_file import DecisionFile
from app.errors import Conflict
from app.http_json import StrictRoute
from app.web.api.assessments import AssessmentView, MilestoneView, assessment_view, milestone_view
from app.web.deps import PartsDep, SessionDep
from app.web.imports import RulebookMissing, bring_in

router = APIRouter(tags=["assessments"], route_class=StrictRoute)


class ImportView(BaseModel):
    assessment: AssessmentView
    milestone: MilestoneView
    reproduced: bool | None
    """Whether the result came out the same, byte for byte; null under another rulebook."""
    differing: list[str]
    """Parts of the recommendation that came out otherwise."""


@router.post(
    "/assessments/import", status_code=201, summary="Import a decision exported as JSON, and decide it again"
)
def import_decision(
    body: DecisionFile,
    session: SessionDep,
    parts: PartsDep,
    response: Response,
    under: Literal["its_own", "in_force"] = "its_own",
) -> ImportView:
    """409 where the file's rulebook is not in store; `under=in_force` then takes the answers alone."""
    try:
        imported = bring_in(session, parts.rulebooks, body, under == "in_force")
    except RulebookMissing as error:
        raise Conflict(f"{error.sentence} Send it again with `?under=in_force` for that.") from None
    response.headers["Location"] = f"/api/v1/assessments/{imported.assessment.id}"
    return ImportView(
        assessment=assessment_view(imported.assessment),
        milestone=milestone_view(imported.milestone),
        reproduced=imported.reproduced,
        differing=list(imported.differing),
    )
