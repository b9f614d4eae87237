"""A pilot's figures as pictures beside their numbers: scores, differences, the way there, and the cost."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from app.pilots import ARMS, Arm
from app.protocol import Difference
from app.web import charts
from app.web.pilot_view import PilotView
from app.web.piloting import ArmReading, Curve, Figure, MeasuredPace, PilotReading
from app.web.run_words import percent, quantity

CSS = {"sft": "sft", "grpo": "grpo", "sft_then_grpo": "both"}
METHODS: dict[Arm, tuple[str, ...]] = {"sft": ("sft",), "grpo": ("grpo",), "sft_then_grpo": ("sft", "grpo")}


@dataclass(frozen=True)
class ArmShown:
    reading: ArmReading
    css: str
    methods: tuple[str, ...]
    pictures: tuple[tuple[str, str, Markup], ...]
    """Label, value and picture, before and after."""

    @property
    def seeds(self) -> str:
        return ", ".join(percent(value) for value in self.reading.by_seed.values())


def arms(reading: PilotReading) -> list[ArmShown]:
    return [ArmShown(each, CSS[each.arm], METHODS[each.arm], tuple(_pictures(each))) for each in reading.arms]


def _pictures(arm: ArmReading) -> Iterator[tuple[str, str, Markup]]:
    for label, figure in (("Before", arm.before), ("After", arm.after)):
        if figure is not None:
            name = f"{arm.title}, {label.lower()} training"
            span = charts.Span(name, figure.low, figure.value, figure.high, hollow=label == "Before")
            yield label, percent(figure.value), charts.interval(span)


def reach(figure: Figure) -> str:
    return f"{100 * figure.low:.1f}–{percent(figure.high)}"


# Differences


@dataclass(frozen=True)
class DifferenceShown:
    title: str
    value: str
    interval: str
    verdict: str
    drawn: Markup


def points_of(share: float) -> str:
    return f"{'−' if round(100 * share, 1) < 0 else '+'}{abs(100 * share):.1f}"


def differences(reading: PilotReading) -> list[DifferenceShown]:
    return [
        DifferenceShown(
            title=f"{ARMS[each.other]} less {ARMS[each.one]}",
            value=points_of(each.difference.value),
            interval=f"{points_of(each.difference.low)} to {points_of(each.difference.high)}",
            verdict=_verdict(each.difference, ARMS[each.one], ARMS[each.other]),
            drawn=charts.around_zero(
                f"{ARMS[each.other]} less {ARMS[each.one]}",
                each.difference.low,
                each.difference.value,
                each.difference.high,
                _scale(reading),
            ),
        )
        for each in reading.compared
    ]


def _scale(reading: PilotReading) -> float:
    """Common to all rows: the furthest end, and a tenth of the scale at least."""
    ends = [abs(end) for each in reading.compared for end in (each.difference.low, each.difference.high)]
    return max([0.1, *ends])


def _verdict(found: Difference, one: str, other: str) -> str:
    if found.low > 0:
        return f"{other} is ahead"
    return f"{one} is ahead" if found.high < 0 else "not told apart"


# The way there


@dataclass(frozen=True)
class Ways:
    """Held-out checks over minutes of training, all arms on the same axes."""

    drawn: Markup
    lines: list[tuple[str, str, str]]
    """Class, words and the latest score."""
    low: str
    high: str
    last: str
    rows: list[tuple[str, int, str, str]]
    """Arm, seed, minutes and score of every check: the table of the picture."""


def ways(reading: PilotReading) -> Ways | None:
    """None before an arm has been checked twice."""
    found = [(arm, curve) for arm in reading.arms for curve in arm.curves if len(curve.points) > 1]
    if not found:
        return None
    scores = [point.score for _, curve in found for point in curve.points]
    last = max(point.minutes for _, curve in found for point in curve.points)
    several = any(len(arm.curves) > 1 for arm in reading.arms)
    return Ways(
        drawn=charts.ways([(CSS[arm.arm], *_line(curve)) for arm, curve in found]),
        lines=[
            (
                CSS[arm.arm],
                f"{arm.title}{f', seed {curve.seed}' if several else ''}",
                percent(curve.points[-1].score, 0),
            )
            for arm, curve in found
        ],
        low=percent(min(scores), 0),
        high=percent(max(scores), 0),
        last=f"{quantity(last, 'min')}",
        rows=[
            (arm.title, curve.seed, quantity(point.minutes, ""), percent(point.score))
            for arm, curve in found
            for point in curve.points
        ],
    )


def _line(curve: Curve) -> tuple[list[float], list[float | None]]:
    return [point.minutes for point in curve.points], [point.score for point in curve.points]


# Cost


@dataclass(frozen=True)
class CostRow:
    title: str
    sft: str
    grpo: str
    measured: str
    """GRPO over SFT."""
    estimated: str


def costs(view: PilotView) -> list[CostRow]:
    """Empty before both methods have trained for more than a step."""
    cost, estimated = view.reading.cost, view.estimated
    if cost.sft is None or cost.grpo is None:
        return []
    return [
        CostRow(
            "Rows a second",
            _rate(cost.sft.rows_per_second),
            _rate(cost.grpo.rows_per_second),
            times(cost.per_row),
            times(estimated.per_row if estimated else None),
        ),
        CostRow(
            "Tokens a second",
            _tokens(cost.sft),
            _tokens(cost.grpo),
            times(cost.per_token),
            times(estimated.per_token if estimated else None),
        ),
    ]


def _rate(value: float | None) -> str:
    return "not told" if value is None else quantity(value, "")


def _tokens(pace: MeasuredPace) -> str:
    return _rate(pace.tokens_per_second)


def times(ratio: float | None) -> str:
    return "not told" if ratio is None else f"{quantity(ratio, '')} times"
