"""Launching from the form: what was typed is kept, what will happen is said, nothing is launched twice."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def open_form(workshop, browse: Callable[..., Page]):
    def open_page(path: str = "/runs/new", **options) -> Page:
        page = browse(base_url=workshop.address, **options)
        page.goto(path)
        return page

    return open_page


@pytest.fixture
def advised(workshop):
    """The worked example, decided; answers its path."""

    def start(example: str = "legal_reasoning") -> str:
        with httpx.Client(base_url=workshop.address, headers={"Origin": workshop.address}) as http:
            begun = http.post(
                "/assessments/new", data={"name": "Appeals", "description": "", "example": example}
            )
            path = begun.headers["location"]
            assert http.post(f"{path}/result").status_code == 303
        return path

    return start


@pytest.fixture
def stopped(workshop):
    """What a test launched is cancelled after it."""
    before = {run["id"] for run in workshop.http.get("/api/v1/runs?limit=200").json()["items"]}
    yield
    after = {run["id"] for run in workshop.http.get("/api/v1/runs?limit=200").json()["items"]}
    workshop.clear(*(after - before))


def check(page: Page) -> None:
    page.get_by_role("button", name="Check and continue").click()


def test_a_bad_number_is_said_beside_its_field_and_everything_typed_is_kept(open_form):
    page = open_form()
    page.get_by_label("Name", exact=True).fill("My own name")
    page.get_by_label("Learning rate", exact=True).fill("0,001")
    page.get_by_label("Epochs", exact=True).fill("2.5")
    check(page)
    field = page.get_by_label("Learning rate", exact=True)
    expect(page).to_have_title(re.compile("^Error: "))
    expect(page.locator(".error-summary")).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("0,001")
    expect(page.get_by_label("Name", exact=True)).to_have_value("My own name")
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("2.5")
    described = field.get_attribute("aria-describedby").split()[-1]
    expect(page.locator(f"[id='{described}']")).to_contain_text("with a point, not a comma")
    page.locator(".error-summary a").first.click()
    expect(field).to_be_focused()


def test_a_batch_that_splits_a_group_is_said_beside_the_batch_size(open_form, workshop):
    page = open_form()
    page.get_by_label("GRPO", exact=True).check()
    page.get_by_label("Completions per prompt").wait_for()
    page.get_by_label("Completions per prompt").fill("7")
    page.get_by_label("Batch size", exact=True).fill("64")
    page.get_by_label("Micro-batch size", exact=True).fill("64")
    check(page)
    expect(page.locator("[id='grpo.batch_size-error']")).to_contain_text("63 would do")


def test_choosing_another_method_brings_its_settings_and_keeps_what_was_typed(open_form):
    page = open_form()
    page.get_by_label("Name", exact=True).fill("Kept")
    page.get_by_label("Epochs", exact=True).fill("2.5")
    page.get_by_label("SFT warm start, then GRPO").check()
    expect(page.get_by_label("Completions per prompt")).to_be_visible()
    expect(page.get_by_label("Demonstrations used")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Kept")
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("2.5")


def test_the_confirmation_says_what_will_happen_and_changing_keeps_everything(open_form):
    page = open_form()
    page.get_by_label("Name", exact=True).fill("Said in words")
    page.get_by_label("Epochs", exact=True).fill("2")
    check(page)
    expect(page.get_by_role("heading", name="Launch this run?")).to_be_visible()
    expect(page.locator(".plan-steps")).to_contain_text(
        "Starts from the starter model; all its weights are trained."
    )
    expect(page.locator(".plan-steps")).to_contain_text("2 times each")
    page.get_by_role("button", name="Change something").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Said in words")
    expect(page.get_by_label("Epochs", exact=True)).to_have_value("2")


def test_the_advised_plan_is_filled_in_and_launched_as_two_runs(open_form, advised, workshop, stopped):
    page = open_form(f"{advised()}/launch")
    expect(page.get_by_label("SFT warm start, then GRPO (advised)")).to_be_checked()
    check(page)
    expect(page.get_by_role("heading", name="Launch these 2 runs?")).to_be_visible()
    page.get_by_role("button", name="Launch both runs").click()
    page.wait_for_url("**/runs/*-*")
    expect(page.get_by_role("navigation", name="Stages of this plan")).to_contain_text("GRPO")
    run = workshop.run(page.url.rsplit("/", 1)[1])
    assert (run["stage"], run["stages"], run["advised"]) == (1, 2, "grpo")


def test_not_following_the_advice_asks_why_and_keeps_the_answer(open_form, advised, workshop, stopped):
    page = open_form(f"{advised()}/launch")
    page.get_by_label("SFT", exact=True).check()
    expect(page.get_by_label("Completions per prompt")).to_be_hidden()
    check(page)
    expect(page.locator(".error-summary")).to_contain_text("The advice was SFT warm start, then GRPO")
    page.get_by_label("Reason for not following the advice").fill("A baseline to compare with.")
    check(page)
    expect(page.get_by_text("Your reason: A baseline to compare with.")).to_be_visible()
    page.get_by_role("button", name="Launch the run").click()
    page.wait_for_url("**/runs/*-*")
    expect(page.get_by_text("A baseline to compare with.")).to_be_visible()
    assert workshop.run(page.url.rsplit("/", 1)[1])["override_reason"] == "A baseline to compare with."


def test_launching_works_without_a_script(open_form, workshop, stopped):
    page = open_form(java_script_enabled=False)
    page.get_by_label("GRPO", exact=True).check()
    page.get_by_role("button", name="Fit the settings to these choices").click()
    page.get_by_label("Steps", exact=True).fill("5")
    page.get_by_label("Name", exact=True).fill("By hand")
    check(page)
    page.get_by_role("button", name="Launch the run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("By hand")


def test_settings_that_no_longer_fit_the_method_are_shown_again_before_anything_happens(open_form):
    page = open_form(java_script_enabled=False)
    page.get_by_label("GRPO", exact=True).check()
    check(page)
    expect(page.get_by_text("The settings below now fit what you chose")).to_be_visible()
    expect(page.get_by_label("Completions per prompt")).to_be_visible()


def test_sending_the_confirmation_twice_launches_once(open_form, workshop, stopped):
    page = open_form(java_script_enabled=False)
    page.get_by_label("Name", exact=True).fill("Once only")
    check(page)
    expect(page.get_by_role("button", name="Launch the run")).to_be_visible()
    sent = {
        field.get_attribute("name"): field.input_value()
        for field in page.locator("form [name]:not(button)").all()
    } | {"action": "launch"}
    first = workshop.http.post("/runs/new", data=sent)
    second = workshop.http.post("/runs/new", data=sent)
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]


def test_a_schema_that_is_not_json_is_said_beside_it(open_form):
    page = open_form()
    page.get_by_role("textbox", name="JSON Schema").fill('{"type": ')
    check(page)
    expect(page.locator("[id='grader.json_schema.schema-error']")).to_contain_text("not JSON")


def test_a_model_id_from_elsewhere_is_refused_in_words(open_form):
    page = open_form()
    with page.expect_response("**/runs/new"):
        page.get_by_label("A model from the Hugging Face hub").check()
    page.get_by_label("Model id").fill("../../etc/passwd")
    check(page)
    expect(page.locator("#hub_id-error")).to_contain_text("looks like owner/name")


def test_every_new_field_is_carried_to_the_run_and_into_a_copy(open_form, workshop, stopped):
    page = open_form()
    page.get_by_label("GRPO", exact=True).check()
    page.get_by_label("Completions per prompt").wait_for()
    page.get_by_label("LoRA", exact=True).check()
    page.get_by_label("Rank", exact=True).wait_for()
    page.get_by_label("Rank", exact=True).fill("8")
    page.get_by_text("Advanced: further fields of TRL for GRPO").click()
    page.get_by_label("Fields (optional)").fill("weight_decay = 0.1")
    page.get_by_label("Minutes of training (optional)").fill("30")
    page.get_by_label("Price of a GPU-hour (optional)").fill("2.5")
    page.get_by_label("Money (optional)").fill("10")
    page.get_by_label("When a health finding is raised").select_option("stop")
    page.get_by_label("Which model is kept").select_option("best")
    page.get_by_label("Its turn").select_option("-1")
    page.get_by_label("Measure the starting model").select_option("later")
    page.get_by_text("A guard set: what training must not cost").click()
    page.get_by_label("Guard set", exact=True).select_option("generated:clauses")
    page.get_by_label("Name", exact=True).fill("With everything")
    check(page)
    sentences = page.locator(".plan-steps")
    expect(sentences).to_contain_text("LoRA adapters of rank 8 are trained")
    expect(sentences).to_contain_text(
        "Pauses with a usable checkpoint at 30 minutes of training or a cost of 10"
    )
    expect(sentences).to_contain_text("Any health finding stops it")
    page.get_by_role("button", name="Launch the run").click()
    page.wait_for_url("**/runs/*-*")
    spec = workshop.run(page.url.rsplit("/", 1)[1])["spec"]
    assert spec["recipe"]["tuning"]["rank"] == 8
    assert spec["recipe"]["advanced"] == {"weight_decay": 0.1}
    assert spec["limits"]["money"] == 10
    assert (spec["on_finding"], spec["keep"]) == ("stop", "best")
    assert spec["evaluation"]["baseline"] == "later"
    assert spec["evaluation"]["guard"]["dataset"]["name"] == "clauses"
    page.goto(f"/runs/new?like={page.url.rsplit('/', 1)[1]}")
    expect(page.get_by_label("Rank", exact=True)).to_have_value("8")
    expect(page.get_by_label("Fields (optional)")).to_have_value("weight_decay = 0.1")
    expect(page.get_by_label("Its turn")).to_have_value("-1")
    expect(page.get_by_label("Guard set", exact=True)).to_have_value("generated:clauses")


def test_qlora_is_not_offered_without_a_gpu_and_says_why(open_form):
    page = open_form()
    expect(page.get_by_label("QLoRA", exact=True)).to_be_disabled()
    expect(page.locator("#tuning-qlora-about")).to_contain_text("Needs a CUDA GPU")


def test_an_advanced_field_that_trl_does_not_have_names_the_one_meant(open_form):
    page = open_form()
    page.get_by_text("Advanced: further fields of TRL for SFT").click()
    page.get_by_label("Fields (optional)").fill("weight_decy = 0.1")
    check(page)
    expect(page.locator("[id='sft.advanced-error']")).to_contain_text("did you mean weight_decay?")
    expect(page.get_by_label("Fields (optional)")).to_be_visible()


def test_a_reward_model_and_the_run_it_grades_are_asked_for_their_pairs(open_form):
    page = open_form(java_script_enabled=False)
    page.get_by_label("Reward model, then GRPO").check()
    page.get_by_role("button", name="Fit the settings to these choices").click()
    expect(page.get_by_text("The reward model of the first run grades the second.")).to_be_visible()
    check(page)
    expect(page.locator(".error-summary")).to_contain_text("Choose what to learn from.")
