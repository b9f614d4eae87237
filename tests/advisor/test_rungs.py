"""A recommendation says on which rungs it stands."""

from app.advisor.recommendation import recommend
from app.advisor.rungs import in_words, stands_on
from app.main import read_rulebook


def standing(answers):
    rulebook = read_rulebook()
    return stands_on(recommend(rulebook.read({"answers": answers}), rulebook).contributions)


def test_answers_are_counted_by_their_basis_from_the_weakest_rung_up():
    found = standing(
        {
            "D5": {"choice": "10_to_30", "basis": "probed"},
            "D1": {"choice": "100_to_299", "basis": "inspected"},
            "D6": {"choice": "500_or_more", "basis": "inspected"},
            "O1": "self_correction",
            "D2": None,
            "D7": "not_applicable",
        }
    )
    assert list(found.items()) == [("told", 1), ("inspected", 2), ("probed", 1)]
    assert in_words(found) == "Told 1, inspected 2, probed 1"


def test_without_answers_it_stands_on_nothing():
    assert in_words(standing({})) == "No answers yet"
