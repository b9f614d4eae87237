"""Nothing that can be sent makes the service fail: it is refused with a status below 500 and a reason."""

import pytest

from tests.web.conftest import owner, program, stranger
from tests.web.launching import SPEC

HUGE = b"9" * 5000

BODIES = {
    "nothing": b"",
    "null": b"null",
    "array": b"[]",
    "number": b"7",
    "text": b'"x"',
    "NaN": b'{"answers": {"O1": NaN}}',
    "infinity": b'{"answers": {"O1": Infinity}}',
    "minus infinity": b'{"answers": {"O1": -Infinity}}',
    "beyond a float": b'{"answers": {"O1": 1e400}}',
    "nan as text": b'{"weights": {"objective": "nan"}, "answers": {}}',
    "2^63": b'{"answers": {"O1": 9223372036854775808}}',
    "5000 digits": b'{"answers": {"O1": ' + HUGE + b"}}",
    "lone surrogate": b'{"answers": {"O1": "\\ud800"}}',
    "lone surrogate as key": b'{"answers": {}, "\\udfff": 1}',
    "NUL": b'{"answers": {"O1": "\\u0000"}}',
    "NUL in a name": b'{"name": "a\\u0000b", "answers": {}}',
    "bad UTF-8": b'{"answers": {"O1": "\xff"}}',
    "BOM": b'\xef\xbb\xbf{"answers": {}}',
    "UTF-16": '{"answers": {}}'.encode("utf-16"),
    "same key twice": b'{"answers": {}, "answers": {}}',
    "deep array": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "40 levels": b'{"answers": {"O1": ' + b"[" * 40 + b"]" * 40 + b"}}",
    "trailing text": b'{"answers": {}} x',
    "comment": b'{"answers": {} /* no */}',
    "single quotes": b"{'answers': {}}",
    "true for a number": b'{"answers": {}, "weights": {"objective": true}}',
    "text for a number": b'{"answers": {}, "weights": {"objective": "1"}}',
    "unknown field": b'{"answers": {}, "surprise": 1}',
    "__proto__": b'{"answers": {}, "__proto__": {"x": 1}}',
    "constructor": b'{"answers": {"constructor": "x"}}',
    "10 000 answers": b'{"answers": {' + b",".join(b'"Q%d": null' % n for n in range(10_000)) + b"}}",
    "answers as array": b'{"answers": []}',
    "an answer of a strange kind": b'{"answers": {"O1": 7, "C1": "x", "C2": {"gpu_hours": -1}}}',
    "whitespace": b" " * 500_000,
}

ACCEPTED = {
    "minus zero": b'{"answers": {}, "weights": null, "measurements": {}}',
    "empty": b'{"answers": {}}',
    "all unknown": b'{"answers": {"O1": null, "D1": null}}',
}

ADDRESSES = {
    "advice": ("POST", "/api/v1/recommendations"),
    "runs": ("POST", "/api/v1/runs"),
    "assessments": ("POST", "/api/v1/assessments"),
    "grade": ("POST", "/api/v1/grade"),
    "graders": ("POST", "/api/v1/graders"),
    "try a grader": ("POST", "/api/v1/graders/try"),
    "answer": ("PUT", "/api/v1/assessments/{assessment}/answers/O1"),
    "changes": ("PATCH", "/api/v1/assessments/{assessment}"),
    "describe": ("POST", "/api/v1/assessments/{assessment}/describe"),
}


@pytest.fixture
def send(app):
    client = program(app)
    made = client.post("/api/v1/assessments", json={"name": "Traps"}).json()["id"]

    def send(address: str, body: bytes, content_type: str = "application/json"):
        method, path = ADDRESSES[address]
        headers = {"Content-Type": content_type}
        return client.request(method, path.format(assessment=made), content=body, headers=headers)

    return send


def test_every_trap_is_refused_in_words_at_every_address(send):
    for address in ADDRESSES:
        for name, body in BODIES.items():
            if (address, name) in {("answer", "null")}:
                continue  # An answer may be null: not known yet.
            answer = send(address, body)
            assert 400 <= answer.status_code < 500, (address, name, answer.status_code)
            told = answer.json()
            assert answer.headers["content-type"] == "application/problem+json", (address, name)
            assert told["detail"], (address, name)
            assert len(told["request_id"]) == 16
            assert len(answer.content) < 40_000, (address, name)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_only_odd_is_accepted(send, name):
    assert send("advice", ACCEPTED[name]).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json", ""])
def test_json_must_say_that_it_is_json(send, kind):
    for address in ADDRESSES:
        assert send(address, b'{"answers": {}}', kind).status_code in (415, 422), address


def test_compressed_bodies_are_refused(app):
    answer = program(app).post(
        "/api/v1/recommendations",
        content=b"x",
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
    )
    assert answer.status_code == 415


def test_a_large_body_is_refused_whether_or_not_it_admits_its_size(make_app):
    client = program(make_app(max_body_bytes=10_000))
    headers = {"Content-Type": "application/json"}
    for address in ("/api/v1/recommendations", "/api/v1/assessments", "/api/v1/runs"):
        declared = client.post(address, content=b" " * 20_000, headers=headers)
        undeclared = client.post(address, content=iter([b" " * 6_000] * 4), headers=headers)
        for answer in (declared, undeclared):
            assert (answer.status_code, answer.json()["error"]) == (413, "TooLarge"), address
            assert "10,000 bytes" in answer.json()["detail"]
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
            assert answer.headers["content-type"] == "application/problem+json"
            assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("pieces", [[b"x" * 20_000], [b"x" * 6_000] * 4])
