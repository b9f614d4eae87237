"""Who may talk to the worker, and what it does with what it is sent."""

import json
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from app.settings import WorkerSettings
from app.worker.main import create_app
from tests.worker_process import TOKEN

RUN = "/runs/0d3b1c88-6a7e-4cf0-9d43-9a4e5d3b2f10"

JSON = {"Content-Type": "application/json"}


def routes(client: TestClient) -> list[tuple[str, str]]:
    found = []
    pending = list(client.app.routes)
    while pending:
        route = pending.pop()
        pending += getattr(getattr(route, "original_router", None), "routes", [])
        for method in getattr(route, "methods", None) or []:
            path = route.path.replace("{run_id}", RUN.removeprefix("/runs/")).replace("{sha256}", "0" * 64)
            found.append((method, path.replace("{key}", "rulings").replace("{name}", "log.txt")))
    return found


def test_every_route_but_one_wants_the_token(client):
    listed = routes(client)
    assert len(listed) >= 17
    without = TestClient(client.app)
    answers = {(method, path): without.request(method, path).status_code for method, path in listed}
    assert {route for route, code in answers.items() if code != 401} == {("GET", "/healthz")}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN[:-1]}",
    ],
)
def test_a_wrong_token_is_refused(client, header):
    answer = client.get("/runs", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["error"] == "NotSignedIn"


def test_two_tokens_are_refused_even_if_one_is_right(client):
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer other")]
    assert TestClient(client.app).get("/runs", headers=headers).status_code == 401


def test_a_token_in_the_address_counts_for_nothing(client):
    assert TestClient(client.app).get(f"/runs?token={TOKEN}").status_code == 401


def test_without_a_token_in_the_settings_one_is_made_for_this_user_alone(tmp_path):
    create_app(WorkerSettings(data_dir=tmp_path))
    made = tmp_path / "worker-token"
    assert made.stat().st_mode & 0o777 == 0o600
    token = made.read_text()
    assert len(token) >= 40
    with TestClient(create_app(WorkerSettings(data_dir=tmp_path, prepare_starter=False))) as client:
        assert client.get("/runs", headers={"Authorization": f"Bearer {token}"}).json() == []


def test_failures_are_problem_json_with_a_request_id_and_no_trace(client):
    for answer in (client.get("/nowhere"), client.post("/runs"), client.get(RUN), client.put(RUN, json={})):
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["status"] == answer.status_code
        assert told["request_id"]
        assert "Traceback" not in answer.text
    assert client.get("/nowhere").status_code == 404
    assert client.post("/runs").status_code == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"name": NaN}', 422),
        (b'{"name": -Infinity}', 422),
        (b'{"name": 1e400}', 422),
        (b'{"seed": 9223372036854775808}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b'{"extra": "\\ud800"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"name": "\\u0000"}', 422),
        (b'{"name": "a", "name": "b"}', 422),
        (b'{"seed": true}', 422),
        (b'{"seed": "1"}', 422),
        (b'{"seed": 1.0}', 422),
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b"3", 422),
        (b"{} {}", 422),
        (b"{} // comment", 422),
        (b'{"unknown": 1}', 422),
        (b'{"__proto__": {}}', 422),
        (b'{"seed": ' + b"9" * 5000 + b"}", 400),
        (b'{"name": "\xff"}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 20_000, 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
        (b" " * 1_000_001, 413),
    ],
)
def test_json_that_nothing_could_carry_is_refused_in_words(client, body, status):
    answer = client.put(RUN, content=body, headers=JSON)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_what_was_sent_is_not_echoed(client):
    answer = client.put(RUN, content=json.dumps({"recipe": {"kind": "sekrit-9"}, "name": 17}), headers=JSON)
    assert answer.status_code == 422
    assert "sekrit-9" not in answer.text
    assert "recipe" in {problem["where"] for problem in answer.json()["problems"]}


def test_a_body_of_another_kind_is_refused(client):
    assert client.put(RUN, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_compressed_body_is_refused(client):
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.put(RUN, content=b"{}", headers=headers).status_code == 415


def test_a_body_that_grows_beyond_the_limit_without_saying_so_is_cut_off(open_client):
    client = open_client(max_body_bytes=2000, max_upload_bytes=5000)
    pieces = (b" " * 500 for _ in range(5))
    assert client.put(RUN, content=pieces, headers=JSON).status_code == 413
    pieces = (b" " * 500 for _ in range(20))
    answer = client.put("/datasets/" + "0" * 64, content=pieces)
    assert answer.status_code == 413
    assert "5,000 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("length", ["-1", "x", "1" * 30])
def test_a_length_that_cannot_be_is_refused(client, length):
    assert client.put(RUN, content=b"{}", headers={**JSON, "Content-Length": length}).status_code in (
        400,
        413,
    )


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1000000000", "limit=-1"])
def test_a_forged_cursor_is_refused(client, spec, query):
    client.put(RUN, content=spec().model_dump_json(), headers=JSON).raise_for_status()
    assert client.get(f"{RUN}/events?{query}").status_code == 422


@pytest.mark.parametrize("run_id", ["1", "..", "%2e%2e", "0d3b1c88' OR 1=1--", "a" * 3000])
def test_only_a_uuid_names_a_run(client, run_id):
    assert client.get(f"/runs/{run_id}").status_code in (404, 422)


def test_an_unknown_run_is_not_found(client):
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("DELETE", ""),
        ("GET", "/log"),
    ):
        assert client.request(method, f"/runs/{uuid4()}{path}").status_code == 404


def test_health_names_versions_device_and_disk(client):
    health = client.get("/health").json()
    assert health["versions"]["python"]
    assert health["device"]["kind"] in ("cpu", "cuda")
    assert health["device"]["memory_bytes"] > 0
    assert health["disk_free_bytes"] > 0
    assert health["starter"] is None
    assert TestClient(client.app).get("/healthz").json() == {"status": "ok"}


def test_health_says_which_sandboxes_work_once_that_is_known(client):
    client.app.state.parts.sandboxes.result(timeout=60)
    assert client.get("/health").json()["sandboxes"].keys() == {"monty", "cage"}
