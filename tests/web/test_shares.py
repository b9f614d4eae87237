"""Share links: one record, for whoever has the link, until it expires or is revoked."""

import logging
import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.database import now
from app.models import Share
from tests.web.conftest import owner, parts_of, program, stranger
from tests.web.test_records import decided, page_of


def shared(app, **more):
    client = program(app)
    address = decided(client)
    made = client.post(f"{address}/shares", json=more)
    assert made.status_code == 201, made.text
    return client, address, made.json()


def path_of(made):
    return made["url"].removeprefix("http://localhost")


def test_a_stranger_reads_the_record_and_nothing_else(on_both):
    _, address, made = shared(on_both, label="Review board")
    answer = stranger(on_both).get(path_of(made))
    assert answer.status_code == 200
    assert "Train with GRPO after a short SFT warm start" in answer.text
    assert "What Was Not Checked" in answer.text
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert '<meta name="robots" content="noindex, nofollow">' in answer.text
    assert "Review board" not in answer.text
    assert address.rsplit("/", 1)[1] not in answer.text
    links = set(re.findall(r'(?:href|action|src)="(/[^"]*)"', answer.text))
    assert all(link.startswith("/static/") for link in links), links
    assert "<form" not in answer.text


def test_a_link_names_no_other_assessment(app):
    client, address, made = shared(app)
    secret = client.post("/api/v1/assessments", json={"name": "Hush hush"}).headers["location"]
    other = client.post(f"{secret}/recommendation").json()
    client.patch(f"{address}/milestones/1", json={"status": "accepted", "supersedes_id": other["id"]})
    assert "Hush hush" in client.get(f"{address}/record.md").text
    page = stranger(app).get(path_of(made)).text
    assert "Hush hush" not in page
    assert "supersedes recommendation 1 of another assessment" in page


def test_a_link_is_offered_for_the_recommendation_not_for_a_scenario_tried_since(api, browser):
    path = page_of(decided(api))
    kept = browser.post(f"{path}/scenarios", data={"number": "1", "label": "Wilder", "O1": "tone_or_voice"})
    assert kept.status_code == 303
    assert '<option value="1" selected>' in browser.get(f"{path}/share").text


def test_the_share_page_takes_no_absurd_number_and_any_script_of_a_name(api, browser):
    path = page_of(decided(api))
    assert browser.post(f"{path}/share", data={"number": "9" * 5000, "days": "1"}).status_code == 404
    made = browser.post(f"{path}/share", data={"number": "1", "days": "1", "label": "Prüfung 審査 مراجعة"})
    assert "The new link" in made.text


def test_notes_are_shown_only_where_they_were_ticked(app):
    _, _, without = shared(app)
    page = stranger(app).get(path_of(without)).text
    assert "/c calc" not in page
    assert "wiki.example" not in page
    assert "are not shown here" in page
    _, _, with_notes = shared(app, with_notes=True)
    page = stranger(app).get(path_of(with_notes)).text
    assert "/c calc" in page
    assert "https://wiki.example/a" in page


def test_a_link_shows_the_recommendation_it_was_made_for(app):
    client, address, made = shared(app, milestone=1)
    before = stranger(app).get(path_of(made)).text
    client.put(f"{address}/answers/D3", json="cannot")
    client.post(f"{address}/recommendation")
    assert stranger(app).get(path_of(made)).text == before


def test_revoked_and_expired_links_are_gone_and_unknown_ones_were_never_there(on_both):
    client, address, made = shared(on_both)
    reader = stranger(on_both)
    assert client.delete(f"{address}/shares/{made['id']}").status_code == 204
    answer = reader.get(path_of(made))
    assert answer.status_code == 410
    assert "was revoked" in answer.text
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    again = client.post(f"{address}/shares", json={}).json()
    with parts_of(on_both).database.writing() as session, session.begin():
        session.execute(update(Share).values(expires_at=now() - timedelta(seconds=1)))
    answer = reader.get(path_of(again))
    assert answer.status_code == 410
    assert "has expired" in answer.text
    for token in ("x", "a" * 43, path_of(made)[3:-1], "%00", "é", "a" * 5000):
        assert reader.get(f"/s/{token}").status_code == 404
    assert [each["state"] for each in client.get(f"{address}/shares").json()] == ["expired", "revoked"]


def test_the_token_is_shown_once_and_only_its_hash_is_kept_and_no_log_holds_it(app, caplog):
    with caplog.at_level(logging.INFO):
        client, address, made = shared(app)
        token = path_of(made).removeprefix("/s/")
        assert len(token) == 43
        stranger(app).get(path_of(made))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("tuning_fork")]
    assert ours
    assert not any(token in line for line in ours)
    assert token not in client.get(f"{address}/shares").text
    assert token not in owner(app).get(f"{page_of(address)}/share").text
    with parts_of(app).database.reading() as session:
        assert session.scalars(select(Share.hash)).one() != token


def test_the_page_makes_lists_and_revokes_links(on_both):
    client, browser = program(on_both), owner(on_both)
    place = f"{page_of(decided(client))}/share"
    made = browser.post(place, data={"number": "1", "label": "Board", "days": "7", "notes": "yes"})
    assert made.status_code == 200
    link = re.search(r"http://localhost(/s/[\w-]{43})<", made.text)[1]
    assert stranger(on_both).get(link).status_code == 200
    page = browser.get(place).text
    assert "Board" in page
    assert "with notes" in page
    assert "never" not in page
    revoking = re.search(r'action="([^"]+/revoke)"', page)[1]
    assert browser.post(revoking).status_code == 303
    assert stranger(on_both).get(link).status_code == 410
    assert "revoked" in browser.get(place).text


@pytest.mark.parametrize(
    "typed",
    [{"days": "0"}, {"days": "-1"}, {"days": "366"}, {"days": "soon"}, {"days": "1", "label": "x" * 121}],
)
def test_what_cannot_be_a_link_is_told_beside_its_field(api, browser, typed):
    address = decided(api)
    answer = browser.post(f"{page_of(address)}/share", data={"number": "1"} | typed)
    assert answer.status_code == 422
    assert "error-text" in answer.text
    assert api.get(f"{address}/shares").json() == []


def test_only_its_own_assessment_lists_and_revokes_a_link(api):
    first, second = decided(api), decided(api)
    made = api.post(f"{first}/shares", json={}).json()
    assert api.get(f"{second}/shares").json() == []
    assert api.delete(f"{second}/shares/{made['id']}").status_code == 404
    assert api.post(f"{first}/shares", json={"milestone": 9}).status_code == 404
    assert api.post(f"{first}/shares", json={"days": 366}).status_code == 422


def test_openings_are_limited_for_strangers_only(make_app):
    app = make_app(shares_per_minute=2)
    _, _, made = shared(app)
    reader = stranger(app)
    assert [reader.get(path_of(made)).status_code for _ in range(4)] == [200, 200, 429, 429]
    assert owner(app).get(path_of(made)).status_code == 200


def test_robots_are_told_to_stay_away(app):
    answer = stranger(app).get("/robots.txt")
    assert answer.status_code == 200
    assert "Disallow: /s/" in answer.text


def test_a_deleted_assessment_takes_its_links_along(on_both):
    client, address, made = shared(on_both)
    assert client.delete(address).status_code == 204
    assert stranger(on_both).get(path_of(made)).status_code == 404
