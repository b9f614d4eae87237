"""What must hold of ten thousand projects, and of the flips of three hundred."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from math import prod
from random import Random
from typing import Any

import pytest
from drawn import answer, projects

from app.advisor.advice import Recommendation
from app.advisor.answers import Answer, wire_of
from app.advisor.flips import Present, Search, _other_answers
from app.advisor.recommendation import outcome_of, outcome_under, recommend, recommendation_json, weights_of
from app.advisor.robustness import acceptability_all, acceptability_near, rounded
from app.advisor.rulebook import Rulebook
from tests.thorough import cases

MANY = cases(10_000)
SOME = cases(300)


def closed_form(directions):
    """Of SMAA on a simplex, for directions that all differ."""
    return sum(
        d ** (len(directions) - 1) / prod(d - other for other in directions if other != d)
        for d in directions
        if d > 0
    )


def test_ten_thousand_projects(rulebook: Rulebook):
    """Parts add up, bounds hold for a completion, shares agree with the closed form, JSON reads back."""
    random = Random(10_000)
    compared = 0
    for number, wire in enumerate(projects(rulebook, MANY)):
        project = rulebook.read(wire)
        facts, weights = rulebook.facts(project), weights_of(project, rulebook)
        score = rulebook.scoring.score(facts, weights)
        parts = [share * read.effect for share, read in zip(score.shares, score.reads, strict=True)]
        assert sum(parts) == pytest.approx(score.lean, abs=1e-9)
        sums = [w * d for w, d in zip(score.weights, score.directions, strict=True)]
        assert sum(sums) == pytest.approx(score.lean, abs=1e-9)
        assert -1 <= score.low <= score.lean + 1e-9 <= score.high + 2e-9 <= 1 + 3e-9
        completed = completion(rulebook, wire, random)
        lean = outcome_of(rulebook, rulebook.read(completed)).lean
        assert score.low - 1e-4 <= lean <= score.high + 1e-4
        leading = [d for d, weight in zip(score.directions, score.weights, strict=True) if weight]
        compared += agrees(leading)
        assert rulebook.read(wire_of(project)) == project
        if number % 20 == 0:
            text = recommendation_json(project, rulebook)
            assert Recommendation.model_validate_json(text).model_dump_json().encode() == text
    assert compared > MANY / 10


def completion(rulebook: Rulebook, wire: dict[str, Any], random: Random) -> dict[str, Any]:
    """Known answers stay, open ones get one; what a budget means waits for its hardware."""
    told = dict(wire["answers"])
    for question in rulebook.asked:
        if question.id not in told:
            told[question.id] = answer(question, random)
    return wire | {"answers": told}


def agrees(directions: list[float]) -> bool:
    """Where the closed form applies: no two directions close together, none zero."""
    ordered = sorted(directions)
    apart = all(b - a > 0.02 for a, b in pairwise(ordered))
    if len(directions) < 2 or not apart or not all(directions):
        return False
    assert acceptability_all(directions) == pytest.approx(closed_form(directions), abs=1e-6)
    flat = [1 / len(directions)] * len(directions)
    assert acceptability_near(directions, flat, len(directions)) == pytest.approx(
        acceptability_all(directions), abs=3e-5
    )
    return True


def test_the_lean_follows_the_effect_of_the_chosen_answer(rulebook: Rulebook):
    """With all other answers as they are, a choice that speaks more for GRPO never lowers the lean."""
    random = Random(5)
    names = [question.id for question in rulebook.questions.values() if question.kind == "choice"]
    for wire in projects(rulebook, 1_000, seed=6):
        project = rulebook.read(wire)
        facts, weights = rulebook.facts(project), weights_of(project, rulebook)
        name = random.choice(names)
        place = rulebook.scoring.places[name]
        seen = []
        for choice in rulebook.questions[name].choices:
            score = rulebook.scoring.score({**facts, name: choice.id}, weights)
            others = score.lean - score.shares[place] * score.reads[place].effect
            seen.append((others, score.reads[place].effect, score.lean))
        for (rest, effect, lean), (other_rest, other_effect, other_lean) in combinations(seen, 2):
            if abs(rest - other_rest) < 1e-12 and effect <= other_effect:
                assert lean <= other_lean + 1e-12


def other_answers(rulebook: Rulebook, project: Any, question: Any) -> list[Answer]:
    return list(_other_answers(question, project.answers.get(question.id)))


def turns(rulebook: Rulebook, project: Any, method: str, **changes: Answer) -> bool:
    return outcome_of(rulebook, replace(project, answers={**project.answers, **changes})).method != method


def wrong_about(rulebook: Rulebook, wire: dict[str, Any], pairs_checked: Callable[[int], bool]) -> list[str]:
    """Where the search for flips differs from trying everything."""
    project = rulebook.read(wire)
    facts, weights = rulebook.facts(project), weights_of(project, rulebook)
    now = outcome_of(rulebook, project)
    present = Present(project, facts, weights, rulebook.scoring.score(facts, weights), now)
    search = Search(rulebook, present, lambda changed: outcome_of(rulebook, changed))
    able = [question for question in rulebook.questions.values() if question.changeable]
    changes = search.changes(able)
    single = {id(found.changes[0]) for found in search.turning(changes)}
    wrong = [
        each.question.id
        for each in changes
        if turns(rulebook, project, now.method, **{each.question.id: each.answer}) != (id(each) in single)
    ]
    staying = [each for each in changes if id(each) not in single]
    able_together = {(id(first), id(second)) for _, first, second in search.candidates(staying)}
    for number, (first, second) in enumerate(combinations(staying, 2)):
        if first.question is second.question or not pairs_checked(number):
            continue
        both = {first.question.id: first.answer, second.question.id: second.answer}
        if turns(rulebook, project, now.method, **both) and (id(first), id(second)) not in able_together:
            wrong.append(f"{first.question.id} and {second.question.id}")
    return wrong


def test_no_flip_of_three_hundred_projects_is_missed(rulebook: Rulebook):
    """All single changes; of the pairs every fifth, another fifth for each project."""
    found = [
        wrong_about(rulebook, wire, lambda pair, start=number: (pair + start) % 5 == 0)
        for number, wire in enumerate(projects(rulebook, SOME, seed=300))
    ]
    assert [wrong for wrong in found if wrong] == []


def test_every_listed_flip_flips_and_none_is_larger_than_it_needs_to_be(rulebook: Rulebook):
    pairs = 0
    for wire in projects(rulebook, SOME, seed=301):
        project = rulebook.read(wire)
        advice = recommend(project, rulebook, frozenset({"flips"}))
        for flip in (*advice.flips, *advice.fixed_flips):
            after = applied(rulebook, project, flip)
            assert (after.method, after.plan, after.lean) == (
                flip.method_after,
                flip.plan_after,
                flip.lean_after,
            )
            assert after.method != advice.method
        assert all(flip.changeable for flip in advice.flips)
        assert not any(flip.changeable for flip in advice.fixed_flips)
        for pair in advice.paired_flips:
            pairs += 1
            after = applied(rulebook, project, *pair.changes)
            assert after.method == pair.method_after != advice.method
            assert after.lean == pair.lean_after
            assert all(applied(rulebook, project, each).method == advice.method for each in pair.changes)
        assert len(advice.paired_flips) <= rulebook.decision.most_paired_flips
    assert pairs > SOME


def applied(rulebook: Rulebook, project: Any, *changes: Any) -> Any:
    wire = wire_of(project)
    wire["answers"] = dict(wire["answers"]) | {each.question: each.to_answer for each in changes}
    return outcome_of(rulebook, rulebook.read(wire))


def test_pairs_are_the_nearest_of_their_two_questions(rulebook: Rulebook):
    wire = next(
        wire
        for wire in projects(rulebook, 50, seed=9)
        if recommend(rulebook.read(wire), rulebook, frozenset({"flips"})).paired_flips
    )
    advice = recommend(rulebook.read(wire), rulebook, frozenset({"flips"}))
    asked = [tuple(each.question for each in pair.changes) for pair in advice.paired_flips]
    assert len(set(asked)) == len(asked)
    moved = [abs(pair.lean_after - advice.lean) for pair in advice.paired_flips]
    assert moved == sorted(moved)


def test_central_weights_agree_with_known_values_and_meet_in_the_middle(rulebook: Rulebook):
    """Means of each side, weighted by the side's share, are the mean of all weightings."""
    for wire in projects(rulebook, 200, seed=12):
        advice = recommend(rulebook.read(wire), rulebook, frozenset({"robustness"}))
        share, n = advice.acceptability.all, sum(factor.weight > 0 for factor in advice.factors)
        sides = [(share, advice.robustness.central_grpo), (1 - share, advice.robustness.central_sft)]
        for factor in advice.factors if n else ():
            mean = sum(part * central[factor.id] for part, central in sides if central)
            assert mean == pytest.approx(1 / n if factor.weight else 0.0, abs=2e-3)


