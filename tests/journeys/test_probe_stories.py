"""Probes of the starter model: what its tasks' own base rates say, and what follows for the advice."""

import pytest

from app.datasets import generated
from app.main import read_rulebook
from app.protocol import Limits
from tests.browser.runs.conftest import Workshop

pytestmark = [pytest.mark.full, pytest.mark.engine, pytest.mark.timeout(3600)]

LONG = 1200.0
EXAMPLE = next(each for each in read_rulebook().examples if each.id == "legal_reasoning")


def begun(product: Workshop, **answers: object) -> str:
    body = {"name": "A story", "description": EXAMPLE.description, "answers": dict(EXAMPLE.answers) | answers}
    made: str = product.http.post("/api/v1/assessments", json=body).json()["id"]
    return made


def probed(product: Workshop, assessment: str, task: str, **more: object) -> dict:
    """Of the starter model unless told otherwise, on a generated task."""
    order = {
        "model": {"kind": "starter"},
        "dataset": {"kind": "generated", "name": task},
        "grader": generated.grader(task).model_dump(mode="json", by_alias=True),
        "recipe": {"kind": "probe", "max_completion_length": 96},
    } | more
    answer = product.http.post(f"/api/v1/assessments/{assessment}/probe", json=order)
    assert answer.status_code == 201, answer.text
    run = product.until_over(answer.json()["id"], LONG)
    assert run["state"] == "succeeded", run["detail"]
    report: dict = run["probe"]
    return report


def accept_all(product: Workshop, assessment: str) -> dict[str, object]:
    """What was measured counts from now on; answers the suggestions by question."""
    path = f"/api/v1/assessments/{assessment}"
    waiting = product.http.get(f"{path}/proposals?waiting=true").json()
    for each in waiting:
        accepted = product.http.post(f"{path}/proposals/{each['id']}/accept?replace=true")
        assert accepted.status_code == 200, accepted.text
    return {each["question"]: each["answer"] for each in waiting}


def advised(product: Workshop, assessment: str) -> dict:
    made = product.http.post(f"/api/v1/assessments/{assessment}/recommendation")
    found: dict = made.json()["recommendation"]
    return found


def holding(advice: dict) -> set[str]:
    return {gate["id"] for gate in advice["gates"] if gate["state"] == "holds"}


def dead_at_8(report: dict) -> float:
    return next(each["share"] for each in report["dead"] if each["group"] == 8)


def test_rulings_are_in_the_good_band_and_correct_an_answer_that_was_wrong(product_with_starter):
    """Told: the model never succeeds. Found: as often as the task's own base rate says."""
    product = product_with_starter
    assessment = begun(product, D5="under_2")
    assert holding(advised(product, assessment)) == {"G2"}
    recipe = {"kind": "probe", "max_completion_length": 96, "prompts": 64}
    report = probed(product, assessment, "rulings", recipe=recipe)
    interval = report["passed"]["interval"]
    assert interval["low"] < 0.30
    assert interval["high"] > 0.10
    assert dead_at_8(report) < 0.5
    assert report["demonstrations"]["mean"] == 1.0
    assert not report["difference"]["is_paired"]
    assert report["difference"]["low"] > 0.5
    assert accept_all(product, assessment)["D5"]["basis"] == "probed"
    advice = advised(product, assessment)
    assert (advice["method"], advice["plan"]["id"]) == ("grpo", "sft_then_grpo")


def test_after_a_warm_start_the_rulings_have_something_to_learn_from(product_with_starter):
    product = product_with_starter
    task = {"kind": "generated", "name": "rulings"}
    grader = generated.grader("rulings").model_dump(mode="json", by_alias=True)
    warm = generated.starter_recipe("rulings", "sft", warm_start=True).model_dump(mode="json")
    (first,) = product.launch(
        {
            "name": "Warm start",
            "model": {"kind": "starter"},
            "dataset": task,
            "grader": grader,
            "recipe": warm,
            "evaluation": {"items": 100, "baseline": "skip", "checks": 0},
        }
    )
    report = probed(product, begun(product), "rulings", starts_from=first)
    assert report["passed"]["interval"]["high"] > 0.1
    assert dead_at_8(report) < 0.5
    assert report["format_valid"] > 0.9


def test_clauses_are_seldom_valid_and_the_examples_are_better_than_the_model(product_with_starter):
    product = product_with_starter
    report = probed(product, begun(product), "clauses")
    assert report["passed"]["interval"]["low"] < 0.20
    assert report["demonstrations"]["mean"] == 1.0
    assert report["difference"]["is_paired"]
    assert report["difference"]["low"] > 0.5


def test_an_impossible_task_blocks_grpo_and_launching_it_needs_a_reason(product_with_starter):
    product = product_with_starter
    assessment = begun(product, D5=None)
    report = probed(product, assessment, "impossible")
    assert (report["passed"]["right"], report["passed"]["n"]) == (0, 256)
    assert report["passed"]["interval"]["high"] < 0.02
    suggested = accept_all(product, assessment)
    assert suggested["D5"] == {"choice": "under_2", "basis": "probed"}
    assert suggested["dead_groups"] == 1.0
    advice = advised(product, assessment)
    assert advice["method"] == "sft"
    assert "G4" in holding(advice)
    grpo = generated.starter_recipe("impossible", "grpo").model_dump(mode="json")
    launch = {
        "assessment": assessment,
        "plan": [
            {
                "name": "Against the advice",
                "model": {"kind": "starter"},
                "dataset": {"kind": "generated", "name": "impossible"},
                "grader": generated.grader("impossible").model_dump(mode="json", by_alias=True),
                "recipe": grpo,
                "limits": Limits(steps=1).model_dump(mode="json"),
            }
        ],
    }
    refused = product.http.post("/api/v1/runs", json=launch)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["where"] == "override_reason"
    reasoned = product.http.post("/api/v1/runs", json=launch | {"override_reason": "to see it fail"})
    assert reasoned.status_code == 201
    product.clear(reasoned.json()["runs"][0]["id"])


def test_a_mastered_task_is_not_worth_training(product_with_starter):
    product = product_with_starter
    assessment = begun(product, D5=None)
    report = probed(product, assessment, "mastered")
    assert report["passed"]["right"] / report["passed"]["n"] > 0.95
    assert accept_all(product, assessment)["D5"]["choice"] == "over_95"
    advice = advised(product, assessment)
    assert advice["plan"]["id"] == "not_yet"
    assert "N2" in holding(advice)
