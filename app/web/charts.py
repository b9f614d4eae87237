"""Pictures drawn on the server: lines for lists and run pages, and intervals on a common scale.

The content policy drops style attributes, so all of this is SVG geometry; colour and stroke come from the
style sheet by class. Lines are drawn in a unit box that stretches (`preserveAspectRatio="none"`), intervals
in percent of the width, so both follow the page without a script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 100.0, 40.0


def sparkline(values: Sequence[float | None], css: str = "") -> Markup:
    """A line without axes; decorative, so the number it ends at must stand beside it as text."""
    return Markup(
        '<svg class="spark {}" viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true"'
        ' focusable="false">{}</svg>'
    ).format(css, Markup("").join(_polyline(part) for part in _scaled(values)))


def line(steps: Sequence[int], values: Sequence[float | None], css: str = "") -> Markup:
    """What stands in a chart's place until a script draws it, and what remains without one."""
    return Markup(
        '<svg class="still {}" viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true"'
        ' focusable="false">{}</svg>'
    ).format(css, Markup("").join(_polyline(part) for part in _scaled(values, steps)))


def _scaled(
    values: Sequence[float | None], steps: Sequence[int] | None = None
) -> list[list[tuple[float, float]]]:
    """The points inside the box, cut where a value is missing."""
    at = list(steps) if steps is not None else list(range(len(values)))
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return []
    low, high = min(known), max(known)
    span, reach = (high - low) or 1.0, (at[-1] - at[0]) or 1
    parts: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(at, values, strict=True):
        if value is not None and math.isfinite(value):
            y = HEIGHT / 2 if high == low else HEIGHT - 2 - (value - low) / span * (HEIGHT - 4)
            parts[-1].append(((step - at[0]) / reach * WIDTH, y))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _polyline(points: Sequence[tuple[float, float]]) -> Markup:
    if len(points) == 1:
        x, y = points[0]
        points = [(max(x - 1, 0), y), (min(x + 1, WIDTH), y)]
    return Markup('<polyline vector-effect="non-scaling-stroke" points="{}"/>').format(
        " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    )


@dataclass(frozen=True)
class Span:
    """A share with its interval, all between 0 and 1."""

    label: str
    low: float
    value: float
    high: float
    css: str = ""
    hollow: bool = False


def interval(span: Span) -> Markup:
    """One row of an interval picture on the scale 0 to 100 %; the numbers stand beside it as text."""
    low, value, high = (f"{100 * share:.2f}%" for share in (span.low, span.value, span.high))
    marks = Markup("").join(
        Markup('<line class="tick" x1="{0}%" x2="{0}%" y1="4" y2="20"/>').format(at)
        for at in (0, 25, 50, 75, 100)
    )
    return Markup(
        '<svg class="interval {}" width="100%" height="24" role="img" aria-label="{}">{}'
        '<line class="reach" x1="{}" x2="{}" y1="12" y2="12"/>'
        '<line class="edge" x1="{}" x2="{}" y1="7" y2="17"/>'
        '<line class="edge" x1="{}" x2="{}" y1="7" y2="17"/>'
        '<circle class="{}" cx="{}" cy="12" r="5"/></svg>'
    ).format(
        span.css,
        f"{span.label}: {span.value:.1%}, between {span.low:.1%} and {span.high:.1%}",
        marks, low, high, low, low, high, high, "hollow" if span.hollow else "full", value,
    )  # fmt: skip
