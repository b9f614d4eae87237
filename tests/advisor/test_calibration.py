"""The published projects that the advisor is held against, and the command that does it."""

import json

import pytest

from benchmarks import calibration

CASES = calibration.read_cases()
HELD_OUT = calibration.read_cases(calibration.HELD_OUT)


@pytest.fixture(scope="module")
def judged(rulebook):
    return calibration.judge(CASES, rulebook)


def test_forty_published_projects_from_forty_sources():
    assert len(CASES) == 40
    assert len({case.id for case in CASES}) == 40
    assert len({case.source for case in CASES}) == 40


def test_at_least_twenty_further_projects_that_are_not_among_them():
    assert len(HELD_OUT) >= 20
    assert len({case.id for case in HELD_OUT}) == len(HELD_OUT)
    assert not {case.source for case in HELD_OUT} & {case.source for case in CASES}
    assert {case.outcome for case in HELD_OUT} == {"sft", "grpo", "sft_then_grpo", "neither"}


@pytest.mark.parametrize("case", [*CASES, *HELD_OUT], ids=lambda case: case.id)
def test_answers_are_the_questionnaires_and_each_names_its_fact(case, rulebook):
    assert case.outcome in {*calibration.METHODS, "neither"}
    assert case.confidence in calibration.CONFIDENCES
    project = rulebook.read({"answers": case.answers})
    assert project.answers.keys() == case.answers.keys()
    assert all(answer.note.endswith(".") for answer in project.answers.values())
    assert all(answer.state != "unknown" for answer in project.answers.values())


def test_every_project_of_firm_record_is_advised_its_method(judged):
    firm = [one for one in judged if one.case.confidence == "high" and one.case.method]
    assert [one.case.id for one in firm if not one.method_right] == []


def test_where_neither_method_was_right_none_is_ready(judged, rulebook):
    both = [*judged, *calibration.judge(HELD_OUT, rulebook)]
    neither = [one for one in both if one.case.outcome == "neither"]
    assert neither
    assert {one.advice.readiness for one in neither} == {"fix_first"}


def test_the_last_line_printed_is_the_figures(capsys):
    calibration.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    held_out = told.pop("held_out")
    assert held_out.keys() == told.keys()
    assert held_out["cases"] == len(HELD_OUT)
    assert told.keys() == {
        "cases", "rulebook", "method", "method_without_copying_question", "plan", "confusion",
        "plan_confusion", "brier", "brier_of_base_rate", "baselines", "neither", "method_misses",
        "plan_misses",
    }  # fmt: skip
    assert told["baselines"].keys() == {"popular_rulebook", "checker_and_thinking", "majority"}
    scored_ones = [told[name] for name in ("method", "method_without_copying_question", "plan")]
    for scored in (*scored_ones, *told["baselines"].values()):
        assert scored.keys() == {"high", "medium", "low", "all"}
        assert sum(scored[name]["of"] for name in calibration.CONFIDENCES) == scored["all"]["of"]


def test_a_miss_is_printed_with_the_contributions_that_caused_it(judged):
    """Any verdict explains itself in the same way; held against the wrong outcome it reads as a miss."""
    one = next(one for one in judged if one.case.id == "kevin")
    text = calibration.method_miss(one)
    assert "caused it: D3 run_it +" in text
    assert "unknown: " in text


@pytest.mark.parametrize(
    ("answers", "popular", "checker"),
    [
        ({"O1": "multi_step_reasoning", "O2": "one"}, "sft", "sft"),
        ({"O1": "multi_step_reasoning", "S1": "harmless", "O2": "one"}, "grpo", "sft"),
        ({"O1": "tone_or_voice", "D3": "run_it", "O5": "helps_and_allowed"}, "sft", "grpo"),
        ({}, "sft", "sft"),
    ],
)
def test_the_simpler_rules_read_the_same_answers(answers, popular, checker):
    wire = {question: {"choice": choice} for question, choice in answers.items()}
    case = calibration.Case("made_up", "Made up", "nowhere", "sft", "low", wire)
    assert calibration.popular(case) == popular
    assert calibration.checker_and_thinking(case) == checker
    assert calibration.majority([case])(case) == "sft"
