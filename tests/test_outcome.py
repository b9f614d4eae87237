"""Whether a decision held: the rule, case by case."""

import pytest

from app.outcome import Level, Measured, Pairs, verdict_of


def measured(wins, losses, p, name="score"):
    before = Level(value=0.5, low=0.4, high=0.6, n=100)
    after = Level(value=0.5 + (wins - losses) / 100, low=0.0, high=1.0, n=100)
    return Measured(name=name, before=before, after=after, pairs=Pairs(wins=wins, losses=losses, ties=0, p=p))


ROSE, FELL, LEVEL = measured(30, 5, 0.001), measured(5, 30, 0.001), measured(12, 10, 0.8)
UNPAIRED = ROSE.model_copy(update={"pairs": None})


@pytest.mark.parametrize(
    ("score", "guard", "independent", "stopped_by", "verdict"),
    [
        (ROSE, None, [], [], "held"),
        (ROSE, LEVEL, [LEVEL, ROSE], [], "held"),
        (LEVEL, None, [], [], "not_shown"),
        (UNPAIRED, None, [], [], "not_shown"),
        (FELL, None, [], [], "did_not_hold"),
        (ROSE, FELL, [], [], "did_not_hold"),
        (ROSE, None, [ROSE, FELL], [], "did_not_hold"),
        (ROSE, None, [], ["The entropy collapsed."], "did_not_hold"),
        (LEVEL, FELL, [], [], "did_not_hold"),
    ],
)
def test_it_held_only_where_the_score_rose_and_nothing_else_got_worse(
    score, guard, independent, stopped_by, verdict
):
    assert verdict_of(score, guard, independent, stopped_by) == verdict
