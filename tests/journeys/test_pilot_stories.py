"""Pilots of the starter model: the verdict is what their figures say, and it reaches the advice."""

import time

import pytest

from app.datasets import generated
from app.graders.comparison import pooled_difference
from app.main import read_rulebook
from tests.browser.runs.conftest import Workshop

pytestmark = [pytest.mark.full, pytest.mark.engine, pytest.mark.timeout(3600)]

LONG = 1500.0
EXAMPLE = next(each for each in read_rulebook().examples if each.id == "legal_reasoning")


def begun(product: Workshop, **answers: object) -> str:
    body = {"name": "A story", "description": EXAMPLE.description, "answers": dict(EXAMPLE.answers) | answers}
    made: str = product.http.post("/api/v1/assessments", json=body).json()["id"]
    return made


def piloted(product: Workshop, assessment: str, task: str, plan: dict, **more: object) -> dict:
    order = {
        "plan": plan,
        "model": {"kind": "starter"},
        "dataset": {"kind": "generated", "name": task},
        "grader": generated.grader(task).model_dump(mode="json", by_alias=True),
        "evaluation": {"items": 300, "max_completion_length": 96, "checks": 6},
    } | more
    answer = product.http.post(f"/api/v1/assessments/{assessment}/pilots", json=order)
    assert answer.status_code == 201, answer.text
    return until_over(product, answer.json()["id"])


def until_over(product: Workshop, pilot: str) -> dict:
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        told: dict = product.http.get(f"/api/v1/pilots/{pilot}").json()
        if told["is_over"]:
            return told
        time.sleep(1)
    raise AssertionError(told["sentence"])


def until_proposed(product: Workshop, assessment: str) -> dict:
    """The sweep proposes what a pilot showed after it has copied the last run's end."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = f"/api/v1/assessments/{assessment}/proposals?waiting=true"
        if found := [each for each in product.http.get(path).json() if each["question"] == "O7"]:
            return found[0]
        time.sleep(0.5)
    raise AssertionError("nothing was proposed")


def arm(told: dict, name: str) -> dict:
    return next(each for each in told["reading"]["arms"] if each["arm"] == name)


def after(product: Workshop, told: dict, name: str) -> list[float]:
    run = product.run(arm(told, name)["runs"][-1])
    return [float(mark) if mark in "01" else None for mark in run["after"]["sampled_outcomes"]]


def test_clauses_are_won_by_sft_which_contradicts_the_questionnaire_visibly(product_with_starter):
    """A JSON record is learnt by copying; GRPO finds few that are valid to begin with."""
    product = product_with_starter
    assessment = begun(product)
    told = piloted(product, assessment, "clauses", {"minutes": 0.5, "arms": ["sft", "grpo"]})
    assert [run["standing"]["state"] for run in told["runs"]] == ["succeeded", "succeeded"]
    assert told["reading"]["outcome"] == "sft_ahead", told["sentence"]
    assert arm(told, "sft")["gain"]["low"] > 0.2
    for each in told["reading"]["arms"]:
        assert each["minutes"] == pytest.approx(0.5, rel=0.25), "equal budgets, up to a step"
    assert told["reading"]["cost"]["per_row"] > 1
    assert told["reading"]["cost"]["per_token"] > 0
    advice = told["advice"]
    assert advice["contradicts"]
    assert (advice["without"]["method"], advice["is_accepted"]) == ("grpo", False)
    proposed = until_proposed(product, assessment)
    assert proposed["answer"] == {"choice": "sft_ahead", "basis": "piloted"}
    product.http.post(f"/api/v1/assessments/{assessment}/proposals/{proposed['id']}/accept")
    made = product.http.post(f"/api/v1/assessments/{assessment}/recommendation").json()["recommendation"]
    part = next(each for each in made["contributions"] if each["question"] == "O7")
    assert (part["effect"], part["basis"]) == (-2, "piloted")
    assert made["method"] == advice["with_it"]["method"]


def test_rulings_from_the_warm_start_have_the_verdict_that_their_figures_have(product_with_starter):
    product = product_with_starter
    task = {"kind": "generated", "name": "rulings"}
    (warm,) = product.launch(
        {
            "name": "Warm start",
            "model": {"kind": "starter"},
            "dataset": task,
            "grader": generated.grader("rulings").model_dump(mode="json", by_alias=True),
            "recipe": generated.starter_recipe("rulings", "sft", warm_start=True).model_dump(mode="json"),
            "evaluation": {"items": 100, "baseline": "skip", "checks": 0},
        }
    )
    product.until_over(warm, LONG)
    told = piloted(
        product, begun(product), "rulings", {"minutes": 1.0, "arms": ["sft", "grpo"]}, starts_from=warm
    )
    assert [run["standing"]["state"] for run in told["runs"]] == ["succeeded", "succeeded"]
    found = pooled_difference([(after(product, told, "sft"), after(product, told, "grpo"))])
    said = told["reading"]["compared"][0]["difference"]
    assert (said["value"], said["low"], said["high"]) == pytest.approx((found.value, found.low, found.high))
    expected = "grpo_ahead" if found.low > 0 else "sft_ahead" if found.high < 0 else "no_difference"
    assert told["reading"]["outcome"] == expected
    assert f"{abs(100 * found.value):.1f} points" in told["sentence"]
