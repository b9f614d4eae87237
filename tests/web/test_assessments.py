"""The list of assessments, a page at a time."""

import re


def names(browser, page):
    return re.findall(
        r'<a href="/assessments/[0-9a-f-]{36}">(\d+)</a>', browser.get(f"/assessments{page}").text
    )


def test_the_newest_come_first_and_the_others_on_further_pages(api, browser):
    for number in range(27):
        assert api.post("/api/v1/assessments", json={"name": str(number)}).status_code == 201
    assert names(browser, "") == [str(number) for number in range(26, 1, -1)]
    assert names(browser, "?page=2") == ["1", "0"]
    assert names(browser, "?page=99") == ["1", "0"]
    assert "Page 1 of 2" in browser.get("/assessments").text


def test_a_page_that_is_no_number_is_refused_in_words(browser):
    assert browser.get("/assessments?page=first").status_code == 422
