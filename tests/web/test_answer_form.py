"""A typed answer becomes the same answer on the wire, or a problem beside its field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.main import read_rulebook
from app.web import answer_form
from app.web.assessing import asked

RULEBOOK = read_rulebook()
QUESTIONS = [question for _, question in asked(RULEBOOK)]
CHOICES = {question.id: frozenset(choice.id for choice in question.choices) for question in QUESTIONS}


def read(question, form):
    return answer_form.read(form, question.kind, CHOICES[question.id])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_every_answer_a_form_can_give_is_understood_and_shown_again(question):
    answers = [None, {"choice": "not_applicable", "note": "Out of scope."}]
    if question.kind == "choice":
        answers += [*CHOICES[question.id], {"choice": question.choices[0].id, "note": "Seen in the log."}]
        answers.append({"choice": None, "evidence": "https://example.org/a?b=c"})
    for answer in answers:
        typed = answer_form.shown(answer, question.kind)
        wire, problems = read(question, typed)
        assert problems == []
        assert wire == answer
        RULEBOOK.read({"answers": {question.id: wire}})


@pytest.mark.parametrize("example", RULEBOOK.examples, ids=lambda example: example.id)
def test_worked_examples_can_be_opened_and_saved_without_a_change(example):
    for question in QUESTIONS:
        if question.id in example.answers:
            before = example.answers[question.id]
            wire, problems = read(question, answer_form.shown(before, question.kind))
            assert problems == []
            told = RULEBOOK.read({"answers": {question.id: wire}})
            assert told == RULEBOOK.read({"answers": {question.id: before}})


HARDWARE = next(question for question in QUESTIONS if question.kind == "hardware")
GOOD = {"parameters_b": "7", "gpus": "1", "gpu_memory_gb": "", "tuning": "any"}


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("parameters_b", "seven", "must be a number"),
        ("parameters_b", "", "enter a number"),
        ("parameters_b", "0", "must be greater than 0"),
        ("parameters_b", "1e400", "must be a number"),
        ("parameters_b", "nan", "must be a number"),
        ("parameters_b", "7,000", "without separators"),
        ("parameters_b", "9" * 60, "must be a number"),
        ("gpus", "1.5", "whole number"),
        ("gpus", "-1", "must be greater than or equal to 0"),
        ("gpus", "99999", "must be less than or equal to 4096"),
        ("gpu_memory_gb", "80 GB", "must be a number"),
    ],
)
def test_a_wrong_number_is_told_beside_its_field(field, text, said):
    _, problems = read(HARDWARE, GOOD | {field: text})
    assert [problem.where for problem in problems] == [field]
    assert said in problems[0].what


def test_a_comma_may_stand_for_the_decimal_point():
    wire, problems = read(HARDWARE, GOOD | {"parameters_b": "1,5"})
    assert problems == []
    assert wire["parameters_b"] == 1.5


def test_nothing_filled_in_asks_for_the_numbers_or_for_i_dont_know():
    _, problems = read(HARDWARE, {})
    assert [problem.where for problem in problems] == ["parameters_b"]
    assert "I don’t know yet" in problems[0].what


def test_does_not_apply_needs_a_reason():
    _, problems = read(QUESTIONS[0], {"choice": "not_applicable"})
    assert [problem.where for problem in problems] == ["reason"]


def test_links_lead_to_the_web_only():
    for link in ("javascript:alert(1)", "ftp://x", "https://a b", "//evil", 'https://x/"onclick'):
        _, problems = read(QUESTIONS[0], {"choice": "tone_or_voice", "evidence": link})
        assert [problem.where for problem in problems] == ["evidence"], link


@given(
    st.dictionaries(st.sampled_from(["choice", "note", "evidence", "reason", *GOOD, "gpu_hours"]), st.text())
)
def test_whatever_is_typed_is_either_a_problem_or_an_answer_the_rulebook_takes(form):
    for question in [*QUESTIONS[:3], HARDWARE, QUESTIONS[QUESTIONS.index(HARDWARE) + 1]]:
        wire, problems = read(question, form)
        if not problems:
            RULEBOOK.read({"answers": {question.id: wire}})
