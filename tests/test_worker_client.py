"""Whatever stands where the worker should be, the web hears only its own words."""

from uuid import uuid4

import httpx
import pytest

from app import errors
from app.errors import TuningForkError, WorkerAway
from app.protocol import RunSpec, StarterModel, StarterRecipe
from app.worker_client import WorkerClient
from tests.weather import answering, away, slow


def raising(error: type[httpx.HTTPError]):
    def fault(request: httpx.Request) -> httpx.Response:
        raise error("weather")

    return fault


CONNECTION = httpx.TransportError | httpx.TooManyRedirects | httpx.DecodingError

HTTP_ERRORS = [
    kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, CONNECTION)
]

REFUSALS = [name for name, kind in errors.BY_NAME.items() if kind.status in range(400, 500)] + ["Unavailable"]
REFUSALS = [name for name in REFUSALS if errors.BY_NAME[name].status not in (401, 403)]
"""A worker that refuses the web's token is told as an absent one."""

BROKEN = {
    "away": away,
    "slow": slow,
    "500 without a body": answering(500, b""),
    "502 in HTML": answering(502, b"<html>Bad gateway</html>", "text/html"),
    "404 of somebody else": answering(404, b"<html>Not found</html>", "text/html"),
    "200 in HTML": answering(200, b"<html>Welcome</html>", "text/html"),
    "half an answer": answering(200, b'{"id": "'),
    "an answer of another version": answering(200, b'{"surprise": 1}'),
    "nothing": answering(200, b""),
    "NaN": answering(200, b'{"at": NaN}'),
    "a redirect": answering(302, b""),
    "a redirect elsewhere": lambda request: httpx.Response(302, headers={"location": "http://evil.test"}),
    "the wrong token": answering(401, b'{"error": "NotSignedIn", "detail": "Send the token."}'),
    "its own failure": answering(500, b'{"error": "TuningForkError", "detail": "Something went wrong."}'),
    "503 in HTML": answering(503, b"<html>Try later</html>", "text/html"),
}

SPEC = RunSpec(name="The starter model", model=StarterModel(), recipe=StarterRecipe())


def client(fault) -> WorkerClient:
    return WorkerClient("http://worker", "token", httpx.MockTransport(fault))


@pytest.mark.parametrize("weather", BROKEN)
def test_broken_weather_is_an_absent_worker(weather):
    broken = client(BROKEN[weather])
    asked = [
        broken.health,
        broken.runs,
        broken.models,
        lambda: broken.put_run(uuid4(), SPEC),
        lambda: broken.events(uuid4(), 0),
        lambda: broken.cancel(uuid4()),
        lambda: broken.artifacts(uuid4()),
    ]
    for ask in asked:
        with pytest.raises(WorkerAway) as told:
            ask()
        assert told.value.sentence.endswith((".", "?", ")."))
    broken.close()


@pytest.mark.parametrize("error", HTTP_ERRORS, ids=lambda error: error.__name__)
def test_every_failure_of_the_connection_is_an_absent_worker(error):
    broken = client(raising(error))
    with pytest.raises(WorkerAway):
        broken.runs()
    broken.close()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_the_worker_is_raised_again_as_itself(name):
    body = f'{{"error": "{name}", "detail": "No.", "problems": [{{"where": "line 1", "what": "odd"}}]}}'
    refusing = client(answering(errors.BY_NAME[name].status, body.encode()))
    with pytest.raises(TuningForkError) as told:
        refusing.run(uuid4())
    assert type(told.value) is errors.BY_NAME[name]
    assert (told.value.sentence, told.value.problems[0].where) == ("No.", "line 1")
    refusing.close()


def test_a_download_that_breaks_off_is_not_taken_for_whole():
    class Torn(httpx.SyncByteStream):
        def __iter__(self):
            yield b"first half"
            raise httpx.ReadError("gone")

    torn = client(lambda request: httpx.Response(200, stream=Torn()))
    parts = torn.artifact(uuid4(), "model.zip")
    with pytest.raises(WorkerAway):
        list(parts)
    torn.close()


def test_a_worker_needs_a_token():
    with pytest.raises(ValueError, match="WORKER_TOKEN"):
        WorkerClient("http://worker", "")


def test_deleting_what_is_gone_is_no_failure():
    gone = client(answering(404, b'{"error": "NotFound", "detail": "There is no such run."}'))
    gone.delete_run(uuid4())
    gone.delete_dataset("0" * 64)
    gone.close()
