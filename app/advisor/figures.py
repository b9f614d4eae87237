"""Figures in words: ranges with two significant digits at most, never an exactness that nothing supports."""

from app.advisor.advice import Range


def two(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def three(value: float) -> float:
    """What a table or a card states: three significant digits."""
    return float(f"{value:.3g}")


def around(value: float, factor: float) -> Range:
    """As much as a factor below or above."""
    return Range(low=value / factor, typical=value, high=value * factor)


def rough(span: Range) -> Range:
    return Range(low=two(span.low), typical=two(span.typical), high=two(span.high))


def plain(value: float) -> str:
    """12,000; 3.5; 0.05."""
    shown = two(value)
    return f"{shown:,.0f}" if shown >= 10 else f"{shown:g}"


def between(span: Range) -> str:
    """3 to 6."""
    low, high = plain(span.low), plain(span.high)
    return low if low == high else f"{low} to {high}"


UNITS = ((1 / 3600, "seconds", 120.0), (1 / 60, "minutes", 120.0), (1.0, "hours", 96.0), (24.0, "days", 0.0))
"""Hours in a unit, and how many of it are read more easily than one of the next."""


def duration(hours: Range) -> str:
    """3 to 6 hours, in the unit that suits the longer end."""
    size, unit = next((size, unit) for size, unit, most in UNITS if not most or hours.high / size < most)
    if unit == "seconds" and hours.high / size < 1:
        return "under a second"
    return f"{between(hours.times(1 / size))} {unit}"


def gpu_hours(span: Range) -> str:
    return "under 0.1 GPU-hours" if span.high < 0.1 else f"{between(span)} GPU-hours"


def dollars(money: Range) -> str:
    """$12 to $40; cents only under a dollar."""
    if money.high < 1:
        return "under $1"
    low = "under $1" if money.low < 1 else f"${plain(money.low)}"
    return f"{low} to ${plain(money.high)}"


def gib(value: float) -> str:
    return f"{plain(value)}\N{NO-BREAK SPACE}GiB"


def times(value: float) -> str:
    return f"{plain(value)} times"
