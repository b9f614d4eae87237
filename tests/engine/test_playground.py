"""The playground under a real worker: two micro models side by side, until nobody listens any more."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe

from app.protocol import EvaluationPlan, LocalModel, RunSpec, UploadedDataset
from app.settings import WebSettings
from tests.browser.conftest import RULES
from tests.browser.served import serving
from tests.engine.conftest import COLOURS, NAMES_THE_COLOUR, sft_recipe
from tests.worker_process import PATIENCE_SECONDS, TOKEN, WorkerProcess, eventually

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, long_model: Path) -> Iterator[WorkerProcess]:
    started = WorkerProcess(
        tmp_path_factory.mktemp("worker"), engine_module="app.engine", models_dir=str(long_model.parent)
    )
    yield started
    started.kill_every_engine()
    started.stop()


@pytest.fixture(scope="module")
def long_model(micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro model with room for answers that take their time."""
    folder = tmp_path_factory.mktemp("long") / "micro"
    folder.mkdir()
    for file in micro_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 100_000}))
    return folder


@pytest.fixture(scope="module")
def site(
    worker: WorkerProcess, tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path
) -> Iterator[str]:
    """The web service in front of the worker, over real sockets."""
    data = tmp_path_factory.mktemp("web")
    shutil.copy(_migrated_sqlite, data / "tuning-fork.db")
    settings = WebSettings(
        data_dir=data,
        sign_in="off",
        worker_url=f"http://127.0.0.1:{worker.port}",
        worker_token=TOKEN,
        sync_seconds=0.5,
    )
    with serving(settings) as address:
        yield address


@pytest.fixture(scope="module")
def run(site: str, worker: WorkerProcess, demonstrations: Path) -> UUID:
    """Launched through the web, so that both know it."""
    uploaded = httpx.post(
        f"{site}/api/v1/datasets?name=colours",
        content=demonstrations.read_bytes(),
        headers={"Content-Type": "application/jsonl"},
        timeout=PATIENCE_SECONDS,
    )
    uploaded.raise_for_status()
    spec = RunSpec(
        name="a test",
        model=LocalModel(name="micro"),
        dataset=UploadedDataset(sha256=uploaded.json()["sha256"]),
        grader=NAMES_THE_COLOUR,
        recipe=sft_recipe(epochs=20),
        evaluation=EvaluationPlan(items=10, max_completion_length=8, samples_shown=10, checks=0),
    )
    launched = httpx.post(f"{site}/api/v1/runs", json=json.loads(spec.model_dump_json(by_alias=True)))
    launched.raise_for_status()
    run_id = UUID(launched.json()["runs"][0]["id"])
    eventually(lambda: worker.http.get(f"/runs/{run_id}").is_success, "the run on the worker")
    assert worker.until_over(run_id).state.value == "succeeded"
    eventually(lambda: httpx.get(f"{site}/api/v1/runs/{run_id}").json()["is_over"], "the end in the web")
    return run_id


def asked(worker: WorkerProcess, run_id: UUID, **question: object) -> list[dict]:
    return list(lines(worker, run_id, **question))


def lines(worker: WorkerProcess, run_id: UUID, **question: object) -> Iterator[dict]:
    with worker.http.stream(
        "POST", f"/runs/{run_id}/playground", json=question, timeout=PATIENCE_SECONDS
    ) as answer:
        if answer.is_error:
            answer.read()
        answer.raise_for_status()
        for line in answer.iter_lines():
            yield json.loads(line)


def answers(said: list[dict]) -> dict[str, dict]:
    return {line["side"]: line for line in said if line["kind"] == "answered"}


def playground_of(worker: WorkerProcess) -> list[psutil.Process]:
    children = psutil.Process(worker._process.pid).children()
    return [child for child in children if "app.engine.playground" in child.cmdline()]


def test_both_models_answer_the_same_question_token_by_token(worker, run):
    said = asked(worker, run, prompt="item 3: red?", temperature=0.0, max_tokens=8)
    assert next(line["kind"] for line in said if line["kind"] != "waiting") == "asked"
    assert said[-1]["kind"] == "finished"
    both = answers(said)
    assert both["tuned"]["text"] in ("red", "green", "blue", "black", "white")
    assert both["base"]["text"] != both["tuned"]["text"]
    for side, answer in both.items():
        tokens = [line["text"] for line in said if line["kind"] == "token" and line["side"] == side]
        assert "".join(tokens) == answer["text"]
        assert len(tokens) == len(answer["text"])
        assert answer["outcome"] is None


def test_a_held_out_row_is_asked_as_it_stands_and_graded(worker, run):
    (after,) = (
        event.what.evaluation
        for event in worker.page(run).events
        if event.what.kind == "evaluation" and event.what.evaluation.when == "after"
    )
    sample = after.samples[2]
    said = asked(worker, run, item=sample.item, temperature=0.0, max_tokens=8)
    assert next(line for line in said if line["kind"] == "asked")["prompt"] == sample.prompt
    both = answers(said)
    assert {answer["outcome"]["kind"] for answer in both.values()} == {"score"}
    assert both["tuned"]["outcome"]["value"] == float(both["tuned"]["text"] == sample.reference)


