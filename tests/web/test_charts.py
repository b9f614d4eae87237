"""Pictures drawn on the server say what the numbers say."""

import re

import pytest

from app.web.charts import Span, interval, lines, reliability, sparkline


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


def test_lines_share_their_axes_and_marks_stand_at_their_step():
    drawn = lines([([0, 10], [0.0, 1.0]), ([5], [0.5])], marks=[(5, "1")])
    first, second = points(drawn)
    assert first[0][0] == 0
    assert first[1][0] == 100
    assert sum(x for x, _ in second) / len(second) == 50
    assert 'x1="50.00" x2="50.00"' in drawn
    assert '<text class="sign" x="50.00%"' in drawn


def test_a_line_is_named_where_it_ends():
    assert lines([([0, 1], [0.0, None])], ends=["A & B"]).count("A &amp; B") == 1


def test_a_reward_model_that_is_right_as_often_as_it_says_lies_on_the_line():
    drawn = reliability([(0.5, 0.5, 10), (1.0, 1.0, 10), (0.7, 0.2, 0)])
    assert re.findall(r'cx="([^"]*)" cy="([^"]*)"', drawn) == [("0.0", "100.0"), ("200.0", "0.0")]
