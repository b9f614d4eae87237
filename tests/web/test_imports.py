"""A decision exported from one installation and imported into another."""

import json

import pytest

from app.main import read_rulebook, rulebook_files
from app.models import StoredRulebook
from tests.web.conftest import owner, parts_of, program
from tests.web.test_records import MEASURED, NOTED, decided

RULEBOOK = read_rulebook()


def exported(client, **more):
    address = decided(client, **more)
    client.patch(
        f"{address}/milestones/1", json={"status": "accepted", "owner": "Kim", "review_by": "2027-03-31"}
    )
    return client.get(f"{address}/record.json").text


def another(make_app, tmp_path, database_url):
    """A second installation, with a database of its own."""
    return make_app(database_url=database_url, data_dir=tmp_path)


def recommendation_in(file):
    return file.split('"recommendation": ')[1]


def test_another_installation_gives_the_same_bytes(app, make_app, tmp_path, database_url):
    file = exported(program(app), measurements=MEASURED)
    there = program(another(make_app, tmp_path, database_url))
    answer = there.post(
        "/api/v1/assessments/import", content=file, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert (said["reproduced"], said["differing"]) == (True, [])
    assert (said["milestone"]["status"], said["milestone"]["owner"]) == ("accepted", "Kim")
    assert said["milestone"]["review_by"] == "2027-03-31"
    again = there.get(f"{answer.headers['location']}/record.json").text
    assert recommendation_in(again) == recommendation_in(file)
    before, after = json.loads(file), json.loads(again)
    for part in ("name", "description", "answers", "weights", "measurements", "rulebook", "result_sha256"):
        assert before[part] == after[part]
    assert after["answers"]["O1"] == NOTED


def test_the_page_takes_a_file_or_its_text_and_says_that_it_came_out_the_same(app, browser):
    file = exported(program(app))
    sent = browser.post("/assessments/import", files={"file": ("record.json", file.encode())})
    assert sent.status_code == 303, sent.text
    page = browser.get(sent.headers["location"]).text
    assert "<dt>Origin</dt><dd>Imported: the same result, byte for byte" in page
    pasted = browser.post("/assessments/import", data={"pasted": file}, files={"file": ("", b"")})
    assert pasted.status_code == 303
    assert "Start from an exported record" in browser.get("/assessments/new").text


def test_a_result_that_was_altered_is_told_apart_and_not_taken_over(app, browser):
    file = json.loads(exported(program(app)))
    file["recommendation"]["method"] = "sft"
    api = program(app)
    said = api.post("/api/v1/assessments/import", json=file).json()
    assert (said["reproduced"], said["differing"]) == (False, ["method"])
    assert said["milestone"]["recommendation"]["method"] == "grpo"
    assert said["milestone"]["status"] == "proposed"
    page = browser.post("/assessments/import", data={"pasted": json.dumps(file)})
    assert "computed again, the result differs in method" in browser.get(page.headers["location"]).text


def without_its_rulebook(file):
    return json.loads(file) | {"rulebook": {"version": "0.9.0", "checksum": "0" * 64}}


def test_without_its_rulebook_the_answers_are_offered_under_the_one_in_force(on_both):
    client, browser = program(on_both), owner(on_both)
    file = without_its_rulebook(exported(client))
    count = len(client.get("/api/v1/assessments").json()["items"])
    refused = client.post("/api/v1/assessments/import", json=file)
    assert refused.status_code == 409
    assert "?under=in_force" in refused.json()["detail"]
    page = browser.post("/assessments/import", data={"pasted": json.dumps(file)})
    assert page.status_code == 409
    assert "Import the answers under the rulebook in force" in page.text
    assert len(client.get("/api/v1/assessments").json()["items"]) == count
    said = client.post("/api/v1/assessments/import?under=in_force", json=file).json()
    assert said["reproduced"] is None
    assert said["milestone"]["label"].startswith("Imported from rulebook 0.9.0")
    taken = browser.post("/assessments/import", data={"pasted": json.dumps(file), "under": "in_force"})
    assert "Imported from rulebook 0.9.0" in browser.get(taken.headers["location"]).text


def test_an_older_rulebook_in_store_is_used_for_what_was_decided_under_it(app):
    files = rulebook_files()
    older = files | {"decision.toml": files["decision.toml"].replace(RULEBOOK.version, "1.0.9", 1)}
    parsed = type(RULEBOOK).parse(older)
    assert parsed.checksum != RULEBOOK.checksum
    with parts_of(app).database.writing() as session, session.begin():
        session.add(StoredRulebook(checksum=parsed.checksum, version="1.0.9", files=older, shipped=False))
    client = program(app)
    file = json.loads(exported(client))
    stamp = {"version": "1.0.9", "checksum": parsed.checksum}
    file |= {"rulebook": stamp, "recommendation": file["recommendation"] | {"rulebook": stamp}}
    said = client.post("/api/v1/assessments/import", json=file).json()
    assert said["milestone"]["rulebook_checksum"] == parsed.checksum
    assert said["differing"] == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"format": "other"}, "format"),
        ({"format_version": 2}, "format_version"),
        ({"answers": {"O99": "x"}}, "O99"),
        ({"answers": {"D3": "nonsense"}}, "D3"),
        ({"weights": {"objective": 1}}, "weights"),
        ({"measurements": {"nothing": 1}}, "measurements"),
        ({"result_sha256": "abc"}, "result_sha256"),
        ({"more": 1}, "more"),
        ({"name": "a\u202eb"}, "name"),
        ({"recommendation": []}, "recommendation"),
    ],
)
def test_a_bad_file_is_refused_by_place_and_leaves_nothing(app, browser, change, where):
    client = program(app)
    file = json.loads(exported(client)) | change
    count = len(client.get("/api/v1/assessments").json()["items"])
    told = client.post("/api/v1/assessments/import", json=file)
    assert told.status_code == 422
    assert where in [problem["where"] for problem in told.json()["problems"]]
    page = browser.post("/assessments/import", data={"pasted": json.dumps(file)})
    assert page.status_code == 422
    assert f"{where}: " in page.text
    assert len(client.get("/api/v1/assessments").json()["items"]) == count


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"# A decision record",
        b"{",
        b"[]",
        b'{"a":1,"a":2}',
        b"\xff\xfe",
        b"[" * 5000,
        b"null",
        b"NaN",
    ],
)
def test_what_is_no_record_at_all_is_refused_in_words(browser, body):
    page = browser.post("/assessments/import", files={"file": ("record.json", body or b" ")})
    assert page.status_code == 422
    assert "There is a problem" in page.text
    assert "body:" not in page.text
