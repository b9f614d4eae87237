"""Datasets from the terminal, as typed, against the real web service and the real worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from app.settings import WebSettings
from tests.browser.served import serving
from tests.worker_process import TOKEN, WorkerProcess


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path) -> Iterator[str]:
    data = tmp_path_factory.mktemp("web")
    (data / "tuning-fork.db").write_bytes(_migrated_sqlite.read_bytes())
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"))
    settings = WebSettings(
        data_dir=data,
        sign_in="off",
        worker_url=f"http://127.0.0.1:{worker.port}",
        worker_token=TOKEN,
        sync_seconds=0.5,
    )
    with serving(settings) as address:
        yield address
    worker.kill()


@pytest.fixture(autouse=True)
def environment(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNING_FORK_URL", site)
    monkeypatch.setenv("TUNING_FORK_KEY", "any")


def rows(*numbers: int) -> str:
    return "".join(
        json.dumps({"prompt": f"How much is {n} and {n}?", "completion": f"{2 * n}."}) + "\n" for n in numbers
    )


def write(folder: Path, text: str, name: str = "sums.jsonl") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_file_is_uploaded_listed_and_shown(typed, site, tmp_path):
    status, out, err = typed("datasets", "upload", write(tmp_path, rows(*range(30))), "--name", "Sums [30]")
    assert status == 0
    dataset_id = str(UUID(out.strip()))
    assert "Sums [30]: 30 rows" in err
    assert dataset_id in typed("datasets", "list")[1]
    listed = json.loads(typed("datasets", "list", "--json", "--limit", "1")[1])
    assert [each["id"] for each in listed["items"]] == [dataset_id]
    _, shown, _ = typed("datasets", "show", dataset_id)
    assert "Sums [30]: 30 rows" in shown
    assert "sft: yes." in shown
    told = json.loads(typed("datasets", "show", dataset_id, "--json")[1])
    assert told == httpx.get(f"{site}/api/v1/datasets/{dataset_id}").json()


def test_columns_are_named_on_the_command_line(typed, tmp_path):
    table = "Question,Gold\n" + "".join(f"What is {n}?,{n}\n" for n in range(20))
    file = write(tmp_path, table, "gold.csv")
    status, out, err = typed("datasets", "upload", file, "--prompt", "Question", "--answer", "Gold")
    assert status == 0
    assert "gold: 20 rows" in err
    told = json.loads(typed("datasets", "show", out.strip(), "--json")[1])
    assert told["summary"]["format"] == "csv"
    status, out, err = typed("datasets", "upload", file, "--prompt", "Frage", "--answer", "Gold")
    assert (status, out) == (2, "")
    assert "Frage" in err


def test_bad_rows_are_told_by_line_and_left_out_when_wished(typed, tmp_path):
    file = write(tmp_path, rows(1, 2, 3) + "nonsense\n" + rows(4, 5, 6))
    status, out, err = typed("datasets", "upload", file)
    assert (status, out) == (2, "")
    assert "line 4" in err
    status, out, err = typed("datasets", "upload", file, "--mend")
    assert status == 0
    assert json.loads(typed("datasets", "show", out.strip(), "--json")[1])["summary"]["rows"] == 6


def test_a_repaired_copy_is_told_line_by_line_and_has_an_id_of_its_own(typed, tmp_path):
    file = write(tmp_path, rows(*range(12), 3))
    dataset_id = typed("datasets", "upload", file)[1].strip()
    assert "line" in typed("datasets", "show", dataset_id)[1]
    status, copy, err = typed("datasets", "repair", dataset_id, "--name", "Sums, once each")
    assert status == 0
    assert "line 13: left out: it repeats an earlier row" in err
    assert "12 rows kept, 1 left out" in err
    assert "Sums, once each: 12 rows" in typed("datasets", "show", copy.strip())[1]
    assert "13 rows" in typed("datasets", "show", dataset_id)[1]
    status, _, err = typed("datasets", "repair", copy.strip())
    assert status == 1
    assert err.strip()


@pytest.mark.parametrize(
    ("arguments", "exit_status", "said"),
    [
        (("upload", "/nowhere/at-all.jsonl"), 2, "cannot be read"),
        (("show", uuid4()), 1, "There is no dataset here"),
        (("repair", uuid4()), 1, "There is no dataset here"),
    ],
    ids=["upload", "show", "repair"],
)
def test_what_is_not_there_is_told_in_a_sentence(typed, arguments, exit_status, said):
    status, out, err = typed("datasets", *arguments)
    assert (status, out) == (exit_status, "")
    assert said in " ".join(err.split())


def test_an_empty_file_is_refused(typed, tmp_path):
    status, out, err = typed("datasets", "upload", write(tmp_path, ""))
    assert (status, out) == (2, "")
    assert "empty" in err
