"""The command line, as typed: what it prints, what it leaves behind, and its exit status."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text

from app import migrations
from app.database import Database
from app.main import read_rulebook
from tests.web.launching import named
from tests.worker_process import eventually

EXAMPLES = {example.id: dict(example.answers) for example in read_rulebook().examples}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("TUNING_FORK_")]:
        monkeypatch.delenv(name)
    for service in ("WEB", "WORKER"):
        monkeypatch.setenv(f"TUNING_FORK_{service}_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TUNING_FORK_WORKER_PREPARE_STARTER", "false")
    monkeypatch.setenv("TUNING_FORK_WORKER_MIN_FREE_BYTES", "0")
    monkeypatch.setenv("TUNING_FORK_WORKER_ENGINE_MODULE", "tests.fake_engine")
    return tmp_path / "data"


def write(folder: Path, answers: object) -> Path:
    file = folder / "answers.json"
    file.write_text(json.dumps(answers))
    return file


def test_advice_is_a_table_by_default(typed, tmp_path):
    status, out, _ = typed("recommend", write(tmp_path, {"answers": EXAMPLES["legal_reasoning"]}))
    assert status in (0, 3)
    assert "GRPO" in out
    assert "Objective" in out


def test_advice_as_json_is_what_the_api_answers(typed, tmp_path):
    file = write(tmp_path, {"answers": EXAMPLES["contract_clauses"]})
    _, out, _ = typed("recommend", file, "--format", "json", "--include", "flips")
    told = json.loads(out)
    assert told["method"] == "sft"
    assert told["flips"] is not None
    assert told["robustness"] is None


def test_advice_as_markdown_is_a_record(typed, tmp_path):
    _, out, _ = typed(
        "recommend", write(tmp_path, {"answers": EXAMPLES["legal_reasoning"]}), "--format", "markdown"
    )
    assert "# " in out


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_exit_status_tells_ready_from_not(typed, tmp_path, example):
    file = write(tmp_path, {"answers": EXAMPLES[example]})
    status, out, _ = typed("recommend", file, "--format", "json")
    assert status == {"ready": 0, "fix_first": 3}[json.loads(out)["readiness"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSON"),
        ("[]", "answers"),
        ('{"answers": {"O1": "nonsense"}}', "O1"),
        ('{"answers": {"O1": NaN}}', "NaN"),
        ('{"answers": {}, "surprise": 1}', "surprise"),
    ],
)
def test_unusable_answers_are_told_in_words(typed, tmp_path, content, said):
    file = tmp_path / "answers.json"
    file.write_text(content)
    status, out, err = typed("recommend", file)
    assert (status, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_a_file_that_is_not_there_is_told_in_words(typed):
    status, _, err = typed("recommend", "nowhere.json")
    assert status == 2
    assert "nowhere.json cannot be read" in err


def test_the_printed_questionnaire_can_be_filled_in_and_used(typed, tmp_path):
    _, out, _ = typed("questionnaire")
    form = json.loads(out)
    form["answers"] |= EXAMPLES["text_to_sql"]
    status, _, _ = typed("recommend", write(tmp_path, form))
    assert status in (0, 3)


def test_a_key_is_made_shown_once_listed_and_revoked(typed):
    status, key, _ = typed("key", "create", "my script", "--days", "3")
    assert status == 0
    assert re.fullmatch(r"tf_[a-z0-9]{8}_[\w-]{43}\n", key)
    key_id = key.split("_")[1]
    _, listed, _ = typed("key", "list")
    assert key_id in listed
    assert key.split("_", 2)[2].strip() not in listed
    assert typed("key", "revoke", key_id)[0] == 0
    assert "revoked" in typed("key", "list")[1]
    assert typed("key", "revoke", "nosuchid")[0] == 1


@pytest.mark.parametrize("days", ["nan", "inf", "-1", "0", "1e300"])
def test_a_key_that_cannot_be_valid_so_long_is_not_made(typed, days):
    status, out, err = typed("key", "create", "my script", "--days", days)
    assert (status, out) == (2, "")
    assert "--days" in err


@pytest.mark.parametrize("name", ["", "  ", "a\x07b", "x" * 121])
def test_a_key_has_a_name_that_can_be_read(typed, name):
    status, out, err = typed("key", "create", name)
    assert (status, out) == (2, "")
    assert "NAME" in err


def test_a_name_in_brackets_is_shown_as_it_is(typed):
    assert typed("key", "create", "[/red] job")[0] == 0
    assert "[/red] job" in typed("key", "list")[1]


def test_a_login_link_carries_its_token_where_no_log_sees_it(typed):
    _, out, _ = typed("login-link")
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/login#token=[\w-]{43}\n", out)


def test_a_setting_that_cannot_be_used_is_named(typed, monkeypatch):
    monkeypatch.setenv("TUNING_FORK_WEB_PORT", "many")
    status, _, err = typed("login-link")
    assert status == 2
    assert "TUNING_FORK_WEB_PORT" in err


def test_a_setting_that_does_not_exist_is_named(typed, monkeypatch):
    monkeypatch.setenv("TUNING_FORK_WEB_SIGNIN", "required")
    status, _, err = typed("login-link")
    assert status == 2
    assert "TUNING_FORK_WEB_SIGNIN" in err


def test_runs_need_a_key_and_a_service(typed, monkeypatch):
    status, _, err = typed("runs", "list")
    assert status == 1
    assert "TUNING_FORK_KEY" in err
    monkeypatch.setenv("TUNING_FORK_KEY", "tf_x")
    monkeypatch.setenv("TUNING_FORK_URL", "http://127.0.0.1:9")
    status, _, err = typed("runs", "list")
    assert status == 1
    assert "http://127.0.0.1:9" in err


@pytest.mark.parametrize("key", ["k\u00e9y", "two\nlines"])
def test_what_cannot_be_a_key_is_told_in_words(typed, monkeypatch, key):
    monkeypatch.setenv("TUNING_FORK_KEY", key)
    status, _, err = typed("runs", "list")
    assert status == 1
    assert "TUNING_FORK_KEY is not an API key" in err


@pytest.mark.parametrize("run_id", ["nope", "../worker"])
def test_what_cannot_be_a_run_is_told_in_words(typed, monkeypatch, run_id):
    monkeypatch.setenv("TUNING_FORK_KEY", "tf_x")
    status, _, err = typed("runs", "show", run_id)
    assert status == 2
    assert "UUID" in err


def test_migrating_an_older_database_keeps_a_copy(typed, environment):
    environment.mkdir()
    url = f"sqlite:///{environment}/tuning-fork.db"
    database = Database(url)
    migrations.migrate(database, "0001")
    with database.engine.begin() as connection:
        connection.execute(text("INSERT INTO login_tokens VALUES ('x', '2026-01-01', NULL)"))
    database.close()
    status, out, _ = typed("migrate")
    assert status == 0
    assert "copied to" in out
    [copy] = environment.glob("*.backup.db")
    for path in (environment / "tuning-fork.db", copy):
        database = Database(f"sqlite:///{path}")
        with database.engine.connect() as connection:
            assert connection.execute(text("SELECT hash FROM login_tokens")).scalar() == "x"
        database.close()
    assert typed("migrate")[0] == 0
    assert len(list(environment.glob("*.backup.db"))) == 1


def test_listening_beyond_this_machine_without_sign_in_is_refused(typed, monkeypatch):
    monkeypatch.setenv("TUNING_FORK_WEB_HOST", "0.0.0.0")
    monkeypatch.setenv("TUNING_FORK_WEB_SIGN_IN", "off")
    for command in ("web", "up"):
        status, _, err = typed(command)
        assert status == 2
        assert "TUNING_FORK_WEB_SIGN_IN" in err


# Both services together


class Up:
    """`tuning-fork up` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "up.txt"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "up"], stdout=out, stderr=out, start_new_session=True
            )

    def said(self) -> str:
        return self.log.read_text()

    def until(self, words: str) -> str:
        def heard() -> str | None:
            if words in self.said():
                return self.said()
            assert self.process.poll() is None, self.said()
            return None

        return eventually(heard, words)

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.fixture
def start(tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Up]]:
    monkeypatch.setenv("TUNING_FORK_WEB_PORT", "0")
    monkeypatch.setenv("TUNING_FORK_WORKER_PORT", str(free_port()))
    started: list[Up] = []

    def start() -> Up:
        folder = tmp_path / f"up{len(started)}"
        folder.mkdir()
        started.append(Up(folder))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()
    eventually(lambda: not workers(environment), "the last worker's end")
    for engine in engines(environment):
        engine.kill()


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def engines(data_dir: Path) -> list[psutil.Process]:
    """They outlive the services, as they should; a test's must not outlive the test."""
    runs = f"{data_dir}/runs/"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(runs) for word in process.info["cmdline"] or [])
    ]


