"""Checks fall evenly, on the same rows each time, and take no more than their share of a run."""

from hypothesis import given
from hypothesis import strategies as st

from app.engine.check_plan import Budget, Turns, due, spread


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_checks_are_evenly_spread_and_the_last_follows_the_last_step(steps, checks):
    found = sorted(due(steps, checks))
    assert found[-1] == steps
    assert len(found) == min(steps, checks)
    gaps = {b - a for a, b in zip([0, *found], found, strict=False)}
    assert max(gaps) - min(gaps) <= 1


def test_without_checks_none_is_due():
    assert due(100, 0) == frozenset()


@given(st.integers(0, 2000), st.integers(1, 200))
def test_rows_are_taken_from_everywhere_and_none_twice(n, most):
    places = spread(n, most)
    assert len(set(places)) == len(places) == min(n, most)
    assert places == sorted(places)
    assert all(0 <= place < n for place in places)


def test_the_first_checks_are_free_and_a_short_run_is_always_checked():
    budget = Budget()
    assert budget.allows_another(0.0)
    for _ in range(10):
        budget.took(5.0)
    assert budget.allows_another(40.0)


def test_checks_that_would_take_more_than_a_fifth_of_the_time_are_left_out_until_there_is_time_again():
    budget = Budget()
    budget.took(50.0)
    assert not budget.allows_another(400.0)
    assert budget.allows_another(500.0)


def test_without_a_budget_of_time_turns_follow_the_steps():
    turns = Turns(2, 10)
    assert [step for step in range(1, 11) if turns.is_due(step, None)] == [5, 10]


def test_turns_are_spread_over_a_budget_of_time_and_one_that_was_missed_comes_once():
    turns = Turns(4, 1000, 0.0)
    used = [0.1, 0.3, 0.4, 0.8, 0.9, 1.02]
    assert [step for step, share in enumerate(used, 1) if turns.is_due(step, share, step == 6)] == [2, 4, 6]


@given(st.integers(1, 20), st.lists(st.floats(0.001, 0.6), min_size=1, max_size=60), st.floats(0.0, 0.3))
def test_no_more_turns_than_asked_whenever_the_clock_reaches_the_end_of_the_budget(number, steps, telling):
    """A step is over at one moment and told, with its turn, a moment later."""
    turns, used, taken = Turns(number, 10_000, 0.0), 0.0, 0
    for step, share in enumerate(steps, 1):
        used += share
        is_last = used >= 1
        taken += turns.is_due(step, used + telling, is_last)
        if is_last:
            break
    assert taken <= number


def test_turns_go_on_from_what_is_used_and_follow_the_last_step_too():
    turns = Turns(4, 3, 0.5)
    assert [step for step in (1, 2, 3) if turns.is_due(step, 0.6)] == [3]
    assert not Turns(0, 3, 0.0).is_due(3, 0.6)