@pytest.mark.parametrize("address", ["/assessments/new", "/login"])
def test_a_form_that_is_too_large_gets_a_page(make_app, address, pieces):
    client = owner(make_app(max_body_bytes=10_000))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    length = {"Content-Length": "20000"} if len(pieces) == 1 else {}
    answer = client.post(address, content=iter([b"name=", *pieces]), headers=form | length)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "10,000 bytes" in answer.text
    assert answer.headers["x-request-id"] in answer.text


@pytest.mark.parametrize("length", ["-1", "x", "1" * 30])
def test_a_length_that_cannot_be_is_refused(app, length):
    headers = {"Content-Type": "application/json", "Content-Length": length}
    answer = program(app).post("/api/v1/recommendations", content=b"{}", headers=headers)
    assert answer.status_code in (400, 413)
    assert answer.json()["request_id"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 121,
        "a\u202eb",
        "a\u200bb",
        "a\u2066b",
        "a\x00b",
        "a\x1bb",
        "a\nb",
        "a\u2028b",
        "\ue000",
        "a\u0085b",
        "e" + "\u0301" * 1000,
    ],
)
def test_names_that_cannot_be_told_apart_by_eye_are_refused(app, name):
    client = program(app)
    assert client.post("/api/v1/assessments", json={"name": name}).status_code == 422
    spec = SPEC | {"name": name}
    assert client.post("/api/v1/runs", json=spec).status_code == 422


def test_names_are_kept_in_one_spelling(app):
    answer = program(app).post("/api/v1/assessments", json={"name": "  Re\u0301sume\u0301 法律 🏛 "})
    assert answer.json()["name"] == "R\u00e9sum\u00e9 法律 🏛"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}", "' OR 1=1--", "%", "_"]
)
def test_text_that_is_code_elsewhere_is_only_text_here(app, text):
    client = program(app)
    made = client.post("/api/v1/assessments", json={"name": text, "description": text})
    assert client.get(made.headers["location"]).json()["description"] == text


BAD_QUERIES = (
    "limit=-1",
    "limit=0",
    "limit=1000000000",
    "limit=x",
    "cursor=x",
    "cursor=-1",
    "cursor=1-2",
    "cursor=%00",
    "cursor=" + "9" * 70,
)


@pytest.mark.parametrize("query", BAD_QUERIES)
@pytest.mark.parametrize("nouns", ["assessments", "runs", "datasets"])
def test_lists_take_only_their_own_cursors(api, nouns, query):
    assert api.get(f"/api/v1/{nouns}?{query}").status_code == 422


@pytest.mark.parametrize("last", ["x", "-1", "1", "999999999999999999999", "0x1", "١", "1.0", " 1"])
def test_a_stream_goes_on_only_from_events_that_exist(app, last):
    client = program(app)
    run = client.post("/api/v1/runs", json=SPEC).json()["runs"][0]["id"]
    answer = client.get(f"/api/v1/runs/{run}/events", headers={"Last-Event-ID": last.encode("utf-8")})
    assert answer.status_code == 400


@pytest.mark.parametrize("key", ["", "x" * 129, "ä".encode(), b"a b", b"a\tb"])
def test_idempotency_keys_are_short_and_plain(api, key):
    answer = api.post("/api/v1/runs", json=SPEC, headers={"Idempotency-Key": key})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        ([], "body", "must be a JSON object"),
        ({}, "model", "is missing; add it"),
        (SPEC | {"zzz": 1}, "zzz", "there is no such field; leave it out"),
        (SPEC | {"recipe": {}}, "recipe", "must be an object with the field 'kind'"),
        (SPEC | {"recipe": {"kind": "sft"}}, "recipe.epochs", "is missing; add it"),
        (SPEC | {"recipe": SPEC["recipe"] | {"lr": 1}}, "recipe.lr", "there is no such field; leave it out"),
        ({"plan": [SPEC, SPEC | {"zzz": 1}]}, "plan.1.zzz", "there is no such field; leave it out"),
        ({"plan": [SPEC | {"recipe": {"kind": "sft"}}]}, "plan.0.recipe.epochs", "is missing; add it"),
    ],
)
def test_what_is_wrong_with_a_body_is_told_without_the_frameworks_words(api, body, where, said):
    problems = api.post("/api/v1/runs", json=body).json()["problems"]
    assert {"where": where, "what": said} in problems


PATHS = [
    "/api/v1/runs/..%2f..%2fetc%2fpasswd",
    "/api/v1/runs/%00",
    "/api/v1/runs/%ff",
    "/api/v1/runs/{0}/artifacts/..%2f..%2fspec.json",
    "/api/v1/assessments/1%20OR%201=1",
    "/static/..%2f..%2fpyproject.toml",
    "/static/%2e%2e/%2e%2e/pyproject.toml",
    "/static//etc/passwd",
    "//evil.test/x",
    "/api/v1/assessments/00000000-0000-0000-0000-000000000000/answers/..%2fx",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out(browser, path):
    answer = browser.get("http://localhost" + path)
    assert answer.status_code in (404, 405, 422), answer.status_code
    assert "[project]" not in answer.text


def test_4_000_query_parameters_change_nothing(app):
    answer = stranger(app).get("/api/v1/questionnaire?" + "&".join(f"a{n}=1" for n in range(4_000)))
    assert answer.status_code == 200


def test_a_page_that_fails_shows_a_request_id_and_a_way_back(browser):
    answer = browser.get("/runs/00000000-0000-0000-0000-000000000000", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-request-id"] in answer.text
    assert 'href="/home"' in answer.text


def test_our_own_mistakes_are_told_without_their_inner_workings(app):
    @app.get("/api/v1/broken")
    def broken():
        raise RuntimeError("password=hunter2")

    answer = program(app).get("/api/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["error"] == "TuningForkError"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
