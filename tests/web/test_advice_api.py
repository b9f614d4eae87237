"""Advice over REST: one stateless call, and assessments that are answered, frozen and recorded."""

import json
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from app.advisor.recommendation import recommend
from app.main import read_rulebook
from app.models import Assessment
from tests.web.conftest import SITE, parts_of, program, stranger
from tests.web.launching import SPEC

RULEBOOK = read_rulebook()
EXAMPLES = {example.id: example for example in RULEBOOK.examples}
LEGAL = dict(EXAMPLES["legal_reasoning"].answers)
ADVICE = "/api/v1/recommendations"


def test_anybody_may_ask_for_advice(app):
    answer = stranger(app).post(ADVICE, json={"answers": LEGAL})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["method"], told["plan"]["id"]) == ("grpo", "sft_then_grpo")
    assert len(told["factors"]) == 5
    assert sum(each["contribution"] for each in told["contributions"]) == pytest.approx(
        told["lean"], abs=1e-3
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_answer_is_what_the_advisor_says(app, example):
    answers = dict(EXAMPLES[example].answers)
    told = stranger(app).post(ADVICE, json={"answers": answers}).json()
    said = recommend(RULEBOOK.read({"answers": answers}), RULEBOOK)
    assert told == json.loads(said.model_dump_json())
    assert (told["method"], told["plan"]["id"]) == (EXAMPLES[example].method, EXAMPLES[example].plan)


def test_the_same_project_gets_the_same_bytes(app):
    client = stranger(app)
    first, second = (client.post(ADVICE, json={"answers": LEGAL}).content for _ in range(2))
    assert first == second


def test_more_is_told_only_when_asked_for(app):
    client = stranger(app)
    plain = client.post(ADVICE, json={"answers": LEGAL}).json()
    assert plain["flips"] is plain["robustness"] is plain["estimate"] is None
    full = client.post(f"{ADVICE}?include=flips,robustness,estimate", json={"answers": LEGAL}).json()
    assert full["flips"]
    assert full["robustness"]
    assert full["estimate"]
    assert client.post(f"{ADVICE}?include=everything", json={"answers": LEGAL}).status_code == 422


def test_unusable_answers_are_named_with_their_fix(app):
    told = stranger(app).post(ADVICE, json={"answers": {"O1": "nonsense", "X9": "x"}}).json()
    places = {problem["where"] for problem in told["problems"]}
    assert places == {"O1", "X9"}
    assert all(problem["what"] for problem in told["problems"])


def test_weights_are_the_users_own(app):
    weights = {factor.id: 0 for factor in RULEBOOK.factors} | {"data": 5}
    told = stranger(app).post(ADVICE, json={"answers": LEGAL, "weights": weights}).json()
    assert [factor["weight"] for factor in told["factors"] if factor["id"] == "data"] == [1.0]


def test_anonymous_advice_is_limited_and_a_key_is_not(make_app):
    app = make_app(recommendations_per_minute=3)
    client = stranger(app)
    answers = [client.post(ADVICE, json={"answers": {}}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "60"
    assert {program(app).post(ADVICE, json={"answers": {}}).status_code for _ in range(5)} == {200}


def test_public_advice_can_be_turned_off(make_app):
    app = make_app(public_recommendations=False)
    assert stranger(app).post(ADVICE, json={"answers": {}}).status_code == 401
    assert program(app).post(ADVICE, json={"answers": {}}).status_code == 200


def test_advice_needs_no_database(make_app, tmp_path):
    app = make_app()
    parts_of(app).database.engine.dispose()
    (tmp_path / "tuning-fork.db").unlink()
    (tmp_path / "tuning-fork.db").mkdir()
    client = stranger(app)
    assert client.post(ADVICE, json={"answers": LEGAL}).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert (
        client.get("/api/v1/runs", headers={"Authorization": "Bearer tf_abcdefgh_" + "x" * 43}).status_code
        == 503
    )


def test_the_questionnaire_says_everything_the_advice_rests_on(app):
    told = stranger(app).get("/api/v1/questionnaire").json()
    questions = [question for factor in told["factors"] for question in factor["questions"]]
    assert len(questions) == 22
    known = {source["id"] for source in told["evidence"]}
    assert all(set(question["sources"]) <= known for question in questions)
    assert all(choice["label"] for question in questions for choice in question["choices"])


def test_an_assessment_is_begun_answered_read_and_deleted(on_both):
    client = program(on_both)
    made = client.post("/api/v1/assessments", json={"name": "Legal", "answers": {"O1": LEGAL["O1"]}})
    assert made.status_code == 201
    address = made.headers["location"]
    for question, answer in LEGAL.items():
        assert client.put(f"{address}/answers/{question}", json=answer).status_code == 200
    told = client.get(address).json()
    assert told["answers"] == LEGAL
    assert client.patch(address, json={"name": "Law"}).json()["name"] == "Law"
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_answering_again_counts_as_a_change_only_if_it_is_one(api):
    address = api.post("/api/v1/assessments", json={"name": "x"}).headers["location"]
    headers = {"Content-Type": "application/json"}
    given = [json.dumps(answer).encode() for answer in (LEGAL["O1"], LEGAL["O1"], None)]
    answers = [api.put(f"{address}/answers/O1", content=body, headers=headers) for body in given]
    revisions = [answer.json()["revision"] for answer in answers]
    assert revisions == [1, 1, 2]


def test_an_answer_must_fit_its_question(api):
    address = api.post("/api/v1/assessments", json={"name": "x"}).headers["location"]
    assert api.put(f"{address}/answers/O1", json="nonsense").status_code == 422
    assert api.put(f"{address}/answers/X9", json="x").status_code == 404
    assert (
        api.put(
            f"{address}/answers/O1", content=b"", headers={"Content-Type": "application/json"}
        ).status_code
        == 400
    )
    assert api.get(address).json()["answers"] == {}


def test_weights_are_checked_before_they_are_kept(api):
    address = api.post("/api/v1/assessments", json={"name": "x"}).headers["location"]
    assert api.patch(address, json={"weights": {"objective": -1}}).status_code == 422
    assert api.get(address).json()["weights"] == {}


def test_a_frozen_recommendation_does_not_move_with_later_answers(on_both):
    client = program(on_both)
    address = client.post("/api/v1/assessments", json={"name": "Legal", "answers": LEGAL}).headers["location"]
    assert client.get(f"{address}/recommendation").status_code == 404
    frozen = client.post(f"{address}/recommendation")
    assert frozen.status_code == 201
    assert frozen.json()["number"] == 1
    client.put(f"{address}/answers/O1", json=None)
    assert client.get(f"{address}/recommendation").json() == frozen.json()
    assert client.post(f"{address}/recommendation").json()["number"] == 2
    assert client.get(address).json()["milestones"] == 2


def test_a_frozen_recommendation_is_the_stateless_one_with_everything(api):
    address = api.post("/api/v1/assessments", json={"name": "Legal", "answers": LEGAL}).headers["location"]
    frozen = api.post(f"{address}/recommendation").json()["recommendation"]
    told = api.post(
        f"{ADVICE}?include=flips,robustness,estimate", json={"answers": LEGAL, "name": "Legal"}
    ).json()
    assert frozen == told


@pytest.mark.parametrize(
    ("example", "methods"), [("legal_reasoning", ["sft", "grpo"]), ("contract_clauses", ["sft"])]
)
def test_the_recommended_plan_can_be_launched_as_it_is(api, example, methods):
    answers = dict(EXAMPLES[example].answers)
    address = api.post("/api/v1/assessments", json={"name": "Pilot", "answers": answers}).headers["location"]
    assert api.get(f"{address}/plan").status_code == 404
    api.post(f"{address}/recommendation")
    plan = api.get(f"{address}/plan").json()
    assert [stage["recipe"]["kind"] for stage in plan["plan"]] == methods
    launched = api.post("/api/v1/runs", json=plan)
    assert launched.status_code == 201, launched.text
    assert [run["kind"] for run in launched.json()["runs"]] == methods


def test_there_is_no_plan_to_launch_where_training_is_not_the_answer_yet(api):
    answers = dict(EXAMPLES["catalogue_facts"].answers)
    address = api.post("/api/v1/assessments", json={"name": "Facts", "answers": answers}).headers["location"]
    api.post(f"{address}/recommendation")
    assert api.get(f"{address}/plan").status_code == 409


def test_the_decision_record_is_markdown(api):
    address = api.post("/api/v1/assessments", json={"name": "Legal", "answers": LEGAL}).headers["location"]
    assert api.get(f"{address}/record.md").status_code == 404
    api.post(f"{address}/recommendation")
    answer = api.get(f"{address}/record.md")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert "Legal" in answer.text


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_is_not_there_is_404(api, method):
    body = {"json": {}} if method == "PATCH" else {}
    assert api.request(method, f"/api/v1/assessments/{uuid4()}", **body).status_code == 404


def test_lists_come_in_pages_newest_first_even_within_one_moment(on_both):
    client = program(on_both)
    made = [client.post("/api/v1/assessments", json={"name": f"n{n}"}).json()["id"] for n in range(7)]
    with parts_of(on_both).database.writing() as session, session.begin():
        moment = session.get(Assessment, UUID(made[0])).created_at
        session.execute(update(Assessment).values(created_at=moment))
    seen, cursor = [], None
    while True:
        page = client.get(
            "/api/v1/assessments", params={"limit": 3} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert len(seen) == 7


def test_the_examples_in_the_documentation_work(make_app):
    client = program(make_app(max_live_runs=100))
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    tried = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, example in content.get("examples", {}).items():
                answer = client.request(method, SITE + filled(client, path), json=example["value"])
                assert answer.status_code in (200, 201, 202, 503), (method, path, name, answer.text)
                tried += 1
    assert tried >= 8


def filled(client, path):
    if "{assessment_id}" in path:
        made = client.post("/api/v1/assessments", json={"name": "For an example"}).json()["id"]
        path = path.replace("{assessment_id}", made)
        if path.endswith(("/shares", "/whatif", "/scenarios")) or "{number}" in path:
            client.post(f"/api/v1/assessments/{made}/recommendation")
            path = path.replace("{number}", "1")
    if "{run_id}" in path:
        launched = client.post("/api/v1/runs", json=SPEC).json()["runs"][0]["id"]
        path = path.replace("{run_id}", launched)
    return path.replace("{question}", "O1")


def test_every_address_is_documented_with_a_summary(app):
    for path, operations in program(app).get("/api/v1/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)


def test_estimates_are_answered_alone_and_name_what_can_be_named(api):
    known = api.get("/api/v1/estimates/tables").json()
    hardware = {"model": known["models"][0]["name"], "gpu": known["gpus"][0]["name"], "gpus": 1}
    answer = api.post("/api/v1/estimates", json={"hardware": hardware})
    assert answer.status_code == 200
    assert len(answer.json()["configurations"]) == 6
    refused = api.post("/api/v1/estimates", json={"hardware": hardware | {"gpu": "Voodoo 2"}})
    assert refused.status_code == 422
    assert "No GPU is called 'Voodoo 2'; the table has" in refused.json()["problems"][0]["what"]