@pytest.mark.parametrize(("grpo", "sft"), [((0.28, 0.11, 0.25, 0.15, 0.21), (0.11, 0.30, 0.14, 0.26, 0.19))])
def test_central_weights_of_a_known_example(grpo, sft):
    directions = (1, -1, 0.5, -0.5, 0.1)
    whole = acceptability_all(directions)
    for place, d in enumerate(directions):
        twice = acceptability_all((*directions, d))
        assert twice / (5 * whole) == pytest.approx(grpo[place], abs=0.01)
        assert (1 - twice) / (5 * (1 - whole)) == pytest.approx(sft[place], abs=0.01)


def test_a_stable_lean_keeps_its_sign_in_every_completion(rulebook: Rulebook):
    random, stable = Random(8), 0
    for wire in projects(rulebook, 400, seed=13):
        advice = recommend(rulebook.read(wire), rulebook)
        if advice.interval.stable and advice.unknowns:
            stable += 1
            assert "stays ahead" in advice.interval.sentence
            lean = outcome_of(rulebook, rulebook.read(completion(rulebook, wire, random))).lean
            assert (lean > 0) == (advice.lean > 0)
    assert stable


def test_the_share_of_an_unknown_is_counted(rulebook: Rulebook):
    for wire in projects(rulebook, 60, seed=14):
        project = rulebook.read(wire)
        advice = recommend(project, rulebook, frozenset({"robustness"}))
        facts, weights = rulebook.facts(project), weights_of(project, rulebook)
        shares = [unknown.share for unknown in advice.unknowns]
        assert shares == sorted(shares, reverse=True)
        for unknown in advice.unknowns:
            choices = rulebook.questions[unknown.question].choices
            after = [outcome_under(rulebook, facts | {unknown.question: c.id}, weights) for c in choices]
            now = (advice.method, advice.plan.id, advice.readiness == "ready")
            turning = sum((each.method, each.plan, each.ready) != now for each in after)
            assert unknown.share == rounded(turning / len(choices))
        if advice.next_question and shares[0]:
            assert advice.next_question.question == advice.unknowns[0].question


