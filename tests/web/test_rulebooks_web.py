"""Rulebooks of the owner: uploaded, refused, compared, published; assessments move when told to."""

import io
import json
import re
import zipfile

import pytest
from sqlalchemy import event, select, update

from app.main import read_rulebook, rulebook_files
from app.models import Assessment, Change, StoredRulebook
from tests.web.conftest import owner, parts_of, program

NOW = read_rulebook().version
MAJOR, MINOR, PATCH = (int(part) for part in NOW.split("."))
LATER = f"{MAJOR + 1}.0.0"


def changed(version=LATER, **replaced):
    """The shipped files with another version; `data=(old, new)` changes data.toml once."""
    files = rulebook_files()
    for name, (old, new) in (
        {"decision": (f'version = "{NOW}"', f'version = "{version}"')} | replaced
    ).items():
        assert old in files[f"{name}.toml"], (name, old)
        files[f"{name}.toml"] = files[f"{name}.toml"].replace(old, new)
    return files


def turned(version=LATER):
    """Everything speaks for SFT that spoke for GRPO."""
    files = changed(version)
    for name in ("objective.toml", "data.toml", "stability.toml", "deployment.toml"):
        lines = [
            f"effect = -{line[9:]}" if line.startswith("effect = ") and line[9] in "123" else line
            for line in files[name].split("\n")
        ]
        files[name] = "\n".join(lines)
    return files


def without_a_question(version=LATER):
    return {name: re.sub(r"\bP1\b", "P9", text) for name, text in changed(version).items()}


def zipped(files):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return body.getvalue()


def upload(client, files, note=""):
    return client.post("/api/v1/rulebooks", json={"files": files, "note": note})


def begun(client, name="Pilot"):
    answers = dict(read_rulebook().examples[0].answers)
    return client.post("/api/v1/assessments", json={"name": name, "answers": answers}).json()["id"]


def test_the_way_of_a_rulebook_from_upload_to_an_upgraded_assessment(on_both):
    client, browser = program(on_both), owner(on_both)
    assessment = begun(client)
    draft = upload(client, turned(), "Everything the other way.").json()
    assert (draft["version"], draft["published_at"], draft["in_force"]) == (LATER, None, False)
    assert client.get("/api/v1/questionnaire").json()["version"] == NOW

    shipped = read_rulebook().checksum
    difference = client.get(f"/api/v1/rulebooks/{shipped}/diff/{draft['checksum']}").json()
    assert difference["level"] == "minor"
    (moved,) = difference["assessments"]
    assert moved["name"] == "Pilot"
    assert (moved["effect"]["before"]["method"], moved["effect"]["after"]["method"]) == ("grpo", "sft")
    preview = browser.get(f"/rulebooks/{draft['checksum']}").text
    assert "1 of 1 assessment would get another verdict" in preview

    assert browser.post(f"/rulebooks/{draft['checksum']}/publish").status_code == 303
    assert client.get("/api/v1/questionnaire").json()["version"] == LATER
    page = browser.get(f"/assessments/{assessment}").text
    assert f"stands on rulebook {NOW}; {LATER} is in force now" in page
    assert "upgrade-notice" in browser.get(f"/assessments/{assessment}/check").text
    assert client.get(f"/api/v1/assessments/{assessment}").json()["rulebook_version"] == NOW

    asked = browser.get(f"/assessments/{assessment}/upgrade").text
    assert "Upgrading changes the verdict" in asked
    stale = browser.post(f"/assessments/{assessment}/upgrade", data={"to": shipped})
    assert stale.status_code == 409
    assert (
        browser.post(f"/assessments/{assessment}/upgrade", data={"to": draft["checksum"]}).status_code == 303
    )
    with parts_of(on_both).database.reading() as session:
        row = session.scalars(select(Assessment)).one()
        (milestone,) = row.milestones
        assert (row.rulebook_version, row.rulebook_checksum) == (LATER, draft["checksum"])
        assert (milestone.label, milestone.rulebook_version) == (f"Before rulebook {LATER}", NOW)
        assert milestone.recommendation.method == "grpo"
        told = session.scalars(select(Change).where(Change.what == "rulebook")).one()
        assert (told.before, told.after) == (NOW, LATER)
    again = client.post(f"/api/v1/assessments/{assessment}/recommendation").json()
    assert again["recommendation"]["method"] == "sft"
    assert "upgrade-notice" not in browser.get(f"/assessments/{assessment}/result").text
    assert client.post(f"/api/v1/assessments/{assessment}/upgrade").json()["milestone"] == 2


