"""Answers that cannot be used say where, what and how to mend it."""

import pytest

from app.advisor.answers import Answer, Hardware, wire_of
from app.errors import InvalidInput

WEIGHTS = {"objective": 1, "data": 1, "stability": 1, "compute": 1, "deployment": 1}


def problems(rulebook, wire):
    with pytest.raises(InvalidInput) as raised:
        rulebook.read(wire)
    return {problem.where: problem.what for problem in raised.value.problems}


def test_an_unknown_question_lists_the_questions(rulebook):
    found = problems(rulebook, {"answers": {"O99": "yes"}})
    assert "O1, O2" in found["O99"]


def test_an_unknown_choice_lists_the_choices(rulebook):
    found = problems(rulebook, {"answers": {"D8": "maybe"}})
    assert "'maybe'" in found["D8"]
    assert "yes, partly, no" in found["D8"]


def test_every_problem_is_told_at_once(rulebook):
    wire = {"answers": {"O99": "x", "D8": "maybe", "D3": 4, "C1": {"gpus": -1}}, "weights": {"data": 1}}
    found = problems(rulebook, wire)
    assert {"O99", "D8", "D3", "C1.gpus", "C1.parameters_b", "weights"} <= found.keys()


@pytest.mark.parametrize("given", [True, 3, 1.5, [], ["yes"]])
def test_an_answer_that_is_no_choice_at_all_is_refused(rulebook, given):
    assert "yes, partly, no" in problems(rulebook, {"answers": {"D8": given}})["D8"]


@pytest.mark.parametrize("given", ["lora_fits", 7, ["x"]])
def test_hardware_takes_a_quantity_and_names_its_fields(rulebook, given):
    assert "parameters_b, gpus" in problems(rulebook, {"answers": {"C1": given}})["C1"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"parameters_b": 0, "gpus": 1}, "C1.parameters_b"),
        ({"parameters_b": float("nan"), "gpus": 1}, "C1.parameters_b"),
        ({"parameters_b": 7, "gpus": 1.5}, "C1.gpus"),
        ({"parameters_b": "7", "gpus": 1}, "C1.parameters_b"),
        ({"parameters_b": 7, "gpus": 1, "tuning": "dora"}, "C1.tuning"),
        ({"parameters_b": 7, "gpus": 1, "vram": 80}, "C1.vram"),
    ],
)
def test_a_bad_quantity_names_its_field(rulebook, given, field):
    assert field in problems(rulebook, {"answers": {"C1": given}})


def test_a_quantity_is_no_answer_to_a_question_of_choices(rulebook):
    assert "D8" in problems(rulebook, {"answers": {"D8": {"quantity": {"gpus": 1}}}})


@pytest.mark.parametrize(
    "form",
    [
        {"choice": "yes", "basis": "guessed"},
        {"choice": "yes", "note": "x" * 2001},
        {"choice": "yes", "evidence": "javascript:alert(1)"},
        {"choice": "yes", "evidence": "https://a.example/\n"},
        {"choice": "yes", "colour": "red"},
        {"choice": 4},
    ],
)
def test_bad_extras_of_an_answer_are_refused(rulebook, form):
    found = problems(rulebook, {"answers": {"D8": form}})
    assert all(place.startswith("D8.") for place in found)


@pytest.mark.parametrize(
    "weights",
    [
        {"data": 1},
        WEIGHTS | {"luck": 1},
        WEIGHTS | {"data": -1},
        WEIGHTS | {"data": float("inf")},
        WEIGHTS | {"data": float("nan")},
        WEIGHTS | {"data": 5e-324},
        WEIGHTS | {"data": True},
        WEIGHTS | {"data": "1"},
        dict.fromkeys(WEIGHTS, 0),
        [1, 1, 1, 1, 1],
    ],
)
def test_weights_that_cannot_be_normalised_are_refused(rulebook, weights):
    found = problems(rulebook, {"weights": weights})
    assert all(place.startswith("weights") for place in found)


@pytest.mark.parametrize(
    "measurements",
    [{"luck": 0.5}, {"dead_groups": 2}, {"dead_groups": "high"}, {"dead_groups": float("nan")}],
)
def test_measurements_that_cannot_be_are_refused(rulebook, measurements):
    found = problems(rulebook, {"measurements": measurements})
    assert all(place.startswith("measurements") for place in found)


def test_null_and_left_out_both_mean_unknown(rulebook):
    assert rulebook.read({"answers": {"D8": None}}) == rulebook.read({"answers": {}})


def test_an_unknown_answer_may_carry_a_note(rulebook):
    project = rulebook.read({"answers": {"D8": {"choice": None, "note": "ask the lawyers"}}})
    assert project.answers["D8"] == Answer(state="unknown", note="ask the lawyers")


def test_all_forms_of_an_answer_survive_the_way_there_and_back(rulebook):
    wire = {
        "answers": {
            "D8": "no",
            "D3": "not_applicable",
            "D5": {"choice": "10_to_30", "basis": "probed", "evidence": "https://lab.example/probe"},
            "D1": {"choice": None, "note": "counting"},
            "C1": {"parameters_b": 7, "gpus": 2},
            "C2": {"quantity": {"gpu_hours": 10}, "basis": "piloted"},
        },
        "weights": WEIGHTS,
        "measurements": {"dead_groups": 0.2},
        "name": "Rulings",
        "description": "For the court.",
    }
    project = rulebook.read(wire)
    assert project.answers["C1"].quantity == Hardware(parameters_b=7, gpus=2)
    assert project.answers["D5"].basis == "probed"
    assert rulebook.read(wire_of(project)) == project
