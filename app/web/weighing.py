"""Weights as people type them: points per factor, the shares they come to, and the bar that stacks them."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.advisor.answers import SMALLEST_WEIGHT
from app.advisor.ranking import by_rank
from app.advisor.rulebook import Rulebook
from app.errors import Problem
from app.web import answer_form
from app.web.advice_shown import share

Points = Mapping[str, float]
"""By factor id, in any unit."""


def own_points(rulebook: Rulebook) -> dict[str, float]:
    return as_points({factor.id: factor.weight for factor in rulebook.factors})


def as_points(weights: Points) -> dict[str, float]:
    """Shares of 1 as points of 100."""
    return {factor: round(weight * 100, 2) for factor, weight in weights.items()}


def typed(points: Points) -> dict[str, str]:
    """As points of 100 where they came over the API in a unit that the form does not take."""
    shown = {factor: f"{value:g}" for factor, value in points.items()}
    if all(_point(text) >= 0 for text in shown.values()):
        return shown
    total = sum(points.values())
    return {factor: f"{round(100 * value / total, 2):g}" for factor, value in points.items()}


def read_points(form: Mapping[str, str], rulebook: Rulebook) -> tuple[dict[str, float], list[Problem]]:
    """Each from 0 to 100, none too small to count, not all 0; a problem stands at the id of its field."""
    points, problems = {}, []
    for factor in rulebook.factors:
        points[factor.id] = _point(form.get(factor.id, ""))
        wanted = "a number from 0 to 100" if points[factor.id] < 0 else "0, or at least 0.000001"
        if not (points[factor.id] == 0 or SMALLEST_WEIGHT <= points[factor.id] <= 100):
            problems.append(Problem(where=f"weight-{factor.id}", what=f"{factor.title}: enter {wanted}."))
    if not problems and not any(points.values()):
        first = rulebook.factors[0].id
        problems.append(Problem(where=f"weight-{first}", what="At least one factor must have more than 0."))
    return points, problems


def _point(text: str) -> float:
    """-1 for what is no number from 0 to 100; a comma is a decimal point, never a thousands separator."""
    plain = text.replace(",", ".")
    fits = len(text) <= 12 and answer_form.NUMBER.fullmatch(plain) and not answer_form.GROUPED.fullmatch(text)
    value = abs(float(plain)) if fits and float(plain) >= 0 else -1.0
    return value if value <= 100 else -1.0


def shares_of(points: Points) -> dict[str, str]:
    total = sum(points.values())
    return {factor: share(value / total) for factor, value in points.items()}


# Ranking


def ranked(points: Points) -> list[str]:
    """Factors with the most points first; of equals the one that comes first in the rulebook."""
    return sorted(points, key=lambda factor: -points[factor])


def moved(order: list[str], factor: str, places: int) -> list[str]:
    """The same order with one factor so many places further down; at the ends it stays where it is."""
    at = order.index(factor)
    rest = order[:at] + order[at + 1 :]
    to = min(max(at + places, 0), len(rest))
    return [*rest[:to], factor, *rest[to:]]


def points_by_rank(order: list[str]) -> dict[str, float]:
    return as_points(dict(zip(order, by_rank(len(order)), strict=True)))


# The picture


@dataclass(frozen=True)
class Segment:
    """One factor's part of the bar, in per cent of its width."""

    id: str
    title: str
    start: float
    width: float
    share: str


def segments(points: Points, rulebook: Rulebook) -> list[Segment]:
    total, start = sum(points.values()), 0.0
    found = []
    for factor in rulebook.factors:
        width = 100 * points[factor.id] / total
        found.append(Segment(factor.id, factor.title, start, width, share(width / 100)))
        start += width
    return found
