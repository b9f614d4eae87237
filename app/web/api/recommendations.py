"""SFT or GRPO in one call: answers in, the whole recommendation out, nothing kept."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from app.advisor.advice import Recommendation
from app.advisor.answers import Project
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook
from app.errors import InvalidInput, Problem
from app.http_json import StrictRoute
from app.protocol import Message
from app.web.deps import Parts

router = APIRouter(tags=["advice"], route_class=StrictRoute)

PARTS = frozenset({"flips", "robustness", "estimate"})

MOST_ANSWERS = 100


class AdviceRequest(Message):
    """A project as answers by question id. What is left out, or null, is unknown."""

    answers: Annotated[dict[str, Any], Field(max_length=MOST_ANSWERS)]
    weights: Annotated[dict[str, float], Field(max_length=20)] | None = None
    """Points per factor in any unit; the rulebook's own where left out."""
    measurements: Annotated[dict[str, float], Field(max_length=50)] | None = None
    """What an inspection or a probe found, by the names the rulebook's gates use."""
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Annotated[str, StringConstraints(max_length=4000)] = ""


Include = Annotated[
    str, Query(max_length=60, description="`flips`, `robustness`, `estimate`, separated by commas.")
]


@router.post(
    "/recommendations", response_model=Recommendation, summary="SFT or GRPO for this project, and why"
)
async def advise(body: AdviceRequest, request: Request, include: Include = "") -> Response:
    """Stateless: the same answers under the same rulebook give the same bytes."""
    parts: Parts = request.app.state.parts
    if request.state.principal is None:
        parts.limiter.take(request.client.host if request.client else "unknown")
    project = read_request(body, parts.rulebook)
    advice = recommend(project, parts.rulebook, include=included(include))
    return Response(to_json(advice), media_type="application/json")


def read_request(body: AdviceRequest, rulebook: Rulebook) -> Project:
    return rulebook.read(vars(body))


def included(include: str) -> frozenset[str]:
    asked = frozenset(filter(None, include.split(",")))
    if not asked <= PARTS:
        raise InvalidInput(
            "There is nothing of that name to include.",
            (Problem(where="include", what=f"choose from {', '.join(sorted(PARTS))}"),),
        )
    return asked


to_json = Recommendation.__pydantic_serializer__.to_json
"""Straight to bytes: no dictionary in between."""