def test_a_milestone_that_is_exactly_the_present_state_is_kept_and_not_frozen_twice(app):
    client = program(app)
    assessment = begun(client)
    client.post(f"/api/v1/assessments/{assessment}/recommendation")
    client.post(f"/api/v1/rulebooks/{upload(client, turned()).json()['checksum']}/publish")
    assert client.post(f"/api/v1/assessments/{assessment}/upgrade").json()["milestone"] == 1


def test_an_answer_the_new_rulebook_does_not_know_is_left_open_and_stays_in_the_history(on_both):
    client = program(on_both)
    assessment = begun(client)
    draft = upload(client, without_a_question()).json()["checksum"]
    assert client.post(f"/api/v1/rulebooks/{draft}/publish").status_code == 200
    said = client.post(f"/api/v1/assessments/{assessment}/upgrade").json()
    assert [gone["question"] for gone in said["left_open"]] == ["P1"]
    assert "P1" not in client.get(f"/api/v1/assessments/{assessment}").json()["answers"]
    with parts_of(on_both).database.reading() as session:
        gone = session.scalars(select(Change).where(Change.what == "P1")).all()
        assert (gone[-1].before, gone[-1].after) == ("no", None)
    assert client.post(f"/api/v1/assessments/{assessment}/recommendation").status_code == 201


def test_going_back_to_an_older_rulebook(app):
    client = program(app)
    later = upload(client, turned()).json()["checksum"]
    client.post(f"/api/v1/rulebooks/{later}/publish")
    client.post(f"/api/v1/rulebooks/{read_rulebook().checksum}/publish")
    assert client.get("/api/v1/questionnaire").json()["version"] == NOW
    rows = {row["version"]: row["in_force"] for row in client.get("/api/v1/rulebooks").json()["items"]}
    assert rows == {NOW: True, LATER: False}


def test_only_a_committed_publication_is_in_force(app):
    client, parts = program(app), parts_of(app)
    checksum = upload(client, turned()).json()["checksum"]
    with parts.database.writing() as session, session.begin():
        parts.rulebooks.publish(session, session.get_one(StoredRulebook, checksum))
        session.rollback()
    assert parts.rulebook.version == NOW


def test_drafts_can_be_deleted_and_nothing_else(app):
    client = program(app)
    draft = upload(client, turned()).json()["checksum"]
    assert client.delete(f"/api/v1/rulebooks/{read_rulebook().checksum}").status_code == 409
    assert client.delete(f"/api/v1/rulebooks/{draft}").status_code == 204
    assert client.get(f"/api/v1/rulebooks/{draft}").status_code == 404
    draft = upload(client, turned()).json()["checksum"]
    client.post(f"/api/v1/rulebooks/{draft}/publish")
    assert client.delete(f"/api/v1/rulebooks/{draft}").status_code == 409


LEVELS = [
    (changed("0.0.1"), f"{MAJOR}.{MINOR}.{PATCH + 1}"),
    (
        changed(NOW, data=('title = "Demonstrations"', 'title = "Shown answers"')),
        f"{MAJOR}.{MINOR}.{PATCH + 1}",
    ),
    (turned(f"{MAJOR}.{MINOR}.{PATCH + 7}"), f"{MAJOR}.{MINOR + 1}.0"),
    (without_a_question(f"{MAJOR}.{MINOR + 3}.0"), f"{MAJOR + 1}.0.0"),
]


@pytest.mark.parametrize(("files", "needed"), LEVELS, ids=["lower", "words", "effects", "question gone"])
def test_a_version_that_does_not_rise_far_enough_is_refused_with_the_one_it_needs(app, files, needed):
    answer = upload(program(app), files)
    assert answer.status_code == 422
    assert needed in answer.json()["detail"]
    assert answer.json()["problems"][0]["where"] == "decision.toml: version"


def test_a_version_in_store_is_taken(app):
    client = program(app)
    upload(client, turned())
    answer = upload(client, without_a_question())
    assert answer.status_code == 422
    assert f"{MAJOR + 1}.0.1" in answer.json()["detail"]
    assert upload(client, turned()).status_code == 409


