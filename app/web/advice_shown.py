"""How a recommendation is drawn and worded on pages: scale of the picture, shares, the worked examples."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from app.advisor.advice import Flip, GateOutcome, Recommendation
from app.advisor.recommendation import recommend
from app.advisor.record import cut
from app.advisor.rulebook import Rulebook


@dataclass(frozen=True)
class Worked:
    id: str
    title: str
    description: str
    sources: tuple[str, ...]
    recommendation: Recommendation


def scale(recommendation: Recommendation) -> float:
    """The lean at which a bar is full: the next step of a quarter above the longest bar."""
    longest = max(abs(recommendation.lean), *(abs(f.contribution) for f in recommendation.factors))
    return next(step for step in (0.25, 0.5, 0.75, 1.0) if longest <= step + 1e-9)


def share(value: float) -> str:
    """A share in whole per cent, never rounded to certainty."""
    percent = round(value * 100)
    if percent == 100 and value < 1:
        return "over 99\N{NO-BREAK SPACE}%"
    return "under 1\N{NO-BREAK SPACE}%" if percent == 0 and value > 0 else f"{percent}\N{NO-BREAK SPACE}%"


def first_of_all(recommendation: Recommendation) -> tuple[GateOutcome, ...]:
    """What is said before any number: what ruled a method out, and what must be mended first."""
    ruling = [
        gate
        for gate in recommendation.gates
        if gate.state == "holds" and gate.effect == "block" and recommendation.decided_by == "gate"
    ]
    return (*ruling, *(gate for gate in recommendation.blockers if gate not in ruling))


def grouped(flips: Iterable[Flip]) -> list[tuple[Flip, list[str]]]:
    """One row for all answers to a question that lead to the same advice."""
    rows: dict[tuple[str, str, str], tuple[Flip, list[str]]] = {}
    for flip in flips:
        _, labels = rows.setdefault((flip.question, flip.method_after, flip.plan_after), (flip, []))
        labels.append(flip.to_label)
    return list(rows.values())


def numbers_of(recommendation: Recommendation) -> dict[str, int]:
    """Every source that the page cites, numbered as it comes up."""
    r = recommendation
    cited = [r.plan.sources, *(risk.sources for risk in r.risks)]
    for factor in r.factors:
        cited += [ids for _, ids in cut(factor.paragraph)]
        cited += [each.sources for each in r.contributions if each.factor == factor.id]
    cited += [other.sources for other in r.alternatives]
    return {source: place for place, source in enumerate(dict.fromkeys(chain(*cited)), start=1)}


@lru_cache(maxsize=4)
def worked(rulebook: Rulebook) -> tuple[Worked, ...]:
    """The rulebook's examples with their advice, computed by the advisor like any other."""
    return tuple(
        Worked(
            example.id,
            example.title,
            example.description,
            example.sources,
            recommend(rulebook.read({"answers": example.answers}), rulebook),
        )
        for example in rulebook.examples
    )
