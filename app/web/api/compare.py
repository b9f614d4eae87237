"""Two to four results side by side."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.web.comparing import Comparison, columns, comparison, wanted
from app.web.deps import PartsDep, SessionDep

router = APIRouter(tags=["assessments"])


@router.get("/compare", summary="Two to four results side by side, differing answers first")
def compare(
    session: SessionDep,
    parts: PartsDep,
    ids: Annotated[
        list[str],
        Query(
            max_length=100,
            description="Of recommendations or scenarios; of assessments for their latest recommendation; "
            "`draft:` before an assessment's id for its present answers. Repeated, or separated by commas.",
        ),
    ],
) -> Comparison:
    return comparison(columns(session, parts.rulebooks, wanted(ids)))
