"""What marks, shares and drafts are made of, without a model."""

import pytest

from app.datasets.formats import Row, Turn
from app.engine.measuring import drafts, mark, refuse_useless_grader, share
from app.engine.reporting import CannotTrain, finite, readable
from app.engine.reward import scores
from app.engine.rows import demonstrations, in_words, prompts
from app.graders.bench import Bench
from app.protocol import Abstain, GraderError, Regex, Score

DRAFT = Regex(name="draft", pattern=r"Draft: (\w+)", match="first", reference="{{ item.answer }}")


def row(answer: str = "yes", said: str | None = None) -> Row:
    turns = [Turn(role="user", content="May he?")]
    return Row(
        messages=turns + ([Turn(role="assistant", content=said)] if said else []), item={"answer": answer}
    )


def test_only_a_full_score_is_right_and_what_was_not_scored_is_neither():
    outcomes = [Score(value=1.0), Score(value=0.5), Score(value=0.0), Abstain(why="-"), GraderError(why="-")]
    assert "".join(mark(outcome) for outcome in outcomes) == "100--"


def test_a_share_leaves_out_what_was_not_scored():
    found = share("110--")
    assert (found.right, found.n) == (2, 3)
    assert found.interval.low < 2 / 3 < found.interval.high


def test_drafts_are_followed_to_their_fate():
    texts = ["Draft: no", "Draft: no", "Draft: yes", "Draft: yes", "no draft at all", "Draft: yes"]
    counts = drafts(Bench(), DRAFT, [row()] * 6, texts, "1010" + "1-")
    assert (counts.wrong, counts.mended) == (2, 1)
    assert (counts.right, counts.spoiled) == (2, 1)
    assert counts.undecided == 2


def test_without_a_draft_grader_there_are_no_counts():
    assert drafts(Bench(), None, [row()], ["Draft: no"], "1") is None


def test_a_grader_that_always_abstains_is_told_apart_from_one_that_fails():
    with pytest.raises(CannotTrain, match="abstained on every held-out answer"):
        refuse_useless_grader([Abstain(why="not mine")] * 3)
    with pytest.raises(CannotTrain, match="failed on every held-out answer"):
        refuse_useless_grader([GraderError(why="out of order")] * 3)
    refuse_useless_grader([Abstain(why="not mine"), Score(value=0.0)])


def collected(outcomes) -> tuple[list[float | None], dict[str, float]]:
    metrics: dict[str, float] = {}
    return scores(outcomes, metrics.__setitem__), metrics


def test_rewards_are_scores_and_nothing_where_there_is_no_score():
    found, metrics = collected([Score(value=0.5), Abstain(why="-"), GraderError(why="-"), Score(value=1.0)])
    assert found == [0.5, None, None, 1.0]
    assert metrics == {"grader/errors": 0.25, "grader/abstained": 0.25}


def test_a_step_on_which_the_grader_abstained_throughout_has_no_reward_at_all():
    found, metrics = collected([Abstain(why="-")] * 3)
    assert found == [None] * 3
    assert metrics["grader/abstained"] == 1.0


def test_a_grader_that_fails_on_a_whole_step_ends_the_run_with_its_reason():
    with pytest.raises(CannotTrain, match=r"failed on every answer of a step: out of order"):
        collected([GraderError(why="out of order")] * 3)


def test_a_mixed_file_gives_sft_its_demonstrations_and_grpo_its_prompts():
    rows = [row(), row(said="yes"), row()]
    assert demonstrations(rows, None) == [rows[1]]
    assert prompts(rows, DRAFT) == [rows[0], rows[2]]
    assert prompts(rows[1:2], DRAFT) == [rows[1]]


def test_a_warm_start_takes_the_first_demonstrations_only():
    rows = [row(said=str(number)) for number in range(5)]
    assert demonstrations(rows, 2) == rows[:2]


def test_metrics_are_numbers_and_what_is_not_finite_is_null():
    given = {"loss": float("nan"), "reward": None, "step": 3, "note": "text", "grad_norm": float("inf")}
    assert finite(given) == {"loss": None, "step": 3.0, "grad_norm": None}


def test_what_people_read_holds_no_nul_and_says_what_was_cut():
    assert readable("a\x00b", 10) == "a\ufffdb"
    assert readable("abcdef", 4) == "abcd [2 characters more]"


def test_a_conversation_is_told_with_its_roles():
    turns = [Turn(role="system", content="Be brief."), Turn(role="user", content="Why?")]
    assert in_words(turns) == "system: Be brief.\n\nuser: Why?"
    assert in_words(turns[1:]) == "Why?"
