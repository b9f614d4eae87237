"""Two tabs, one assessment: what they do at the same moment happens one after the other."""

from concurrent.futures import ThreadPoolExecutor

from app.models import Milestone, StoredAnswer
from tests.web.conftest import api_key, parts_of, stranger


def client_of(app):
    client = stranger(app)
    client.headers["Authorization"] = f"Bearer {api_key(app)}"
    return client


def test_first_answers_and_freezes_that_come_together_all_succeed_and_leave_one_row_each(on_both):
    client = client_of(on_both)
    address = f"/api/v1/assessments/{client.post('/api/v1/assessments', json={'name': 'Legal'}).json()['id']}"
    with ThreadPoolExecutor(8) as tabs:
        answered = list(
            tabs.map(lambda _: client.put(f"{address}/answers/O1", json="self_correction"), range(8))
        )
        frozen = list(tabs.map(lambda _: client.post(f"{address}/recommendation"), range(8)))
    assert {answer.status_code for answer in answered} == {200}
    assert {answer.status_code for answer in frozen} <= {200, 201}
    with parts_of(on_both).database.reading() as session:
        assert session.query(StoredAnswer).count() == 1
        numbers = [milestone.number for milestone in session.query(Milestone).order_by(Milestone.number)]
    assert numbers == list(range(1, len(numbers) + 1))
