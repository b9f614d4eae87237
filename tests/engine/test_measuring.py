"""What marks, shares and drafts are made of, without a model."""

from collections.abc import Sequence

import pytest

from app.datasets.formats import Row, Turn
from app.engine.measuring import (
    Answer,
    Answered,
    abstention,
    drafts,
    mark,
    measured,
    reference_answer,
    refuse_useless_grader,
    share,
)
from app.engine.reporting import CannotTrain, finite, readable
from app.engine.reward import Reward, scores
from app.engine.rows import demonstrations, in_words, prompts
from app.graders.bench import Bench
from app.protocol import (
    Abstain,
    GraderError,
    Length,
    Multi,
    Python,
    Regex,
    RunSpec,
    Score,
    SftRecipe,
    StarterModel,
    StringCheck,
    TextSimilarity,
    UploadedDataset,
)

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


FAILS_ON_ILL = """
def grade(sample, item):
    if sample["output_text"] == "ill":
        raise ValueError("out of order")
    return 1
"""


def test_a_grader_that_fails_on_twenty_answers_one_after_another_ends_the_run():
    """Unless all are answers to one row, on which it may always fail."""
    with Bench() as bench:
        reward = Reward(bench, Python(name="g", source=FAILS_ON_ILL), [row() for _ in range(32)])

        def step(rows: Sequence[int], *texts: str) -> list[float | None]:
            said = [[{"role": "assistant", "content": text}] for text in texts]
            ids = [[1]] * len(texts)
            return reward.grader(said, rows, ids, log_metric=lambda *_: None, log_extra=lambda *_: None)

        for _ in range(3):
            assert step(range(16), "well", *["ill"] * 15) == [1.0, *[None] * 15]
        assert step([0] * 31 + [1], *["well", *["ill"] * 30, "well"]) == [1.0, *[None] * 30, 1.0]
        step(range(16), "well", *["ill"] * 15)
        with pytest.raises(CannotTrain, match=r"failed on 20 answers one after another: .*out of order"):
            step(range(16), *["ill"] * 5, *["well"] * 11)


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


RULING = Regex(name="ruling", pattern=r"(\w+)", reference="{{ item.answer }}")
NEAR = TextSimilarity(name="near", reference="{{ item.answer }}", pass_threshold=0.5)


def spec(**changes) -> RunSpec:
    recipe = SftRecipe(learning_rate=1e-3, batch_size=1, micro_batch_size=1, epochs=1, max_length=32)
    given = {"name": "a test", "model": StarterModel(), "recipe": recipe, "grader": RULING}
    return RunSpec(**given | {"dataset": UploadedDataset(sha256="0" * 64)} | changes)


def said(*texts: str) -> list[Answer]:
    return [Answer(text, tokens=len(text), is_clipped=text == "") for text in texts]


def test_an_evaluation_holds_what_every_grader_gave_every_item():
    answered = Answered([row(), row()], said("yes", "no"), said("no", "no"), loss=0.5)
    found = measured(Bench(), spec(independent_graders=[NEAR]), "before", answered)
    reward, independent = found.scores
    assert (reward.grader, reward.role, reward.sampled, reward.greedy) == (
        "ruling",
        "reward",
        [1.0, 0.0],
        [0.0, 0.0],
    )
    assert (independent.role, independent.pass_threshold, independent.sampled[0]) == ("independent", 0.5, 1.0)
    assert (found.sampled_outcomes, found.greedy_outcomes, found.loss) == ("10", "00", 0.5)
    assert found.sampled_tokens == [3, 2]


def test_with_partial_credit_an_answer_is_right_from_the_graders_threshold_on():
    answered = Answered([row("granted")] * 3, said("granted", "granter", "no"), said("", "", ""))
    found = measured(Bench(), spec(grader=NEAR), "after", answered)
    assert found.sampled_outcomes == "110"
    assert 0 < found.scores[0].sampled[1] < 1


def test_a_run_without_a_grader_is_measured_by_loss_length_and_manners():
    answered = Answered([row(said="yes")], said("Thank you. yes"), said(""), loss=1.5, reference_tokens=4.0)
    found = measured(Bench(), spec(grader=None), "before", answered)
    assert (found.sampled.n, found.scores, found.abstained) == (0, [], 0)
    assert (found.loss, found.reference_tokens, found.deference, found.clipped) == (1.5, 4.0, 1.0, 0.0)


def test_abstaining_counts_on_the_rows_that_want_it():
    wants = row().model_copy(update={"item": {"answer": "-", "unanswerable": True}})
    assert abstention([wants, wants, row()], ["I don't know.", "yes", "I don't know."]) == 0.5
    assert abstention([row()], ["I don't know."]) is None


def test_a_reference_is_what_the_grader_compares_with_else_the_rows_own():
    given = row(said="a long and padded yes").model_copy(
        update={"item": {"answer": "yes", "reference": "aye"}}
    )
    whole = StringCheck(name="equal", reference="{{ item.answer }}")
    assert reference_answer(whole, given) == "yes"
    assert reference_answer(RULING, given) == "aye"
    assert reference_answer(None, row(said="yes, he may")) == "yes, he may"
    assert reference_answer(RULING, row()) is None


def test_a_reward_made_of_parts_tells_each_and_the_lengths_of_right_and_wrong_answers():
    short = Length(name="short", unit="words", high=3)
    grader = Multi(
        name="both", graders={"right": RULING, "short": short}, calculate_output="0.5 * right + 0.5 * short"
    )
    metrics: dict[str, float] = {}
    columns: dict[str, list[float | None]] = {}
    rewards = Reward(Bench(), grader, [row()]).grader(
        completions=[[{"content": "yes"}], [{"content": "no " * 30}]],
        row=[0, 0],
        completion_ids=[[1, 2], [1] * 30],
        log_metric=metrics.__setitem__,
        log_extra=columns.__setitem__,
    )
    assert rewards == [1.0, 0.0]
    assert columns == {"rewards/right": [1.0, 0.0], "rewards/short": [1.0, 0.0]}
    assert metrics["rewards/right"] == metrics["rewards/short"] == 0.5
    assert (metrics["completions/mean_length_right"], metrics["completions/mean_length_wrong"]) == (2, 30)
