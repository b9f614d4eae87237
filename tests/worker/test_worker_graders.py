"""Graders on the worker: checked, and tried out."""

GRADER = {"type": "regex", "name": "ruling", "pattern": "Ruling: (\\w+)", "reference": "{{ item.answer }}"}


def test_a_grader_grades_one_answer(client):
    tried = {"grader": GRADER, "output_text": "Ruling: lawful", "item": {"answer": "lawful"}}
    assert client.post("/grade", json=tried).json() == {"kind": "score", "value": 1.0, "parts": {}}


def test_a_trial_of_nothing_is_a_check(client):
    answer = client.post("/graders/try", json={"grader": GRADER})
    assert answer.status_code == 200
    assert (answer.json()["outcomes"], answer.json()["attacks"], answer.json()["agreement"]) == (
        [],
        None,
        None,
    )
    for path in ("/grade", "/graders/try"):
        refused = client.post(path, json={"grader": {**GRADER, "pattern": "("}, "output_text": ""})
        assert refused.status_code == 422
    refused = client.post("/graders/try", json={"grader": {**GRADER, "pattern": "("}})
    assert [problem["where"] for problem in refused.json()["problems"]] == ["grader.pattern"]


def test_answers_are_scored_attacked_and_compared_in_one_request(client):
    answers = [
        {"output_text": f"Ruling: {given}", "item": {"answer": "void"}, "expert": expert}
        for given, expert in (("void", 5), ("lawful", 1), ("void", 4), ("remanded", 2))
    ]
    rows = [
        {"prompt": f"Case {n}", "item": {"answer": label, "reference": f"Ruling: {label}"}}
        for n, label in enumerate(("void", "lawful", "remanded"))
    ]
    report = client.post("/graders/try", json={"grader": GRADER, "answers": answers, "rows": rows}).json()
    assert [outcome["value"] for outcome in report["outcomes"]] == [1, 0, 1, 0]
    assert report["attacks"]["verdict"] == "holds"
    assert report["attacks"]["gradings"] == 3 * 10
    assert report["attacks"]["seconds"] > 0
    assert report["answers_seconds"] > 0
    assert report["agreement"]["n"] == 4
    assert report["agreement"]["confusion"] == {
        "both_right": 2,
        "only_grader": 0,
        "only_expert": 0,
        "both_wrong": 2,
    }


def test_what_is_no_trial_is_refused(client):
    for body in ({}, {"grader": {"type": "magic"}}, {"grader": GRADER, "rows": [{}] * 101}):
        assert client.post("/graders/try", json=body).status_code == 422
