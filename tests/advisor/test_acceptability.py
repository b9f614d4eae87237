"""How often a method leads when weights are drawn at random, against closed forms."""

from itertools import pairwise
from math import comb, prod

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.advisor.robustness import acceptability_all, acceptability_near, positive_share
from tests.thorough import cases

ALL = settings(max_examples=cases(200), deadline=None, derandomize=True)

# Values of the closed form, the tied ones by a limit.
KNOWN = [
    ((0.6, -0.2, -0.7, -0.4, 0.5), 0.419434),
    ((-0.3, 0.1, -0.8, -0.2, 0.9), 0.364317),
    ((1, -1, 0.5, -0.5, 0.1), 0.532828),
    ((0.5, 0.5, -0.5, -0.5, 0), 0.5),
    ((0.5, 0.5, -0.2, -0.2, -0.2), 0.676801),
    ((0.4, 0.4, 0.4, 0.4, -0.9), 0.770281),
    ((1, -1, -1, -1, -1), 0.0625),
    ((0, 0, 0, 0, 0), 0.0),
    ((-0.1, -0.2, -0.3, -0.4, -0.5), 0.0),
    ((0.1, 0.2, 0.3, 0.4, 0.5), 1.0),
]


def closed_form(directions):
    """For directions that all differ (Lahdelma and Salminen's SMAA on a simplex)."""
    count = len(directions)
    return sum(
        d ** (count - 1) / prod(d - other for other in directions if other != d) for d in directions if d > 0
    )


def beta_tail(a, b, x):
    """P(Beta(a, b) > x) for whole a and b."""
    return sum(comb(a + b - 1, k) * x**k * (1 - x) ** (a + b - 1 - k) for k in range(a))


@pytest.mark.parametrize(("directions", "share"), KNOWN)
def test_all_weightings_agree_with_known_values(directions, share):
    assert acceptability_all(directions) == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(("directions", "share"), KNOWN)
def test_a_flat_distribution_gives_the_share_of_all_weightings(directions, share):
    flat = acceptability_near(directions, [0.2] * 5, kappa=5)
    # A direction of 0 leaves the draw and changes nothing.
    assert flat == pytest.approx(share, abs=1e-5)


@ALL
@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5))
def test_all_weightings_agree_with_the_closed_form(directions):
    gaps = sorted(directions)
    assume(min(b - a for a, b in pairwise(gaps)) > 0.02)
    assert acceptability_all(directions) == pytest.approx(closed_form(directions), abs=1e-6)


@ALL
@given(st.lists(st.floats(-1, 1).map(lambda d: round(d, 3)), min_size=5, max_size=5))
def test_inversion_agrees_with_the_closed_form_where_there_is_one(directions):
    assert acceptability_near(directions, [0.2] * 5, 5) == pytest.approx(
        acceptability_all(directions), abs=2e-5
    )


@ALL
@given(a=st.integers(1, 12), b=st.integers(1, 12), up=st.floats(0.05, 1), down=st.floats(0.05, 1))
def test_two_terms_agree_with_the_beta_distribution(a, b, up, down):
    """up * Gamma(a) > down * Gamma(b) just where the Beta(a, b) share of the first exceeds a threshold."""
    threshold = down / (up + down)
    assert positive_share([(a, up), (b, -down)]) == pytest.approx(beta_tail(a, b, threshold), abs=2e-5)


@pytest.mark.parametrize(("kappa", "share"), [(5, 0.67968), (20, 0.80131), (80, 0.95043)])
def test_concentration_makes_the_leading_method_surer(kappa, share):
    near = acceptability_near((1, -1, 0.5, -0.5, 0.1), (0.3, 0.2, 0.2, 0.15, 0.15), kappa)
    assert near == pytest.approx(share, abs=2e-5)


@ALL
@given(
    directions=st.lists(st.floats(-1, 1).map(lambda d: round(d, 3)), min_size=5, max_size=5),
    weights=st.lists(st.floats(1e-7, 1), min_size=5, max_size=5),
)
def test_swapping_the_methods_swaps_the_shares(directions, weights):
    assume(any(directions))
    whole = sum(weights)
    near = acceptability_near(directions, [w / whole for w in weights], 20)
    mirrored = acceptability_near([-d for d in directions], [w / whole for w in weights], 20)
    assert near + mirrored == pytest.approx(1, abs=1e-4)


def test_a_factor_without_weight_has_no_say():
    assert acceptability_near((1, -1, -1), (1, 0, 0), 20) == 1


def test_nearly_no_weight_on_what_speaks_at_all_still_gives_a_share():
    """Nearly all weight on a factor that pulls neither way: the two others decide by their ratio."""
    near = acceptability_near((0, 1, -1), (1 - 4e-6, 3e-6, 1e-6), 20)
    assert near == pytest.approx(0.75, abs=1e-3)
