"""Pilots over pages and REST: launched on equal terms, all or nothing, told about, cancelled and deleted."""

import re
from html import unescape
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app.database import now
from app.graders.comparison import wilson
from app.main import read_rulebook
from app.models import Pilot, Proposal, Report, Run
from app.protocol import (
    Evaluation,
    EvaluationEvent,
    MetricEvent,
    ResumeEvent,
    RunState,
    Share,
    StateEvent,
)
from app.web.pilot_advice import PilotAdvice
from app.web.pilot_proposals import Heed
from tests.web.conftest import owner, parts_of, program

LEGAL = next(example for example in read_rulebook().examples if example.id == "legal_reasoning")

ARMS = ["sft", "grpo", "sft_then_grpo"]
PLAN = {"minutes": 2.0, "arms": ARMS, "seeds": 1}
EXACT = {"type": "string_check", "name": "exact", "reference": "{{ item.answer }}"}
TRIED = {
    "model": {"kind": "starter"},
    "dataset": {"kind": "generated", "name": "rulings"},
    "grader": EXACT,
}


def begun(api, **more) -> str:
    made = api.post("/api/v1/assessments", json={"name": "Rulings", "answers": dict(LEGAL.answers)} | more)
    assert made.status_code == 201, made.text
    api.post(f"{made.headers['location']}/recommendation")
    return made.json()["id"]


def ordered(api, assessment: str, headers=None, **order):
    return api.post(f"/api/v1/assessments/{assessment}/pilots", json=TRIED | order, headers=headers or {})


def launched(api, assessment: str, **order) -> dict:
    answer = ordered(api, assessment, **{"plan": PLAN} | order)
    assert answer.status_code == 201, answer.text
    return answer.json()


def rows(app, pilot: str) -> list[Run]:
    with parts_of(app).database.reading() as session:
        found = session.scalars(select(Run).where(Run.pilot_id == UUID(pilot)).order_by(Run.created_at))
        return list(found)


# Launching


def test_every_arm_gets_the_same_start_rows_grader_measurement_and_minutes(on_both):
    api = program(on_both)
    pilot = launched(api, begun(api))
    assert [(run["arm"], run["stage"], run["minutes"]) for run in pilot["runs"]] == [
        ("sft", 1, 2.0),
        ("grpo", 1, 2.0),
        ("sft_then_grpo", 1, 0.5),
        ("sft_then_grpo", 2, 1.5),
    ]
    found = rows(on_both, pilot["id"])
    for field in ("model", "dataset", "grader", "evaluation", "seed", "keep"):
        assert len({str(getattr(run.spec, field)) for run in found}) == 1, field
    assert {run.spec.keep for run in found} == {"best"}
    assert {run.spec.recipe.lr_scheduler for run in found} == {"constant"}
    second = next(run for run in found if run.stage == 2)
    assert second.starts_from == next(
        run.id for run in found if run.arm == run.arm and run.stages == 2 and run.stage == 1
    )
    assert (pilot["state"], pilot["is_over"]) == ("waiting", False)
    assert pilot["reading"]["outcome"] is None
    assert pilot["estimated"]["popular"] == "10 to 20 times"


def test_it_needs_no_reason_though_it_trains_what_was_not_advised(api):
    pilot = launched(api, begun(api))
    run = api.get(f"/api/v1/runs/{pilot['runs'][0]['standing']['id']}").json()
    assert (run["advised"], run["override_reason"], run["arm"]) == ("grpo", None, "sft")
    assert run["pilot_id"] == pilot["id"]


def test_several_seeds_differ_only_by_their_seed(app, api):
    answer = ordered(api, begun(api), plan={"minutes": 1.0, "arms": ["sft", "grpo"], "seeds": 3}, seed=5)
    pilot = answer.json()
    assert [(run["arm"], run["seed"]) for run in pilot["runs"]] == [
        ("sft", 5),
        ("grpo", 5),
        ("sft", 6),
        ("grpo", 6),
        ("sft", 7),
        ("grpo", 7),
    ]


