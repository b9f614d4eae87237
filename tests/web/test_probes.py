"""Probes: launched by one click or from a form, told in words, and what they suggest for an assessment."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.advisor.recommendation import recommend
from app.graders import probing
from app.main import read_rulebook
from app.models import Proposal, Run
from app.protocol import AnswerLengths, Difference, Interval, ProbeRecipe, ProbeReport, Share
from app.web import launch_defaults, probe_facts, probe_form, probe_words
from app.web.probe_facts import GateFact
from app.web.probe_proposals import Heed, suggestions
from app.web.proposing import Suggestion
from tests.browser.recorded_engine import probe_report
from tests.weather import Weather
from tests.web.conftest import owner, parts_of, program
from tests.web.launching import named
from tests.worker_process import TOKEN, WorkerProcess, eventually

EXAMPLE = next(each for each in read_rulebook().examples if each.id == "legal_reasoning")
PROBE = {"kind": "probe", "prompts": 8, "samples": 4}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    process = WorkerProcess(
        tmp_path_factory.mktemp("worker"), engine_module="tests.browser.recorded_engine", prepare_starter=True
    )
    yield process
    process.kill()
    process.kill_every_engine()


@pytest.fixture
def app(make_app: Callable[..., FastAPI], worker: WorkerProcess) -> FastAPI:
    return make_app(Weather(worker), worker_token=TOKEN, sync_seconds=0.1)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """With its sweep running, as when served."""
    with program(app) as client:
        yield client


def begin(client: TestClient, name: str = "Appeals", **answers: object) -> str:
    body = {"name": name, "description": EXAMPLE.description, "answers": dict(EXAMPLE.answers) | answers}
    made = client.post("/api/v1/assessments", json=body)
    assert made.status_code == 201, made.text
    return f"/assessments/{made.json()['id']}"


def until_over(client: TestClient, run_id: str) -> dict:
    def over() -> dict | None:
        run = client.get(f"/api/v1/runs/{run_id}").json()
        return run if run["is_over"] else None

    return eventually(over, "the end of the probe")


def suggested(client: TestClient, path: str) -> dict[str, dict]:
    told = client.get(f"/api/v1{path}/proposals?waiting=true").json()
    return {each["question"]: each for each in told}


def clicked(app: FastAPI, client: TestClient, path: str) -> dict:
    """The button of the result page, and the probe's end."""
    answer = owner(app).post(f"{path}/probe")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/runs/")
    return until_over(client, answer.headers["location"].rsplit("/", 1)[1])


# Launching


def chosen(page: str) -> str:
    """The dataset that a form begins with."""
    found = re.search(r'name="dataset" value="([^"]+)"[^>]* checked', page)
    assert found
    return found.group(1)


def test_one_click_probes_the_worked_example(app, client):
    path = begin(client)
    run = clicked(app, client, path)
    assert (run["state"], run["kind"], run["step"], run["total_steps"]) == ("succeeded", "probe", 32, 32)
    assert run["spec"]["model"] == {"kind": "starter"}
    assert run["spec"]["dataset"] == {"kind": "generated", "name": "rulings"}
    assert run["probe"]["passed"]["n"] == 256
    assert run["milestone_id"] is None, "it follows no advice"


def test_probe_pilot_and_launch_take_the_dataset_that_is_linked(app, client):
    path = begin(client)
    linked = client.put(f"/api/v1{path}/dataset", json={"dataset": "generated:clauses"})
    assert linked.status_code == 200, linked.text
    browser = owner(app)
    browser.post(f"{path}/result")
    for form in ("launch", "pilot", "probe"):
        assert chosen(browser.get(f"{path}/{form}").text) == "generated:clauses", form
    run = clicked(app, client, path)
    assert run["spec"]["dataset"]["name"] == "clauses"
    assert run["spec"]["grader"]["type"] == "json_schema"


