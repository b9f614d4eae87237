"""Pictures drawn on the server say what the numbers say."""

import re

import pytest

from app.web.charts import Span, interval, sparkline


def points(drawn: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'points="([^"]*)"', drawn)
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in found]


def test_a_higher_value_is_drawn_higher():
    (line,) = points(sparkline([1.0, 3.0, 2.0]))
    heights = [-y for _, y in line]
    assert heights[1] > heights[2] > heights[0]


def test_a_missing_value_is_a_gap():
    assert [len(line) for line in points(sparkline([1.0, 2.0, None, float("nan"), 1.0, 3.0]))] == [2, 2]


@pytest.mark.parametrize("values", [[], [None], [1.0], [2.0, 2.0, 2.0]])
def test_too_few_or_equal_values_are_drawn_without_fuss(values):
    assert "<svg" in sparkline(values)


def test_an_interval_stands_where_its_shares_are_and_says_them():
    drawn = interval(Span("After", 0.61, 0.673, 0.735))
    assert 'x1="61.00%" x2="73.50%"' in drawn
    assert 'cx="67.30%"' in drawn
    assert "After: 67.3%, between 61.0% and 73.5%" in drawn


def test_a_label_cannot_leave_its_attribute():
    assert "<script>" not in interval(Span('"><script>', 0, 0.5, 1))
