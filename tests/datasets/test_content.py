"""What a dataset holds that the data questions ask about is counted, and nothing is read into it."""

import json
import random

import pytest

from app.datasets.apart import told_apart, words_of
from app.protocol import Content
from tests.datasets.reading_here import profiled

WORDS = ("court", "tenant", "notice", "deposit", "letter", "claim", "appeal", "clause", "party", "judge")
OTHER_WORDS = ("goal", "match", "player", "season", "league", "coach", "ball", "score", "keeper", "team")


def question(n: int, words: tuple[str, ...] = WORDS) -> str:
    chance = random.Random(n)
    return f"Case {n}: " + " ".join(chance.choice(words) for _ in range(14)) + "?"


def profile(folder, rows):
    return profiled(folder, b"\n".join(json.dumps(row).encode() for row in rows)).profile


def content(folder, rows) -> Content:
    found = profile(folder, rows).content
    assert found is not None
    return found


def demonstration(n: int, answer: str | None = None, **fields: object) -> dict:
    return {"prompt": question(n), "completion": answer or f"Day {n}.", **fields}


def test_demonstrations_that_repeat_or_lack_a_value_are_not_usable(tmp_path):
    rows = [demonstration(n) for n in range(40)]
    rows += [demonstration(3), demonstration(50, "NaN"), {"prompt": question(60)}]
    found = content(tmp_path, rows)
    assert (found.answered, found.demonstrations) == (42, 40)
    assert found.prompts == 42


def test_prompts_count_once_whatever_their_case_and_those_nearly_alike_are_told(tmp_path):
    rows = [{"prompt": question(n)} for n in range(30)]
    long = " ".join(question(n).partition(": ")[2] for n in range(40, 44))
    rows += [{"prompt": question(3).upper()}, {"prompt": long}, {"prompt": f"{long} Say why."}]
    found = content(tmp_path, rows)
    assert found.prompts == 32
    assert found.near_prompts == 1


def test_pairs_that_prefer_nothing_do_not_count(tmp_path):
    rows = [{"prompt": question(n), "chosen": "Yes.", "rejected": "No."} for n in range(20)]
    rows.append({"prompt": question(30), "chosen": "Yes.", "rejected": "Yes."})
    assert content(tmp_path, rows).pairs == 20


def test_rows_say_who_made_them_and_whether_somebody_checked(tmp_path):
    rows = [demonstration(n, source="expert", reviewed=n < 10, difficulty="hard") for n in range(15)]
    rows += [demonstration(n, source="forum", reviewed=False) for n in range(15, 20)]
    rows.append({"prompt": question(99), "source": "nobody answered this"})
    found = content(tmp_path, rows)
    told = [(each.field, each.value, each.rows) for each in found.makers]
    assert told == [("source", "expert", 15), ("source", "forum", 5)]
    assert found.checked == 10


def test_prompts_with_several_different_answers_are_counted(tmp_path):
    rows = [demonstration(n, f"Way {way} of {n}.") for n in range(10) for way in range(4 if n < 5 else 1)]
    rows += [demonstration(9, "Way 0 of 9.")]
    found = content(tmp_path, rows).several
    assert found is not None
    assert (found.answered, found.prompts, found.typical) == (10, 5, 4)


def test_one_answer_a_prompt_is_no_finding(tmp_path):
    assert content(tmp_path, [demonstration(n) for n in range(20)]).several is None


# Shift


def test_other_splits_that_speak_of_something_else_are_told_apart(tmp_path):
    rows = [demonstration(n, split="train") for n in range(120)]
    rows += [{"prompt": question(n, OTHER_WORDS), "split": "test"} for n in range(60)]
    found = content(tmp_path, rows).shift
    assert found is not None
    assert (found.between, found.rows) == ("splits", 60)
    assert found.told_apart > 0.95


def test_prompts_without_answers_that_are_like_the_others_are_not_told_apart(tmp_path):
    rows = [demonstration(n) for n in range(200)] + [{"prompt": question(n)} for n in range(200, 400)]
    found = content(tmp_path, rows).shift
    assert found is not None
    assert found.between == "prompts"
    assert 0.35 < found.told_apart < 0.6


@pytest.mark.parametrize("others", [0, 49])
def test_a_split_by_hash_or_a_handful_of_rows_says_nothing_about_shift(tmp_path, others):
    rows = [demonstration(n) for n in range(200)]
    rows += [{"prompt": question(n, OTHER_WORDS)} for n in range(200, 200 + others)]
    assert content(tmp_path, rows).shift is None


def test_texts_that_share_no_words_are_told_apart_always_and_equal_ones_by_chance():
    law = [words_of(question(n)) for n in range(100)]
    sport = [words_of(question(n, OTHER_WORDS)) for n in range(100)]
    assert told_apart(law, sport) == 1.0
    assert told_apart(law, law) == 0.5


def test_length_alone_tells_texts_apart():
    short, long = words_of("court " * 3), words_of("court " * 300)
    assert told_apart([short] * 50, [long] * 50) == 1.0


def test_words_of_a_language_without_spaces_are_its_signs():
    assert {"東", "京", "length 2"} <= words_of("東京")


# Besides


def test_answers_and_guesses_are_measured(tmp_path):
    rows = [{"prompt": question(n), "ruling": "granted" if n % 4 else "void"} for n in range(100)]
    found = profile(tmp_path, rows)
    (ruling,) = found.checkable
    assert ruling.commonest == 0.75
    demonstrations = profile(tmp_path, [demonstration(n, "word " * (n + 1)) for n in range(100)])
    assert demonstrations.answer.p90 <= demonstrations.answer.p95 <= demonstrations.answer.p99
