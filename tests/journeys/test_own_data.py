"""Somebody's own data, from the file to a trained and measured model, for both methods."""

import pytest

from tests.journeys.own_data import GRADES_SUMS, docstring_lines, sum_lines

pytestmark = [pytest.mark.browser, pytest.mark.engine]

PATIENCE_SECONDS = 600
"""For a real training; a passing test never comes near it."""

SFT = {
    "kind": "sft",
    "learning_rate": 1e-2,
    "batch_size": 32,
    "micro_batch_size": 32,
    "epochs": 2.0,
    "max_length": 256,
}
GRPO = {
    "kind": "grpo",
    "learning_rate": 5e-3,
    "batch_size": 64,
    "micro_batch_size": 64,
    "steps": 25,
    "num_generations": 8,
    "max_completion_length": 6,
    "lr_scheduler": "constant",
}


def uploaded(product, name: str, lines: list[str]) -> dict:
    """Uploads and answers the dataset as the API shows it."""
    dataset_id = product.upload(name, "\n".join(lines).encode())
    return product.http.get(f"/api/v1/datasets/{dataset_id}").json()


def trained(product, dataset: dict, **spec: object) -> dict:
    run = {"model": {"kind": "local", "name": "micro"}, "dataset": dataset["summary"]["ref"]} | spec
    (run_id,) = product.launch(run)
    return product.until_over(run_id, PATIENCE_SECONDS)


NEAR_THE_SUMMARY = {
    "type": "text_similarity",
    "name": "near the summary",
    "reference": "{{ item.reference }}",
    "evaluation_metric": "rouge_l",
    "pass_threshold": 0.3,
}


@pytest.mark.timeout(900)
def test_documentation_strings_are_profiled_and_learned_from(product, browser_page):
    dataset = uploaded(product, "Standard library", docstring_lines(250))
    assert dataset["summary"]["profile"]["compared_rows"] == 250
    browser_page.goto(f"{product.address}/datasets/{dataset['id']}")
    assert "SFT yes." in " ".join(browser_page.locator("main").inner_text().split())
    run = trained(
        product,
        dataset,
        name="Describe functions",
        recipe=SFT,
        grader=NEAR_THE_SUMMARY,
        evaluation={"items": 20, "max_completion_length": 24, "checks": 1, "check_items": 10},
    )
    assert run["state"] == "succeeded", run["failure"]
    assert run["after"]["loss"] < 0.8 * run["before"]["loss"]
    assert len(run["after"]["scores"][0]["sampled"]) == 20
    assert run["metrics"]["held_out/loss"]
    assert run["after"]["samples"]


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_starter_comes_nearer_to_documentation_strings(product_with_starter):
    dataset = uploaded(product_with_starter, "Standard library", docstring_lines(3000))
    run = trained(
        product_with_starter,
        dataset,
        model={"kind": "starter"},
        name="Describe functions",
        recipe=SFT,
        grader=NEAR_THE_SUMMARY,
        evaluation={"items": 200, "max_completion_length": 60, "checks": 2},
    )
    assert run["state"] == "succeeded", run["failure"]
    before, after = (run[when]["scores"][0]["sampled"] for when in ("before", "after"))
    assert sum(after) > 1.5 * sum(before)


@pytest.mark.timeout(900)
def test_sums_are_practised_against_a_python_grader(product):
    stored = product.http.post(
        "/api/v1/graders",
        json={"grader": {"type": "python", "name": "sums", "source": GRADES_SUMS}},
    )
    assert stored.status_code == 201, stored.text
    dataset = uploaded(product, "Sums", sum_lines(200))
    run = trained(
        product,
        dataset,
        name="Sums",
        recipe=GRPO,
        grader=stored.json()["grader"],
        evaluation={"items": 40, "max_completion_length": 6, "checks": 0},
    )
    assert run["state"] == "succeeded", run["failure"]
    rewards = [point["value"] for point in run["metrics"]["reward"]]
    assert sum(rewards[-5:]) > sum(rewards[:5])
    assert run["after"]["errors"] == 0
