"""The quick check stops when, and only when, nothing left can change method or plan."""

from itertools import product
from random import Random

import pytest
from drawn import answer, hardware

from app.advisor.completions import Completions, open_facts
from app.advisor.quick import deciding, quick_check, quick_project, quick_recommendation
from app.advisor.recommendation import outcome_of, outcome_under, recommend, weights_of

REASONING = {"O1": "multi_step_reasoning", "D3": "exact_match", "D5": "30_to_70"}
ON_EIGHT_GPUS = {"C1": {"parameters_b": 7, "gpus": 8, "gpu_memory_gb": 80}}


def truth(rulebook, random):
    """Answers to all deciding questions."""
    return {question.id: answer(question, random) for question in deciding(rulebook)}


def walked(rulebook, told, unsure=()):
    """What is asked of somebody who would answer so, and the check at its end."""
    given, asked = {}, []
    while (check := quick_check(rulebook, rulebook.read({"answers": given}), asked)).next is not None:
        question = check.next.id
        assert question not in asked
        asked.append(question)
        if question not in unsure:
            given[question] = told[question]
    return asked, check


def completed(rulebook, given):
    """Method and plan of every completion of the remaining deciding questions, one after the other."""
    whole = quick_project(rulebook, rulebook.read({"answers": given}))
    facts, weights = rulebook.facts(whole), weights_of(whole, rulebook)
    ways = []
    for question in deciding(rulebook):
        if question.id not in given:
            opened = open_facts(question)
            chosen = [dict(zip(opened, tokens, strict=True)) for tokens in product(*opened.values())]
            ways.append([{}, dict.fromkeys(opened, "not_applicable"), *chosen])
    for taken in product(*ways):
        outcome = outcome_under(
            rulebook, {k: v for each in (facts, *taken) for k, v in each.items()}, weights
        )
        yield outcome.method, outcome.plan


def test_a_question_that_may_not_apply_is_not_taken_for_settled(rulebook):
    """Whichever choice leaves SFT ahead, but without the question the others weigh more and GRPO leads."""
    given = {"O1": "multi_step_reasoning", "D1": "10_to_49", "D3": "judge_free_form", "D5": "2_to_10"}
    given |= {"D8": "yes", "C1": "not_applicable"}
    kinds = set(completed(rulebook, given))
    assert len(kinds) > 1
    check = quick_check(rulebook, rulebook.read({"answers": given}))
    assert not check.settled
    assert check.next.id == "O5"


@pytest.mark.parametrize("seed", range(12))
def test_where_one_can_stop_no_completion_of_any_kind_has_other_advice(rulebook, seed):
    """Through whole projects as users send them, with answers beyond the deciding ones and other weights."""
    random = Random(1000 + seed)
    stops = 0
    while stops < 5:
        told = truth(rulebook, random)
        left = random.sample(list(told), random.choice([1, 2, 3]))
        given = {name: told[name] for name in told if name not in left and random.random() < 0.9}
        beyond = [each for each in rulebook.questions.values() if not each.deciding and each.kind == "choice"]
        given |= {each.id: random.choice(each.choices).id for each in beyond if random.random() < 0.2}
        shares = [random.random() for _ in rulebook.factor_ids]
        weights = dict(zip(rulebook.factor_ids, (each / sum(shares) for each in shares), strict=True))
        asked = [question.id for question in deciding(rulebook) if question.id not in left]
        check = quick_check(rulebook, rulebook.read({"answers": given, "weights": weights}), asked)
        if not (check.settled and check.remaining):
            continue
        stops += 1
        for _ in range(80):
            ways = [random.choice([None, "not_applicable", answer(each, random)]) for each in check.remaining]
            more = {each.id: way for each, way in zip(check.remaining, ways, strict=True) if way is not None}
            project = rulebook.read({"answers": given | more, "weights": weights})
            advice = quick_recommendation(rulebook, project)
            assert (advice.method, advice.plan.id) == (check.outcome.method, check.outcome.plan), more


@pytest.mark.parametrize("seed", range(40))
def test_settled_is_exact(rulebook, seed):
    random = Random(seed)
    told = truth(rulebook, random)
    dropped = random.sample([name for name in told if name not in ("O1", "C1")], random.choice([1, 2, 3]))
    given = {question: told[question] for question in told if question not in dropped}
    check = quick_check(rulebook, rulebook.read({"answers": given}))
    now = check.outcome.method, check.outcome.plan
    assert check.settled == all(kind == now for kind in completed(rulebook, given))
    assert (check.next is None) == check.settled
    assert {question.id for question in check.remaining} == set(dropped)