def test_the_button_stands_on_the_result_and_leads_back_to_what_was_found(app, client):
    path = begin(client)
    browser = owner(app)
    browser.post(f"{path}/result")
    assert "Probe the model" in browser.get(f"{path}/result").text
    run = clicked(app, client, path)
    shown = browser.get(f"{path}/result").text
    assert "Probe again" in shown
    assert f"/runs/{run['id']}" in shown


def test_pressed_twice_it_is_one_probe(app, client):
    path = begin(client, name="slow")
    browser = owner(app)
    first, second = (browser.post(f"{path}/probe").headers["location"] for _ in range(2))
    assert first == second
    client.post(f"/api/v1{first}/cancel")
    until_over(client, first.rsplit("/", 1)[1])


def test_what_is_not_known_is_asked_for_in_a_form_with_defaults(app, client):
    made = client.post("/api/v1/assessments", json={"name": "Unlike", "description": "Something else"})
    path = f"/assessments/{made.json()['id']}"
    browser = owner(app)
    assert browser.post(f"{path}/probe").headers["location"] == f"{path}/probe"
    form = browser.get(f"{path}/probe").text
    assert 'name="probe.prompts"' in form
    assert 'value="32"' in form
    wrong = browser.post(f"{path}/probe", data={"model": "starter", "dataset": "generated:clauses"})
    assert wrong.status_code == 422
    assert "Choose how an answer is graded." in wrong.text
    typed = {
        "name": "Mine",
        "model": "starter",
        "dataset": "generated:clauses",
        "grader": "task",
        "probe.prompts": "6",
        "probe.samples": "2",
        "probe.temperature": "0.9",
        "probe.max_completion_length": "48",
    }
    sent = browser.post(f"{path}/probe", data=typed)
    run = until_over(client, sent.headers["location"].rsplit("/", 1)[1])
    assert run["spec"]["recipe"]["temperature"] == 0.9
    assert len(run["probe"]["prompts"]) == 6
    again = browser.get(f"{path}/probe").text
    assert 'value="0.9"' in again, "the next one starts from what was chosen before"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"probe.samples": "1"}, "Answers to each must be at least 2."),
        ({"probe.prompts": "2000", "probe.samples": "256"}, "draws at most 20,000 answers"),
        ({"probe.temperature": "warm"}, "Temperature must be a number"),
        ({"dataset": ""}, "Choose what to learn from."),
        ({"grader": "grader:gone"}, "Choose how an answer is graded."),
    ],
)
def test_a_form_that_cannot_work_is_shown_again_with_what_is_wrong(app, client, typed, said):
    usual = probe_form.defaults("a test", None)
    answer = owner(app).post("/runs/probe", data=usual | typed)
    assert answer.status_code == 422
    assert said in answer.text


def test_a_probe_can_be_launched_like_another(app, client):
    first = client.post("/api/v1/runs", json=named("Alone", recipe=PROBE)).json()["runs"][0]["id"]
    until_over(client, first)
    browser = owner(app)
    assert browser.get(f"/runs/new?like={first}").headers["location"] == f"/runs/probe?like={first}"
    form = browser.get(f"/runs/probe?like={first}").text
    assert "exact, as in the last launch" in form
    assert 'value="8"' in form


def test_the_launch_form_probes_what_it_is_about_to_train(app, client):
    browser = owner(app)
    path = begin(client)
    browser.post(f"{path}/result")
    form = launch_defaults.from_nothing() | {"action": "probe", "name": "Before clauses"}
    sent = browser.post("/runs/new", data=form)
    assert sent.status_code == 303
    run = until_over(client, sent.headers["location"].rsplit("/", 1)[1])
    assert run["kind"] == "probe"
    assert run["spec"]["dataset"]["name"] == "clauses"
    assert run["spec"]["name"] == "Probe: Before clauses"