def workers(data_dir: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[1:4] == ["-m", "app.cli", "worker"]:
            try:
                if process.environ().get("TUNING_FORK_WORKER_DATA_DIR") == str(data_dir):
                    found.append(process)
            except psutil.Error:
                continue
    return found


def test_up_serves_both_lets_one_in_and_stops_both(start, typed, environment, tmp_path, monkeypatch):
    up = start()
    said = up.until("Ctrl-C")
    site = re.search(r"http://127\.0\.0\.1:\d+", said)[0]
    token = re.search(r"#token=([\w-]+)", said)[1]
    with httpx.Client(base_url=site, headers={"Origin": site}) as browser:
        assert browser.post("/login", data={"token": token}).status_code == 303
        assert browser.get("/api/v1/worker").status_code == 200
    assert (environment / "worker-token").stat().st_mode & 0o777 == 0o600
    assert environment.stat().st_mode & 0o777 == 0o700

    # A second one says where the first is.
    status, out, _ = typed("up")
    assert status == 0
    assert f"Already running at {site}" in " ".join(out.split())
    assert typed("login-link")[1].startswith(site)

    # Runs from the terminal.
    _, key, _ = typed("key", "create", "terminal")
    monkeypatch.setenv("TUNING_FORK_KEY", key.strip())
    monkeypatch.setenv("TUNING_FORK_URL", site)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(named("steps 5")))
    _, run_id, _ = typed("runs", "launch", spec, "--idempotency-key", "once")
    assert typed("runs", "launch", spec, "--idempotency-key", "once")[1] == run_id
    status, followed, _ = typed("runs", "follow", run_id.strip())
    assert status == 0
    assert "step 5 of 5" in followed
    assert "Succeeded" in typed("runs", "show", run_id.strip())[1]
    assert run_id.strip() in typed("runs", "list")[1]
    spec.write_text(json.dumps(named("hang 5")))
    hanging = typed("runs", "launch", spec)[1].strip()
    assert "Stopping" in typed("runs", "cancel", hanging)[1]
    assert typed("runs", "follow", hanging)[0] == 4

    [worker] = workers(environment)
    assert up.stop() == 0
    assert "goes on and is picked up" in up.said()
    assert not psutil.pid_exists(worker.pid)


