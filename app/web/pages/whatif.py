"""The page where other answers are tried out beside a saved result, and kept as a scenario or taken over."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse

from app.advisor.rulebook import Rulebook
from app.errors import InvalidInput, NotFound, Problem
from app.models import Assessment, Milestone
from app.protocol import Name
from app.web import assessing
from app.web.advice_shown import scale
from app.web.answer_form import FormDep
from app.web.deps import (
    AssessmentDep,
    ItsRulebookDep,
    LookedAtDep,
    PartsDep,
    ReadingDep,
    SessionDep,
    render,
)
from app.web.differing import answer_in_words
from app.web.weighing import own_points, shares_of, typed
from app.web.whatif import Tried, rows_of, tried, what_if

router = APIRouter()

WHY = "from what-if"


@router.get("/assessments/{assessment_id}/whatif")
def whatif_page(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    number: int | None = None,
) -> Response:
    milestone = assessing.numbered(assessment, number)
    if milestone is None:
        return RedirectResponse(f"/assessments/{assessment.id}/check", 303)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    return _page(request, assessment, milestone, rulebook, tried({}, milestone, rulebook))


@router.post("/assessments/{assessment_id}/whatif")
def recalculate(
    request: Request, assessment: LookedAtDep, session: ReadingDep, parts: PartsDep, form: FormDep
) -> Response:
    """Keeps nothing."""
    milestone = _base(assessment, form)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    told = tried(form, milestone, rulebook)
    return _page(request, assessment, milestone, rulebook, told, label=form.get("label", ""))


@router.post("/assessments/{assessment_id}/scenarios")
def save_scenario(
    request: Request, assessment: AssessmentDep, session: SessionDep, parts: PartsDep, form: FormDep
) -> Response:
    milestone = _base(assessment, form)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    told = tried(form, milestone, rulebook)
    label, problems = named(form)
    if problems or told.problems:
        given = form.get("label", "")
        return _page(request, assessment, milestone, rulebook, told, label=given, problems=problems)
    scenario = assessing.keep_scenario(
        session, assessment, milestone, rulebook, told.answers, told.weights, label
    )
    return RedirectResponse(f"/assessments/{assessment.id}/result?number={scenario.number}", 303)


@router.post("/assessments/{assessment_id}/whatif/adopt")
def adopt(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    present: ItsRulebookDep,
    form: FormDep,
) -> Response:
    """Only what was changed here is taken over: other answers may have moved on since the saved result."""
    milestone = _base(assessment, form)
    rulebook = parts.rulebooks.of(session, milestone.rulebook_checksum)
    told = tried(form, milestone, rulebook)
    newer = [] if form.get("replace") else _newer(assessment, milestone, told, rulebook)
    problems = told.problems or newer or _taken_over(assessment, milestone, told, present)
    if problems:
        label, replaces = form.get("label", ""), bool(newer)
        return _page(
            request, assessment, milestone, rulebook, told, label=label, problems=problems, replaces=replaces
        )
    return RedirectResponse(f"/assessments/{assessment.id}/check", 303)


def _newer(assessment: Assessment, milestone: Milestone, told: Tried, rulebook: Rulebook) -> list[Problem]:
    """What would be replaced although it was given after the saved result: no milestone holds it."""
    present = assessing.answers(assessment)
    since = {
        question
        for question, given in told.answers.items()
        if given != milestone.answers.get(question)
        and present.get(question) not in (given, milestone.answers.get(question))
    }
    found = [
        Problem(
            where=question,
            what=f"{rulebook.questions[question].title}: answered since the saved result, now "
            f"“{answer_in_words(present.get(question), question, rulebook)}”.",
        )
        for question in rulebook.questions
        if question in since
    ]
    if told.weights != milestone.weights and assessment.weights not in (told.weights, milestone.weights):
        found.append(Problem(where="replace", what="The weights were changed since the saved result."))
    return found


def _taken_over(
    assessment: Assessment, milestone: Milestone, told: Tried, rulebook: Rulebook
) -> list[Problem]:
    """Problems, and nothing changed, where the rulebook of the present answers does not take the new ones."""
    changed = {
        question: given
        for question, given in told.answers.items()
        if given != milestone.answers.get(question)
    }
    try:
        rulebook.read({"answers": changed, "weights": told.weights or None})
    except InvalidInput as error:
        return list(error.problems)
    for question, given in changed.items():
        assessing.answer(assessment, question, given, why=WHY)
    if told.weights != milestone.weights:
        assessing.change(assessment, "weights", told.weights, why=WHY)
    return []


def named(form: Mapping[str, str]) -> tuple[str, list[Problem]]:
    """What a scenario is called."""
    if not form.get("label"):
        return "", [Problem(where="label", what="Enter a name, so that you find the scenario again.")]
    try:
        return TypeAdapter(Name).validate_python(form["label"]), []
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        return "", [Problem(where="label", what=f"The name cannot be used: {what}.")]


def _base(assessment: Assessment, form: Mapping[str, str]) -> Milestone:
    number = form.get("number", "")
    found = assessing.numbered(assessment, int(number) if number.isdecimal() and len(number) < 9 else None)
    if found is None:
        raise NotFound("Nothing was recommended here yet, so there is nothing to try other answers beside.")
    return found


def _page(
    request: Request,
    assessment: Assessment,
    milestone: Milestone,
    rulebook: Rulebook,
    told: Tried,
    *,
    label: str = "",
    problems: list[Problem] | None = None,
    replaces: bool = False,
) -> Response:
    """`replaces` asks first, because newer answers would be lost."""
    beside = what_if(milestone, told.answers, told.weights, rulebook)
    wrong, was = [*told.problems, *(problems or [])], milestone.answers
    return render(
        request,
        "whatif.html",
        409 if replaces else 422 if wrong else 200,
        assessment=assessment,
        milestone=milestone,
        saved=milestone.recommendation,
        beside=beside,
        now=beside.recommendation,
        groups=[
            (factor, [rows_of(was, question) for question in assessing.shown_of(factor, was)])
            for factor in rulebook.factors
        ],
        fields=told.fields,
        was={
            question: answer_in_words(milestone.answers.get(question), question, rulebook)
            for question in rulebook.questions
        },
        scale=max(scale(milestone.recommendation), scale(beside.recommendation)),
        saved_points=typed(milestone.weights or own_points(rulebook)),
        shares=shares_of(told.weights or own_points(rulebook)),
        saved_shares=shares_of(milestone.weights or own_points(rulebook)),
        changed={each.what for each in beside.changed},
        problems=wrong,
        label=label,
        replaces=replaces,
        moved_on=bool(assessing.changed_since(assessment, milestone, rulebook)),
    )
