"""SFT or GRPO in one call: answers in, the whole recommendation out, nothing kept."""

from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field, StringConstraints, ValidationError

from app.advisor.advice import Recommendation
from app.advisor.recommendation import EVERYTHING, NOTHING_MORE, recommendation_json
from app.errors import InvalidInput, Problem, WrongMediaType
from app.http_json import problems_of
from app.protocol import Message
from app.strict_json import strict_loads
from app.web.deps import Parts

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


DOCUMENTED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": AdviceRequest.model_json_schema()}},
    },
    "parameters": [
        {
            "name": "include",
            "in": "query",
            "description": "`flips`, `robustness`, `estimate`, separated by commas.",
            "schema": {"type": "string", "default": ""},
        }
    ],
}


async def advise(request: Request) -> Response:
    """Stateless: the same answers under the same rulebook give the same bytes."""
    # Reads and writes JSON itself: the framework's way there and back costs as much as half the advice.
    parts: Parts = request.app.state.parts
    if request.state.principal is None:
        parts.limiter.take(request.client.host if request.client else "unknown")
    project = parts.rulebook.read(vars(await _body(request)))
    include = (
        included(request.query_params.get("include", "")) if request.scope["query_string"] else NOTHING_MORE
    )
    return Response(recommendation_json(project, parts.rulebook, include), media_type="application/json")


async def _body(request: Request) -> AdviceRequest:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType("Send the body as JSON, with `Content-Type: application/json`.")
    return advice_request(strict_loads(await request.body()))


def advice_request(given: Any) -> AdviceRequest:
    try:
        return AdviceRequest.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(
            "These are not answers to the questionnaire.", tuple(problems_of(error.errors()))
        ) from None


def included(include: str) -> frozenset[str]:
    asked = frozenset(filter(None, include.split(",")))
    if not asked <= EVERYTHING:
        raise InvalidInput(
            "There is nothing of that name to include.",
            (Problem(where="include", what=f"choose from {', '.join(sorted(EVERYTHING))}"),),
        )
    return asked


DOCUMENTATION: dict[str, Any] = {
    "methods": ["POST"],
    "tags": ["advice"],
    "summary": "SFT or GRPO for this project, and why",
    "response_model": Recommendation,
    "openapi_extra": DOCUMENTED,
}
