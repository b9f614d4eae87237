"""What holds for every project whatsoever."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from projects import answer, wires

from app.advisor.answers import wire_of
from app.advisor.recommendation import EVERYTHING, Recommendation, recommend, recommendation_json
from app.advisor.rulebook import Rulebook
from tests.thorough import cases

many = settings(
    max_examples=cases(150),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
some = settings(many, max_examples=cases(25))


@many
@given(data=st.data())
def test_contributions_add_up_to_the_lean(rulebook: Rulebook, data: st.DataObject):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook)
    assert abs(sum(part.contribution for part in advice.contributions) - advice.lean) < 1e-4
    assert abs(sum(factor.contribution for factor in advice.factors) - advice.lean) < 5e-4
    for factor in advice.factors:
        parts = [part.contribution for part in advice.contributions if part.factor == factor.id]
        assert abs(sum(parts) - factor.contribution) < 1e-4


@many
@given(data=st.data())
def test_every_number_lies_where_it_is_defined(rulebook: Rulebook, data: st.DataObject):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook, EVERYTHING)
    assert -1 <= advice.interval.low <= advice.lean <= advice.interval.high <= 1
    assert 0 <= advice.acceptability.near <= 1
    assert 0 <= advice.acceptability.all <= 1
    assert advice.robustness is not None
    near = advice.acceptability.near
    assert advice.robustness.near_low - 1e-3 <= near <= advice.robustness.near_high + 1e-3
    for factor in advice.factors:
        assert -1 <= factor.low <= factor.direction <= factor.high <= 1


@some
@given(data=st.data())
def test_the_interval_holds_every_completion_of_the_unknowns(rulebook: Rulebook, data: st.DataObject):
    wire = data.draw(wires(rulebook))
    before = recommend(rulebook.read(wire), rulebook)
    answers = dict(wire["answers"])
    for question in rulebook.questions:
        if question not in answers:
            answers[question] = data.draw(answer(rulebook, question))
    after = recommend(rulebook.read(wire | {"answers": answers}), rulebook)
    assert before.interval.low - 1e-4 <= after.lean <= before.interval.high + 1e-4


@some
@given(data=st.data())
def test_every_flip_flips(rulebook: Rulebook, data: st.DataObject):
    wire = data.draw(wires(rulebook))
    project = rulebook.read(wire)
    advice = recommend(project, rulebook, frozenset({"flips"}))
    for flip in advice.flips or ():
        assert flip.method_after != advice.method
        if flip.to_choice is not None:
            changed = wire_of(project)
            changed["answers"][flip.question] = flip.to_choice
            again = recommend(rulebook.read(changed), rulebook)
            assert (again.method, again.plan.id) == (flip.method_after, flip.plan_after)
            assert again.lean == flip.lean_after


@some
@given(data=st.data())
def test_no_flip_of_one_choice_is_missed(rulebook: Rulebook, data: st.DataObject):
    project = rulebook.read(data.draw(wires(rulebook)))
    advice = recommend(project, rulebook, frozenset({"flips"}))
    told = (*(advice.flips or ()), *(advice.fixed_flips or ()))
    listed = {(flip.question, flip.to_choice) for flip in told}
    question = rulebook.questions[data.draw(st.sampled_from(["O1", "D1", "D3", "D5", "D8", "S2", "P2"]))]
    for choice in question.choices:
        changed: dict[str, Any] = wire_of(project)
        changed["answers"][question.id] = choice.id
        flips = recommend(rulebook.read(changed), rulebook).method != advice.method
        assert flips == ((question.id, choice.id) in listed)


@many
@given(data=st.data())
def test_a_gate_that_holds_against_the_method_always_shows(rulebook: Rulebook, data: st.DataObject):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook)
    assert [gate.id for gate in advice.gates] == [gate.id for gate in rulebook.gates]
    blocked = {
        method: [
            gate
            for gate in advice.gates
            if gate.state == "holds" and gate.effect == "block" and gate.method in (method, "both")
        ]
        for method in ("sft", "grpo")
    }
    if blocked["sft"] and blocked["grpo"]:
        assert (advice.method, advice.plan.id) == ("sft", "not_yet")
    elif blocked["sft"] or blocked["grpo"]:
        assert not blocked[advice.method]
        assert advice.band == "only_runnable"
    assert (advice.decided_by == "gate") == bool(blocked["sft"] or blocked["grpo"])
    assert set(advice.blockers) <= set(advice.gates)
    assert (advice.readiness == "fix_first") == bool(advice.blockers)


@many
@given(data=st.data())
def test_plan_stages_and_readiness_tell_the_same_story(rulebook: Rulebook, data: st.DataObject):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook)
    last = {"sft": "sft", "grpo": "grpo", "sft_then_grpo": "grpo", "reward_model_then_grpo": "grpo"}
    if advice.plan.id == "not_yet":
        assert not advice.plan.stages
        assert advice.readiness == "fix_first"
        assert advice.plan.steps
    else:
        assert advice.plan.stages[-1].method == last[advice.plan.id] == advice.method
    assert (advice.decided_by == "tie") <= (advice.method == "sft")
    if advice.decided_by == "lean":
        assert advice.method == advice.lean_method


@many
@given(data=st.data())
def test_a_strong_band_leaves_nothing_that_could_turn_it(rulebook: Rulebook, data: st.DataObject):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook)
    if advice.band == "strong":
        ahead = advice.acceptability.near if advice.method == "grpo" else 1 - advice.acceptability.near
        assert abs(advice.lean) >= 0.4
        assert ahead >= 0.9 - 1e-4
        assert advice.interval.low > 0 or advice.interval.high < 0


@many
@given(data=st.data())
def test_equal_projects_give_equal_bytes_and_read_back_as_themselves(rulebook: Rulebook, data: st.DataObject):
    project = rulebook.read(data.draw(wires(rulebook)))
    advice = recommend(project, rulebook, EVERYTHING)
    text = advice.model_dump_json()
    assert recommendation_json(project, rulebook, EVERYTHING) == text.encode()
    again = rulebook.read(wire_of(project))
    assert again == project
    assert recommend(again, rulebook, EVERYTHING).model_dump_json() == text
    assert Recommendation.model_validate_json(text) == advice
    assert "-0.0," not in text
    assert '"NaN"' not in text


@many
@given(data=st.data())
def test_every_text_is_a_finished_sentence(rulebook: Rulebook, data: st.DataObject):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook, EVERYTHING)
    texts = [advice.headline, advice.reason, advice.band_reason, advice.cost.sentence, advice.plan.sentence]
    texts += [factor.paragraph for factor in advice.factors]
    texts += [
        part.sentence for part in (*advice.contributions, *advice.gates, *advice.unknowns, *advice.risks)
    ]
    texts += [flip.sentence for flip in advice.flips or ()]
    for text in texts:
        assert text[0].isupper()
        assert text[-1] in ".]"
        assert "  " not in text
        assert " ." not in text
        assert "because ." not in text
        assert ": ." not in text


@many
@given(data=st.data())
def test_answers_that_do_not_apply_change_nothing_by_what_they_would_have_said(
    rulebook: Rulebook, data: st.DataObject
):
    advice = recommend(rulebook.read(data.draw(wires(rulebook))), rulebook)
    for part in advice.contributions:
        assert (part.effect == 0 and part.contribution == 0) or part.state == "answered"
    assert advice.coverage.total == len(advice.contributions)
    states = [part.state for part in advice.contributions]
    assert advice.coverage.not_applicable == states.count("not_applicable")