def test_the_api_takes_what_is_left_out_from_what_was_chosen_before(client):
    path = begin(client)
    made = client.post(f"/api/v1{path}/probe", json={"recipe": PROBE})
    assert made.status_code == 201
    assert len(until_over(client, made.json()["id"])["probe"]["prompts"]) == 8
    bare = client.post("/api/v1/assessments", json={"name": "Bare"}).json()["id"]
    refused = client.post(f"/api/v1/assessments/{bare}/probe")
    assert refused.status_code == 422
    assert [each["where"] for each in refused.json()["problems"]] == ["model", "dataset", "grader"]


# What a probe cannot be


def test_nothing_starts_from_a_probe_or_stands_in_a_plan_with_one(client):
    probe = client.post("/api/v1/runs", json=named("Alone", recipe=PROBE)).json()["runs"][0]["id"]
    until_over(client, probe)
    later = client.post("/api/v1/runs", json=named("after", starts_from=probe))
    assert later.status_code == 422
    assert "which trains no model" in later.json()["problems"][0]["what"]
    plan = client.post("/api/v1/runs", json={"plan": [named("one", recipe=PROBE), named("two")]})
    assert "launch it by itself" in plan.json()["problems"][0]["what"]


def test_a_probe_is_not_paused_but_cancelled_and_then_tried_again(client):
    probe = client.post("/api/v1/runs", json=named("slow", recipe=PROBE)).json()["runs"][0]["id"]
    eventually(lambda: client.get(f"/api/v1/runs/{probe}").json()["state"] == "evaluating", "its work")
    paused = client.post(f"/api/v1/runs/{probe}/pause")
    assert paused.status_code == 409
    assert "cannot be paused; cancel it" in paused.json()["detail"]
    running = client.get(f"/api/v1/runs/{probe}").json()
    assert running["words"] == "Probing: the model answers, the grader scores"
    client.post(f"/api/v1/runs/{probe}/cancel")
    assert until_over(client, probe)["state"] == "cancelled"
    again = client.post(f"/api/v1/runs/{probe}/retry").json()["id"]
    client.post(f"/api/v1/runs/{again}/cancel")
    until_over(client, again)


def test_the_time_left_is_told_by_the_pace_of_the_answers(client):
    probe = client.post("/api/v1/runs", json=named("slow", recipe=PROBE)).json()["runs"][0]["id"]

    def estimated() -> dict | None:
        run = client.get(f"/api/v1/runs/{probe}").json()
        return run if run["eta_seconds"] else None

    run = eventually(estimated, "an estimate")
    assert run["phase"]["name"] == "answering"
    assert run["phase"]["total"] == 32
    client.post(f"/api/v1/runs/{probe}/cancel")
    until_over(client, probe)


# What it says


def test_its_page_says_first_what_it_means(app, client):
    probe = client.post("/api/v1/runs", json=named("Alone", recipe=PROBE)).json()["runs"][0]["id"]
    until_over(client, probe)
    page = owner(app).get(f"/runs/{probe}").text
    for question in (
        "Has GRPO anything to learn from?",
        "Must SFT come first?",
        "Are the examples better than the model?",
        "Which group size?",
        "Which temperature?",
    ):
        assert question in page
    assert "Download the model" not in page
    listed = owner(app).get("/runs?method=probe").text
    assert f"/runs/{probe}" in listed
    assert "8 of 8 prompts" in listed


def report(name: str, **recipe: Any):
    return probe_report(name, ProbeRecipe(**recipe))


def measured(found: ProbeReport, **answers: object) -> dict[str, float]:
    rulebook = read_rulebook()
    return probe_facts.measurements(found, rulebook.read({"answers": answers}), rulebook)


def said_of(found: ProbeReport, **answers: object) -> Iterator[Suggestion]:
    rulebook = read_rulebook()
    return suggestions(found, "Trial", rulebook.read({"answers": answers}), rulebook)