def test_the_same_key_is_the_same_pilot(on_both):
    api = program(on_both)
    assessment, key = begun(api), {"Idempotency-Key": f"key-{uuid4()}"}
    first = ordered(api, assessment, key, plan=PLAN)
    second = ordered(api, assessment, key, plan=PLAN)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert len(rows(on_both, first.json()["id"])) == 4
    other = ordered(api, assessment, key, plan=PLAN | {"minutes": 3.0})
    assert other.status_code == 409
    assert "choose another" in other.text


def test_more_runs_than_may_live_are_refused_and_none_is_launched(make_app):
    app = make_app(max_live_runs=3)
    api = program(app)
    refused = ordered(api, begun(api), plan=PLAN)
    assert refused.status_code == 429
    assert "0 runs are not over yet, 4 would come to them and at most 3 may be" in refused.text
    with parts_of(app).database.reading() as session:
        assert not session.scalars(select(Run)).all()
        assert not session.scalars(select(Pilot)).all()


@pytest.mark.parametrize(
    ("plan", "where"),
    [
        ({"arms": ["grpo", "sft_then_grpo"]}, "plan"),
        ({"arms": ["sft", "sft"]}, "plan"),
        ({"arms": ["sft"]}, "plan.arms"),
        ({"minutes": 0.0}, "plan.minutes"),
        ({"seeds": 11}, "plan.seeds"),
        ({"warm_start_share": 1.0}, "plan.warm_start_share"),
    ],
)
def test_a_plan_that_compares_nothing_is_refused_with_its_place(api, plan, where):
    refused = ordered(api, begun(api), plan=PLAN | plan)
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["where"].startswith(where)


def test_what_nobody_chose_before_must_be_named(api):
    assessment = begun(api)
    refused = api.post(f"/api/v1/assessments/{assessment}/pilots", json={"model": {"kind": "starter"}})
    assert refused.status_code == 422
    assert [each["where"] for each in refused.json()["problems"]] == ["dataset", "grader"]


def test_recipes_of_ones_own_are_taken_but_for_what_makes_the_terms_equal(app, api):
    grpo = {
        "kind": "grpo",
        "learning_rate": 1e-5,
        "batch_size": 16,
        "micro_batch_size": 8,
        "steps": 7,
        "num_generations": 8,
        "max_completion_length": 33,
        "temperature": 0.7,
        "lr_scheduler": "cosine",
    }
    pilot = launched(api, begun(api), recipes={"grpo": grpo})
    for run in rows(app, pilot["id"]):
        assert run.spec.evaluation.max_completion_length == 33
        assert run.spec.evaluation.temperature == 0.7
        if run.kind == "grpo":
            assert (run.spec.recipe.learning_rate, run.spec.recipe.lr_scheduler) == (1e-5, "constant")
            assert run.spec.recipe.steps == 1_000_000


# Pages


def button(browser, assessment: str, **typed):
    return browser.post(f"/assessments/{assessment}/pilot", data=typed)


def form_of(browser, assessment: str) -> dict[str, str]:
    """As a browser would send it."""
    shown = browser.get(f"/assessments/{assessment}/pilot")
    assert shown.status_code == 200
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', shown.text))
    checked = re.findall(
        r'<input type="(?:radio|checkbox)"[^>]*name="([^"]+)" value="([^"]*)"[^>]* checked', shown.text
    )
    chosen = re.findall(r'<select[^>]*name="([^"]+)".*?<option value="([^"]*)" selected', shown.text, re.S)
    return {key: unescape(value) for key, value in [*fields.items(), *checked, *chosen]}


def test_the_button_of_the_worked_example_launches_a_pilot_and_pressed_twice_it_is_one(app, browser, api):
    assessment = begun(api, description=LEGAL.description)
    first, second = button(browser, assessment), button(browser, assessment)
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    shown = browser.get(first.headers["location"])
    assert shown.status_code == 200
    assert "Waiting for the worker" in shown.text
    assert "SFT, then GRPO" in unescape(shown.text)


