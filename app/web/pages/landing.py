"""The start page: what this is, a real example of its advice, and where to begin."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from app.advisor.quick import deciding
from app.web.advice_shown import Worked, scale, share, worked
from app.web.assessing import asked
from app.web.deps import RulebookDep, render

router = APIRouter()


@router.get("/")
def landing(request: Request, rulebook: RulebookDep) -> Response:
    examples = worked(rulebook)
    first = examples[0] if examples else None
    shown, more = _one_for_each_plan(examples)
    return render(
        request,
        "landing.html",
        examples=shown,
        more=more,
        sources=rulebook.evidence,
        worked=first,
        scale=scale(first.recommendation) if first else None,
        factors=[(factor, share(factor.weight)) for factor in rulebook.factors],
        total=len(asked(rulebook)),
        most=len(deciding(rulebook)),
    )


def _one_for_each_plan(examples: Sequence[Worked]) -> tuple[list[Worked], list[Worked]]:
    """The first of each, and all others."""
    first: dict[str, Worked] = {}
    for example in examples:
        first.setdefault(example.recommendation.plan.id, example)
    return list(first.values()), [example for example in examples if example not in first.values()]