def test_a_seed_makes_an_answer_come_again(worker, run):
    texts = [
        answers(asked(worker, run, prompt="say anything", max_tokens=12, seed=seed))["base"]["text"]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_row_that_is_not_there_and_a_prompt_that_is_too_long_are_told(worker, run):
    said = asked(worker, run, item=10_000)
    assert said[-1] == {"kind": "trouble", "sentence": said[-1]["sentence"]}
    assert "held-out row 10000" in said[-1]["sentence"]
    assert asked(worker, run, prompt="red?", max_tokens=2)[-1]["kind"] == "finished"


@pytest.mark.parametrize(
    "question", [{}, {"prompt": " "}, {"prompt": "x", "temperature": 9}, {"prompt": "x", "max_tokens": 0}]
)
def test_a_question_that_asks_nothing_is_refused(worker, run, question):
    answer = worker.http.post(f"/runs/{run}/playground", json=question)
    assert answer.status_code == 422


@contextmanager
def held_up(worker: WorkerProcess) -> Iterator[None]:
    """However fast the machine is, the answer that was begun is not over meanwhile."""
    (child,) = playground_of(worker)
    child.suspend()
    yield
    child.resume()


def test_hanging_up_stops_the_answer_and_the_next_question_is_answered(worker, run):
    stream = lines(worker, run, prompt="never end", max_tokens=4096, temperature=2.0)
    while next(stream)["kind"] != "token":
        pass
    with held_up(worker), pytest.raises(httpx.HTTPStatusError) as busy:
        asked(worker, run, prompt="red?")
    assert busy.value.response.status_code == 409
    assert "another question" in busy.value.response.json()["detail"]
    stream.close()

    assert asked(worker, run, prompt="item 3: red?", max_tokens=1)[-1]["kind"] == "finished"


def test_the_models_leave_after_a_while_and_come_back_when_asked(worker, run):
    assert asked(worker, run, prompt="red?", max_tokens=2)[-1]["kind"] == "finished"
    (child,) = playground_of(worker)
    assert child.nice() > 0
    child.kill()
    eventually(lambda: not child.is_running(), "its end, which the worker has seen")
    said = asked(worker, run, prompt="red?", max_tokens=2)
    assert said[-1]["kind"] == "finished"


def test_a_run_without_a_model_has_no_playground(worker, run):
    spec = worker.status(run).spec
    waiting = worker.put(spec.model_copy(update={"name": "to be stopped", "recipe": sft_recipe(epochs=500)}))
    answer = worker.http.post(f"/runs/{waiting}/playground", json={"prompt": "x"})
    assert answer.status_code == 409
    assert "no model to ask yet" in answer.json()["detail"]
    worker.http.post(f"/runs/{waiting}/cancel")
    worker.until_over(waiting)


def test_the_web_passes_both_answers_on_as_they_come(site, run):
    question = {"prompt": "item 3: red?", "max_tokens": 8}
    pieces = []
    with httpx.stream(
        "POST", f"{site}/api/v1/runs/{run}/playground", json=question, timeout=PATIENCE_SECONDS
    ) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        pieces = [piece for piece in answer.iter_raw() if piece]
    said = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert said[-1]["kind"] == "finished"
    assert len(pieces) > 4
    assert set(answers(said)) == {"base", "tuned"}


def test_hanging_up_on_the_web_stops_the_answer_on_the_worker(site, worker, run):
    question = {"prompt": "never end", "max_tokens": 4096, "temperature": 2.0}
    with httpx.stream(
        "POST", f"{site}/api/v1/runs/{run}/playground", json=question, timeout=PATIENCE_SECONDS
    ) as answer:
        for line in answer.iter_lines():
            if json.loads(line)["kind"] == "token":
                break
        with held_up(worker):
            busy = worker.http.post(f"/runs/{run}/playground", json={"prompt": "red?"})
        assert busy.status_code == 409

    assert asked(worker, run, prompt="item 3: red?", max_tokens=1)[-1]["kind"] == "finished"


def test_without_javascript_a_form_brings_both_answers(site, run):
    page = httpx.get(f"{site}/runs/{run}/playground").text
    assert "Held-out row 1:" in page
    form = {"item": "", "prompt": "item 3: red?", "temperature": "0", "max_tokens": "8", "seed": "0"}
    answer = httpx.post(
        f"{site}/runs/{run}/playground", data=form, headers={"Origin": site}, timeout=PATIENCE_SECONDS
    )
    assert answer.status_code == 200
    assert "tokens in" in answer.text
    wrong = form | {"temperature": "hot", "prompt": ""}
    refused = httpx.post(
        f"{site}/runs/{run}/playground", data=wrong, headers={"Origin": site}, timeout=PATIENCE_SECONDS
    )
    assert refused.status_code == 422
    assert "temperature-error" in refused.text


@pytest.mark.browser
def test_in_a_browser_both_answers_are_written_side_by_side(chromium, site, run):
    complaints: list[str] = []
    page = chromium.new_context(base_url=site).new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"/runs/{run}/playground")
    page.get_by_label("Question").select_option(index=1)
    assert page.get_by_label("Prompt", exact=True).is_hidden()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Longest answer").fill("8")
    page.get_by_role("button", name="Ask both").click()
    page.get_by_text("Both have answered.").wait_for(timeout=1000 * PATIENCE_SECONDS)
    tuned = page.locator(".voice[data-side=tuned]")
    assert tuned.locator("[data-text]").text_content() in COLOURS
    assert "tokens in" in tuned.inner_text()
    assert tuned.locator("[data-outcome] .state").count() == 1
    axe = Axe().run(page, options={"runOnly": {"type": "tag", "values": list(RULES)}})
    assert axe.violations_count == 0, axe.generate_report()
    page.get_by_label("Question").select_option("")
    page.get_by_label("Prompt", exact=True).fill("never end")
    page.get_by_label("Temperature").fill("2")
    page.get_by_label("Longest answer").fill("4000")
    page.get_by_role("button", name="Ask both").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert complaints == []
    page.context.close()


def test_no_playground_outlives_its_worker(worker, run):
    assert asked(worker, run, prompt="red?", max_tokens=2)[-1]["kind"] == "finished"
    (child,) = playground_of(worker)
    worker.restart()
    eventually(lambda: not child.is_running(), "the playground's end")
