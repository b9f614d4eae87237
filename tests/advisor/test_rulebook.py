"""The shipped rulebook: complete, reachable, sourced, and in plain words."""

import json
import re
from itertools import product

import pytest

from app.advisor.conditions import NOT_APPLICABLE, UNKNOWN, combinations, keys_of
from app.advisor.recommendation import recommend

TWENTY_TWO = [
    "O1", "O2", "O3", "O4", "O5", "O6", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8",
    "S1", "S2", "S3", "C1", "C2", "P1", "P2", "P3",
]  # fmt: skip
MEASURED = ["O7"]
GATES = [
    *(f"G{number}" for number in range(1, 18)),
    *(f"SG{number}" for number in range(1, 7)),
    *(f"N{number}" for number in range(1, 11)),
]


def texts_of(thing):
    """Every text in a rule, however deep."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from texts_of(value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from texts_of(value)


def test_it_asks_twenty_two_questions_over_five_factors(rulebook):
    assert [question.id for question in rulebook.asked] == TWENTY_TWO
    assert [factor.id for factor in rulebook.factors] == [
        "objective",
        "data",
        "stability",
        "compute",
        "deployment",
    ]
    assert rulebook.weights == (0.3, 0.4, 0.1, 0.1, 0.1)


def test_what_only_a_measurement_answers_is_no_question_that_is_asked(rulebook):
    assert [name for name in rulebook.questions if name not in TWENTY_TWO] == MEASURED
    assert all(rulebook.questions[name].measured_only for name in MEASURED)


def test_it_holds_all_gates(rulebook):
    assert [gate.id for gate in rulebook.gates] == GATES


def test_every_source_has_a_year_and_every_arxiv_id_a_link(rulebook):
    for evidence in rulebook.evidence.values():
        assert evidence.year
        if evidence.arxiv:
            assert evidence.link == f"https://arxiv.org/abs/{evidence.arxiv}"


def test_every_source_is_cited_somewhere(rulebook, rulebook_texts):
    rules = "".join(text for name, text in rulebook_texts.items() if name != "evidence.toml")
    # Background that no single rule rests on.
    background = {"shao2025", "dang2025", "rajani2025", "betley2025", "schreiber2026", "sharma2023"}
    background |= {"papicchio2025", "openai-size", "guo2025", "azure-rft"}
    uncited = {source for source in rulebook.evidence if f'"{source}"' not in rules}
    assert uncited <= background


def test_every_choice_is_reached_by_some_project(rulebook):
    for question in rulebook.questions.values():
        if question.kind == "choice":
            for choice in question.choices:
                advice = recommend(rulebook.read({"answers": {question.id: choice.id}}), rulebook)
                part = next(part for part in advice.contributions if part.question == question.id)
                assert part.choice == choice.id


def test_every_derived_choice_is_reached_by_some_quantity(rulebook):
    seen = set()
    for size, gpus, memory, hours in product((0.1, 3, 7, 70), (0, 1, 8), (16, 80), (0, 3, 8, 30, 1000)):
        for days in (1, 30):
            quantities = {
                "C1": {"parameters_b": size, "gpus": gpus, "gpu_memory_gb": memory},
                "C2": {"gpu_hours": hours, "days": days},
            }
            facts = rulebook.facts(rulebook.read({"answers": quantities}))
            seen |= {("C1", facts["C1"]), ("C2", facts["C2"])}
    for question in ("C1", "C2"):
        assert {(question, choice.id) for choice in rulebook.questions[question].choices} <= seen


def test_every_conditional_effect_is_the_first_that_holds_somewhere(rulebook):
    said = {
        (place, read.usual.choice, read.effect, read.usual.sentence)
        for place, lookup in enumerate(rulebook.scoring.lookups)
        for read in lookup.table.values()
    }
    for place, question in enumerate(rulebook.scoring.questions):
        for choice in question.choices:
            for rule in choice.rules:
                assert (place, choice.id, rule.effect, rule.because) in said


def test_every_level_of_every_gate_is_reached_and_every_gate_can_be_clear(rulebook):
    for gate, lookup in zip(rulebook.gates, rulebook.gating.lookups, strict=True):
        outcomes = [ruled.outcome for ruled in lookup.table.values()]
        held = {outcome.sentence for outcome in outcomes if outcome.state == "holds"}
        assert held == {level.sentence for level in gate.levels}
        # A gate about what is unknown is never itself unknown.
        states = {"holds", "clear"} if gate.id == "N9" else {"holds", "clear", "unknown"}
        assert states == {outcome.state for outcome in outcomes}


def test_every_plan_stage_and_setting_is_reached(rulebook):
    reached = {example.plan for example in rulebook.examples} | {"reward_model_then_grpo"}
    assert reached == set(rulebook.planning.rules)
    for stages in rulebook.planning.stages.values():
        for stage in stages:
            assert all(any(lookup.table.values()) for lookup in stage.settings)


def test_every_wording_of_risks_and_roads_is_reached(rulebook):
    for rule, lookup in rulebook.planning.risks:
        said = {json.loads(risk.json)["sentence"] for risk in lookup.table.values() if risk is not None}
        assert {rule.sentence, *(case.sentence for case in rule.values)} <= said
    for lookup in rulebook.planning.roads:
        assert len(set(lookup.table.values())) >= 3


def test_examples_get_the_advice_they_announce(rulebook):
    assert len(rulebook.examples) >= 4
    for example in rulebook.examples:
        advice = recommend(rulebook.read({"answers": example.answers}), rulebook)
        assert (advice.method, advice.plan.id) == (example.method, example.plan)


def test_the_worked_example_is_advised_grpo_after_a_warm_start_on_all_five_factors(rulebook):
    example = rulebook.examples[0]
    assert example.id == "legal_reasoning"
    advice = recommend(rulebook.read({"answers": example.answers}), rulebook)
    assert (advice.method, advice.plan.id, advice.readiness) == ("grpo", "sft_then_grpo", "ready")
    assert "GRPO after a short SFT warm start" in advice.headline
    assert len(advice.factors) == 5
    assert all("[" in factor.paragraph for factor in advice.factors)
    assert all(factor.sources for factor in advice.factors)


@pytest.mark.parametrize("part", ["questions", "gates"])
def test_texts_are_whole_sentences(rulebook, part):
    rules = rulebook.questions.values() if part == "questions" else rulebook.gates
    for rule in rules:
        for name in ("why", "help", "text", "clear", "unknown", "lift"):
            text = getattr(rule, name, None)
            if text:
                assert text[0].isupper()
                assert text[-1] in ".?"
    for question in rulebook.questions.values():
        for choice in question.choices:
            assert choice.hint[-1] == "."
            assert choice.label[-1] != "."
            for case in choice.rules:
                assert case.because[-1] == "."
                assert not case.clause or (
                    case.clause[0].islower() or case.clause.startswith(("GRPO", "SFT"))
                )


def test_a_reason_never_names_the_wrong_method(rulebook):
    """Clauses are used for the method their effect speaks for."""
    for question in rulebook.questions.values():
        for choice in question.choices:
            for case in choice.rules:
                assert bool(case.clause) >= bool(case.effect)


def test_grpo_is_never_expanded_wrongly(rulebook_texts):
    for text in rulebook_texts.values():
        for expansion in re.findall(r"\b(G\w+ R\w+ P\w+ O\w+)", text):
            assert expansion == "Group Relative Policy Optimization"


def test_conditions_of_plans_never_depend_on_measurements(rulebook):
    """They are looked up without them."""
    whens = [rule.when for rule in rulebook.planning.rules.values()] + [rulebook.planning.trigger.when]
    assert not set(keys_of(whens)) & set(rulebook.measurements)


def test_a_blank_project_knows_nothing(rulebook):
    facts = rulebook.facts(rulebook.read({}))
    assert {facts.pop(question) for question in set(facts) & set(MEASURED)} == {NOT_APPLICABLE}
    assert set(facts.values()) == {UNKNOWN}
    assert len(list(combinations(["D8", "D7"], {"D8": ("a", "b"), "D7": ("c", "d", "e")}))) == 6