def test_where_nothing_was_chosen_the_button_leads_to_the_form(browser, api):
    answer = button(browser, begun(api))
    assert answer.headers["location"].endswith("/pilot")


def test_the_form_is_filled_in_and_what_is_typed_is_launched(app, browser, api):
    assessment = begun(api, description=LEGAL.description)
    form = form_of(browser, assessment)
    assert (form["minutes"], form["seeds"], form["model"]) == ("1", "1", "starter")
    answer = button(browser, assessment, **form | {"minutes": "3", "warm_start_percent": "50", "seeds": "2"})
    assert answer.status_code == 303, answer.text
    pilot = api.get(f"/api/v1{answer.headers['location']}").json()
    assert pilot["plan"] == {"minutes": 3.0, "arms": ARMS, "seeds": 2, "warm_start_share": 0.5}
    assert len(pilot["runs"]) == 8


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"minutes": "soon"}, "Minutes: enter a number, such as 2.5."),
        ({"minutes": "0"}, "Enter more than 0 minutes"),
        ({"seeds": "1.5"}, "Seeds: enter a whole number, such as 3."),
        ({"seeds": "99"}, "Enter 1 to 10 seeds."),
        ({"warm_start_percent": "100"}, "Enter 5 to 95 percent."),
        ({"grader": ""}, "Choose how an answer is graded."),
        ({"arm.grpo": "", "arm.sft_then_grpo": ""}, "Choose what SFT is compared with."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_launched(app, browser, api, typed, said):
    assessment = begun(api, description=LEGAL.description)
    answer = button(browser, assessment, **form_of(browser, assessment) | typed)
    assert answer.status_code == 422
    assert unescape(answer.text).count(said) == 2
    assert not api.get("/api/v1/pilots").json()["items"]


def test_a_pilot_is_one_line_among_the_runs(browser, api):
    launched(api, begun(api), name="A small trial")
    shown = browser.get("/runs").text
    assert shown.count("A small trial") == 1
    assert "Waiting: 0 of 4 runs are over" in shown


# What it came to


def share_of(outcomes: str) -> Share:
    right, n = outcomes.count("1"), len(outcomes) - outcomes.count("-")
    return Share(right=right, n=n, interval=wilson(right, n))


UNSCORED = -1
"""The grader gave no score to any answer."""


def measured(when: str, right: int) -> EvaluationEvent:
    outcomes = "-" * 100 if right == UNSCORED else "1" * right + "0" * (100 - right)
    return EvaluationEvent(
        evaluation=Evaluation(
            when=when,
            sampled=share_of(outcomes),
            greedy=share_of(outcomes),
            sampled_outcomes=outcomes,
            greedy_outcomes=outcomes,
            abstained=0,
            errors=0,
            mean_tokens=9.0,
            clipped=0.0,
            samples=[],
            seconds=1.0,
        )
    )


def ended(app, pilot: str, after: dict[str, int], state: RunState = RunState.SUCCEEDED) -> None:
    """Its runs are over, as if the worker had told of them."""
    with parts_of(app).database.writing() as session, session.begin():
        for run in session.scalars(select(Run).where(Run.pilot_id == UUID(pilot))):
            step = 2.0 if run.kind == "grpo" else 1.0
            told = [
                measured("before", 20),
                StateEvent(state=RunState.RUNNING),
                *(
                    MetricEvent(step=n, total_steps=3, values={"loss": 1.0, "num_tokens": 500.0 * n})
                    for n in (1, 2, 3)
                ),
                measured("after", after[run.arm]),
            ]
            for seq, what in enumerate(told, 1):
                session.add(Report(run_id=run.id, seq=seq, at=1000 + step * seq, kind=what.kind, what=what))
            run.state, run.last_seq, run.started_at, run.ended_at = state, len(told), now(), now()
            run.steps_done, run.total_steps = 3, 3


def heeded(app) -> list[Proposal]:
    parts = parts_of(app)
    Heed(parts.database, parts.rulebooks)()
    with parts.database.reading() as session:
        return list(session.scalars(select(Proposal)))


WON_BY_GRPO = {"sft": 30, "grpo": 70, "sft_then_grpo": 40}
WON_BY_SFT = {"sft": 70, "grpo": 30, "sft_then_grpo": 40}


def test_page_and_api_tell_the_same_figures(on_both):
    api, browser = program(on_both), owner(on_both)
    pilot = launched(api, begun(api))["id"]
    ended(on_both, pilot, WON_BY_GRPO)
    told = api.get(f"/api/v1/pilots/{pilot}").json()
    assert (told["state"], told["reading"]["outcome"]) == ("finished", "grpo_ahead")
    shown = unescape(browser.get(f"/pilots/{pilot}").text)
    assert told["sentence"] in shown
    for arm in told["reading"]["arms"]:
        assert f"{100 * arm['after']['value']:.1f}\u00a0%" in shown
    found = told["reading"]["compared"][0]["difference"]
    assert f"+{100 * found['low']:.1f} to +{100 * found['high']:.1f}" in shown
    ratio = told["reading"]["cost"]["per_row"]
    assert ratio is not None
    assert f"{ratio:.2g} times" in shown or f"{ratio:g} times" in shown
    for sentence in told["reading"]["limits"]:
        assert sentence in shown


def test_what_it_showed_is_proposed_once_and_counts_once_it_is_accepted(on_both):
    api = program(on_both)
    assessment = begun(api)
    pilot = launched(api, assessment)["id"]
    ended(on_both, pilot, WON_BY_SFT)
    (proposed,) = heeded(on_both)
    assert heeded(on_both) == [] or len(heeded(on_both)) == 1
    assert (proposed.question, proposed.source) == ("O7", f"pilot:{pilot}")
    assert proposed.answer == {"choice": "sft_ahead", "basis": "piloted"}
    assert "SFT 70.0\u00a0% (60.4–78.1\u00a0%)" in proposed.because
    assert " of the starter model, graded by “" in proposed.because
    before = api.get(f"/api/v1/pilots/{pilot}").json()["advice"]
    assert (before["is_accepted"], before["contradicts"]) == (False, True)
    assert (before["without"]["method"], before["with_it"]["method"]) == ("grpo", before["with_it"]["method"])
    api.post(f"/api/v1/assessments/{assessment}/proposals/{proposed.id}/accept")
    advice = api.post(f"/api/v1/assessments/{assessment}/recommendation").json()
    part = next(each for each in advice["recommendation"]["contributions"] if each["question"] == "O7")
    assert (part["basis"], part["effect"]) == ("piloted", -2)
    assert api.get(f"/api/v1/pilots/{pilot}").json()["advice"]["is_accepted"]


def test_that_sft_beat_the_warm_start_is_proposed_where_no_arm_was_grpo_alone(app, api):
    plan = {"minutes": 5, "arms": ["sft", "sft_then_grpo"]}
    ended(app, launched(api, begun(api), plan=plan)["id"], WON_BY_SFT)
    (proposed,) = heeded(app)
    assert proposed.answer == {"choice": "sft_ahead", "basis": "piloted"}
    assert "it ended 30.0 points above SFT, then GRPO" in proposed.because


def test_a_later_pilot_takes_the_place_of_what_an_earlier_one_proposed(on_both):
    api = program(on_both)
    assessment = begun(api)
    first, second = (launched(api, assessment)["id"] for _ in range(2))
    ended(on_both, first, WON_BY_SFT)
    heeded(on_both)
    ended(on_both, second, WON_BY_GRPO)
    earlier, later = sorted(heeded(on_both), key=lambda each: each.made_at)
    assert (earlier.source, later.source) == (f"pilot:{first}", f"pilot:{second}")
    assert (earlier.settled_at is not None, earlier.accepted) == (True, None)
    assert later.settled_at is None


def test_a_contradiction_is_shown_on_both_pages_with_the_answers_that_would_have_to_be_wrong(on_both):
    api, browser = program(on_both), owner(on_both)
    assessment = begun(api)
    pilot = launched(api, assessment)["id"]
    ended(on_both, pilot, WON_BY_SFT)
    (proposed,) = heeded(on_both)
    page = unescape(browser.get(f"/pilots/{pilot}").text)
    assert "Questionnaire and pilot disagree" in page
    assert "It does not count yet: it is proposed." in page
    assert proposed.because in page
    api.post(f"/api/v1/assessments/{assessment}/proposals/{proposed.id}/accept")
    browser.post(f"/assessments/{assessment}/result")
    result = unescape(browser.get(f"/assessments/{assessment}/result").text)
    assert "What the pilot changed" in result
    assert "The questionnaire alone" in result
    wrong = api.get(f"/api/v1/pilots/{pilot}").json()["advice"]["wrong"]
    assert wrong
    assert all(sentence in result for sentence in wrong)


@pytest.mark.parametrize(
    ("looked_at", "said"),
    [
        (None, "No single told answer, and no pair of them,"),
        (12, "none of the 12 nearest pairs of answers looked at,"),
    ],
)
def test_where_not_all_pairs_were_looked_at_the_page_says_of_how_many_it_speaks(on_both, looked_at, said):
    api = program(on_both)
    pilot = launched(api, begun(api))["id"]
    ended(on_both, pilot, WON_BY_SFT)
    advice = api.get(f"/api/v1/pilots/{pilot}").json()["advice"]
    assert advice["pairs_looked_at"] in (None, read_rulebook().decision.most_paired_flips)
    told = PilotAdvice.model_validate(advice | {"wrong": [], "pairs_looked_at": looked_at})
    ui = parts_of(on_both).templates.env.get_template("_macros.html").module
    template = parts_of(on_both).templates.env.get_template("_pilot_advice.html")
    assert said in template.render(a=told, ui=ui)


def test_what_counts_can_be_left_out_again_and_is_never_asked(on_both):
    api, browser = program(on_both), owner(on_both)
    assessment = begun(api)
    path = f"/assessments/{assessment}"
    assert browser.get(f"{path}/q/O7").status_code == 404
    assert browser.post(f"{path}/measured/O1/leave").status_code == 404
    assert "What did a pilot of both methods show?" not in browser.get(f"{path}/check").text
    pilot = launched(api, assessment)["id"]
    ended(on_both, pilot, WON_BY_SFT)
    (proposed,) = heeded(on_both)
    api.post(f"/api/v1{path}/proposals/{proposed.id}/accept")
    assert "What did a pilot of both methods show?" in browser.get(f"{path}/check").text
    assert "22 of 22 answered" in browser.get(f"{path}/check").text
    assert browser.post(f"{path}/measured/O7/leave").status_code == 303
    assert "O7" not in api.get(f"/api/v1{path}").json()["answers"]


def test_a_pilot_without_a_measured_end_proposes_nothing(app, api):
    pilot = launched(api, begun(api))["id"]
    ended(app, pilot, WON_BY_GRPO, RunState.FAILED)
    assert heeded(app) == []
    assert api.get(f"/api/v1/pilots/{pilot}").json()["sentence"].startswith("There is no verdict")


def told_of(app, run_id: UUID, told: list, seconds: float, state: RunState) -> None:
    """Its run is over, as if the worker had told this of it, an event every so many seconds."""
    with parts_of(app).database.writing() as session, session.begin():
        run = session.get(Run, run_id)
        for seq, what in enumerate(told, 1):
            session.add(Report(run_id=run_id, seq=seq, at=1000 + seconds * seq, kind=what.kind, what=what))
        run.state, run.last_seq, run.started_at, run.ended_at = state, len(told), now(), now()


def trained_steps(first: int, last: int) -> list:
    """Each checked after it."""
    steps = [
        (
            MetricEvent(step=n, total_steps=9, values={"loss": 1.0}),
            MetricEvent(step=n, total_steps=9, values={"held_out/score": n / 10}),
        )
        for n in range(first, last + 1)
    ]
    return [StateEvent(state=RunState.RUNNING), *(event for pair in steps for event in pair)]


def test_a_retry_counts_the_minutes_and_the_curve_of_what_it_goes_on_from(app, api):
    """60 s a step: three steps, of which the third was lost, and two after it."""
    pilot = launched(api, begun(api), plan={"minutes": 4, "arms": ["sft", "grpo"]})["id"]
    failed = next(run for run in rows(app, pilot) if run.arm == "grpo")
    told_of(app, failed.id, [measured("before", 20), *trained_steps(1, 3)], 60, RunState.FAILED)
    again = UUID(api.post(f"/api/v1/runs/{failed.id}/retry").json()["id"])
    resumed = ResumeEvent(from_step=2, why="Goes on from the run that it continues.")
    events = [resumed, measured("before", 20), *trained_steps(3, 4), measured("after", 60)]
    told_of(app, again, events, 60, RunState.SUCCEEDED)
    arm = api.get(f"/api/v1/pilots/{pilot}").json()["reading"]["arms"][1]
    assert arm["runs"] == [str(again)]
    assert (arm["minutes"], arm["steps"]) == (4, 4)
    assert arm["gain_per_minute"] == pytest.approx(0.1)
    assert [(p["minutes"], p["score"]) for p in arm["curves"][0]["points"]] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
        (4, 0.4),
    ]


