"""The grader pages, as a browser without JavaScript uses them, with the real worker behind."""

import json
import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.web.grader_kinds import KINDS
from tests.weather import Weather, away
from tests.web.conftest import owner
from tests.web.graders_scene import GAMEABLE, ROWS, RULING
from tests.worker_process import TOKEN, WorkerProcess


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    process = WorkerProcess(tmp_path_factory.mktemp("worker"))
    yield process
    process.kill()


@pytest.fixture
def weather(worker: WorkerProcess) -> Weather:
    return Weather(worker)


@pytest.fixture
def app(make_app: Callable[..., FastAPI], weather: Weather) -> FastAPI:
    return make_app(weather, worker_token=TOKEN)


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return owner(app)


def stored(browser: TestClient, grader: dict) -> str:
    """The path of the grader's page."""
    answer = browser.post("/graders/new/json", data={"json": json.dumps(grader)})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def words(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send of the last form on the page, unchanged."""
    form = page[page.rindex("<form") :]
    sent = dict(re.findall(r'<input class="input[^>]*? name="([^"]+)"[^>]*? value="([^"]*)"', form))
    sent |= dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
    sent |= dict(re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n(.*?)</textarea>', form, re.S))
    for name, options in re.findall(r'<select[^>]* name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        sent[name] = chosen.group(1) if chosen else ""
    return {name: text.replace("&#34;", '"').replace("&amp;", "&") for name, text in sent.items()}


def test_an_empty_list_teaches_the_next_step(browser):
    page = browser.get("/graders")
    assert page.status_code == 200
    assert "No grader is stored yet" in page.text
    assert 'aria-current="page">Graders' in page.text


def test_every_kind_is_explained_and_has_a_form(browser):
    choices = browser.get("/graders/new").text
    for kind in KINDS.values():
        assert f'href="/graders/new/{kind.type}"' in choices
        page = browser.get(f"/graders/new/{kind.type}")
        assert page.status_code == 200
        for text in (kind.title, kind.sentence.split("`")[0], kind.weakness[:20]):
            assert text in page.text.replace("&#39;", "'")
        for field in kind.fields:
            place = {
                "messages": "input.0.content",
                "grader": f"{field.name}.choice",
                "graders": "graders.0.name",
            }
            assert f'name="{place.get(field.kind, field.name)}"' in page.text, field.name
    assert browser.get("/graders/new/magic").status_code == 404
    assert "class inheritance" in browser.get("/graders/new/python").text


def test_a_form_as_it_opens_is_stored_once_it_has_a_name(browser):
    sent = fields_of(browser.get("/graders/new/string_check").text)
    answer = browser.post("/graders/new/string_check", data=sent | {"name": "exact", "note": "labels"})
    assert answer.status_code == 303
    page = browser.get(answer.headers["location"])
    assert "version 1 of 1" in words(page)
    assert "labels" in page.text
    assert browser.get("/graders").text.count("Not yet: try it") == 1


def test_what_is_wrong_comes_back_with_what_was_typed(browser):
    sent = fields_of(browser.get("/graders/new/regex").text) | {"name": "mine", "pattern": "(?=x)"}
    page = browser.post("/graders/new/regex", data=sent)
    assert page.status_code == 422
    assert "<title>Error: " in page.text
    assert 'href="#pattern"' in page.text
    assert 'value="(?=x)"' in page.text
    assert "look-around" in page.text
    assert browser.get("/graders").text.count("<tbody>") == 0


def test_a_taken_name_and_an_absent_worker_are_told_on_the_form(browser, weather):
    stored(browser, RULING)
    again = browser.post("/graders/new/json", data={"json": json.dumps({**RULING, "match": "any"})})
    assert again.status_code == 422
    assert "add a version to it" in again.text
    weather.fault = away
    page = browser.post("/graders/new/json", data={"json": json.dumps({**RULING, "name": "other"})})
    assert "Nothing was stored; try again." in page.text


def test_a_change_is_a_version_with_its_difference(browser):
    path = stored(browser, RULING)
    sent = fields_of(browser.get(f"{path}/edit").text)
    assert browser.post(f"{path}/edit", data=sent).status_code == 422  # nothing was changed
    answer = browser.post(f"{path}/edit", data=sent | {"match": "first", "note": "the first counts"})
    assert answer.status_code == 303
    page = words(browser.get(answer.headers["location"]))
    assert "version 2 of 2" in page
    assert "match was last , is first" in page
    assert "the first counts" in page
    assert "Version 2 is the newest" in words(browser.get(path))


def test_the_json_of_any_grader_is_edited_as_a_whole(browser):
    path = stored(browser, RULING)
    sent = fields_of(browser.get(f"{path}/edit?kind=json").text)
    assert json.loads(sent["json"])["pattern"] == RULING["pattern"]
    changed = json.dumps(json.loads(sent["json"]) | {"match": "any"})
    assert browser.post(f"{path}/edit?kind=json", data={"json": changed}).status_code == 303
    renamed = json.dumps(json.loads(sent["json"]) | {"name": "other"})
    page = browser.post(f"{path}/edit?kind=json", data={"json": renamed})
    assert page.status_code == 422
    assert "to rename it, make a new grader" in page.text


def test_parts_are_chosen_from_stored_graders(browser):
    exact = stored(browser, {"type": "string_check", "name": "exact", "reference": "{{ item.answer }}"})
    sent = fields_of(browser.get("/graders/new/self_correction").text)
    sent |= {
        "name": "mends",
        "draft.json": json.dumps(RULING),
        "final.choice": f"grader:{exact.split('/')[-1]}",
    }
    answer = browser.post("/graders/new/self_correction", data=sent)
    assert answer.status_code == 303, words(answer)
    page = browser.get(f"{answer.headers['location']}/edit").text
    assert re.search(r'value="grader:[^"]*" selected>exact, version 1', page)


def test_attacking_a_gameable_grader_is_told_on_its_page_and_in_the_list(browser):
    path = stored(browser, GAMEABLE)
    lines = "\n".join(json.dumps({"prompt": row["prompt"], **row["item"]}) for row in ROWS)
    answer = browser.post(f"{path}/try", data={"action": "attack", "rows": lines})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}#tried")
    page = words(browser.get(path))
    assert "attacks pay" in page
    assert "A list of every label earns 100 %: naming all possibilities is rewarded." in page
    assert "4 pasted rows" in page
    assert re.search(r"\d of 9 attacks pay", words(browser.get("/graders")))


def test_a_generated_dataset_is_attacked_on(browser):
    path = stored(browser, RULING)
    assert (
        browser.post(f"{path}/try", data={"action": "attack", "dataset": "generated:rulings"}).status_code
        == 303
    )
    assert "the first 5 rows of Rulings" in words(browser.get(path))


def compare(browser: TestClient, path: str, content: bytes, **typed: str):
    files = {"file": ("scores.csv", content, "text/csv")}
    return browser.post(f"{path}/try", data={"action": "compare"} | typed, files=files)


def test_agreement_with_experts_is_shown(browser):
    path = stored(browser, RULING)
    rows = [("void", "void", 5), ("void", "lawful", 1), ("lawful", "lawful", 4), ("void", "remanded", 5)]
    content = "answer;score;label\n" + "\n".join(f"Ruling: {said};{s};{label}" for said, label, s in rows)
    graded_by_label = json.dumps({**RULING, "reference": "{{ item.label }}"})
    assert browser.post(f"{path}/edit?kind=json", data={"json": graded_by_label}).status_code == 303
    newest = re.search(r'/graders/([0-9a-f-]{36})"[^>]*>ruling', browser.get("/graders").text)
    assert newest
    path = f"/graders/{newest.group(1)}"
    assert compare(browser, path, content.encode()).status_code == 303
    page = words(browser.get(path))
    assert "It fails 1 that the experts call right." in page
    assert "4 answers that both scored" in page
    assert "Experts call an answer right from 3." in page


BAD_FILES = [
    (b"", "The file is empty."),
    (b"answer,score\n", "no rows"),
    (b"text,score\na,1\n", "columns “answer” and “score”"),
    (b"answer,score\na,high\n", "Line 2: needs a number as “score”"),
    (b"answer,score\na,1,7\n", "Line 2"),
    (b'answer,score\n"a,1\n', "breaks off"),
    (b"answer,Answer,score\na,b,1\n", "same name"),
    (b"\xff\xfea\x00", "not UTF-8"),
    (b'{"answer": "a", "score": 1}\nnonsense\n', "Line 2"),
    (b'{"answer": 1, "score": 1}\n', "needs a text as “answer”"),
    (b'{"answer": "a", "score": NaN}\n', "NaN"),
    (b"answer,score\n" + b"a,1\n" * 1001, "over 1,000 answers"),
    (b"answer,score\n" + b"a" * 600_000, "larger than 500,000 bytes"),
]


def test_a_bad_file_of_scores_is_a_sentence(browser):
    path = stored(browser, RULING)
    for content, said in BAD_FILES:
        page = compare(browser, path, content)
        assert page.status_code == 422, content[:40]
        assert said in words(page), content[:40]


def test_no_file_and_a_bad_threshold_are_sentences(browser):
    path = stored(browser, RULING)
    page = browser.post(f"{path}/try", data={"action": "compare"})
    assert "Choose a file with answers" in page.text
    page = compare(browser, path, b"answer,score\na,1\n", expert_pass="high")
    assert "must be a number with a point" in page.text


def test_single_answers_are_scored_at_once(browser):
    path = stored(browser, RULING)
    one = {"action": "score", "answer": "Ruling: void", "item": '{"answer": "void"}'}
    page = browser.post(f"{path}/try", data=one)
    assert page.status_code == 200
    assert "It scores 100 %" in words(page)
    assert "Ruling: void" in page.text
    lines = (
        '{"output_text": "Ruling: void", "item": {"answer": "void"}}\n{"output_text": "<b>x</b>", "item": {}}'
    )
    page = browser.post(f"{path}/try", data={"action": "score", "several": lines})
    assert "2 answers, scored" in words(page)
    assert "Failed : the row has no `item.answer`" in words(page)
    assert "<b>x</b>" not in page.text


BAD_TRIALS = [
    ({"action": "score", "answer": "x", "item": "["}, "The JSON cannot be used"),
    ({"action": "score", "answer": "x", "item": "[]"}, "must be a JSON object"),
    ({"action": "score", "several": '{"score": 1}'}, "needs a text as “output_text”"),
    ({"action": "score", "several": "x"}, "Line 1"),
    ({"action": "score", "several": '{"answer": "x"}\n' * 101}, "too much to try at once"),
    ({"action": "score", "run": "yesterday's"}, "Choose a run from the list."),
    ({"action": "score", "run": str(uuid4())}, "no run here"),
    ({"action": "attack"}, "Choose a dataset, or paste rows."),
    ({"action": "attack", "dataset": "generated:../../etc"}, "Choose a dataset"),
    ({"action": "attack", "dataset": f"uploaded:{'0' * 64}"}, "no dataset with this hash"),
    ({"action": "attack", "rows": "{}\n" * 21}, "too much to try at once"),
    ({"action": "dance"}, "Choose what to try."),
    ({}, "Choose what to try."),
]


def test_what_cannot_be_tried_is_a_sentence_on_the_page(browser):
    path = stored(browser, RULING)
    for sent, said in BAD_TRIALS:
        page = browser.post(f"{path}/try", data=sent)
        assert page.status_code == 422, sent
        assert said in words(page), sent


def test_notes_change_and_graders_are_deleted_after_a_question(browser):
    path = stored(browser, RULING)
    assert browser.post(f"{path}/note", data={"note": "for labels <b>"}).status_code == 303
    assert "for labels &lt;b&gt;" in browser.get(path).text
    assert browser.post(f"{path}/note", data={"note": "x" * 2001}).status_code == 422
    assert "its one version" in browser.get(f"{path}/delete").text
    assert browser.post(f"{path}/delete").headers["location"] == "/graders"
    for gone in (path, f"{path}/edit", f"{path}/try", f"{path}/delete"):
        assert browser.get(gone).status_code == 404