def test_both_kinds_of_state_occur(rulebook):
    """Else the test above would say little."""
    settled = [
        quick_check(
            rulebook, rulebook.read({"answers": dict(list(truth(rulebook, Random(seed)).items())[:5])})
        )
        for seed in range(40)
    ]
    assert {check.settled for check in settled} == {True, False}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_unasked_would_not_have_mattered(rulebook, seed):
    told = truth(rulebook, Random(seed))
    asked, check = walked(rulebook, told)
    whole = outcome_of(rulebook, quick_project(rulebook, rulebook.read({"answers": told})))
    assert (whole.method, whole.plan) == (check.outcome.method, check.outcome.plan)
    assert len(asked) <= len(deciding(rulebook))
    assert check.settled


def test_it_saves_questions_on_average(rulebook):
    lengths = [len(walked(rulebook, truth(rulebook, Random(seed)))[0]) for seed in range(20)]
    assert sum(lengths) / len(lengths) < len(deciding(rulebook)) - 1


def test_new_facts_settle_it_at_once(rulebook):
    asked, check = walked(rulebook, {"O1": "new_facts"})
    assert asked == ["O1"]
    assert check.outcome.plan == "not_yet"
    assert "cannot change this any more" in check.sentence


def test_what_is_not_known_is_not_asked_twice_and_is_named_where_it_could_matter(rulebook):
    told = REASONING | ON_EIGHT_GPUS | {"O5": "helps_and_allowed", "D1": "100_to_299", "D8": "no"}
    asked, check = walked(rulebook, told, unsure=("D5",))
    assert asked.count("D5") == 1
    assert [question.id for question in check.open] == ["D5"]
    assert "Success today" in check.sentence


def test_questions_answered_as_not_applicable_or_declared_unknown_are_not_asked(rulebook):
    check = quick_check(
        rulebook,
        rulebook.read({"answers": {"O1": "not_applicable", "D3": {"choice": None, "note": "later"}}}),
    )
    assert not {"O1", "D3"} & {question.id for question in check.remaining}


def test_an_answer_beyond_the_deciding_ones_counts(rulebook):
    told = REASONING | ON_EIGHT_GPUS | {"O5": "helps_and_allowed", "D1": "100_to_299", "D8": "no"}
    check = quick_check(rulebook, rulebook.read({"answers": told | {"D6": "under_10"}}))
    assert check.outcome.method == "sft"
    assert check.outcome.decided_by == "gate"


def test_a_quick_recommendation_is_never_strong(rulebook):
    told = REASONING | ON_EIGHT_GPUS | {"O5": "helps_and_allowed", "D1": "under_10", "D8": "no"}
    project = rulebook.read({"answers": told})
    assert recommend(quick_project(rulebook, project), rulebook).band == "strong"
    advice = quick_recommendation(rulebook, project)
    assert (advice.method, advice.band, advice.lean_band) == ("grpo", "moderate", "moderate")
    assert "quick check" in advice.band_reason
    assert advice.coverage.not_applicable == 22 - len(deciding(rulebook))


def test_the_same_answers_lead_to_the_same_question(rulebook):
    project = rulebook.read({"answers": {"O1": "code_or_sql"}})
    assert len({quick_check(rulebook, project).next.id for _ in range(3)}) == 1


def test_hardware_is_one_of_the_deciding_questions(rulebook):
    assert "C1" in {question.id for question in deciding(rulebook)}
    project = rulebook.read(
        {"answers": REASONING | {"O5": "helps_and_allowed", "D1": "under_10", "D8": "no"}}
    )
    check = quick_check(rulebook, project)
    assert check.next.id == "C1"


def test_bounds_hold_for_hardware_that_exists(rulebook):
    """Facts of real hardware are among those a completion tries."""
    random = Random(7)
    possible = open_facts(rulebook.questions["C1"])
    for _ in range(50):
        facts = rulebook.facts(rulebook.read({"answers": {"C1": hardware(random)}}))
        assert all(facts[name] in tokens for name, tokens in possible.items())


def test_completions_agree_with_trying_all_of_them_under_other_weights(rulebook):
    random = Random(3)
    for _ in range(30):
        told = {question: given for question, given in truth(rulebook, random).items() if question != "C1"}
        project = quick_project(rulebook, rulebook.read({"answers": told | ON_EIGHT_GPUS}))
        facts, weights = rulebook.facts(project), [random.random() for _ in rulebook.factors]
        names = random.sample(sorted(told), 2)
        missing = {name: open_facts(rulebook.questions[name])[name] for name in names}
        facts |= dict.fromkeys(missing, "unknown")
        tries = [
            outcome_under(rulebook, facts | dict(zip(missing, tokens, strict=True)), weights)
            for tokens in product(*missing.values())
        ]
        kinds = {(each.method, each.plan) for each in tries}
        always = Completions(rulebook, weights).always
        for kind in kinds | {("sft", "sft"), ("grpo", "grpo")}:
            assert always(kind, facts, missing) == (kinds == {kind})
