"""How a recommendation is drawn and worded on pages: scale of the picture, shares, the worked examples."""

from dataclasses import dataclass
from functools import lru_cache

from app.advisor.advice import Recommendation
from app.advisor.recommendation import recommend
from app.advisor.rulebook import Rulebook


@dataclass(frozen=True)
class Worked:
    id: str
    title: str
    description: str
    recommendation: Recommendation


def scale(recommendation: Recommendation) -> float:
    """The lean at which a bar is full: the next step of a quarter above the longest bar."""
    longest = max(abs(recommendation.lean), *(abs(f.contribution) for f in recommendation.factors))
    return next(step for step in (0.25, 0.5, 0.75, 1.0) if longest <= step + 1e-9)


def share(value: float) -> str:
    """A share in whole per cent, never rounded to certainty."""
    percent = round(value * 100)
    if percent == 100 and value < 1:
        return "over 99 %"
    return "under 1 %" if percent == 0 and value > 0 else f"{percent} %"


def hours(value: float) -> str:
    if value < 0.1:
        return "under 0.1"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


@lru_cache(maxsize=4)
def worked(rulebook: Rulebook) -> tuple[Worked, ...]:
    """The rulebook's examples with their advice, computed by the advisor like any other."""
    return tuple(
        Worked(
            example.id,
            example.title,
            example.description,
            recommend(rulebook.read({"answers": example.answers}), rulebook),
        )
        for example in rulebook.examples
    )