def test_an_arm_without_scores_shows_no_figure_and_nothing_is_proposed(on_both):
    api, browser = program(on_both), owner(on_both)
    pilot = launched(api, begun(api))["id"]
    ended(on_both, pilot, WON_BY_GRPO | {"sft": UNSCORED})
    assert heeded(on_both) == []
    shown = unescape(browser.get(f"/pilots/{pilot}").text)
    assert "There is no verdict: the grader gave no score to any answer of SFT after training." in shown
    assert "no score given" in shown
    assert "0.0–100.0" not in shown


# Ending


def test_cancelling_it_cancels_every_run_that_is_not_over(on_both):
    api = program(on_both)
    pilot = launched(api, begun(api))["id"]
    assert api.delete(f"/api/v1/pilots/{pilot}").status_code == 409
    assert api.post(f"/api/v1/pilots/{pilot}/cancel").status_code == 202
    assert all(run.cancel_requested for run in rows(on_both, pilot))


def test_deleting_it_deletes_its_runs_and_leaves_the_answer(on_both):
    api, browser = program(on_both), owner(on_both)
    pilot = launched(api, begun(api))["id"]
    ended(on_both, pilot, WON_BY_GRPO)
    assert "cannot be undone" in browser.get(f"/pilots/{pilot}/delete").text
    assert api.post(f"/api/v1/pilots/{pilot}/cancel").status_code == 409
    assert api.delete(f"/api/v1/pilots/{pilot}").status_code == 204
    assert rows(on_both, pilot) == []
    assert api.get(f"/api/v1/pilots/{pilot}").status_code == 404
    assert browser.get(f"/pilots/{pilot}").status_code == 404


def test_pilots_of_a_deleted_assessment_stay(api, browser):
    assessment = begun(api)
    pilot = launched(api, assessment)["id"]
    assert api.delete(f"/api/v1/assessments/{assessment}").status_code == 204
    told = api.get(f"/api/v1/pilots/{pilot}").json()
    assert (told["assessment_id"], told["advice"], told["estimated"]) == (None, None, None)
    assert browser.get(f"/pilots/{pilot}").status_code == 200
