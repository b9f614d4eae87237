"""Agreement with experts: worked by hand, and by SciPy."""

import math

import pytest
from scipy.stats import spearmanr

from app.graders.agreement import agreement, confuse, interval, kappa, spearman
from app.protocol import Abstain, Confusion, GraderError, Score, TriedAnswer


def compared(ours, theirs, grader_pass=0.5, expert_pass=None):
    answers = [TriedAnswer(output_text=f"answer {n}", expert=score) for n, score in enumerate(theirs)]
    outcomes = [each if not isinstance(each, int | float) else Score(value=each) for each in ours]
    return agreement(answers, outcomes, grader_pass, expert_pass)


def test_a_correlation_worked_by_hand():
    """Ranks 1 to 5 against 2, 1, 4, 3, 5: squared differences sum to 4, 1 - 6 * 4 / 120 = 0.8."""
    found = compared([0.1, 0.2, 0.3, 0.4, 0.5], [2, 1, 4, 3, 5])
    assert found.spearman == pytest.approx(0.8)
    assert (found.n, found.reading) == (5, "go")
    reach = 1.959964 * math.sqrt((1 + 0.8**2 / 2) / 2)
    assert found.low == pytest.approx(math.tanh(math.atanh(0.8) - reach), abs=1e-6)
    assert found.high == pytest.approx(math.tanh(math.atanh(0.8) + reach), abs=1e-6)
    assert "The interval spans more than one reading: score more answers to be sure." in found.findings


def test_ties_count_as_scipy_counts_them():
    ours = [0, 0, 1, 1, 0.5, 0.5, 0.25, 1, 0, 1]
    theirs = [1, 2, 5, 4, 3, 3, 2, 5, 1, 2]
    assert spearman(ours, theirs) == pytest.approx(spearmanr(ours, theirs).statistic)


def test_the_interval_is_tighter_with_more_answers_and_absent_where_it_would_lie():
    few, many = interval(0.7, 20), interval(0.7, 200)
    assert many[0] > few[0]
    assert many[1] < few[1]
    assert interval(1.0, 20) == interval(0.7, 3) == interval(None, 20) == (None, None)


@pytest.mark.parametrize(
    ("theirs", "reading"),
    [([1, 2, 3, 4, 5], "go"), ([2, 1, 5, 3, 4], "warn"), ([5, 4, 3, 2, 1], "fix"), ([3] * 5, "unclear")],
)
def test_the_reading_follows_the_thresholds(theirs, reading):
    assert compared([0.1, 0.2, 0.3, 0.4, 0.5], theirs).reading == reading


def test_kappa_worked_by_hand():
    """20 both right, 15 both wrong, 5 and 10 apart: observed 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5."""
    assert kappa(Confusion(both_right=20, only_grader=5, only_expert=10, both_wrong=15)) == pytest.approx(0.4)
    assert kappa(Confusion(both_right=9, only_grader=0, only_expert=0, both_wrong=0)) is None
    assert kappa(Confusion(both_right=0, only_grader=0, only_expert=0, both_wrong=0)) is None


def test_the_confusion_is_counted_at_both_thresholds():
    assert confuse([1, 1, 0, 0, 0.5], [5, 2, 4, 1, 3], 0.5, 3) == Confusion(
        both_right=2, only_grader=1, only_expert=1, both_wrong=1
    )


def test_experts_pass_from_the_middle_of_their_scale_unless_told_otherwise():
    assert compared([0.1, 0.9], [1, 5]).expert_pass == 3
    assert compared([0.1, 0.9], [1, 5], expert_pass=4.5).expert_pass == 4.5


def test_what_the_grader_did_not_score_is_left_out():
    found = compared([0.1, Abstain(why="no"), GraderError(why="broken"), 0.9, 0.5], [1, 2, 3, 4, None])
    assert (found.n, found.left_out) == (2, 3)
    assert found.findings[-1] == "The grader failed on 1 of 5 answers. The first time: broken."


def test_the_worst_disagreements_come_first_on_one_scale():
    found = compared([1.0, 0.0, 0.5, 1.0], [1, 5, 3, 4])
    assert [(each.index, each.grader, each.expert) for each in found.worst] == [
        (0, 1.0, 0.0),
        (1, 0.0, 1.0),
        (3, 1.0, 0.75),
    ]
    assert found.worst[0].output_text == "answer 0"
    assert "The grader passes 1 that the experts do not. Training finds more of these: mend them first." in (
        found.findings
    )


@pytest.mark.parametrize("scores", [[], [0.4]])
def test_too_few_answers_are_no_correlation(scores):
    found = compared(scores, scores)
    assert (found.spearman, found.reading) == (None, "unclear")
    assert "No correlation can be told" in found.findings[0]
