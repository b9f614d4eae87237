"""The start page: what this is, a real example of its advice, and where to begin."""

from fastapi import APIRouter, Request, Response

from app.advisor.quick import deciding
from app.web.advice_shown import scale, share, worked
from app.web.assessing import asked
from app.web.deps import RulebookDep, render

router = APIRouter()


@router.get("/")
def landing(request: Request, rulebook: RulebookDep) -> Response:
    examples = worked(rulebook)
    first = examples[0]
    return render(
        request,
        "landing.html",
        examples=examples,
        worked=first,
        scale=scale(first.recommendation),
        factors=[(factor, share(factor.weight)) for factor in rulebook.factors],
        total=len(asked(rulebook)),
        most=len(deciding(rulebook)),
    )