def bomb():
    return zipped({"data.toml": "#" * 50_000_000})


BROKEN = {
    "missing file": (zipped({k: v for k, v in changed().items() if k != "plan.toml"}), "plan.toml"),
    "bad TOML": (zipped(changed() | {"gates.toml": "[[gates"}), "gates.toml"),
    "unknown source": (zipped(changed(data=('"openai-sft"', '"nobody"'))), "data.toml: questions.D1.sources"),
    "weights": (
        zipped(changed(objective=("weight = 0.30", "weight = 0.40"))),
        "objective.toml: factor.weight",
    ),
    "unknown choice": (
        zipped(changed(data=('D3 = ["exact_match"', 'D3 = ["exactly"'))),
        "data.toml: questions.D1",
    ),
    "zip slip": (zipped({f"../{name}": text for name, text in changed().items()}), "../compute.toml"),
    "folder": (zipped({f"rulebook/{name}": text for name, text in changed().items()}), "rulebook/plan.toml"),
    "strange file": (zipped(changed() | {"run.py": "print()"}), "run.py"),
    "wrong version": (zipped(changed("one")), "decision.toml: version"),
    "not UTF-8": (zipped(changed() | {"plan.toml": b"\xff\xfe\x00"}), "plan.toml"),
    "empty": (b"", "rulebook.zip"),
    "no zip": (b"PK\x03\x04 nothing", "rulebook.zip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_by_file_and_key_and_nothing_is_stored(app, name):
    body, where = BROKEN[name]
    client, browser = program(app), owner(app)
    answer = client.post("/api/v1/rulebooks", files={"files": ("rulebook.zip", body)})
    assert answer.status_code == 422, answer.text
    assert any(problem["where"].startswith(where) for problem in answer.json()["problems"]), answer.json()
    page = browser.post("/rulebooks/new", files={"files": ("rulebook.zip", body)}, data={"note": "Kept"})
    assert page.status_code == 422
    assert where in page.text
    assert "Kept" in page.text
    assert len(client.get("/api/v1/rulebooks").json()["items"]) == 1


def test_a_zip_bomb_is_counted_while_it_is_unpacked(app):
    answer = program(app).post("/api/v1/rulebooks", files={"files": ("rulebook.zip", bomb())})
    assert answer.status_code == 413
    many = zipped({f"{n}.toml": "" for n in range(100)})
    assert program(app).post("/api/v1/rulebooks", files={"files": ("a.zip", many)}).status_code == 413


def test_single_files_and_the_downloads_lead_to_the_same_rulebook(app):
    client, browser = program(app), owner(app)
    files = turned()
    sent = [("files", (name, text.encode())) for name, text in files.items()]
    answer = browser.post("/rulebooks/new", files=sent, data={"note": "By hand"})
    assert answer.status_code == 303
    address = answer.headers["location"]
    with zipfile.ZipFile(io.BytesIO(browser.get(f"{address}/rulebook.zip").content)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == files
    assert json.loads(browser.get(f"{address}/rulebook.json").text) == {"files": files, "note": "By hand"}
    assert browser.get(f"{address}/files/plan.toml").text == files["plan.toml"]
    assert browser.get(f"{address}/files/passwd").status_code == 404
    assert client.get(f"/api/v1{address}").json()["files"] == files


def test_nothing_but_json_or_a_form_is_taken(app):
    client = program(app)
    assert client.post("/api/v1/rulebooks", content=b"x").status_code == 415
    assert client.post("/api/v1/rulebooks", json={"files": {}}).status_code == 422
    assert client.post("/api/v1/rulebooks", json={"file": {}}).status_code == 422
    assert owner(app).post("/rulebooks/new", data={"note": "x"}).status_code == 422


def test_a_rulebook_nobody_can_read_any_more_locks_nobody_out(on_both):
    client, browser, parts = program(on_both), owner(on_both), parts_of(on_both)
    assessment = begun(client)
    client.post(f"/api/v1/assessments/{assessment}/recommendation")
    with parts.database.writing() as session, session.begin():
        gone = StoredRulebook(checksum="0" * 64, version="0.9.0", files={}, shipped=True, published_at=None)
        session.add(gone)
        session.execute(update(Assessment).values(rulebook_checksum="0" * 64, rulebook_version="0.9.0"))
        session.scalars(select(Assessment)).one().milestones[0].rulebook_checksum = "0" * 64
    overview = browser.get(f"/assessments/{assessment}")
    assert overview.status_code == 200
    assert "cannot be read by this version" in overview.text
    assert browser.get(f"/assessments/{assessment}/result").status_code == 200
    refused = browser.get(f"/assessments/{assessment}/check")
    assert refused.status_code == 409
    assert f"/assessments/{assessment}/upgrade" in refused.text
    assert browser.get(f"/rulebooks/{'0' * 64}").status_code == 200
    assert browser.get("/rulebooks").status_code == 200
    assert browser.get(f"/assessments/{assessment}/upgrade").status_code == 200
    assert client.post(f"/api/v1/assessments/{assessment}/upgrade").json()["milestone"] == 1
    assert browser.get(f"/assessments/{assessment}/check").status_code == 200


def test_whoever_is_not_to_train_yet_does_not_get_another_verdict_with_another_lean(app):
    client, browser = program(app), owner(app)
    client.post("/api/v1/assessments", json={"name": "Early", "answers": {"O1": "self_correction"}})
    draft = upload(client, turned()).json()["checksum"]
    path = f"rulebooks/{read_rulebook().checksum}/diff/{draft}"
    (moved,) = client.get(f"/api/v1/{path}").json()["assessments"]
    before, after = moved["effect"]["before"], moved["effect"]["after"]
    assert before["plan"] == after["plan"] == "not_yet"
    assert before["method"] != after["method"]
    assert "No assessment would get another verdict." in browser.get(f"/{path}").text


def test_a_comparison_counts_every_assessment_and_lists_those_that_change_most(app):
    client, browser = program(app), owner(app)
    for number in range(45):
        begun(client, f"Pilot {number}")
    draft = upload(client, turned()).json()["checksum"]
    path = f"rulebooks/{read_rulebook().checksum}/diff/{draft}"
    page = browser.get(f"/{path}").text
    assert "45 of 45 assessments would get another verdict." in page
    assert "Shown are the 40 that change most." in page
    assert page.count('<svg class="shift"') == 40
    assert len(client.get(f"/api/v1/{path}").json()["assessments"]) == 45
    statements = []
    engine = parts_of(app).database.engine
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    browser.get(f"/{path}")
    assert len([each for each in statements if "FROM milestones" in each]) == 0


def test_a_rulebook_without_examples_and_claims_leaves_every_page_standing(app):
    client, browser = program(app), owner(app)
    bare = {
        "examples.toml": "examples = []\n",
        "claims.toml": "claims = []\n",
        "monitors.toml": "monitors = []\n",
    }
    draft = upload(client, changed() | bare)
    assert draft.status_code == 201, draft.text
    checksum = draft.json()["checksum"]
    assert browser.post(f"/rulebooks/{checksum}/publish").status_code == 303
    for path in ("/", "/help/method", "/assessments/new", "/quick", f"/rulebooks/{checksum}", "/help"):
        page = browser.get(path)
        assert page.status_code == 200, path
    method = browser.get("/help/method").text
    assert "Worked example" not in method
    assert "What is passed around" not in method
    assert "#claims" not in method


def test_the_list_of_assessments_counts_each_by_its_own_rulebook(app):
    client, browser = program(app), owner(app)
    begun(client, "Old")
    begun(client, "Lost")
    more = changed()
    asked = more["deployment.toml"][more["deployment.toml"].index("[[questions]]") :]
    again = next(each for each in asked.split("[[questions]]") if 'id = "P3"' in each)
    more["deployment.toml"] += "\n[[questions]]" + again.replace('"P3"', '"P9"')
    draft = upload(client, more)
    assert draft.status_code == 201, draft.text
    client.post(f"/api/v1/rulebooks/{draft.json()['checksum']}/publish")
    with parts_of(app).database.writing() as session, session.begin():
        session.add(
            StoredRulebook(checksum="0" * 64, version="0.9.0", files={}, shipped=True, published_at=None)
        )
        lost = update(Assessment).where(Assessment.name == "Lost")
        session.execute(lost.values(rulebook_checksum="0" * 64))
    page = browser.get("/assessments").text
    assert "22 of 22" in page
    assert "of 23" not in page
    assert "Rulebook not readable" in page
