"""Preflights and first batches under a real worker: real files, a real step, real limits."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from app.protocol import (
    Check,
    EvaluationPlan,
    FirstBatchState,
    Grader,
    Limits,
    LocalModel,
    Preflight,
    Recipe,
    RunSpec,
    StringCheck,
    UploadedDataset,
)
from app.settings import WebSettings
from tests.browser.conftest import RULES
from tests.browser.served import serving
from tests.engine.conftest import COLOURS, NAMES_THE_COLOUR, grpo_recipe, sft_recipe
from tests.worker_process import TOKEN, WorkerProcess, eventually

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, micro_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(micro_model, folder / "micro")
    return folder


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[WorkerProcess]:
    started = WorkerProcess(
        tmp_path_factory.mktemp("worker"),
        engine_module="app.engine",
        models_dir=str(models),
        warm_engines=0,
        preflights=2,
    )
    yield started
    started.stop()


@pytest.fixture(scope="module")
def put_rows(worker: WorkerProcess) -> Callable[[list[dict]], str]:
    def put(rows: list[dict]) -> str:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        sha256 = hashlib.sha256(content).hexdigest()
        worker.http.put(f"/datasets/{sha256}", content=content).raise_for_status()
        return sha256

    return put


def row(prompt: str, answer: str) -> dict:
    return {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}],
        "colour": answer,
    }


ROWS = [row(f"item {n}: {colour}?", colour) for n in range(60) for colour in COLOURS]


@pytest.fixture(scope="module")
def rows(put_rows: Callable[[list[dict]], str]) -> str:
    return put_rows(ROWS)


def spec(rows: str, recipe: Recipe, grader: Grader | None = NAMES_THE_COLOUR, **more: object) -> RunSpec:
    usual = {
        "name": "a test",
        "model": LocalModel(name="micro"),
        "dataset": UploadedDataset(sha256=rows),
        "grader": grader,
        "recipe": recipe,
        "evaluation": EvaluationPlan(items=60, max_completion_length=8),
    }
    return RunSpec(**usual | more)


def send(worker: WorkerProcess, preflight_id: object, run: RunSpec, **more: object) -> Preflight:
    body = json.dumps({"spec": json.loads(run.model_dump_json(by_alias=True)), **more})
    answer = worker.http.put(
        f"/preflights/{preflight_id}", content=body, headers={"Content-Type": "application/json"}
    )
    answer.raise_for_status()
    return Preflight.model_validate_json(answer.content)


def look(worker: WorkerProcess, preflight_id: object) -> Preflight:
    return Preflight.model_validate_json(worker.http.get(f"/preflights/{preflight_id}").content)


def checked(worker: WorkerProcess, run: RunSpec) -> dict[str, Check]:
    preflight_id = uuid4()
    send(worker, preflight_id, run)

    def over() -> Preflight | None:
        found = look(worker, preflight_id)
        return found if found.is_over else None

    done = eventually(over, "the preflight's end")
    return {check.name.value: check for check in done.checks}


def told(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.result.value for name, check in checks.items()}


def test_a_sound_sft_run_passes_every_check_and_its_time_is_foretold(worker, rows):
    run = spec(rows, sft_recipe(epochs=20), limits=Limits(money=5.0, price_per_gpu_hour=2.0))
    preflight_id = uuid4()
    first = send(worker, preflight_id, run)
    assert first.state.value in ("queued", "running")
    again = send(worker, preflight_id, run)
    assert again.id == first.id
    other = json.dumps({"spec": json.loads(spec(rows, sft_recipe()).model_dump_json(by_alias=True))})
    headers = {"Content-Type": "application/json"}
    assert worker.http.put(f"/preflights/{preflight_id}", content=other, headers=headers).status_code == 409
    done = eventually(lambda: p if (p := look(worker, preflight_id)).is_over else None)
    found = {check.name.value: check for check in done.checks}
    assert told(found) == {
        "model": "pass",
        "dataset": "pass",
        "batch": "pass",
        "held_out": "pass",
        "reward_model": "not_applicable",
        "grader": "warn",
        "tracking": "not_applicable",
        "disk": "pass",
        "settings": "pass",
        "lengths": "pass",
        "memory": "pass",
        "smoke_step": "pass",
    }, {name: check.sentence for name, check in found.items()}
    assert found["smoke_step"].sentence.endswith("; measuring comes on top of that.")
    assert done.forecast is not None
    assert done.forecast.steps == 20 * 15
    assert done.forecast.training_seconds == pytest.approx(300 * done.forecast.step_seconds)
    assert done.forecast.money == pytest.approx(2 * done.forecast.gpu_hours)
    assert 100e6 < done.forecast.peak_bytes < done.forecast.available_bytes
    assert not list((worker.data_dir / "preflights").iterdir())


def test_a_grpo_run_generates_and_learns_in_its_step_and_a_gameable_grader_is_found_out(worker, rows):
    pays_for_all = StringCheck(name="anything", reference="no such answer", operation="ne")
    found = checked(worker, spec(rows, grpo_recipe(steps=40, max_completion_length=48), pays_for_all))
    assert told(found)["smoke_step"] == "pass", found["smoke_step"].sentence
    assert found["smoke_step"].figures["answer_tokens"] == 48
    assert "with answers of 48 tokens" in found["smoke_step"].sentence
    assert told(found)["grader"] == "fail"
    assert "An empty answer earns 100 %" in found["grader"].sentence
    assert found["grader"].fix


def test_a_step_that_needs_more_memory_than_allowed_fails_with_advice(tmp_path, models, micro_model):
    small = WorkerProcess(
        tmp_path, engine_module="app.engine", models_dir=str(models), preflight_memory_bytes=350_000_000
    )
    try:
        content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
        sha256 = hashlib.sha256(content).hexdigest()
        small.http.put(f"/datasets/{sha256}", content=content).raise_for_status()
        found = checked(small, spec(sha256, sft_recipe(max_length=20)))
        assert told(found)["lengths"] == "fail"
        assert "are longer than max_length (20 tokens)" in found["lengths"].sentence
        assert "Raise max_length" in found["lengths"].fix
        assert told(found)["memory"] == "fail"
        assert told(found)["smoke_step"] == "fail"
        assert "memory was not enough" in found["smoke_step"].sentence
        assert "micro_batch_size" in found["smoke_step"].sentence
    finally:
        small.stop()


def child_of(worker: WorkerProcess) -> psutil.Process | None:
    children = psutil.Process(worker._process.pid).children()
    return next((each for each in children if "app.engine.preflight" in each.cmdline()), None)


def test_a_killed_check_is_itself_the_answer(worker, rows):
    preflight_id = uuid4()
    send(worker, preflight_id, spec(rows, sft_recipe()))
    eventually(lambda: look(worker, preflight_id).doing == "settings", "the settings check")
    child = child_of(worker)
    assert child is not None
    assert child.nice() > 0
    child.kill()
    done = eventually(lambda: p if (p := look(worker, preflight_id)).is_over else None)
    assert done.checks[-1].name == "settings"
    assert done.checks[-1].result == "fail"
    assert "killed from outside" in done.checks[-1].sentence
    assert "micro_batch_size" in done.checks[-1].fix


def test_a_preflight_can_be_stopped_and_a_wrong_batch_is_refused_at_once(worker, rows):
    preflight_id = uuid4()
    run = spec(rows, sft_recipe())
    send(worker, preflight_id, run)
    child = eventually(lambda: child_of(worker))
    assert worker.http.delete(f"/preflights/{preflight_id}").status_code == 204
    assert look(worker, preflight_id).state == "cancelled"
    eventually(lambda: not child.is_running(), "its end")
    given = json.loads(run.model_dump_json(by_alias=True))
    given["recipe"] |= {"batch_size": 10, "micro_batch_size": 4}
    refused = worker.http.put(f"/preflights/{uuid4()}", json={"spec": given})
    assert refused.status_code == 422
    assert "multiple of micro_batch_size" in refused.text
    assert worker.http.get(f"/preflights/{uuid4()}").status_code == 404


def first_batch(worker: WorkerProcess, run: RunSpec) -> FirstBatchState:
    body = json.dumps({"spec": json.loads(run.model_dump_json(by_alias=True))})

    def made() -> FirstBatchState | None:
        answer = worker.http.post(
            "/first-batches", content=body, headers={"Content-Type": "application/json"}
        )
        answer.raise_for_status()
        found = FirstBatchState.model_validate_json(answer.content)
        return found if found.state != "running" else None

    return eventually(made, "the first batch")


def test_the_first_batch_of_sft_shows_what_is_learned(worker, rows):
    batch = first_batch(worker, spec(rows, sft_recipe())).batch
    assert batch is not None
    assert batch.kind == "tokens"
    assert batch.sequences == 16
    assert len(batch.rows) == 8
    for each in batch.rows:
        text = "".join(token.text for token in each.tokens)
        learned = "".join(token.text for token in each.tokens if token.is_learned)
        assert text.startswith("<|user|>item ")
        assert learned.removesuffix("<|end|>") in COLOURS
        assert text.endswith(f"<|assistant|>{learned}")
        assert each.length + each.padding == batch.width
    assert first_batch(worker, spec(rows, sft_recipe())).batch == batch


@pytest.mark.full
def test_the_first_batch_of_many_rows_is_drawn_from_all_of_them(worker, models, rows, tmp_path):
    sparing = WorkerProcess(
        tmp_path / "sparing", engine_module="app.engine", models_dir=str(models), first_batch_rows=40
    )
    try:
        content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
        sparing.http.put(f"/datasets/{rows}", content=content).raise_for_status()
        whole = first_batch(worker, spec(rows, sft_recipe())).batch
        assert first_batch(sparing, spec(rows, sft_recipe())).batch == whole
        assert whole.steps == 2 * 240 // 16
        packed = first_batch(sparing, spec(rows, sft_recipe(packing=True, max_length=128))).batch
        every = first_batch(worker, spec(rows, sft_recipe(packing=True, max_length=128))).batch
        assert "first 40 of 240 rows" in packed.notes[-1]
        assert "estimated" in packed.notes[-1]
        assert abs(packed.steps - every.steps) <= 2
        assert not any("estimated" in note for note in every.notes)
    finally:
        sparing.stop()


@pytest.mark.full
def test_the_first_batch_of_grpo_shows_the_prompts_of_the_first_step(worker, rows):
    batch = first_batch(worker, spec(rows, grpo_recipe())).batch
    assert batch is not None
    assert batch.kind == "prompts"
    assert batch.num_generations == 8
    assert len(batch.rows) * batch.num_generations == batch.sequences
    texts = {"".join(token.text for token in each.tokens) for each in batch.rows}
    assert len(texts) == len(batch.rows)
    assert all(text.startswith("<|user|>item ") and text.endswith("?<|assistant|>") for text in texts)


@pytest.mark.full
def test_a_first_batch_that_cannot_be_made_says_why(worker, put_rows):
    long = put_rows([*ROWS, row("item 99: " + "very " * 40 + "green?", "green")])
    found = first_batch(worker, spec(long, sft_recipe()))
    assert found.state == "failed"
    assert "longer than max_length" in found.sentence


# In front of it the web


@pytest.fixture(scope="module")
def site(
    worker: WorkerProcess, tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path
) -> Iterator[str]:
    data = tmp_path_factory.mktemp("web")
    shutil.copy(_migrated_sqlite, data / "tuning-fork.db")
    settings = WebSettings(
        data_dir=data,
        sign_in="off",
        worker_url=f"http://127.0.0.1:{worker.port}",
        worker_token=TOKEN,
    )
    with serving(settings) as address:
        yield address


def as_json(run: RunSpec) -> dict:
    return json.loads(run.model_dump_json(by_alias=True))


def test_the_api_starts_shows_and_stops_a_preflight(site, rows):
    started = httpx.post(f"{site}/api/v1/preflights", json=as_json(spec(rows, sft_recipe())))
    assert started.status_code == 202
    address = site + started.headers["location"]
    assert httpx.get(address).json()["state"] in ("queued", "running")
    assert httpx.delete(address).status_code == 204
    assert httpx.get(address).json()["state"] == "cancelled"
    assert httpx.get(f"{site}/api/v1/preflights/{uuid4()}").status_code == 404


def test_without_javascript_a_preflight_has_a_page_that_refreshes_itself(site, rows):
    form = {"spec": json.dumps(as_json(spec(rows, sft_recipe())))}
    started = httpx.post(f"{site}/preflights", data=form, headers={"Origin": site})
    assert started.status_code == 303
    page = httpx.get(site + started.headers["location"]).text
    assert '<meta http-equiv="refresh"' in page
    stopped = started.headers["location"].replace("?", "/stop?")
    assert httpx.post(site + stopped, headers={"Origin": site}).status_code == 303
    assert "Stopped before all checks" in httpx.get(site + started.headers["location"]).text
    wrong = httpx.post(f"{site}/preflights", data={"spec": "{}"}, headers={"Origin": site})
    assert wrong.status_code == 422


def is_clean(page: Page) -> None:
    axe = Axe().run(page, options={"runOnly": {"type": "tag", "values": list(RULES)}})
    assert axe.violations_count == 0, axe.generate_report()


@pytest.mark.browser
def test_in_a_browser_a_launch_is_checked_and_a_failed_check_asks_for_a_reason(chromium, site):
    uploaded = httpx.post(
        f"{site}/api/v1/datasets?name=colours",
        content="".join(json.dumps(each) + "\n" for each in ROWS).encode(),
        headers={"Content-Type": "application/jsonl"},
        timeout=200,
    )
    uploaded.raise_for_status()
    page = chromium.new_context(base_url=site).new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"/runs/new?dataset={uploaded.json()['sha256']}")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.locator("[name=model][value='local:micro']").check()
    page.locator("[name='sft.max_length']").fill("16")
    page.locator("[name=grader][value=string_check]").check()
    page.locator("[name='grader.string_check.reference']").fill("{{ item.colour }}")
    page.get_by_role("button", name="Check and continue").click()
    page.get_by_role("button", name="Check it first").click()
    reason = page.get_by_label("Why launch it all the same?")
    reason.wait_for(timeout=180_000)
    assert "are longer than max_length (16 tokens)" in page.locator("#preflight").inner_text()
    is_clean(page)
    launch = page.get_by_role("button", name="Launch although lengths did not pass")
    launch.click()
    assert page.url.endswith("/runs/new")  # the reason is missing, and the browser says so
    reason.fill("Only to see how it fails.")
    launch.click()
    page.wait_for_url("**/runs/*-*")
    run_id = page.url.rsplit("/", 1)[-1]
    kept = httpx.get(f"{site}/api/v1/runs/{run_id}").json()["override_reason"]
    assert kept.startswith("Only to see how it fails. (Overrides failed checks. Lengths: ")
    httpx.post(f"{site}/api/v1/runs/{run_id}/cancel")
    page.context.close()
    assert complaints == []


@pytest.mark.browser
def test_in_a_browser_the_first_batch_is_shown_token_by_token(chromium, site, rows):
    page = chromium.new_context(base_url=site).new_page()
    page.goto(f"/first-batch?dataset=uploaded:{rows}&model=local:micro")
    page.locator(".tokens").first.wait_for(timeout=120_000)
    assert "The underlined ones are learned" in page.locator("#batch").inner_text()
    learned = page.locator(".batch-row").first.locator(".token.learned").all_inner_texts()
    assert "".join(learned).removesuffix("<|end|>") in COLOURS
    is_clean(page)
    page.context.close()
