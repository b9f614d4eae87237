"""The page about the method is the rulebook: nothing of it is left out, and nothing is said in code."""

import re
from html import unescape

import pytest
from fastapi.testclient import TestClient

from app.main import read_rulebook


@pytest.fixture(scope="module")
def rulebook():
    return read_rulebook()


@pytest.fixture
def page(app):
    answer = TestClient(app, base_url="http://localhost").get("/help/method")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", unescape(answer.text))


def test_everything_of_the_rulebook_is_on_it(page, rulebook):
    settings = [setting for group in rulebook.plan.settings.values() for setting in group]
    for question in rulebook.questions.values():
        assert question.text in page
        assert all(choice.because in page for choice in question.choices)
    assert all(gate.lift in page for gate in rulebook.gates)
    assert all(monitor.threshold in page for monitor in rulebook.monitors)
    assert all(setting.why in page for setting in settings)
    assert all(source.finding in page for source in rulebook.evidence.values())
    for claim in rulebook.claims:
        assert claim.claim in page
        assert claim.wording in page
        assert claim.what_we_do in page


def test_every_address_on_it_leads_somewhere(page):
    anchors = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors


def test_conditions_are_told_in_words(page):
    told = re.sub(r"<code.*?</code>|<[^>]*>", " ", page)
    assert set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", told)) == set()


def test_the_worked_example_adds_up(page, rulebook):
    share = re.search(r"Its largest part is .*?: (\d\.\d+) × ([+−]\d\.\d+) ÷ ([\d.]+) = ([+−]\d\.\d+)", page)
    weight, effect, most, part = (float(each.replace("−", "-")) for each in share.groups())
    assert part == pytest.approx(weight * effect / most, abs=0.006)


def test_long_parts_are_folded_under_their_headings_with_the_verdict_in_sight(page, rulebook):
    verdicts = {"holds": "Holds", "holds_in_part": "Holds in part", "contradicted": "Contradicted"}
    verdicts["unsupported"] = "Unsupported"
    headings = dict(re.findall(r"<summary><h3>(.*?) ?(?:<span class=\"caption\">(.*?)</span>)?</h3>", page))
    for claim in rulebook.claims:
        assert headings[claim.claim] == verdicts[claim.verdict]
    assert all(question.text in headings for question in rulebook.questions.values())
