"""Intervals and tests against published values and against each other."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graders.comparison import mcnemar, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_newcombe(right, n, low, high):
    interval = wilson(right, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_nothing_is_known_without_answers():
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_mirrors_its_opposite(counts):
    right, n = counts
    interval, mirrored = wilson(right, n), wilson(n - right, n)
    assert 0 <= interval.low <= right / n <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


OUTCOMES = st.lists(st.tuples(st.sampled_from("01-"), st.sampled_from("01-")), max_size=60)


@given(OUTCOMES)
def test_mcnemar_is_the_two_sided_binomial_test_on_the_items_that_differ(pairs):
    a, b = "".join(x for x, _ in pairs), "".join(y for _, y in pairs)
    won, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
    n, k = won + lost, min(won, lost)
    exact = min(Fraction(1), 2 * Fraction(sum(comb(n, i) for i in range(k + 1)), 2**n))
    assert mcnemar(a, b) == pytest.approx(float(exact))
    assert mcnemar(a, b) == mcnemar(b, a)


def test_six_wins_and_no_loss_are_significant_and_five_are_not():
    assert mcnemar("111111", "000000") == 0.03125
    assert mcnemar("11111", "00000") == 0.0625


def test_items_that_a_grader_could_not_score_say_nothing():
    assert mcnemar("1-0", "-11") == 1.0
    assert mcnemar("", "") == 1.0


def test_ten_thousand_items_are_no_trouble():
    assert mcnemar("10" * 5000, "01" * 5000) == 1.0


def test_different_items_cannot_be_compared():
    with pytest.raises(ValueError, match="different items"):
        mcnemar("11", "1")
