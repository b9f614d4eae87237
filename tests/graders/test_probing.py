"""A probe's figures against values computed by hand, by counting, and published ones."""

from itertools import combinations
from math import sqrt
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from app.graders import probing
from app.graders.comparison import clustered, difference, mean_score, wilson
from app.protocol import Share


def wilson_at(share: float, n: float) -> tuple[float, float]:
    z = norm.ppf(0.975)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - reach, centre + reach


def ends(interval) -> tuple[float, float]:
    return interval.low, interval.high


# The interval that allows for answers to one prompt being alike


def test_answers_that_are_alike_inside_each_prompt_count_for_less():
    """Rights 4, 4, 0, 0, 2 of 4: variance between prompts 5/4 * 16 / 400, so the design effect is 4."""
    groups = [[1.0] * 4, [1.0] * 4, [0.0] * 4, [0.0] * 4, [1.0, 1.0, 0.0, 0.0]]
    effective = 20 / 4 * (norm.ppf(0.975) / t.ppf(0.975, 4)) ** 2
    found = clustered(groups)
    assert (found.value, found.n) == (0.5, 20)
    assert ends(found.interval) == pytest.approx(wilson_at(0.5, effective), abs=2e-3)


def test_answers_that_are_not_alike_count_as_so_many_answers():
    groups = [[1.0, 0.0, 0.0, 0.0]] * 16
    assert clustered(groups).interval == wilson(16, 64)


@pytest.mark.parametrize(("score", "right"), [(0.0, 0), (1.0, 256)])
def test_where_all_answers_agree_each_counts(score, right):
    assert clustered([[score] * 8] * 32).interval == wilson(right, 256)


def test_one_prompt_is_one_answer():
    assert clustered([[1.0] * 4 + [0.0] * 4]).interval.low < 0.1


def test_answers_without_a_score_are_left_out():
    assert clustered([[1.0, None], [None, None], [0.0, 1.0]]).n == 3
    assert ends(clustered([[None]]).interval) == (0.0, 1.0)


@given(
    st.lists(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=6), min_size=1, max_size=12)
)
def test_the_interval_holds_the_mean(groups):
    found = clustered(groups)
    assert found.interval.low <= found.value <= found.interval.high or not found.n


def test_a_difference_of_two_shares_agrees_with_newcombe():
    """Newcombe 1998, Statistics in Medicine 17:873, table II: 56/70 - 48/80 by method 10."""
    first = mean_score([1.0] * 56 + [0.0] * 14)
    second = mean_score([1.0] * 48 + [0.0] * 32)
    value, low, high = difference(first, second)
    assert (round(value, 4), round(low, 4), round(high, 4)) == (0.2, 0.0524, 0.3339)


# Shares and chances


def test_an_answer_passes_from_the_graders_threshold_on():
    found = probing.passed([[0.5, 0.8], [0.79, None]], least=0.8)
    assert (found.right, found.n) == (1, 3)


def test_pass_at_k_is_unbiased():
    """One of four right: 1 - C(3, 2) / C(4, 2) = 1/2; none of four right: 0."""
    assert probing.pass_at([[1.0, 0.0, 0.0, 0.0]], 1.0) == {1: 0.25, 2: 0.5, 4: 1.0}
    both = probing.pass_at([[1.0, 0.0, 0.0, 0.0], [0.0] * 4], 1.0)
    assert both == {1: 0.125, 2: 0.25, 4: 0.5}


def test_pass_at_k_goes_by_prompts_with_so_many_scores():
    assert probing.pass_at([[1.0, None, None], [0.0, 0.0, 0.0]], 1.0) == {1: 0.5, 2: 0.0}
    assert probing.pass_at([[None]], 1.0) == {}


# Groups that teach nothing


def test_dead_groups_by_hand():
    """[1, 0, 0, 0] makes 6 pairs, 3 of them of two zeros; four of one kind are always alike."""
    pair, four = probing.dead([[1.0, 0.0, 0.0, 0.0], [1.0] * 4], [4, 2], 4, 1.0)
    assert (pair.group, pair.share, pair.all_right, pair.all_wrong) == (2, 0.75, 0.5, 0.25)
    assert (four.group, four.share, four.all_right, four.all_wrong) == (4, 0.5, 0.5, 0.0)
    assert pair.is_measured
    assert four.is_measured


