"""What a profile says about the data questions, and what it must not say."""

import json
import random

import pytest

from app.main import read_rulebook
from app.web.inspected import suggestions
from tests.datasets.reading_here import profiled

RULEBOOK = read_rulebook()
WORDS = ("court", "tenant", "notice", "deposit", "letter", "claim", "appeal", "clause", "party", "judge")


def question(n: int) -> str:
    chance = random.Random(n)
    return f"Case {n}: " + " ".join(chance.choice(WORDS) for _ in range(14)) + "?"


@pytest.fixture
def said(tmp_path):
    """What is suggested, as (answer, reason) by question."""

    def by_question(rows, answers=None):
        summary = profiled(tmp_path, b"\n".join(json.dumps(row).encode() for row in rows))
        project = RULEBOOK.read({"answers": answers or {}})
        return {
            each.question: (each.answer, each.because) for each in suggestions(summary, project, RULEBOOK)
        }

    return by_question


def inspected(choice):
    return {"choice": choice, "basis": "inspected"}


def worked(n: int, **more):
    return {"prompt": question(n), "completion": f"Because of day {n}, on which it was served, so.", **more}


def test_demonstrations_and_prompts_are_counted_with_what_does_not_count(said):
    found = said([worked(n) for n in range(299)] + [worked(0), worked(1)])
    assert found["D1"] == (
        inspected("100_to_299"),
        "301 of 301 rows end with an answer; 2 of them repeat another row or lack a value.",
    )
    assert found["D6"] == (inspected("200_to_499"), "299 different prompts in 301 rows.")


def test_prompts_alone_say_that_there_are_no_demonstrations(said):
    found = said([{"prompt": question(n)} for n in range(60)])
    assert found["D1"] == (inspected("under_10"), "None of the 60 rows ends with an answer.")
    assert "D3" not in found
    assert "D2" not in found
    assert "D7" not in found


def test_a_field_with_the_known_result_lets_a_program_check(said):
    rows = [{"prompt": question(n), "ruling": "granted" if n % 4 else "void", "id": n} for n in range(60)]
    found = said(rows)
    assert found["D3"] == (
        inspected("exact_match"),
        "In 60 of 60 rows looked at, `ruling` is one of a few labels, which a program compares.",
    )
    assert found["lucky_hit_rate"][0] == 0.75


def test_a_number_beside_the_answer_is_no_result(said):
    assert "D3" not in said([worked(n, id=n, difficulty=n % 3) for n in range(60)])


QUERIES = [
    {"prompt": question(n), "completion": f"SELECT name FROM cases WHERE day = {n}"} for n in range(60)
]


def test_a_query_is_checked_only_where_there_is_something_to_run_it_on(said):
    assert "D3" not in said(QUERIES)
    found = said([row | {"schema": "CREATE TABLE cases (name, day)"} for row in QUERIES])
    assert found["D3"][0] == inspected("run_it")
    assert "lucky_hit_rate" not in found


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"source": "Expert"}, "expert_verified"),
        ({"source": "production_logs"}, "raw_logs"),
        ({"model": "big-model-1"}, "weaker_or_unknown"),
        ({"model": "big-model-1", "verified": True}, "stronger_model_checked"),
        ({"annotator": "synthetic"}, "weaker_or_unknown"),
        ({"source": "a law library"}, None),
        ({"model": "human"}, None),
        ({"annotator": "human"}, None),
        ({"topic": "expert"}, None),
    ],
)
def test_who_made_them_is_told_only_where_the_rows_say_so(said, fields, choice):
    found = said([worked(n, **fields) for n in range(30)])
    assert found.get("D2", (None,))[0] == (choice and inspected(choice))


def test_half_of_the_rows_do_not_speak_for_all(said):
    assert "D2" not in said([worked(n, source="expert" if n % 2 else "forum") for n in range(30)])


PAIRS = [{"prompt": question(n), "chosen": f"Yes {n}.", "rejected": f"No {n}."} for n in range(60)]


@pytest.mark.parametrize(
    ("answers", "choice"),
    [
        ({}, "only_pairs"),
        ({"D1": "under_10", "D3": "cannot"}, "only_pairs"),
        ({"D1": "300_to_999"}, "pairs_and_examples"),
        ({"D3": "exact_match"}, None),
    ],
    ids=["alone", "told to be alone", "with demonstrations", "with a checker"],
)
def test_pairs_are_told_beside_what_else_there_is(said, answers, choice):
    found = said(PAIRS, answers)
    assert found.get("D7", (None,))[0] == (choice and inspected(choice))
    assert "D1" not in found
    assert found["D6"][0] == inspected("50_to_199")


def test_whole_texts_answer_nothing_but_what_they_share(said):
    assert said([{"text": f"{question(n)} And so on."} for n in range(30)]).keys() <= {"shared_rows"}


def several(ways: int):
    return [
        worked(n) | {"completion": f"Way {way}, of the {n}th kind, which is rather a long answer."}
        for n in range(30)
        for way in range(ways)
    ]


@pytest.mark.parametrize(("ways", "choice"), [(1, None), (2, "few"), (5, "many_not_checkable")])
def test_several_answers_to_one_prompt_are_good_answers(said, ways, choice):
    assert said(several(ways)).get("O2", (None,))[0] == (choice and inspected(choice))


def test_several_labels_for_one_prompt_are_a_mistake_and_not_many_answers(said):
    rows = [{"prompt": question(n), "completion": label} for n in range(40) for label in ("yes", "no")]
    assert "O2" not in said(rows)


def test_other_splits_say_how_far_inputs_shift(said):
    rows = [worked(n, split="train") for n in range(100)]
    other = [
        {"prompt": f"Match {n}: goal keeper coach season league player ball", "split": "test"}
        for n in range(60)
    ]
    choice, because = said(rows + other)["O3"]
    assert choice == inspected("strongly")
    assert "of 120 cases; half would be chance." in because


def test_leaks_and_lengths_are_measured(said):
    rows = [worked(n) for n in range(100)]
    leaking = [worked(n) | {"prompt": question(n).upper(), "completion": "As before."} for n in range(100)]
    assert said(rows)["shared_rows"] == (
        0,
        "None of the training rows ask what one of the 20 held-out rows asks.",
    )
    assert said(rows + leaking)["shared_rows"][0] > 0
    budget = {"quantity": {"gpu_hours": 10, "longest_rollout": 40}}
    value, because = said(rows, {"C2": budget})["answer_length_share"]
    assert value == pytest.approx(12 / 40, abs=0.05)
    assert "the longest answer you allow is 40" in because


def test_every_suggestion_is_one_that_the_rulebook_takes(said):
    for rows in (PAIRS, QUERIES, several(5), [worked(n, source="expert") for n in range(60)]):
        for question_id, (answer, because) in said(rows).items():
            part = "measurements" if isinstance(answer, int | float) else "answers"
            RULEBOOK.read({part: {question_id: answer}})
            assert because.endswith(".")


def test_a_profile_of_an_earlier_version_says_nothing(tmp_path):
    summary = profiled(tmp_path, b"\n".join(json.dumps(worked(n)).encode() for n in range(20)))
    earlier = summary.model_copy(update={"profile": summary.profile.model_copy(update={"content": None})})
    assert suggestions(earlier, RULEBOOK.read({}), RULEBOOK) == []
