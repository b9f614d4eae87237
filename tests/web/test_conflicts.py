"""Two edits of one answer: the later one sees both, and nothing that was typed is lost."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.web.conftest import owner, program
from tests.web.test_records import begun, page_of


def question(browser, address, name="D3"):
    place = f"{page_of(address)}/q/{name}"
    return place, re.search(r'name="revision" value="([\w-]+)"', browser.get(place).text)[1]


def stored(client, address, name="D3"):
    return client.get(f"{address}/answers/{name}").json()


def test_the_second_of_two_tabs_sees_both_answers_and_decides(on_both):
    client, browser = program(on_both), owner(on_both)
    address = begun(client)
    place, revision = question(browser, address)
    first = {"choice": "run_it", "note": "We run the tests.", "revision": revision}
    assert browser.post(place, data=first).status_code == 303
    second = {
        "choice": "cannot",
        "note": "Nobody can.",
        "evidence": "https://b.example/x",
        "revision": revision,
    }
    page = browser.post(place, data=second)
    assert page.status_code == 409
    for text in ("We run the tests.", "Nobody can.", "https://b.example/x", "Saved on", "Keep both notes"):
        assert text in page.text
    assert stored(client, address)["answer"] == {"choice": "run_it", "note": "We run the tests."}
    newer = re.search(r'name="revision" value="([\w-]+)"', page.text)[1]
    settled = second | {"revision": newer, "keep": "mine", "both_notes": "yes"}
    assert browser.post(place, data=settled).status_code == 303
    assert stored(client, address)["answer"] == {
        "choice": "cannot",
        "note": "We run the tests.\n\nNobody can.",
        "evidence": "https://b.example/x",
    }


def test_the_stored_answer_can_be_kept_with_both_notes_or_as_it_is(api, browser):
    address = begun(api)
    place, revision = question(browser, address)
    browser.post(place, data={"choice": "run_it", "note": "First.", "revision": revision})
    mine = {
        "choice": "cannot",
        "note": "Second.",
        "revision": question(browser, address)[1],
        "keep": "theirs",
    }
    assert browser.post(place, data=mine).status_code == 303
    assert stored(api, address)["answer"] == {"choice": "run_it", "note": "First."}
    assert browser.post(place, data=mine | {"both_notes": "yes"}).status_code == 303
    assert stored(api, address)["answer"] == {"choice": "run_it", "note": "First.\n\nSecond."}


def test_a_third_change_while_deciding_is_a_conflict_again(api, browser):
    address = begun(api)
    place, revision = question(browser, address)
    browser.post(place, data={"choice": "run_it", "revision": revision})
    _, seen = question(browser, address)
    api.put(f"{address}/answers/D3", json="exact_match")
    settled = {"choice": "cannot", "note": "Typed.", "revision": seen, "keep": "mine"}
    page = browser.post(place, data=settled)
    assert page.status_code == 409
    assert "Typed." in page.text


def test_the_same_answer_twice_and_a_form_without_revision_are_no_conflict(api, browser):
    address = begun(api)
    place, revision = question(browser, address)
    for data in ({"choice": "run_it", "revision": revision}, {"choice": "run_it", "revision": revision}):
        assert browser.post(place, data=data).status_code == 303
    assert browser.post(place, data={"choice": "cannot"}).status_code == 303
    for odd in ("x", "9" * 40, "²", "", "1-"):
        assert browser.post(place, data={"choice": "run_it", "revision": odd}).status_code == 409


def test_two_first_answers_are_a_conflict_too(api, browser):
    address = begun(api, answers={})
    place, revision = question(browser, address)
    assert revision == "0"
    browser.post(place, data={"choice": "run_it", "revision": revision})
    assert browser.post(place, data={"choice": "cannot", "revision": revision}).status_code == 409


def test_notes_that_do_not_fit_together_come_back_as_typed(api, browser):
    address = begun(api)
    place, revision = question(browser, address)
    browser.post(place, data={"choice": "run_it", "note": "a" * 1500, "revision": revision})
    settled = {
        "choice": "cannot",
        "note": "b" * 1500,
        "revision": question(browser, address)[1],
        "keep": "mine",
        "both_notes": "yes",
    }
    page = browser.post(place, data=settled)
    assert page.status_code == 422
    assert "a" * 1500 in page.text
    assert "b" * 1500 in page.text


def test_quantities_and_reasons_survive_a_conflict(api, browser):
    address = begun(api)
    place, revision = question(browser, address, "C1")
    browser.post(place, data={"choice": "unknown", "note": "Later.", "revision": revision})
    mine = {"parameters_b": "7", "gpus": "2", "tuning": "lora", "note": "Two cards.", "revision": revision}
    page = browser.post(place, data=mine)
    assert page.status_code == 409
    fields = dict(re.findall(r'<textarea name="(\w+)" hidden>\s*([^<]*)</textarea>', page.text))
    assert fields == {"parameters_b": "7", "gpus": "2", "tuning": "lora", "note": "Two cards."}
    reason = {"choice": "not_applicable", "reason": "No GPUs.", "note": "Ask Kim.", "revision": revision}
    page = browser.post(place, data=reason)
    assert "No GPUs." in page.text
    settled = reason | {"revision": question(browser, address, "C1")[1], "keep": "mine", "both_notes": "yes"}
    assert browser.post(place, data=settled).status_code == 303
    assert stored(api, address, "C1")["answer"] == {
        "choice": "not_applicable",
        "note": "No GPUs.\nLater.\n\nAsk Kim.",
    }


def test_an_answer_withdrawn_and_begun_anew_is_not_taken_for_the_one_that_was_read(api, browser):
    address = begun(api, answers={})
    api.post(f"{address}/recommendation")
    first = api.put(f"{address}/answers/D3", json="cannot")
    place, revision = question(browser, address)
    assert browser.post(f"{page_of(address)}/milestones/1/restore").status_code == 303
    assert api.put(f"{address}/answers/D3", json="run_it").json()["revision"] == first.json()["revision"] == 1
    assert browser.post(place, data={"choice": "exact_match", "revision": revision}).status_code == 409
    late = api.put(f"{address}/answers/D3", json="exact_match", headers={"If-Match": first.headers["etag"]})
    assert late.status_code == 412


def test_weights_changed_in_another_tab_are_shown_beside_those_that_were_typed(on_both):
    client, browser = program(on_both), owner(on_both)
    address = begun(client)
    place = f"{page_of(address)}/weights"
    loaded = re.search(r'name="loaded" value="(\w+)"', browser.get(place).text)[1]
    points = dict.fromkeys(("objective", "data", "stability", "compute", "deployment"), "20")
    assert browser.post(place, data=points | {"loaded": loaded}).status_code == 303
    assert browser.post(place, data=points | {"loaded": loaded}).status_code == 303
    late = browser.post(place, data=points | {"data": "70", "loaded": loaded})
    assert late.status_code == 409
    assert "changed while this page was open" in late.text
    assert 'value="70"' in late.text
    assert client.get(address).json()["weights"]["data"] == 20
    reset = browser.post(place, data={"reset": "yes", "loaded": loaded})
    assert reset.status_code == 409
    seen = re.search(r'name="loaded" value="(\w+)"', late.text)[1]
    assert browser.post(place, data=points | {"data": "70", "loaded": seen}).status_code == 303
    assert client.get(address).json()["weights"]["data"] == 70


# Over the API


def test_an_answer_is_changed_only_as_it_was_read(on_both):
    client = program(on_both)
    address = begun(client)
    place = f"{address}/answers/D3"
    read = client.get(place)
    etag = read.headers["etag"]
    assert etag.startswith(f'"{read.json()["revision"]}-')
    first = client.put(place, json="run_it", headers={"If-Match": etag})
    assert first.status_code == 200
    assert first.headers["etag"] != etag
    late = client.put(place, json="cannot", headers={"If-Match": etag})
    assert late.status_code == 412
    assert late.headers["etag"] == first.headers["etag"]
    assert late.json()["present"]["answer"] == "run_it"
    assert late.headers["content-type"] == "application/problem+json"
    assert client.put(place, json="run_it", headers={"If-Match": etag}).status_code == 200
    assert (
        client.put(place, json="cannot", headers={"If-Match": f'"7", {first.headers["etag"]}'}).status_code
        == 200
    )
    assert client.put(place, json="run_it").status_code == 200
    assert client.put(place, json="cannot", headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize("tag", ["3", "", '"', "W/", "'3'"])
def test_a_condition_that_is_no_etag_is_refused(api, tag):
    assert api.put(f"{begun(api)}/answers/D3", json="cannot", headers={"If-Match": tag}).status_code == 400


def test_a_weak_tag_never_matches(api):
    place = f"{begun(api)}/answers/D3"
    weak = f"W/{api.get(place).headers['etag']}"
    assert api.put(place, json="cannot", headers={"If-Match": weak}).status_code == 412


def test_what_is_not_answered_has_revision_0(api):
    place = f"{begun(api, answers={})}/answers/D3"
    assert api.get(place).json() == {"question": "D3", "answer": None, "revision": 0}
    assert api.put(place, json="cannot", headers={"If-Match": '"0"'}).status_code == 200
    assert api.put(place, json="run_it", headers={"If-Match": '"0"'}).status_code == 412
    assert api.get(place.replace("D3", "X9")).status_code == 404


def test_an_assessment_is_changed_only_as_it_was_read(on_both):
    client = program(on_both)
    address = begun(client)
    etag = client.get(address).headers["etag"]
    changed = client.patch(address, json={"name": "Other"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] == client.get(address).headers["etag"] != etag
    late = client.patch(address, json={"name": "Third"}, headers={"If-Match": etag})
    assert late.status_code == 412
    assert late.json()["present"]["name"] == "Other"


def test_of_six_that_read_the_same_answer_one_changes_it(on_both):
    client = program(on_both)
    address = begun(client)
    place = f"{address}/answers/D3"
    etag = client.get(place).headers["etag"]
    choices = ["cannot", "judge_free_form", "judge_with_rubric", "reward_model", "run_it", "logged_outcome"]
    with ThreadPoolExecutor(6) as tabs:
        told = list(
            tabs.map(lambda choice: client.put(place, json=choice, headers={"If-Match": etag}), choices)
        )
    statuses = [answer.status_code for answer in told]
    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]
    winner = choices[statuses.index(200)]
    assert client.get(place).json()["answer"] == winner
    assert all(answer.json()["present"]["answer"] == winner for answer in told if answer.status_code == 412)