def test_groups_larger_than_drawn_go_by_each_prompts_own_share():
    """2 * 0.5 ** 8: the table of zero-variance groups for a binary reward has .01 there."""
    (found,) = probing.dead([[1.0, 0.0]], [8], 2, 1.0)
    assert found.share == pytest.approx(2 / 256)
    assert not found.is_measured


def test_larger_groups_are_never_said_to_be_dead_more_often():
    """One of eight right: 0 of the groups of eight are dead, and (7/8) ** 16 of sixteen would be too many."""
    eight, sixteen = probing.dead([[1.0] + [0.0] * 7], [8, 16], 8, 1.0)
    assert (eight.share, sixteen.share) == (0.0, 0.0)


def test_a_prompt_counts_for_groups_of_as_many_as_it_has_scores():
    """Of pairs the first has one, dead, the second none; the third has no pair at all."""
    groups = [[1.0, 1.0, None, None], [1.0, 0.0, None, None], [0.0, None, None, None]]
    pair, four = probing.dead(groups, [2, 4], 4, 1.0)
    assert (pair.share, pair.is_measured) == (0.5, True)
    assert not four.is_measured
    assert four.share <= pair.share


def test_groups_are_measured_where_half_of_the_prompts_have_scores_enough():
    whole, short = [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, None]
    (half,) = probing.dead([whole, short], [4], 4, 1.0)
    assert (half.share, half.is_measured) == (0.0, True)
    (fewer,) = probing.dead([whole, short, short], [4], 4, 1.0)
    assert not fewer.is_measured


def test_single_scores_leave_groups_unmeasured():
    (found,) = probing.dead([[1.0, None], [None, 0.0]], [2], 2, 1.0)
    assert not found.is_measured


def test_missing_scores_make_no_dead_groups():
    """Three in ten right, one score in ten missing: 0.3 ** 8 + 0.7 ** 8 of groups of eight are dead."""
    chance = Random(1)
    groups = [
        [None if chance.random() < 0.1 else float(chance.random() < 0.3) for _ in range(12)]
        for _ in range(400)
    ]
    (found,) = probing.dead(groups, [8], 12, 1.0)
    assert found.is_measured
    assert found.share == pytest.approx(0.3**8 + 0.7**8, abs=0.02)


def test_partial_scores_that_differ_keep_a_group_alive():
    (found,) = probing.dead([[0.2, 0.4]], [2], 2, 1.0)
    assert found.share == 0


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=5, max_size=5), min_size=1, max_size=4),
    st.integers(2, 5),
)
def test_measured_shares_are_those_of_all_groups_that_the_answers_make(groups, size):
    (found,) = probing.dead(groups, [size], 5, 1.0)
    counted = fmean(fmean(len(set(each)) == 1 for each in combinations(group, size)) for group in groups)
    assert found.share == pytest.approx(counted)
    assert found.share == pytest.approx(found.all_right + found.all_wrong)


# Lengths and demonstrations


def test_percentiles_are_lengths_that_were_drawn():
    found = probing.lengths(list(range(1, 101)))
    assert (found.median, found.p95, found.longest) == (50.0, 95.0, 100)


def test_demonstrations_are_compared_with_the_model_on_their_own_rows():
    """Rows without a demonstration leave both sides."""
    found = probing.against_demonstrations([[1.0, 0.0], [0.0, 0.0]], [1.0, None], is_paired=True)
    assert found is not None
    assert found.value == 0.5


def test_perfect_demonstrations_against_a_model_that_never_succeeds_leave_a_margin():
    found = probing.against_demonstrations([[0.0] * 8] * 32, [1.0] * 32, is_paired=True)
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.85 < found.low < 1.0


def test_other_rows_are_compared_as_such():
    found = probing.against_demonstrations([[1.0, 0.0]], [1.0] * 40, is_paired=False)
    assert found is not None
    assert (found.value, found.is_paired) == (0.5, False)


def test_without_any_score_there_is_no_difference():
    assert probing.against_demonstrations([[1.0]], [None], is_paired=True) is None


def test_a_share_of_a_probe_has_the_interval_of_its_prompts():
    groups = [[1.0] * 8] * 8 + [[0.0] * 8] * 24
    found = probing.passed(groups, 1.0)
    assert isinstance(found, Share)
    assert found.interval.high - found.interval.low > 0.25
    assert wilson(64, 256).high - wilson(64, 256).low < 0.11
