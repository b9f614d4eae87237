"""Pages of what the answers led to: the frozen recommendation."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app.advisor import rungs
from app.advisor.record import cut, with_gates_named
from app.advisor.vocabulary import Evidence
from app.models import Milestone
from app.web.advice_shown import (
    first_of_all,
    grouped,
    numbers_of,
    scale,
    share,
)
from app.web.answer_form import BLANK, unwrapped
from app.web.assessing import changed_since, freeze, latest, numbered
from app.web.deps import (
    AssessmentDep,
    ItsReadableRulebookDep,
    ItsRulebookDep,
    Parts,
    PartsDep,
    SessionDep,
    readable,
    render,
)
from app.web.ladder import ladder
from app.web.pilot_advice import PilotAdvice, of_milestone
from app.web.proposals_shown import in_words
from app.web.proposing import contradictions

router = APIRouter()


@router.post("/assessments/{assessment_id}/result")
def recommend_now(session: SessionDep, assessment: AssessmentDep, rulebook: ItsRulebookDep) -> Response:
    milestone = latest(assessment)
    if milestone is None or changed_since(assessment, milestone, rulebook):
        freeze(session, assessment, rulebook)
    return RedirectResponse(f"/assessments/{assessment.id}/result", 303)


@router.get("/assessments/{assessment_id}/result")
def result(
    request: Request,
    assessment: AssessmentDep,
    session: SessionDep,
    parts: PartsDep,
    rulebook: ItsReadableRulebookDep,
    number: int | None = None,
) -> Response:
    milestone = numbered(assessment, number)
    if milestone is None:
        return RedirectResponse(f"/assessments/{assessment.id}/check", 303)
    r = milestone.recommendation
    ahead = r.method if r.decided_by != "gate" else r.lean_method
    for_grpo = r.acceptability
    near, overall = (
        (for_grpo.near, for_grpo.all) if ahead == "grpo" else (1 - for_grpo.near, 1 - for_grpo.all)
    )
    current = milestone is latest(assessment)
    return render(
        request,
        "result.html",
        assessment=assessment,
        milestone=milestone,
        milestones=assessment.decisions,
        current=current,
        rungs=ladder(session, assessment, milestone) if milestone.kind == "decision" else [],
        climbing=current,
        changed=changed_since(assessment, milestone, rulebook) if current and rulebook else [],
        sources=_sources(parts, session, milestone),
        piloted=_piloted(parts, session, milestone),
        scale=scale(r),
        first=first_of_all(r),
        noted={question: BLANK | unwrapped(given) for question, given in milestone.answers.items()},
        numbers=numbers_of(r),
        cut=cut,
        grouped=grouped,
        named=lambda sentence: with_gates_named(sentence, r.gates),
        leader=ahead,
        share=share,
        near=share(near),
        overall=share(overall),
        against=len(contradictions(session, assessment, rulebook)) if current and rulebook else 0,
        stands_on=rungs.in_words(rungs.stands_on(r.contributions)),
        all_told=not rungs.stands_on(r.contributions).keys() - {"told"} and not milestone.measurements,
        measured=_measured(parts, session, milestone),
        warnings=[gate for gate in r.gates if gate.state == "holds" and gate.effect == "warn"],
    )


def _piloted(parts: Parts, session: Session, milestone: Milestone) -> PilotAdvice | None:
    """The advice with and without the pilot that counted in it."""
    rulebook = readable(parts.rulebooks, session, milestone.rulebook_checksum)
    return of_milestone(milestone, rulebook) if rulebook else None


def _sources(parts: Parts, session: Session, milestone: Milestone) -> Mapping[str, Evidence]:
    """None where its rulebook cannot be read any more: then sources go by their names alone."""
    rulebook = readable(parts.rulebooks, session, milestone.rulebook_checksum)
    return rulebook.evidence if rulebook else {}


def _measured(parts: Parts, session: Session, milestone: Milestone) -> list[tuple[str, str, str]]:
    """Title, value and rung of each measurement that it was made with."""
    rulebook = readable(parts.rulebooks, session, milestone.rulebook_checksum)
    known = rulebook.measurements if rulebook else {}
    told = ((known[name], value) for name, value in milestone.measurements.items() if name in known)
    return [(each.title, in_words(each, value), each.rung) for each, value in told]
