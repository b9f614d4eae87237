"""Nobody comes in without showing who they are, and no other site can act through a signed-in browser."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.database import now
from app.errors import InvalidInput
from app.main import create_app
from app.models import ApiKey, BrowserSession, LoginToken
from app.settings import WebSettings
from app.web.guard import PUBLIC
from app.web.security import cookie_name, local_path
from tests.web.conftest import SITE, api_key, login_token, owner, parts_of, program, stranger

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def addresses(app) -> set[str]:
    """Every path of every route, pages included, with something plausible in its places."""
    paths = {context.path for context in iter_route_contexts(app.routes)}
    return {re.sub(r"\{[^}]*\}", "x", re.sub(r"\{[^}]*_id\}", str(uuid4()), path)) for path in paths}


def test_the_public_list_is_short_and_known():
    assert {
        ("GET", "/"),
        ("GET", "/help"),
        ("GET", "/help/api"),
        ("GET", "/help/method"),
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/robots.txt"),
        ("GET", "/api/v1/questionnaire"),
        ("POST", "/api/v1/recommendations"),
    } == PUBLIC


def answer_of(client, method, path):
    return client.request(method, SITE + path).status_code


def test_a_stranger_gets_nowhere_but_the_public_list(app):
    client = stranger(app)
    paths = addresses(app) | {
        "/nowhere",
        "/s",
        "/s/",
        "/s/x/y",
        "/api/v1/nowhere",
        "/static",
        "//login",
        "/login/",
        "/healthz/x",
    }
    assert len(paths) > 30
    for path in sorted(paths):
        for method in METHODS:
            if (method.replace("HEAD", "GET"), path) in PUBLIC:
                continue
            if path == "/s/x" and method in ("GET", "HEAD"):
                # The one page of its kind: the address is the key, and this one opens nothing.
                assert answer_of(client, method, path) in (404, 405)
                continue
            if path.startswith("/static/") and method in ("GET", "HEAD", "OPTIONS", "TRACE"):
                continue
            answer = client.request(method, SITE + path)
            is_page = method in ("GET", "HEAD") and not path.startswith("/api/")
            assert answer.status_code == (303 if is_page else 401), (method, path)
            if is_page:
                assert answer.headers["location"].startswith("/login?next="), path


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
def test_a_live_stream_needs_a_key_too(app, accept):
    answer = stranger(app).get(f"/api/v1/runs/{uuid4()}/events", headers={"Accept": accept})
    assert answer.status_code == 401


def test_a_login_link_works_once(app):
    token = login_token(app)
    first, second = stranger(app), stranger(app)
    answer = first.post("/login", data={"token": token, "next": "/runs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    assert second.post("/login", data={"token": token}).status_code == 401
    assert first.get("/api/v1/assessments").status_code == 200
    assert second.get("/api/v1/assessments").status_code == 401


def test_a_login_link_expires(app):
    token = login_token(app)
    with parts_of(app).database.writing() as session, session.begin():
        session.execute(update(LoginToken).values(expires_at=now()))
    assert stranger(app).post("/login", data={"token": token}).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "\x00", "é" * 50, "a" * 5000])
def test_a_wrong_token_is_refused_on_the_same_page(app, token):
    answer = stranger(app).post("/login", data={"token": token})
    assert answer.status_code in (401, 422)
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(app):
    answer = stranger(app).post("/login", data={"token": login_token(app)})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


def test_behind_https_the_cookie_is_bound_to_the_host(make_app):
    app = make_app(public_url="https://tuning.example")
    client = TestClient(
        app,
        base_url="https://tuning.example",
        follow_redirects=False,
        headers={"Origin": "https://tuning.example"},
    )
    answer = client.post("/login", data={"token": login_token(app)})
    assert answer.headers["set-cookie"].startswith("__Host-")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "max-age=31536000" in answer.headers["strict-transport-security"]


def test_only_hashes_are_kept(app):
    token, key = login_token(app), api_key(app)
    client = stranger(app)
    client.post("/login", data={"token": token})
    secret = client.cookies[cookie_name(parts_of(app).settings)]
    with parts_of(app).database.reading() as session:
        kept = " ".join(
            [
                *session.scalars(select(LoginToken.hash)),
                *session.scalars(select(BrowserSession.hash)),
                *session.scalars(select(ApiKey.hash)),
            ]
        )
    assert not any(each in kept for each in (token, secret, key, key.split("_", 2)[2]))


def test_signing_in_again_ends_the_session_before(app):
    client = owner(app)
    name = cookie_name(parts_of(app).settings)
    before = client.cookies[name]
    client.post("/login", data={"token": login_token(app)})
    assert client.cookies[name] != before
    old = stranger(app, cookies={name: before})
    assert old.get("/api/v1/assessments").status_code == 401


def test_signing_out_ends_the_session_on_the_server(app):
    client = owner(app)
    name = cookie_name(parts_of(app).settings)
    secret = client.cookies[name]
    assert client.post("/logout").status_code == 303
    assert stranger(app, cookies={name: secret}).get("/api/v1/assessments").status_code == 401


@pytest.mark.parametrize(
    "aged",
    [
        {"last_seen_at": now() - timedelta(hours=13)},
        {"expires_at": now() - timedelta(seconds=1)},
    ],
)
def test_a_session_ends_when_idle_and_in_any_case(app, aged):
    client = owner(app)
    with parts_of(app).database.writing() as session, session.begin():
        session.execute(update(BrowserSession).values(**aged))
    assert client.get("/api/v1/assessments").status_code == 401


def test_a_key_opens_the_api_and_not_the_pages(app):
    client = program(app)
    assert client.get("/api/v1/assessments").status_code == 200
    assert client.get("/home").status_code == 303


def test_a_key_that_is_cut_lowered_revoked_expired_or_elsewhere_opens_nothing(app):
    key = api_key(app)
    for given in (key[:-1], key.lower(), key + "x", key.replace("tf_", "hf_"), "tf_", "", "Bearer", "é"):
        answer = program(app).get(
            "/api/v1/assessments", headers={"Authorization": f"Bearer {given}".encode("latin-1")}
        )
        assert answer.status_code == 401, given
    assert stranger(app).get("/api/v1/assessments", params={"key": key}).status_code == 401
    assert stranger(app).get("/api/v1/assessments", headers={"Authorization": key}).status_code == 401
    assert program(app, api_key(app, days=0)).get("/api/v1/assessments").status_code == 401
    with parts_of(app).database.writing() as session, session.begin():
        session.execute(update(ApiKey).values(revoked_at=now()))
    assert program(app, key).get("/api/v1/assessments").status_code == 401


def test_a_bad_key_is_not_saved_by_a_good_cookie(browser):
    answer = browser.get("/api/v1/assessments", headers={"Authorization": "Bearer tf_wrong"})
    assert answer.status_code == 401


def test_two_authorization_headers_are_refused(app):
    key = api_key(app)
    twice = [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {key}")]
    assert stranger(app).get("/api/v1/assessments", headers=twice).status_code == 400


FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9999"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "cors"},
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "https://localhost"},
    {},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_another_site_cannot_act_through_a_signed_in_browser(browser, headers, method):
    del browser.headers["origin"]
    answer = browser.request(method, f"/api/v1/assessments/{uuid4()}", headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": SITE},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Origin": SITE},
    ],
)
def test_our_own_pages_can_act(browser, headers):
    del browser.headers["origin"]
    answer = browser.post("/api/v1/assessments", json={"name": "Mine"}, headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("headers", FROM_ELSEWHERE[:-1])
def test_with_sign_in_off_another_site_still_cannot_act(make_app, headers):
    client = TestClient(make_app(sign_in="off"), base_url=SITE)
    assert client.post("/api/v1/assessments", json={"name": "x"}, headers=headers).status_code == 403
    assert client.post("/api/v1/assessments", json={"name": "x"}).status_code == 201


@pytest.mark.parametrize(
    "host", ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "", "[::2]", "1.2.3.4"]
)
def test_foreign_host_names_are_refused_everywhere(app, host):
    for path in ("/", "/healthz", "/static/app.css", "/api/v1/assessments"):
        assert stranger(app).get(path, headers={"Host": host}).status_code == 400, path


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_loopback_host_names_are_answered(app, host):
    assert stranger(app).get("/healthz", headers={"Host": host}).status_code == 200


def test_further_host_names_are_a_setting(make_app):
    client = stranger(make_app(allowed_hosts=["tuning.lan"]))
    assert client.get("/healthz", headers={"Host": "tuning.lan:8000"}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])
def test_nobody_listens_beyond_this_machine_without_signing_in(tmp_path, host):
    with pytest.raises(InvalidInput, match="SIGN_IN"):
        create_app(WebSettings(host=host, sign_in="off", data_dir=tmp_path, worker_token="x"))


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ("/runs", "/runs"),
        ("/runs?x=1&y=2", "/runs?x=1&y=2"),
        ("//evil.test", "/home"),
        ("/\\evil.test", "/home"),
        ("https://evil.test", "/home"),
        ("javascript:alert(1)", "/home"),
        ("/a\r\nSet-Cookie: x=1", "/home"),
        ("/a\nb", "/home"),
        ("", "/home"),
        ("runs", "/home"),
        ("/\t/evil.test", "/home"),
    ],
)
def test_after_signing_in_one_stays_on_this_site(app, wanted, place):
    assert local_path(wanted) == place
    answer = stranger(app).post("/login", data={"token": login_token(app), "next": wanted})
    assert answer.headers["location"] == place


def test_one_comes_back_to_the_page_one_wanted(app):
    answer = stranger(app).get("/runs?state=failed&x=ä")
    assert answer.headers["location"] == "/login?next=%2Fruns%3Fstate%3Dfailed%26x%3D%25C3%25A4"


def test_every_answer_confines_the_page(app, browser):
    for client, path in (
        (stranger(app), "/"),
        (stranger(app), "/runs"),
        (browser, "/api/v1/runs"),
        (browser, "/x"),
    ):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert len(headers["x-request-id"]) == 16
        assert "access-control-allow-origin" not in headers
    assert browser.get("/api/v1/runs").headers["cache-control"] == "no-store"


def test_guessing_login_tokens_is_slowed_down(make_app):
    client = stranger(make_app(logins_per_minute=3))
    statuses = [client.post("/login", data={"token": "guess"}).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_a_cookie_of_another_kind_or_64_kilobytes_is_no_key(app):
    name = cookie_name(parts_of(app).settings)
    for value in ("x", "x" * 60_000, '"', "\\", "a b", "="):
        answer = stranger(app).get("/api/v1/runs", headers={"Cookie": f"{name}={value}"})
        assert answer.status_code in (400, 401), value[:10]


@pytest.mark.parametrize(
    "headers",
    [
        [("X", "1")] * 20_000,
        [("X", "a" * 200_000)],
        [("Host", "localhost"), ("Host", "localhost")],
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
    ],
    ids=["many", "long", "two hosts", "two lengths"],
)
def test_headers_that_try_something_are_refused(app, headers):
    assert stranger(app).get("/healthz", headers=headers).status_code == 400