@pytest.mark.parametrize(
    ("name", "learns", "first", "opening"),
    [
        ("a usual one", "Yes", "No", "GRPO has something to learn from"),
        ("hopeless", "No", "Yes", "GRPO would find nothing to learn from"),
        ("mastered", "No", "No", "the model does this already"),
    ],
)
def test_verdicts_follow_from_the_figures(name, learns, first, opening):
    found = report(name)
    said = {each.question: each.word for each in probe_words.verdicts(found)}
    assert said["Has GRPO anything to learn from?"] == learns
    assert said["Must SFT come first?"] == first
    assert opening in probe_words.opening(found)


def test_the_smallest_group_with_at_most_half_dead_is_chosen():
    found = report("a usual one")
    dead = {each.group: each.share for each in found.dead}
    chosen = probe_words.group_size(found)
    assert chosen is not None
    assert dead[chosen] <= 0.5
    assert all(share > 0.5 for group, share in dead.items() if group < chosen)
    assert probe_words.group_size(report("hopeless")) is None


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "1"),
        ({"distinct": 0.2}, "1.2 instead of 1"),
        ({"clipped": 0.3}, "0.8 instead of 1"),
        ({"format_valid": 0.3}, "0.8 instead of 1"),
        ({"clipped": 0.3, "temperature": 0.7}, "0.7"),
        ({"clipped": 0.3, "temperature": 0.5}, "0.5"),
        ({"distinct": 0.2, "temperature": 1.2}, "1.2"),
    ],
)
def test_the_temperature_rises_where_answers_are_alike_and_falls_where_they_are_cut(changes, wanted):
    found = report("a usual one").model_copy(update=changes)
    said = {each.question: each.word for each in probe_words.verdicts(found)}
    assert said["Which temperature?"] == wanted


@pytest.mark.parametrize(
    ("share", "choice"),
    [
        (0.0, "under_2"),
        (0.0199, "under_2"),
        (0.02, "2_to_10"),
        (0.1, "10_to_30"),
        (0.3, "30_to_70"),
        (0.7, "70_to_90"),
        (0.9, "90_to_95"),
        (0.95, "90_to_95"),
        (0.951, "over_95"),
        (1.0, "over_95"),
    ],
)
def test_a_pass_rate_is_one_choice_of_the_questionnaire(share, choice):
    assert probe_words.bin_of(share) == choice
    assert choice in {each.id for each in read_rulebook().questions["D5"].choices}


def test_gates_are_stated_as_measured_facts():
    facts = {each.id: each for each in probe_facts.gate_facts(report("hopeless"), read_rulebook())}
    assert facts.keys() == {"G2", "G3", "N2", "N7", "G4", "SG2", "G14"}
    assert (facts["G2"].state, facts["G4"].state, facts["G3"].state) == ("Blocks", "Blocks", "Clear")
    assert "0 %" in facts["G2"].figure.replace("\u00a0", " ")
    usual = {each.id: each for each in probe_facts.gate_facts(report("a usual one"), read_rulebook())}
    assert {each.state for each in usual.values()} == {"Clear"}


def passing(share: float):
    passed = Share(right=round(1000 * share), n=1000, interval=Interval(low=share, high=share))
    return report("a usual one").model_copy(update={"passed": passed})


@pytest.mark.parametrize(
    ("answers", "share", "states"),
    [
        (None, 0.92, {"G3": "Clear", "N2": "Clear", "N7": "Clear"}),
        ({}, 0.92, {"G3": "Not known", "N2": "Clear", "N7": "Clear"}),
        ({"O1": "classification_or_extraction"}, 0.92, {"G3": "Blocks", "N2": "Clear", "N7": "Clear"}),
        ({"O1": "multi_step_reasoning"}, 0.92, {"G3": "Clear", "N2": "Clear", "N7": "Clear"}),
        ({"Z9": "gone", "O1": "multi_step_reasoning"}, 0.92, {"G3": "Clear", "N2": "Clear"}),
        ({"O1": "multi_step_reasoning"}, 0.97, {"G3": "Blocks", "N2": "Something first", "N7": "Clear"}),
        ({"D1": "under_10", "D2": "nobody_can", "D3": "exact_match"}, 0.0, {"N7": "Something first"}),
        ({"D1": "50_to_99"}, 0.0, {"N7": "Clear"}),
        (None, 0.0, {"N7": "Not known"}),
    ],
)
def test_gates_on_success_look_at_the_answers_of_the_assessment_too(answers, share, states):
    found = {each.id: each for each in probe_facts.gate_facts(passing(share), read_rulebook(), answers)}
    assert {gate: found[gate].state for gate in states} == states
    assert not any("not measured" in each.sentence for each in found.values())


