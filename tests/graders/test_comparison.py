"""Intervals and tests against published values and against each other."""

from fractions import Fraction
from math import comb, sqrt
from random import Random
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from app.graders.comparison import (
    _t_95,
    mcnemar,
    mean_score,
    paired,
    paired_difference,
    pooled_difference,
    pooled_score,
    sign_test,
    wilson,
)


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


SCORES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60))
def test_of_right_and_wrong_the_mean_has_wilsons_own_interval(scores):
    expected, found = wilson(scores.count(1.0), len(scores)), mean_score(scores).interval
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


@given(SCORES)
def test_the_mean_lies_in_its_interval_and_the_interval_in_what_scores_can_be(scores):
    found = mean_score(scores)
    assert 0 <= found.interval.low <= found.value <= found.interval.high <= 1
    assert found.value == pytest.approx(fmean(scores), abs=1e-9)


def test_with_many_partial_scores_the_interval_is_the_usual_one():
    scores = [0.2, 0.4, 0.5, 0.9] * 500
    found, reach = mean_score(scores), 1.959964 * pstdev(scores) / sqrt(len(scores))
    assert found.interval.low == pytest.approx(0.5 - reach, abs=2e-4)
    assert found.interval.high == pytest.approx(0.5 + reach, abs=2e-4)


@pytest.mark.parametrize(("a", "b"), [(2, 5), (0.5, 0.5), (8, 1)])
def test_the_interval_of_thirty_partial_scores_holds_the_truth_about_as_often_as_it_says(a, b):
    random, trials = Random(5), 1000
    intervals = [mean_score([random.betavariate(a, b) for _ in range(30)]).interval for _ in range(trials)]
    held = sum(each.low <= a / (a + b) <= each.high for each in intervals)
    assert 0.92 <= held / trials <= 0.98


@pytest.mark.parametrize("freedom", [4, 10, 63, 199])
def test_students_t_is_near_enough(freedom):
    assert _t_95(freedom) == pytest.approx(t.ppf(0.975, freedom), abs=1e-2)


def test_scores_that_a_grader_did_not_give_are_left_out_of_the_mean():
    assert mean_score([0.5, None, 1.0]).value == 0.75
    assert (mean_score([None]).n, mean_score([]).interval.high) == (0, 1.0)


def test_pairs_are_won_lost_or_tied_and_the_worst_losses_come_first():
    before = [0.0, 1.0, 0.5, 0.9, None, 0.4]
    found = paired(before, [1.0, 0.2, 0.5, 0.8, 1.0, None])
    assert (found.wins, found.losses, found.ties) == (1, 2, 1)
    assert found.regressions == (1, 3)
    assert found.change == pytest.approx((1.0 - 0.8 - 0.1) / 4)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_the_binomial_test_of_a_fair_coin(won, lost):
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert sign_test(won, lost) == pytest.approx(expected)


def test_of_right_and_wrong_the_sign_test_is_mcnemars():
    a, b = [1.0, 1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]
    assert paired(a, b).p == mcnemar("11010", "00100")


def test_evaluations_of_different_items_are_not_compared():
    with pytest.raises(ValueError, match="different items"):
        paired([1.0], [1.0, 0.0])


# Differences between two models on the same items


def right_and_wrong(both: int, first: int, second: int, neither: int) -> tuple[list[float], list[float]]:
    pairs = [(1.0, 1.0)] * both + [(1.0, 0.0)] * first + [(0.0, 1.0)] * second + [(0.0, 0.0)] * neither
    return [a for a, _ in pairs], [b for _, b in pairs]


def test_the_difference_of_two_shares_agrees_with_newcombe():
    """Newcombe 1998, Statistics in Medicine 17:2635, table II, method 10."""
    first, second = right_and_wrong(36, 12, 2, 0)
    found = paired_difference(second, first)
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0569, 0.3404)


@given(st.tuples(*[st.integers(0, 40)] * 4).filter(lambda counts: sum(counts) > 1))
def test_a_difference_mirrors_its_opposite_and_holds_its_value(counts):
    first, second = right_and_wrong(*counts)
    one, other = paired_difference(first, second), paired_difference(second, first)
    assert -1 <= one.low <= one.value <= one.high <= 1
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))


def test_partial_scores_have_students_interval_of_their_paired_differences():
    before, after = [0.1, 0.4, 0.5, 0.1, 0.9], [0.9, 0.1, 0.7, 0.3, 0.6]
    found = paired_difference(before, after)
    changes = [0.8, -0.3, 0.2, 0.2, -0.3]
    reach = t.ppf(0.975, 4) * sqrt(sum((c - 0.12) ** 2 for c in changes) / 4 / 5)
    assert found.value == pytest.approx(0.12)
    assert (found.low, found.high) == (
        pytest.approx(0.12 - reach, abs=0.01),
        pytest.approx(0.12 + reach, abs=0.01),
    )


