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


Drawn = tuple[Sequence[float], Sequence[float | None]]
"""Steps and values of one line."""


def lines(drawn: Sequence[Drawn], marks: Sequence[tuple[int, str]] = (), ends: Sequence[str] = ()) -> Markup:
    """What stands in a chart's place until a script draws it, and what remains without one.

    All lines share both axes; each but the first has a dash pattern by its class. `marks`: steps with a sign.
    `ends`: what stands where each line ends.
    """
    box = _box(drawn, [step for step, _ in marks])
    strokes = Markup("").join(
        _polyline(part, f"line-{number}" if number else "")
        for number, (steps, values) in enumerate(drawn)
        for part in _scaled(values, steps, box)
    )
    ruled = Markup("").join(
        Markup(
            '<line class="mark" vector-effect="non-scaling-stroke" x1="{0}" x2="{0}" y1="0" y2="40"/>'
        ).format(f"{box.at(step):.2f}")
        for step, _ in marks
    )
    signs = Markup("").join(
        Markup('<text class="sign" x="{}%" y="12" dx="3">{}</text>').format(f"{box.at(step):.2f}", sign)
        for step, sign in marks
    )
    labels = Markup("").join(_end(line, box, label) for line, label in zip(drawn, ends, strict=False))
    return Markup(
        '<svg class="still" aria-hidden="true" focusable="false" width="100%" height="100%">'
        '<svg viewBox="0 0 100 40" preserveAspectRatio="none" width="100%" height="100%">{}{}</svg>{}{}</svg>'
    ).format(strokes, ruled, signs, labels)


def _end(line: Drawn, box: "Box", label: str) -> Markup:
    x, y = next(((x, y) for x, y in zip(reversed(line[0]), reversed(line[1]), strict=True) if y is not None))
    return Markup('<text class="sign" x="{}%" y="{}%" dx="-14" dy="-5">{}</text>').format(
        f"{box.at(x):.2f}", f"{box.up(y) / HEIGHT * 100:.2f}", label
    )


@dataclass(frozen=True)
class Box:
    """What of the axes is seen."""

    first: float
    last: float
    low: float
    high: float

    def at(self, step: float) -> float:
        return (step - self.first) / ((self.last - self.first) or 1) * WIDTH

    def up(self, value: float) -> float:
        if self.high == self.low:
            return HEIGHT / 2
        return HEIGHT - 2 - (value - self.low) / (self.high - self.low) * (HEIGHT - 4)


def _box(drawn: Sequence[Drawn], marked: Sequence[int] = ()) -> Box:
    steps = [step for line, _ in drawn for step in line] + list(marked)
    known = [v for _, values in drawn for v in values if v is not None and math.isfinite(v)]
    return Box(min(steps, default=0), max(steps, default=0), min(known, default=0.0), max(known, default=0.0))