def test_without_the_robustness_no_share_is_worked_out(rulebook: Rulebook):
    assert all(
        unknown.share is None for unknown in recommend(rulebook.read({"answers": {}}), rulebook).unknowns
    )


def test_weight_flips_turn_the_method_where_they_say(rulebook: Rulebook):
    turned = 0
    for wire in projects(rulebook, SOME, seed=15):
        advice = recommend(rulebook.read(wire), rulebook, frozenset({"robustness"}))
        for flip in advice.robustness.weight_flips:
            if flip.turns_at is None or not 0.01 < flip.turns_at < 0.99:
                continue
            methods = [
                recommend(rulebook.read(wire | {"weights": weighed(advice, flip, at)}), rulebook).method
                for at in (flip.turns_at - 0.005, flip.turns_at + 0.005)
            ]
            assert set(methods) == {"sft", "grpo"}
            turned += 1
    assert turned > SOME / 15


def weighed(advice: Recommendation, flip: Any, at: float) -> dict[str, float]:
    rest = 1 - flip.weight
    return {
        factor.id: at if factor.id == flip.factor else factor.weight * (1 - at) / rest
        for factor in advice.factors
    }


CONTRADICTIONS = [
    {"D8": "yes", "D1": "under_10", "D2": "nobody_can"},
    {"D3": "cannot", "D4": "0_8_or_more"},
    {"D3": "cannot", "S2": "yes_rewarded"},
    {"D3": "run_it", "O2": "many_not_checkable"},
    {"D5": "over_95", "O6": "wrong_too_often"},
    {"D5": "over_95", "O6": "not_tried"},
    {"D5": "under_2", "O6": "good_enough"},
    {"D7": "only_pairs", "D1": "300_to_999"},
]


@pytest.mark.parametrize("answers", CONTRADICTIONS)
def test_a_contradiction_is_told_with_its_questions(rulebook: Rulebook, answers: dict[str, str]):
    (found,) = recommend(rulebook.read({"answers": answers}), rulebook).contradictions
    assert set(found.questions) == set(answers)
    assert found.sentence.endswith(".")


def test_worked_examples_contradict_nothing(rulebook: Rulebook):
    for example in rulebook.examples:
        assert recommend(rulebook.read({"answers": example.answers}), rulebook).contradictions == ()


def test_every_contradiction_of_the_rulebook_can_occur(rulebook: Rulebook):
    told = {
        found.sentence
        for answers in CONTRADICTIONS
        for found in recommend(rulebook.read({"answers": answers}), rulebook).contradictions
    }
    assert told == {rule.sentence for rule in rulebook.decision.contradictions}
