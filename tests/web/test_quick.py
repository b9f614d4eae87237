"""The quick check and the question that matters most, as pages."""

import re

import pytest

from app.advisor.quick import deciding
from app.main import read_rulebook
from tests.web.conftest import owner, stranger

RULEBOOK = read_rulebook()
EXAMPLES = {example.id: example for example in RULEBOOK.examples}


@pytest.fixture
def visit(browser):
    """Follows redirects; answers the address and the text."""

    def get(address):
        answer = browser.get(address)
        while answer.status_code == 303:
            address = answer.headers["location"]
            answer = browser.get(address)
        assert answer.status_code == 200
        return address, answer.text

    return get


def begin(browser, name=""):
    answer = browser.post("/quick", data={"name": name})
    assert answer.status_code == 303
    return answer.headers["location"]


def reply(browser, address, given):
    """Answers the question page at this address as its form does; where it leads."""
    page, _, query = address.partition("?")
    form = given if isinstance(given, dict) else {"choice": given}
    if form.get("choice") == "not_applicable":
        form = {"choice": "not_applicable", "reason": form.get("note") or "There is none."}
    answer = browser.post(page, data=dict(form) | {"then": query.removeprefix("then=")})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def question_of(address):
    return re.search(r"/q/(\w+)", address)[1]


def test_a_quick_check_needs_to_be_signed_in(app):
    assert stranger(app).get("/quick").headers["location"].startswith("/login?next=")
    assert owner(app).get("/quick").status_code == 200
    assert "/quick" in stranger(app).get("/").text


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_asks_deciding_questions_only_and_stops_saying_why(browser, visit, example):
    answers = EXAMPLES[example].answers
    address, asked = begin(browser, example), []
    address, text = visit(address)
    while "/q/" in address:
        assert "Quick check" in text
        asked.append(question_of(address))
        address, text = visit(reply(browser, address, answers.get(asked[-1]) or "unknown"))
    known = {question.id for question in deciding(RULEBOOK)}
    assert asked
    assert len(set(asked)) == len(asked)
    assert set(asked) <= known
    if set(asked) < known:
        assert ("You can stop here." in text) != ("What you do not know could still change it" in text)
    assert "<strong>Strong.</strong>" not in text
    assert f"ask {22 - len(asked)} more questions" in text


def test_the_rest_can_be_answered_anyway(browser, visit):
    address, _ = visit(begin(browser))
    while "/q/" in address:
        answers = EXAMPLES["contract_clauses"].answers
        address, text = visit(reply(browser, address, answers[question_of(address)]))
    assert "Answer the rest anyway" in text
    address, text = visit(address.partition("?")[0] + "?rest=true")
    while "/q/" in address:
        assert address.endswith("then=rest")
        address, text = visit(reply(browser, address, "unknown"))
    assert "Answer the rest anyway" not in text


def test_it_can_be_stopped_and_taken_up_again_and_leads_to_the_whole_questionnaire(browser, visit):
    start = begin(browser, "Letters")
    first, _ = visit(start)
    stopped, text = visit(f"{start}?stop=true")
    assert stopped == f"{start}?stop=true"
    assert "Go on with the quick check" in text
    assert visit(start)[0] == first
    overview = start.removesuffix("/quick")
    assert "Letters" in browser.get(overview).text


def test_a_name_is_made_up_where_none_is_given_and_refused_where_it_hides_something(browser):
    start = begin(browser)
    assert "Quick check of" in browser.get(start.removesuffix("/quick")).text
    answer = browser.post("/quick", data={"name": "a\u202eb"})
    assert answer.status_code == 422
    assert "U+202E" in answer.text


# The question that matters most


def test_the_overview_leads_to_the_question_that_matters_most_and_back(browser):
    new = browser.post("/assessments/new", data={"name": "X", "example": "legal_reasoning"})
    overview = new.headers["location"]
    assert "No question is open" in browser.get(overview).text
    assert reply(browser, f"{overview}/q/D3?then=overview", "unknown") == overview
    assert f"{overview}/q/D3?then=overview" in browser.get(overview).text


def test_an_answer_asked_for_on_the_result_page_leads_back_to_it(browser):
    new = browser.post("/assessments/new", data={"name": "X", "example": "legal_reasoning"})
    overview = new.headers["location"]
    reply(browser, f"{overview}/q/D3?then=overview", "unknown")
    browser.post(f"{overview}/result")
    assert f"{overview}/q/D3?then=result" in browser.get(f"{overview}/result").text
    assert reply(browser, f"{overview}/q/D3?then=result", "exact_match") == f"{overview}/result"


def test_nobody_is_sent_elsewhere_by_an_invented_way_back(browser):
    new = browser.post("/assessments/new", data={"name": "X"})
    overview = new.headers["location"]
    assert reply(browser, f"{overview}/q/O1?then=https://evil.test", "unknown") == f"{overview}/q/O2"


# Starting


@pytest.mark.parametrize(
    ("start", "leads"), [("blank", ""), ("quick", "/quick"), ("describe", "/describe"), ("example", "")]
)
def test_each_way_to_start_leads_where_it_says(browser, start, leads):
    form = {"name": "X", "start": start, "example": "contract_clauses"}
    address = browser.post("/assessments/new", data=form).headers["location"]
    assert re.fullmatch(rf"/assessments/[0-9a-f-]{{36}}{leads}", address)
    text = browser.get(address.removesuffix(leads) if leads else address).text
    assert ("Answered 22 of 22" in text) == (start == "example")


def test_examples_are_grouped_by_what_they_are_advised(browser):
    text = browser.get("/assessments/new?example=contract_clauses").text
    assert '<option value="contract_clauses" selected>' in text
    assert re.search(r'id="start-example"[^>]* checked', text)
    groups = re.findall(r'<optgroup label="([^"]+)">', text)
    assert len(groups) == len(set(groups)) == len({example.plan for example in RULEBOOK.examples})
