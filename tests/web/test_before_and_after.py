"""Preflight, first batch and playground pages without a worker behind them, and what they keep in words."""

import json
from uuid import uuid4

from app.protocol import (
    Check,
    CheckName,
    CheckResult,
    FirstBatch,
    FirstBatchState,
    Preflight,
    PreflightState,
    RunSpec,
)
from app.web.pages.first_batch import caption
from app.web.pages.preflights import explained, lead, override
from tests.web.conftest import owner, program
from tests.web.launching import SPEC


def check(name: CheckName, result: CheckResult) -> Check:
    return Check(name=name, result=result, sentence=f"{name.value} said so.")


def preflight(state: PreflightState, *checks: Check) -> Preflight:
    return Preflight(id=uuid4(), spec=RunSpec.model_validate(SPEC), state=state, checks=list(checks))


MEMORY = check(CheckName.MEMORY, CheckResult.FAIL)
DISK = check(CheckName.DISK, CheckResult.PASS)
GRADER = check(CheckName.GRADER, CheckResult.WARN)


def test_one_sentence_says_how_the_checks_stand():
    assert lead([preflight(PreflightState.DONE, check(CheckName.DISK, CheckResult.PASS))]).startswith(
        "Ready:"
    )
    assert lead([preflight(PreflightState.DONE, GRADER)]) == "Ready, with 1 warning."
    assert lead([preflight(PreflightState.DONE, GRADER, MEMORY)]).startswith("1 check failed.")
    assert lead([preflight(PreflightState.RUNNING, GRADER)]) == "1 of 12 checks made."
    assert lead([preflight(PreflightState.CANCELLED, MEMORY)]).startswith("Stopped")


def test_a_launch_in_spite_of_a_failed_check_keeps_the_reason_beside_what_it_overrides():
    assert override([MEMORY]) == "Launch although memory did not pass"
    assert override([MEMORY, GRADER]) == "Launch although memory and grader did not pass"
    form = {"override_reason": "The board wants it.", "preflight_reason": " A larger GPU comes. "}
    assert explained(form, []) == "The board wants it."
    assert explained(form, [MEMORY]) == (
        "The board wants it.\nA larger GPU comes. (Overrides failed checks. Memory: memory said so.)"
    )
    assert explained({}, []) is None


def test_the_caption_of_a_batch_needs_no_legend():
    batch = FirstBatch(kind="tokens", rows=[], sequences=2, width=8, tokens=12, learned=3, padding=4, steps=5)
    told = caption(FirstBatchState(state="done", batch=batch))
    assert told == "2 sequences with 12 tokens and 4 of padding. The underlined ones are learned: 3, or 25 %."
    asked = batch.model_copy(update={"kind": "prompts", "num_generations": 2, "learned": 0})
    assert "asks 1 prompt, each answered 2 times" in caption(FirstBatchState(state="done", batch=asked))


def test_without_the_worker_the_pages_say_so(app):
    browser = owner(app)
    form = {"spec": json.dumps(SPEC)}
    assert browser.post("/preflights", data=form).status_code == 503
    assert browser.post("/preflights", data={"spec": "{"}).status_code in (400, 422)
    assert browser.post("/preflights", data={}).status_code == 422
    assert browser.get("/preflights").status_code == 422
    answer = browser.post("/first-batch", data=form)
    assert answer.status_code == 200
    assert "There is no batch" in answer.text


def test_a_run_that_is_not_over_has_no_playground_yet(app):
    launched = program(app).post("/api/v1/runs", json=SPEC).json()["runs"][0]["id"]
    browser = owner(app)
    assert "The run is not over yet" in browser.get(f"/runs/{launched}/playground").text
    assert browser.get(f"/runs/{uuid4()}/playground").status_code == 404
    question = {"prompt": "x", "item": "", "temperature": "1", "max_tokens": "4", "seed": "0"}
    asked = browser.post(f"/runs/{launched}/playground", data=question)
    assert asked.status_code == 422
    assert program(app).post(f"/api/v1/runs/{launched}/playground", json={"prompt": "x"}).status_code == 503
