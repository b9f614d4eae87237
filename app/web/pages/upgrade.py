"""Moving an assessment to the rulebook in force: what that would change, and doing it."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app.advisor.difference import differences, effect_on
from app.advisor.rulebook import Rulebook
from app.errors import Problem
from app.models import Assessment, StoredRulebook
from app.rulebooks import find
from app.web.answer_form import FormDep
from app.web.assessing import told, upgrade
from app.web.deps import AssessmentDep, ItsReadableRulebookDep, RulebookDep, SessionDep, render
from app.web.rulebook_effects import grouped

router = APIRouter()


@router.get("/assessments/{assessment_id}/upgrade")
def upgrade_page(
    request: Request,
    session: SessionDep,
    assessment: AssessmentDep,
    before: ItsReadableRulebookDep,
    after: RulebookDep,
) -> Response:
    return _page(request, session, assessment, before, after)


@router.post("/assessments/{assessment_id}/upgrade")
def upgrade_now(
    request: Request,
    session: SessionDep,
    assessment: AssessmentDep,
    before: ItsReadableRulebookDep,
    after: RulebookDep,
    form: FormDep,
) -> Response:
    if form.get("to") != after.checksum:
        what = f"Rulebook {after.version} has come into force meanwhile: look at what it changes first."
        return _page(request, session, assessment, before, after, [Problem(where="", what=what)])
    if assessment.rulebook_checksum != after.checksum:
        upgrade(session, assessment, before, after)
    return RedirectResponse(f"/assessments/{assessment.id}", 303)


def _page(
    request: Request,
    session: Session,
    assessment: Assessment,
    before: Rulebook | None,
    after: Rulebook,
    problems: Sequence[Problem] = (),
) -> Response:
    if assessment.rulebook_checksum == after.checksum:
        return RedirectResponse(f"/assessments/{assessment.id}", 303)
    stored = session.get(StoredRulebook, assessment.rulebook_checksum)
    found = differences(stored.files, find(session, after.checksum).files) if stored else ()
    return render(
        request,
        "upgrade.html",
        409 if problems else 200,
        assessment=assessment,
        before=before,
        after=after,
        problems=problems,
        groups=grouped(found),
        effect=effect_on(told(assessment), before, after),
    )