@contextmanager
def signed_in(up: Up) -> Iterator[httpx.Client]:
    said = up.until("Ctrl-C")
    site = re.search(r"http://127\.0\.0\.1:\d+", said)[0]
    token = re.search(r"#token=([\w-]+)", said)[1]
    with httpx.Client(base_url=site, headers={"Origin": site}, timeout=30) as browser:
        assert browser.post("/login", data={"token": token}).status_code == 303
        yield browser


def test_a_run_outlives_its_worker_and_its_web(start, typed, environment, monkeypatch):
    up = start()
    with signed_in(up) as browser:
        launched = browser.post("/api/v1/runs", json=named("steps 300"))
        run_id = launched.json()["runs"][0]["id"]
        eventually(lambda: browser.get(f"/api/v1/runs/{run_id}").json()["step"] > 3, "some steps")
        [worker] = workers(environment)
        worker.kill()
        up.until("starting it again")
        again = eventually(lambda: [p for p in workers(environment) if p.pid != worker.pid], "another worker")
        eventually(lambda: browser.get("/api/v1/worker").status_code == 200, "its first answer")
    up.stop(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(again[0].pid), "the worker's end")
    second = start()
    second.until("Ctrl-C")
    monkeypatch.setenv("TUNING_FORK_KEY", typed("key", "create", "after")[1].strip())
    monkeypatch.setenv("TUNING_FORK_URL", typed("login-link")[1].partition("/login")[0])
    assert typed("runs", "follow", run_id)[0] == 0
    told = json.loads(typed("runs", "show", run_id, "--json")[1])
    assert (told["state"], told["step"]) == ("succeeded", 300)
    assert second.stop(signal.SIGTERM) == 0


def test_an_open_stream_does_not_keep_the_service_from_stopping(start):
    up = start()
    with signed_in(up) as browser:
        run_id = browser.post("/api/v1/runs", json=named("hang 5")).json()["runs"][0]["id"]
        address, headers = f"/api/v1/runs/{run_id}/events", {"Accept": "text/event-stream"}
        with browser.stream("GET", address, headers=headers) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry:")
            up.process.send_signal(signal.SIGTERM)
            assert "event: end" not in list(lines)
    assert up.process.wait(60) == 0


def test_a_taken_port_is_named_with_its_setting(typed, monkeypatch):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("TUNING_FORK_WEB_PORT", str(port))
        status, _, err = typed("up")
    assert status == 1
    assert str(port) in err
    assert "TUNING_FORK_WEB_PORT" in " ".join(err.split())


def readme_example(site: str) -> str:
    """The README's REST block as printed, but for the port."""
    block = re.search(r"<!-- rest:.*?```bash\n(.*?)```", Path("README.md").read_text(), re.DOTALL)[1]
    assert "http://127.0.0.1:8000" in block
    return f"set -eu\n{block.replace('http://127.0.0.1:8000', site)}"


def test_the_readmes_rest_example_runs_as_printed(start, environment, tmp_path):
    site = re.search(r"http://127\.0\.0\.1:\d+", start().until("Ctrl-C"))[0]
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    done = subprocess.run(
        ["bash", "-c", readme_example(site)], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    headline, cost, reason, state, _ = done.stdout.splitlines()
    assert headline.startswith("Train with GRPO after a short SFT warm start")
    assert re.match(r"GRPO with .*, 300 steps: .* to .* hours", cost)
    assert "GRPO" in reason
    assert state == "succeeded"
    assert (folder / "model.zip").read_bytes().startswith(b"PK")


@pytest.mark.full
@pytest.mark.engine
@pytest.mark.timeout(2400)
def test_the_readmes_rest_example_trains_a_model_that_is_measurably_better(
    start, environment, tmp_path, monkeypatch
):
    monkeypatch.setenv("TUNING_FORK_WORKER_ENGINE_MODULE", "app.engine")
    site = re.search(r"http://127\.0\.0\.1:\d+", start().until("Ctrl-C"))[0]
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    command = ["bash", "-c", readme_example(site)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2300)
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout.splitlines()[-1])
    assert comparison["sampled_gain"] > 0
    assert comparison["sampled_p"] < 0.05