def test_items_that_all_changed_alike_do_not_make_a_change_certain():
    """By hand: the variance of ten equal changes of 0.1 counts as 0.99 / 10, with nine degrees of freedom."""
    few = paired_difference([0.2, 0.7] * 5, [0.3, 0.8] * 5)
    reach = 2.262 * sqrt(0.99 / 10 / 10)
    assert (few.low, few.high) == (pytest.approx(0.1 - reach, abs=1e-3), pytest.approx(0.1 + reach, abs=1e-3))
    many = paired_difference([0.2, 0.5, 0.7] * 100, [0.3, 0.6, 0.8] * 100)
    assert 0.09 < many.low < 0.1 < many.high < 0.11


def test_items_without_both_scores_say_nothing_about_a_difference():
    assert paired_difference([1.0, None, 0.0, 1.0], [1.0, 1.0, None, 0.0]) == paired_difference(
        [1.0, 1.0], [1.0, 0.0]
    )
    assert paired_difference([1.0, None], [0.0, 1.0]) is None


def test_several_trainings_add_their_own_chance_to_that_of_the_items():
    """By hand: two trainings, four items; means 0.25 and 0.75, item means 0.5, 0.5, 0.5 and 0.5."""
    trials = [([0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]), ([0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0])]
    found = pooled_difference(trials)
    assert found.value == 0.5
    assert (found.low, found.high) == (-1.0, 1.0), "one degree of freedom: 0.5 +- 12.7 * 0.25"
    alike = pooled_difference([trials[0], trials[0]])
    single = paired_difference(*trials[0])
    assert alike.value == single.value
    assert pooled_difference(trials[:1]) == single


def test_more_trainings_that_agree_narrow_the_interval():
    random = Random(3)
    before = [float(random.random() < 0.3) for _ in range(200)]
    trials = [(before, [float(random.random() < 0.6) for _ in before]) for _ in range(5)]
    few, many = pooled_difference(trials[:2]), pooled_difference(trials)
    assert many.high - many.low < few.high - few.low
    assert many.low > 0.15


def test_a_pooled_score_of_one_training_is_its_own():
    scores = [1.0, 0.0, 1.0, None]
    assert pooled_score([scores]) == mean_score(scores)
    both = pooled_score([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0]])
    assert both.value == 0.625
    assert both.interval.low < 0.5 < 0.75 < both.interval.high


# Several trainings know no more than their items


def ends(found) -> tuple[float, float]:
    return found.interval.low, found.interval.high


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("seeds", [2, 5])
def test_trainings_that_agree_everywhere_say_what_one_of_them_says(score, seeds):
    scores = [score] * 40
    assert ends(pooled_score([scores] * seeds)) == ends(mean_score(scores))
    assert pooled_difference([(scores, scores)] * seeds) == paired_difference(scores, scores)
    lost = [1.0] * 4, [0.0] * 4
    assert pooled_difference([lost] * seeds) == paired_difference(*lost)
    assert pooled_difference([lost] * seeds).high > -1


def test_partial_scores_that_rise_alike_in_few_items_and_every_training_are_not_ahead():
    before, after = [0.2, 0.5, 0.7], [0.3, 0.6, 0.8]
    found = pooled_difference([(before, after)] * 2)
    assert found == paired_difference(before, after)
    assert found.low < 0 < found.high


SEVERAL = st.tuples(st.integers(2, 4), st.integers(2, 12)).flatmap(
    lambda shape: st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@given(SEVERAL)
def test_several_trainings_are_never_surer_than_the_means_of_their_items(trials):
    by_item = [fmean(item) for item in zip(*trials, strict=True)]
    one, several = mean_score(by_item), pooled_score(trials)
    assert several.interval.low <= one.interval.low + 1e-12
    assert several.interval.high >= one.interval.high - 1e-12
    start = [0.25] * len(by_item)
    single = paired_difference(start, by_item)
    pooled = pooled_difference([(start, scores) for scores in trials])
    assert pooled.low <= single.low + 1e-12
    assert pooled.high >= single.high - 1e-12


@given(SEVERAL)
def test_trainings_with_the_same_mean_are_no_less_sure_than_the_means_of_their_items(trials):
    turned = [[*scores[n:], *scores[:n]] for n, scores in enumerate([trials[0]] * len(trials))]
    by_item = [fmean(item) for item in zip(*turned, strict=True)]
    assert ends(pooled_score(turned)) == ends(mean_score(by_item))


@pytest.mark.parametrize(("chance", "seeds"), [(0.01, 2), (0.5, 3), (0.97, 3)])
def test_pooled_intervals_hold_the_truth_at_least_as_often_as_they_say(chance, seeds):
    """Each item is right with its own chance, spread about the mean, in every training anew."""
    random, draws = Random(7), 300
    held = told_apart = 0
    for _ in range(draws):
        items = [random.betavariate(2 * chance, 2 * (1 - chance)) for _ in range(40)]
        trials = [[[float(random.random() < p) for p in items] for _ in range(seeds)] for _ in range(2)]
        found = pooled_score(trials[0]).interval
        held += found.low <= chance <= found.high
        apart = pooled_difference(list(zip(*trials, strict=True)))
        told_apart += not apart.low <= 0 <= apart.high
    assert held / draws >= 0.94
    assert told_apart / draws <= 0.06
