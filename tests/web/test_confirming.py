"""What a full run showed is written down once, for whole plans that followed a recommendation."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from app import confirming
from app.main import read_rulebook
from app.models import Assessment, Confirmation, Milestone, Proposal, Report, Run
from app.protocol import RunState
from app.run_view import spent
from tests.web.confirmed_scene import (
    A100,
    GRPO,
    MINUTES,
    SFT,
    SPEC,
    Told,
    confirmations,
    decided,
    evaluated,
    outcomes,
    stopped,
)
from tests.web.conftest import parts_of, program

MEASURED = {"dead_groups": 0.3}


@pytest.fixture
def client(on_both):
    return program(on_both)


@pytest.fixture
def told(on_both, client):
    return Told(on_both, decided(client))


def count(told):
    with told.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Confirmation))


def test_a_whole_plan_is_confirmed_from_before_its_first_stage_to_after_its_last(told, client):
    last = told.plan(before=8, middle=20, after=32)
    told.confirmed(last, last)
    confirming.confirm_missed(told.database)
    (one,) = confirmations(client)
    assert one["run_id"] == str(last)
    outcome = one["outcome"]
    assert (outcome["score"]["before"]["value"], outcome["score"]["after"]["value"]) == (0.2, 0.8)
    assert outcome["score"]["pairs"] == {"wins": 24, "losses": 0, "ties": 16, "p": pytest.approx(2 / 2**24)}
    assert (outcome["verdict"], outcome["is_override"]) == ("held", False)
    assert (outcome["advised"], outcome["plan"], outcome["trained"]) == ("grpo", "sft_then_grpo", "grpo")
    assert [stage["kind"] for stage in outcome["stages"]] == ["sft", "grpo"]
    assert outcome["rung"] == "told"


def test_runs_that_ended_before_this_was_written_down_are_confirmed_by_the_first_sweep(on_both, told):
    told.plan()
    assert count(told) == 0
    parts_of(on_both).sweep.once()
    assert count(told) == 1
    parts_of(on_both).sweep.once()
    assert count(told) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"pilot_id": uuid4()},
        {"state": RunState.FAILED},
        {"milestone_id": None},
        {"stages": 3},
        {"starts_from": uuid4()},
    ],
    ids=["a pilot's", "failed", "without advice", "not the last stage", "its first stage is gone"],
)
def test_other_runs_confirm_nothing(told, more):
    told.confirmed(told.plan(**more))
    confirming.confirm_missed(told.database)
    assert count(told) == 0


def test_what_was_not_measured_at_both_ends_confirms_nothing(told):
    only_after = told.run(evaluated("after", outcomes(30)), spec=SPEC | {"recipe": GRPO})
    told.confirmed(only_after)
    assert count(told) == 0


def test_the_last_stage_waits_for_the_copy_of_the_first(told):
    """The web may have been away: then events of a later stage may arrive before those of an earlier one."""
    last = told.plan()
    with told.database.writing() as session, session.begin():
        first = session.get_one(Run, last).starts_from
        kept = session.scalars(
            select(Report).where(Report.run_id == first, Report.kind == "evaluation")
        ).all()
        copies = [(each.seq, each.at, each.kind, each.what) for each in kept]
        for each in kept:
            session.delete(each)
    told.confirmed(last)
    assert count(told) == 0
    with told.database.writing() as session, session.begin():
        for seq, at, kind, what in copies:
            session.add(Report(run_id=first, seq=seq, at=at, kind=kind, what=what))
    told.confirmed(first)
    assert count(told) == 1


def test_a_guard_set_an_independent_grader_and_a_stop_count_against_it(told, client):
    guards = [evaluated(when, outcomes(right), "guard") for when, right in (("before", 36), ("after", 12))]
    told.confirmed(told.plan(first=guards[:1], last=[*guards[1:], stopped()]))
    (one,) = confirmations(client)
    assert one["outcome"]["verdict"] == "did_not_hold"
    assert one["outcome"]["guard"]["pairs"]["losses"] == 24
    assert one["outcome"]["stopped_by"] == ["The reward rises while the independent score falls."]
    assert "but the guard set fell from 90.0" in one["sentence"]
    assert "a health finding stopped the training" in one["sentence"]


def test_a_stopped_run_counts_against_the_advice_whether_or_not_its_score_rose(told, client):
    last = told.plan(before=8, middle=20, after=32, last=[stopped()])
    with told.database.reading() as session:
        assert session.get_one(Run, last).state is RunState.FAILED
    told.confirmed(last)
    (one,) = confirmations(client)
    assert one["outcome"]["verdict"] == "did_not_hold"
    assert client.get("/api/v1/confirmations/summary").json()["all"]["did_not_hold"] == 1


def test_a_run_that_was_stopped_and_not_measured_after_it_confirms_nothing(told):
    told.confirmed(told.run(evaluated("before", outcomes(8)), stopped(), spec=SPEC | {"recipe": GRPO}))
    confirming.confirm_missed(told.database)
    assert count(told) == 0


def test_a_finding_that_stopped_an_earlier_attempt_still_counts(told, client):
    first = told.run(evaluated("before", outcomes(8)), stopped("Diverged."), spec=SPEC | {"recipe": GRPO})
    again = told.run(evaluated("after", outcomes(32)), spec=SPEC | {"recipe": GRPO, "continues": str(first)})
    told.confirmed(again)
    (one,) = confirmations(client)
    assert (one["outcome"]["verdict"], one["outcome"]["stopped_by"]) == ("did_not_hold", ["Diverged."])


def test_an_independent_grader_that_fell_is_seen(told, client):
    told.confirmed(
        told.run(
            evaluated("before", outcomes(8), independent=outcomes(30)),
            evaluated("after", outcomes(32), independent=outcomes(10)),
            spec=SPEC | {"recipe": GRPO},
        )
    )
    (one,) = confirmations(client)
    assert one["outcome"]["verdict"] == "did_not_hold"
    assert one["outcome"]["independent"][0]["name"] == "strict"


def test_other_items_at_the_end_show_nothing_either_way(told, client):
    other = SPEC | {"recipe": GRPO, "evaluation": {"items": 17}}
    told.confirmed(told.plan(spec=other))
    (one,) = confirmations(client)
    assert (one["outcome"]["verdict"], one["outcome"]["score"]["pairs"]) == ("not_shown", None)
    assert "not on the same items" in one["sentence"]


def test_training_another_method_than_advised_is_an_override(told, client):
    told.confirmed(
        told.run(
            evaluated("before", outcomes(8)),
            evaluated("after", outcomes(32)),
            override_reason="We know SFT.",
        )
    )
    (one,) = confirmations(client)
    assert (one["outcome"]["is_override"], one["outcome"]["override_reason"]) == (True, "We know SFT.")
    assert one["sentence"].startswith("Trained against the advice, which was SFT, then GRPO: the score rose")


@pytest.mark.parametrize("kind", [SFT, GRPO], ids=["its first stage", "its last stage"])
def test_one_stage_of_the_advised_plan_alone_is_an_override(told, client, kind):
    told.confirmed(
        told.run(
            evaluated("before", outcomes(8)),
            evaluated("after", outcomes(32)),
            spec=SPEC | {"recipe": kind},
            override_reason="To see what it does alone.",
        )
    )
    assert confirmations(client)[0]["outcome"]["is_override"]
    followed, apart = (
        client.get("/api/v1/confirmations/summary").json()[each] for each in ("all", "overrides")
    )
    assert (followed["n"], apart["n"]) == (0, 1)


def test_the_advised_plan_trained_although_something_was_to_be_fixed_first_is_an_override(on_both, client):
    wants_pairs = next(each for each in read_rulebook().examples if each.id == "preferred_summaries").answers
    told = Told(on_both, decided(client, answers=wants_pairs))
    reward = told.run(spec=SPEC | {"recipe": SFT | {"kind": "reward_model"}}, stage=1, stages=2)
    graded = {"type": "reward_model", "name": "preferred", "run": str(reward)}
    told.confirmed(
        told.run(
            evaluated("before", outcomes(8)),
            evaluated("after", outcomes(32)),
            spec=SPEC | {"recipe": GRPO, "grader": graded},
            stage=2,
            stages=2,
        )
    )
    (one,) = confirmations(client)
    assert (one["outcome"]["plan"], one["outcome"]["readiness"]) == ("reward_model_then_grpo", "fix_first")
    assert one["outcome"]["is_override"]
    opening = "Trained against the advice, which was to fix something first, then a reward model, then GRPO"
    assert one["sentence"].startswith(opening)


def test_a_retry_costs_what_the_failed_run_had_cost_too_and_keeps_its_start(told, client):
    failed = told.run(evaluated("before", outcomes(8)), spec=SPEC | {"recipe": GRPO}, state=RunState.FAILED)
    again = told.run(evaluated("after", outcomes(32)), spec=SPEC | {"recipe": GRPO, "continues": str(failed)})
    told.confirmed(again)
    (one,) = confirmations(client)
    assert one["outcome"]["score"]["before"]["value"] == 0.2
    with told.database.reading() as session:
        each = [spent(session, session.get_one(Run, run_id)).gpu_hours for run_id in (failed, again)]
    assert each == [MINUTES / 60, MINUTES / 60]
    assert one["outcome"]["cost"]["device_hours"] == pytest.approx(sum(each))


def test_the_cost_is_held_against_the_estimate_and_priced(told, client):
    price = {"limits": {"price_per_gpu_hour": 2.5}}
    told.confirmed(told.plan(spec=SPEC | {"recipe": GRPO} | price))
    cost = confirmations(client)[0]["outcome"]["cost"]
    assert (cost["device_hours"], cost["money"]) == (1.0, 2.5)
    assert cost["compared_hours"] == 0.5
    assert cost["ratio"] == pytest.approx(0.5 / cost["estimated"]["device_hours"]["typical"])
    assert (
        "of which the last stage took 30.0 device-minutes, against " in confirmations(client)[0]["sentence"]
    )


@pytest.mark.parametrize(
    ("model", "device", "why"),
    [
        ("Qwen/Qwen2.5-0.5B", A100, "The estimate is for a model of another size."),
        ("somebody/some-model", A100, "How large the trained model is was not known, "),
        ("Qwen/Qwen2.5-7B", "NVIDIA A100-PCIE-40GB", "The estimate is for other devices."),
        ("Qwen/Qwen2.5-7B", "Intel(R) Xeon(R) CPU @ 2.20GHz", "The estimate is for other devices."),
        ("Qwen/Qwen2.5-7B", "", "What it was trained on was not known, "),
    ],
)
def test_another_size_or_device_is_not_held_against_the_estimate(told, client, model, device, why):
    spec = SPEC | {"recipe": GRPO, "model": {"kind": "hub", "id": model}}
    told.confirmed(told.plan(spec=spec, device=device))
    (one,) = confirmations(client)
    assert one["outcome"]["cost"]["ratio"] is None
    assert one["outcome"]["cost"]["why_no_ratio"].startswith(why)
    assert "estimated were for 7B in the shape of Mistral-7B on 1 × A100-80" in one["sentence"]


@pytest.mark.parametrize(
    ("gpu", "driver", "is_same"),
    [
        ("H100 SXM", "NVIDIA H100 80GB HBM3", True),
        ("H100 SXM", "NVIDIA H100 PCIe", False),
        ("H100 PCIe", "NVIDIA H100 PCIe", True),
        ("H100 PCIe", "NVIDIA H100 80GB HBM3", False),
        ("T4", "Tesla T4", True),
        ("A10", "NVIDIA A10G", False),
        ("RTX 4090", "NVIDIA GeForce RTX 4090", True),
    ],
)
def test_a_device_is_known_by_the_name_its_driver_gives_it(told, gpu, driver, is_same):
    with told.database.reading() as session:
        estimate = session.scalars(select(Milestone)).first().recommendation.estimate
    meant = estimate.model_copy(update={"gpu": gpu})
    assert (confirming._other_device(driver, meant) == "") is is_same


def test_the_projects_own_price_counts_where_the_run_has_none(on_both, client):
    hardware = {"parameters_b": 7.0, "gpus": 1, "gpu_memory_gb": 80.0, "gpu_price": 3.0}
    told = Told(on_both, decided(client, answers=read_rulebook().examples[0].answers | {"C1": hardware}))
    told.confirmed(told.plan())
    assert confirmations(client)[0]["outcome"]["cost"]["money"] == 3.0


def test_the_starter_model_is_not_held_against_an_estimate_for_another(told, client):
    starter = SPEC | {"recipe": GRPO, "model": {"kind": "starter"}}
    told.confirmed(told.plan(spec=starter))
    cost = confirmations(client)[0]["outcome"]["cost"]
    assert cost["ratio"] is None
    assert "stands in" in cost["why_no_ratio"]


@pytest.mark.parametrize(
    ("source", "settled", "rung"),
    [
        ("dataset:x", -1, "inspected"),
        ("run:x", -1, "probed"),
        ("run:x", 1, "told"),
        ("description", -1, "told"),
    ],
)
def test_an_accepted_measurement_lifts_the_rung(on_both, client, source, settled, rung):
    told = Told(on_both, decided(client, measurements=MEASURED))
    with told.database.writing() as session, session.begin():
        assessment = session.get_one(Assessment, told.assessment_id)
        at = assessment.decisions[-1].created_at + timedelta(seconds=settled)
        session.add(
            Proposal(
                assessment_id=assessment.id,
                question="dead_groups",
                answer=0.3,
                because="3 of 10 groups",
                source=source,
                settled_at=at,
                accepted=True,
            )
        )
    told.confirmed(told.plan())
    assert confirmations(client)[0]["outcome"]["rung"] == rung


def test_the_highest_basis_of_an_answer_is_the_rung(on_both, client):
    answers = read_rulebook().examples[0].answers | {"D5": {"choice": "10_to_30", "basis": "probed"}}
    told = Told(on_both, decided(client, answers=answers))
    told.confirmed(told.plan())
    assert confirmations(client)[0]["outcome"]["rung"] == "probed"


def test_it_goes_with_its_assessment_and_stays_without_its_runs(told, client):
    last = told.plan()
    told.confirmed(last)
    for run in client.get("/api/v1/runs").json()["items"]:
        assert client.delete(f"/api/v1/runs/{run['id']}").status_code == 204
    assert len(confirmations(client)) == 1
    assert client.delete(f"/api/v1/assessments/{told.assessment_id}").status_code == 204
    assert confirmations(client) == []