def test_the_page_judges_a_probe_by_the_answers_of_its_assessment(app, client):
    path = begin(client, name="hopeless", D1="under_10", D2="nobody_can", D3="exact_match")
    run = clicked(app, client, path)
    page = owner(app).get(f"/runs/{run['id']}").text
    assert "N7 No success and no way to it" in page
    assert "<strong>Something first.</strong>" in page


def test_every_measurement_is_one_that_the_rulebook_takes():
    found = measured(report("a usual one"))
    read_rulebook().read({"measurements": found})
    assert found.keys() == {
        "dead_groups",
        "clipped_share",
        "answer_length_share",
        "demonstrations_minus_base",
    }


HOURS = {"gpu_hours": 100.0, "steps": 300, "prompts_per_step": 8, "completions_per_prompt": 8}


def judged(seconds: float) -> ProbeReport:
    """An answer takes the grader that long."""
    found = report("a usual one")
    answers = sum(len(prompt.scores) for prompt in found.prompts)
    return found.model_copy(update={"grader_seconds": seconds * answers})


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.001, "Clear"), (18.7, "Clear"), (18.8, "Blocks"), (10_000.0, "Blocks")]
)
def test_grading_that_takes_longer_than_the_budget_blocks_grpo(seconds, state):
    """19,200 answers at 18.75 seconds are 100 hours of one GPU."""
    rulebook = read_rulebook()
    gpu = EXAMPLE.answers["C1"]
    found = {
        each.id: each for each in probe_facts.gate_facts(judged(seconds), rulebook, {"C1": gpu, "C2": HOURS})
    }
    assert found["G12"].state == state
    assert "ms an answer" in found["G12"].figure
    share = measured(judged(seconds), C1=gpu, C2=HOURS)["grader_cost_share"]
    assert share == pytest.approx(min(1000, seconds / 18.75), abs=1e-4)
    told = {each.question: each.because for each in said_of(judged(seconds), C1=gpu, C2=HOURS)}
    assert f"{1000 * seconds:.1f} ms an answer" in told["grader_cost_share"]
    advice = recommend(
        rulebook.read({"answers": EXAMPLE.answers, "measurements": {"grader_cost_share": share}}), rulebook
    )
    assert (advice.method == "sft") == (state == "Blocks")


def test_all_gpus_wait_for_the_grader():
    two = {"parameters_b": 7.0, "gpus": 2, "gpu_memory_gb": 80.0}
    assert measured(judged(1.0), C1=two, C2=HOURS)["grader_cost_share"] == pytest.approx(2 / 18.75, abs=1e-4)


@pytest.mark.parametrize("answers", [{}, {"C1": {"parameters_b": 7.0, "gpus": 1, "gpu_memory_gb": 80.0}}])
def test_without_a_budget_the_cost_of_grading_is_not_judged(answers):
    assert "grader_cost_share" not in measured(judged(1000.0), **answers)
    assert "G12" not in {each.id for each in probe_facts.gate_facts(judged(1000.0), read_rulebook(), answers)}


def cut(share: float):
    return report("a usual one").model_copy(
        update={"clipped": share, "lengths": AnswerLengths(median=80, p95=256, longest=256)}
    )


def told_by(found, rulebook) -> dict[str, GateFact]:
    return {each.id: each for each in probe_facts.gate_facts(found, rulebook)}


