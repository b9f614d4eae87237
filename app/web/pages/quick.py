"""The quick check: the deciding questions alone, one a page, and what they come to."""

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse

from app.advisor.quick import QuickCheck, deciding, quick_check, quick_recommendation
from app.advisor.rulebook import Rulebook
from app.database import now
from app.errors import Problem
from app.models import Assessment
from app.protocol import Name
from app.web.advice_shown import first_of_all
from app.web.answer_form import FormDep
from app.web.assessing import asked, begun, project, standing
from app.web.deps import AssessmentDep, ItsRulebookDep, RulebookDep, SessionDep, render

router = APIRouter()

NAME: TypeAdapter[str] = TypeAdapter(Name)


@router.get("/quick")
def quick_start(request: Request, rulebook: RulebookDep) -> Response:
    return render(request, "quick.html", most=len(deciding(rulebook)), wanted="", problems=[])


@router.post("/quick")
def begin(request: Request, session: SessionDep, rulebook: RulebookDep, form: FormDep) -> Response:
    typed = form.get("name", "")
    try:
        name = NAME.validate_python(typed or f"Quick check of {now():%-d %B %Y, %H:%M}")
    except ValidationError as error:
        what = f"The name cannot be used: {error.errors()[0]['msg'].removeprefix('Value error, ')}."
        problems = [Problem(where="name", what=what)]
        return render(
            request, "quick.html", 422, most=len(deciding(rulebook)), wanted=typed, problems=problems
        )
    assessment = begun(name, "", rulebook)
    session.add(assessment)
    session.flush()
    return RedirectResponse(f"/assessments/{assessment.id}/quick", 303)


@router.get("/assessments/{assessment_id}/quick")
def go_on(
    request: Request,
    assessment: AssessmentDep,
    rulebook: ItsRulebookDep,
    rest: bool = False,
    stop: bool = False,
) -> Response:
    """The next question while one matters (`rest`: while one is left); then, or with `stop`, the result."""
    met = {row.question for row in assessment.answers}
    check = quick_check(rulebook, project(assessment, rulebook), met)
    following = check.remaining[0] if rest and check.remaining else check.next
    if following is not None and not stop:
        then = "rest" if rest else "quick"
        return RedirectResponse(f"/assessments/{assessment.id}/q/{following.id}?then={then}", 303)
    return _result(request, assessment, rulebook, met, check)


def _result(
    request: Request, assessment: Assessment, rulebook: Rulebook, met: set[str], check: QuickCheck
) -> Response:
    told = project(assessment, rulebook)
    advice = quick_recommendation(rulebook, told)
    count = standing(assessment, rulebook)
    rests_on = [each for each in advice.contributions if each.question in met and each.state == "answered"]
    return render(
        request,
        "quick_result.html",
        assessment=assessment,
        check=check,
        advice=advice,
        first=first_of_all(advice),
        rests_on=sorted(rests_on, key=lambda each: -abs(each.contribution)),
        more=count.open,
        total=len(asked(rulebook)),
    )