def _scaled(
    values: Sequence[float | None], steps: Sequence[float] | None = None, box: Box | None = None
) -> list[list[tuple[float, float]]]:
    """The points inside the box, cut where a value is missing."""
    at: Sequence[float] = steps if steps is not None else range(len(values))
    box = box or _box([(at, values)])
    parts: list[list[tuple[float, float]]] = [[]]
    for step, value in zip(at, values, strict=True):
        if value is not None and math.isfinite(value):
            parts[-1].append((box.at(step), box.up(value)))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _polyline(points: Sequence[tuple[float, float]], css: str = "") -> Markup:
    if len(points) == 1:
        x, y = points[0]
        points = [(max(x - 1, 0), y), (min(x + 1, WIDTH), y)]
    return Markup('<polyline class="{}" vector-effect="non-scaling-stroke" points="{}"/>').format(
        css, " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
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


COLUMNS_HIGH, COLUMNS_TOP = 112, 20
"""Pixels: of the highest column, and above it for its number."""


def columns(counts: Sequence[tuple[str, int]], name: str) -> Markup:
    """A count for each label, side by side; numbers above, labels below."""
    most = max((count for _, count in counts), default=0) or 1
    wide, floor = 100 / max(1, len(counts)), COLUMNS_TOP + COLUMNS_HIGH
    drawn = Markup("").join(
        Markup(
            '<rect x="{}%" y="{}" width="{}%" height="{}"/><text x="{}%" y="{}">{}</text>'
            '<text class="label" x="{}%" y="{}">{}</text>'
        ).format(
            f"{(place + 0.1) * wide:.2f}", f"{floor - high:.1f}", f"{0.8 * wide:.2f}", f"{high:.1f}",
            f"{(place + 0.5) * wide:.2f}", f"{floor - high - 5:.1f}", count or "",
            f"{(place + 0.5) * wide:.2f}", floor + 16, label,
        )
        for place, (label, count) in enumerate(counts)
        for high in [COLUMNS_HIGH * count / most]
    )  # fmt: skip
    return Markup(
        '<svg class="columns" width="100%" height="{}" role="img" aria-label="{}">{}'
        '<line class="floor" x1="0" x2="100%" y1="{}" y2="{}"/></svg>'
    ).format(floor + 22, name, drawn, floor, floor)


def parts_of_whole(parts: Sequence[tuple[str, float]], name: str, css: str = "") -> Markup:
    """Shares of 1 one after another on the scale 0 to 100 %; each part's class says how it is drawn."""
    starts = [sum(share for _, share in parts[:place]) for place in range(len(parts))]
    bars = Markup("").join(
        Markup('<rect class="{}" x="{}%" y="6" width="{}%" height="12"/>').format(
            part, f"{100 * start:.2f}", f"{100 * share:.2f}"
        )
        for (part, share), start in zip(parts, starts, strict=True)
        if share > 0
    )
    ticks = Markup("").join(
        Markup('<line class="tick" x1="{0}%" x2="{0}%" y1="2" y2="22"/>').format(at)
        for at in (0, 25, 50, 75, 100)
    )
    return Markup(
        '<svg class="parts {}" width="100%" height="24" role="img" aria-label="{}">{}{}</svg>'
    ).format(css, name, ticks, bars)


def around_zero(label: str, low: float, value: float, high: float, scale: float) -> Markup:
    """A difference with its interval on a scale from -`scale` to `scale`; the line in the middle is 0."""
    ends = [f"{50 + 50 * min(1.0, max(-1.0, each / scale)):.2f}%" for each in (low, value, high)]
    said = f"{label}: {100 * value:+.1f} points, between {100 * low:+.1f} and {100 * high:+.1f}"
    return Markup(
        '<svg class="interval" width="100%" height="24" role="img" aria-label="{}">'
        '<line class="tick" x1="0%" x2="0%" y1="4" y2="20"/>'
        '<line class="tick" x1="100%" x2="100%" y1="4" y2="20"/>'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="24"/>'
        '<line class="reach" x1="{}" x2="{}" y1="12" y2="12"/>'
        '<line class="edge" x1="{}" x2="{}" y1="7" y2="17"/>'
        '<line class="edge" x1="{}" x2="{}" y1="7" y2="17"/>'
        '<circle class="full" cx="{}" cy="12" r="5"/></svg>'
    ).format(
        said, ends[0], ends[2], ends[0], ends[0], ends[2], ends[2], ends[1],
    )  # fmt: skip


def ways(drawn: Sequence[tuple[str, Sequence[float], Sequence[float | None]]]) -> Markup:
    """Lines on common axes, each by its class; what they are stands beside them as text."""
    box = _box([(xs, ys) for _, xs, ys in drawn])
    strokes = Markup("").join(_polyline(part, css) for css, xs, ys in drawn for part in _scaled(ys, xs, box))
    return Markup(
        '<svg class="still" viewBox="0 0 100 40" preserveAspectRatio="none" width="100%" height="100%"'
        ' aria-hidden="true" focusable="false">{}</svg>'
    ).format(strokes)


SQUARE = 200


def reliability(bins: Sequence[tuple[float, float, int]]) -> Markup:
    """Predicted (0.5 to 1) against observed (0 to 1); larger dots are more pairs, the line is a match."""
    most = max((pairs for _, _, pairs in bins), default=1)
    dots = Markup("").join(
        Markup('<circle class="full" cx="{}" cy="{}" r="{}"/>').format(
            f"{(predicted - 0.5) * 2 * SQUARE:.1f}",
            f"{(1 - observed) * SQUARE:.1f}",
            f"{3 + 5 * math.sqrt(pairs / most):.1f}",
        )
        for predicted, observed, pairs in bins
        if pairs
    )
    return Markup(
        '<svg class="reliability" viewBox="-8 -8 216 216" role="img" aria-label="{}">'
        '<path class="frame" d="M0 0V200H200"/><path class="diagonal" d="M0 100L200 0"/>{}</svg>'
    ).format("Predicted chance against how often it was right; the table beside it has the numbers", dots)