@pytest.mark.parametrize(
    ("share", "state"), [(0.05, "Clear"), (0.06, "Warns"), (0.3, "Warns"), (0.6, "Blocks")]
)
def test_where_more_than_one_answer_in_twenty_was_cut_the_limit_is_too_low(share, state):
    fact = told_by(cut(share), read_rulebook())["G14"]
    assert fact.state == state
    assert ("a cut answer earns nothing" in fact.sentence) == fact.stops


def test_lengths_of_cut_answers_are_no_figure():
    assert measured(cut(0.05))["answer_length_share"] == 1.0
    assert "answer_length_share" not in measured(cut(0.06))
    suggested = {each.question: each.because for each in said_of(cut(0.3))}
    assert "answer_length_share" not in suggested
    assert "were cut at 256 tokens" in suggested["clipped_share"]
    said = {each.title: each.note for each in probe_facts.figures(cut(0.3))}
    assert said["Length"] == "median; how long those would be that were cut is not known"
    assert "fit the limit" not in probe_words.verdicts(cut(0.07))[-1].sentence


def test_a_probe_of_cut_answers_leaves_a_block_that_the_demonstrations_brought():
    rulebook = read_rulebook()
    found = {"answer_length_share": 1.4} | measured(cut(0.3))
    advice = recommend(rulebook.read({"answers": EXAMPLE.answers, "measurements": found}), rulebook)
    held = {gate.id: gate.effect for gate in advice.gates if gate.state == "holds"}
    assert (held, advice.method) == ({"G14": "block"}, "sft")


def differing(value: float, low: float, high: float):
    difference = Difference(value=value, low=low, high=high)
    return report("a usual one").model_copy(update={"difference": difference})


@pytest.mark.parametrize(
    ("low", "high", "counted", "state", "word"),
    [
        (-0.12, 0.10, 0.0, "Clear", "Not clearly"),
        (-0.12, 0.0, 0.0, "Clear", "Not clearly"),
        (-0.12, -0.001, -0.01, "Blocks", "No"),
    ],
)
def test_examples_block_copying_where_they_are_worse_by_more_than_chance(low, high, counted, state, word):
    found, rulebook = differing(-0.01, low, high), read_rulebook()
    assert measured(found)["demonstrations_minus_base"] == counted
    fact = told_by(found, rulebook)["SG2"]
    assert (fact.state, fact.sentence.startswith("The demonstrations are not clearly worse")) == (
        state,
        state == "Clear",
    )
    assert {each.question: each.word for each in probe_words.verdicts(found)}[
        "Are the examples better than the model?"
    ] == word
    because = {each.question: each.because for each in said_of(found)}
    assert ("count as no worse" in because["demonstrations_minus_base"]) == (state == "Clear")
    told = {"answers": EXAMPLE.answers, "measurements": {"demonstrations_minus_base": counted}}
    plan = recommend(rulebook.read(told), rulebook).plan.id
    assert plan == ("sft_then_grpo" if state == "Clear" else "grpo")


def test_examples_that_are_better_by_chance_keep_their_figure():
    found = differing(0.01, -0.10, 0.12)
    assert measured(found)["demonstrations_minus_base"] == 0.01
    because = {each.question: each.because for each in said_of(found)}
    assert because["demonstrations_minus_base"].endswith("That may be chance.")


def failing(share: float, seed: str = "a usual one"):
    """A grader that failed on this share of the answers, evenly."""
    found = report(seed)
    every = round(1 / share)
    prompts = [
        each.model_copy(
            update={"scores": [None if n % every == 0 else score for n, score in enumerate(each.scores)]}
        )
        for each in found.prompts
    ]
    scores = [each.scores for each in prompts]
    return found.model_copy(
        update={
            "prompts": prompts,
            "errors": sum(score is None for group in scores for score in group),
            "dead": probing.dead(scores, [2, 4, 8, 16], 8, 1.0),
        }
    )


