"""Numbers and sources as pages show them."""

import re

import pytest

from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.record import cut, with_gates_named
from app.main import read_rulebook
from app.web.advice_shown import (
    first_of_all,
    grouped,
    numbers_of,
    scale,
    share,
    worked,
)

RULEBOOK = read_rulebook()
ADVICE = [
    recommend(RULEBOOK.read({"answers": example.answers}), RULEBOOK, include=EVERYTHING)
    for example in RULEBOOK.examples
]
ADVICE.append(recommend(RULEBOOK.read({"answers": {}}), RULEBOOK, include=EVERYTHING))


@pytest.mark.parametrize("advice", ADVICE)
def test_every_bar_fits_its_picture(advice):
    assert (
        max(abs(advice.lean), *(abs(factor.contribution) for factor in advice.factors)) <= scale(advice) <= 1
    )


@pytest.mark.parametrize("advice", ADVICE)
def test_every_source_that_a_page_names_has_a_number_and_stands_in_the_rulebook(advice):
    numbers = numbers_of(advice)
    assert list(numbers.values()) == list(range(1, len(numbers) + 1))
    for factor in advice.factors:
        pieces = cut(factor.paragraph)
        assert all(source in numbers for _, ids in pieces for source in ids)
        assert "[" not in "".join(text for text, _ in pieces)
    assert numbers.keys() <= RULEBOOK.evidence.keys()


@pytest.mark.parametrize("advice", ADVICE)
def test_no_flip_is_lost_by_grouping(advice):
    rows = grouped(advice.flips)
    assert sum(len(labels) for _, labels in rows) == len(advice.flips)


@pytest.mark.parametrize("advice", ADVICE)
def test_a_gate_that_decided_is_said_first(advice):
    first = first_of_all(advice)
    assert len(first) == len({gate.id for gate in first})
    assert set(advice.blockers) <= set(first)
    if advice.decided_by == "gate":
        assert first


@pytest.mark.parametrize("advice", ADVICE)
def test_people_read_the_titles_of_gates_not_their_ids(advice):
    ids = [gate.id for gate in advice.gates]
    for unknown in advice.unknowns:
        words = re.findall(r"\w+", with_gates_named(unknown.sentence, advice.gates))
        assert not set(words) & set(ids)


def test_cutting_a_paragraph_loses_no_word():
    text = "One thing. [a2024, b-2] Another [not a source!] and more. [c]"
    pieces = cut(text)
    assert "".join(piece for piece, _ in pieces) == "One thing. Another [not a source!] and more."
    assert [ids for _, ids in pieces if ids] == [("a2024", "b-2"), ("c",)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.996, "over 99 %"), (1, "100 %")],
)
def test_shares_are_never_rounded_to_certainty(value, text):
    assert share(value).replace("\N{NO-BREAK SPACE}", " ") == text


def test_twelve_examples_cover_every_plan_and_the_legal_one_comes_first():
    assert len(RULEBOOK.examples) == 12
    assert RULEBOOK.examples[0].id == "legal_reasoning"
    assert {example.plan for example in RULEBOOK.examples} == {
        "sft", "grpo", "sft_then_grpo", "reward_model_then_grpo", "not_yet",
    }  # fmt: skip


def test_worked_examples_get_the_advice_they_promise():
    for example, shown in zip(RULEBOOK.examples, worked(RULEBOOK), strict=True):
        assert shown.recommendation.method == example.method
        assert shown.recommendation.plan.id == example.plan
        assert not re.search(r"[<>]", shown.description)