def test_a_grader_that_often_fails_is_what_the_page_leads_with():
    found = failing(0.5)
    assert probe_words.opening(found).startswith(
        "The grader failed on 50\u00a0% of the answers: mend the grader and probe again"
    )
    assert "dead_groups" not in measured(found)
    fact = told_by(found, read_rulebook())["G4"]
    assert (fact.state, fact.figure) == ("Not known", "the grader failed on 50\u00a0% of the answers")
    said = {each.question: each.word for each in probe_words.verdicts(found)}
    assert (said["Has GRPO anything to learn from?"], said["Which group size?"]) == ("Not known", "Not known")
    (answer, *_) = said_of(found)
    assert "the grader failed on 50\u00a0% of the answers" in answer.because


def test_a_grader_that_seldom_fails_leaves_the_groups_measured():
    found = report("a usual one").model_copy(update={"errors": 25})
    assert probe_words.opening(found) == probe_words.opening(report("a usual one"))
    assert "dead_groups" in measured(found)
    assert "dead_groups" not in measured(found.model_copy(update={"errors": 26}))


def test_groups_that_were_not_measured_are_not_proposed_as_measured():
    found = report("a usual one", samples=2, group_sizes=[8])
    assert "dead_groups" not in measured(found)
    fact = told_by(found, read_rulebook())["G4"]
    assert fact.state == "Not known"
    assert fact.figure.endswith("of groups of 8, expected")


def test_a_suggestion_says_figure_interval_and_number_and_whether_a_border_is_near():
    sure = next(said_of(report("hopeless")))
    assert sure.answer == {"choice": "under_2", "basis": "probed"}
    assert "0 of 256 answers to 32 prompts" in sure.because
    assert "reaches over" not in sure.because
    near = next(said_of(report("a usual one", prompts=4, samples=4)))
    assert "reaches over" in near.because


# What it changes


def test_what_it_found_is_suggested_once_and_counts_only_when_accepted(app, client):
    path = begin(client)
    run = clicked(app, client, path)
    found = eventually(lambda: suggested(client, path), "its suggestions")
    assert {each["source"] for each in found.values()} == {f"run:{run['id']}"}
    assert found["dead_groups"]["answer"] == pytest.approx(dead_at_8(run), abs=1e-4)
    parts_of(app).sweep.once()
    assert suggested(client, path) == found
    assert client.get(f"/api/v1{path}").json()["measurements"] == {}
    page = owner(app).get(f"/runs/{run['id']}").text
    assert "Look at what it suggests" in page
    tags = re.findall(r'<span class="tag">(\w+)</span>', owner(app).get(f"{path}/proposals").text)
    assert set(tags) == {"probed"}


def test_the_history_says_in_words_what_a_measurement_was_before(app, client):
    path = begin(client)
    for measured in (
        {"dead_groups": 0.25},
        {"dead_groups": 0.5, "clipped_share": 0.0},
        {"clipped_share": 0.0},
    ):
        assert client.patch(f"/api/v1{path}", json={"measurements": measured}).status_code == 200
    page = re.sub(r"\s+", " ", owner(app).get(f"{path}/history").text).replace("\u00a0", " ")
    dead, cut = "Share of prompts whose tries all scored the same", "Share of answers cut at the length limit"
    assert f"from “nothing” to “{dead}: 25 %”" in page
    assert f"from “{dead}: 25 %” to “{dead}: 50 %; {cut}: 0 %”" in page
    assert f"from “{dead}: 50 %” to “nothing”" in page


def test_a_later_probe_takes_the_place_of_what_an_earlier_one_suggested(app, client):
    path = begin(client, name="hopeless", D5=None)
    first = clicked(app, client, path)
    earlier = eventually(lambda: suggested(client, path), "the first suggestions")
    spec = first["spec"] | {"name": "Another", "recipe": first["spec"]["recipe"] | {"samples": 4}}
    launched = client.post("/api/v1/runs", json={"assessment": path.rsplit("/", 1)[1], "plan": [spec]})
    second = until_over(client, launched.json()["runs"][0]["id"])

    def replaced() -> dict | None:
        found = suggested(client, path)
        return found if found["D5"]["source"] == f"run:{second['id']}" else None

    later = eventually(replaced, "the second suggestions")
    assert {each["source"] for each in later.values()} == {f"run:{second['id']}"}
    old = client.post(f"/api/v1{path}/proposals/{earlier['D5']['id']}/accept?replace=true")
    assert old.status_code == 409
    assert "replaced by a newer one" in old.text


def test_an_earlier_probe_does_not_speak_again_after_a_later_one(app, client):
    """As after a restart, when nothing is remembered of what was looked at."""
    path = begin(client, name="hopeless", D5=None)
    run = clicked(app, client, path)
    found = eventually(lambda: suggested(client, path), "its suggestions")
    later = client.post(
        "/api/v1/runs", json={"assessment": path.rsplit("/", 1)[1], "plan": [run["spec"] | {"name": "Later"}]}
    ).json()["runs"][0]["id"]
    until_over(client, later)
    eventually(lambda: suggested(client, path)["D5"]["source"] == f"run:{later}" or None, "the later one")
    with parts_of(app).database.writing() as session, session.begin():
        for each in session.scalars(select(Proposal).where(Proposal.source == f"run:{run['id']}")):
            session.delete(each)
    Heed(parts_of(app).database, parts_of(app).rulebooks)()
    assert {each["source"] for each in suggested(client, path).values()} == {f"run:{later}"}
    assert found


def dead_at_8(run: dict) -> float:
    return next(each["share"] for each in run["probe"]["dead"] if each["group"] == 8)


def test_a_probe_of_no_assessment_suggests_nothing(app, client):
    probe = client.post("/api/v1/runs", json=named("Alone", recipe=PROBE)).json()["runs"][0]["id"]
    until_over(client, probe)
    parts_of(app).sweep.once()
    with parts_of(app).database.reading() as session:
        run = session.get(Run, UUID(probe))
        assert run is not None
        assert run.assessment_id is None


def test_a_told_answer_that_is_wrong_is_corrected_and_the_record_says_why(app, client):
    """The user says that the model never succeeds; the probe finds it in the good band."""
    path = begin(client, D5="under_2")
    told = client.post(f"/api/v1{path}/recommendation").json()["recommendation"]
    assert (told["method"], told["decided_by"]) == ("sft", "gate")
    assert [gate["id"] for gate in told["gates"] if gate["state"] == "holds"] == ["G2"]
    clicked(app, client, path)
    found = eventually(lambda: suggested(client, path), "its suggestions")
    assert found["D5"]["answer"] == {"choice": "10_to_30", "basis": "probed"}
    for each in found.values():
        accepted = client.post(f"/api/v1{path}/proposals/{each['id']}/accept?replace=true")
        assert accepted.status_code == 200, accepted.text
    measured = client.post(f"/api/v1{path}/recommendation").json()["recommendation"]
    assert (measured["method"], measured["decided_by"]) == ("grpo", "lean")
    (contribution,) = (each for each in measured["contributions"] if each["question"] == "D5")
    assert contribution["basis"] == "probed"
    record = client.get(f"/api/v1{path}/record.md").text
    assert "The probe “Probe: Appeals” of the starter model, graded by “ruling”, found" in record


@pytest.mark.parametrize(
    ("name", "method", "plan", "gates"),
    [
        ("hopeless", "sft", "sft", {"G4"}),
        ("mastered", "sft", "not_yet", {"G4", "N2"}),
    ],
)
def test_gates_apply_to_what_was_measured(app, client, name, method, plan, gates):
    path = begin(client, name=name, D5=None)
    clicked(app, client, path)
    for each in eventually(lambda: suggested(client, path), "its suggestions").values():
        client.post(f"/api/v1{path}/proposals/{each['id']}/accept?replace=true")
    advice = client.post(f"/api/v1{path}/recommendation").json()["recommendation"]
    assert (advice["method"], advice["plan"]["id"]) == (method, plan)
    assert {gate["id"] for gate in advice["gates"] if gate["state"] == "holds"} >= gates
