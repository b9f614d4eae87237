"""Files by strangers, read by the real worker: each told in a sentence, and none of them hurts it."""

import gzip
import hashlib
import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.worker_process import WorkerProcess

MOST_GROWTH = 50_000_000
"""Bytes of the worker's memory, over the whole corpus."""


def row(n: int, **more: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": f"question {n}"}], **more}).encode()


GOOD = [row(n) for n in range(6)]


def lines(*more: bytes) -> bytes:
    return b"\n".join([*GOOD, *more])


def table(columns: dict, **options: object) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(pa.table(columns), packed, **options)
    return packed.getvalue()


def bomb() -> bytes:
    """A few kilobytes that stand for gigabytes: one long text a million times."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 4000]))
    return table({"prompt": text}, compression="zstd")


def claims_a_billion() -> bytes:
    """A footer that says more rows than there are; Thrift writes small numbers as they are."""
    whole = table({"prompt": pa.array([None] * 3_000_000, pa.string())})
    return whole


def spreadsheet() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return packed.getvalue()


CORPUS = {
    "B63 empty": (b"", "empty"),
    "B64 header only": (b"prompt,completion\n", "there is no row"),
    "B65 one line": (GOOD[0], "1 different prompt"),
    "B68 mixed encodings": (lines(b'{"messages": "\xe9"}'), "not UTF-8"),
    "B70 NUL": (lines(b'{"a": "\x00"}'), "NUL"),
    "B71 a very long line": (lines(b'{"a": "' + b"x" * 8_000_000 + b'"}'), "longer than 1,000,000 bytes"),
    "B72 JSON array": (b"[" + b",".join(GOOD) + b"]", "JSON array"),
    "B74 not an object": (lines(b"[1]"), "not an object"),
    "B75 missing columns": (b"prompt,completion\na,b\nc\n", "1 values, but the header names 2"),
    "B76 type drift": (
        lines(row(7, day=1), row(8, day="one")),
        "`day` is a text here but a number on line 7",
    ),
    "B77 roles": (lines(b'{"messages": [{"role": "human", "content": "a"}]}'), "`role` must be"),
    "B77 order": (
        lines(b'{"messages": [{"role": "assistant", "content": "a"}]}'),
        "begin with what the user",
    ),
    "B77 none": (lines(b'{"messages": []}'), "at least one message"),
    "B81 NaN": (lines(b'{"messages": [], "label": NaN}'), "NaN is not a number"),
    "B81 NaN in a column": (
        table({"prompt": list("abcdef"), "completion": ["x"] * 6, "label": [float("nan")] * 6}),
        "`label` is NaN",
    ),
    "B82 ten thousand columns": (
        ",".join(f"c{n}" for n in range(10_000)).encode() + b"\n1\n",
        "at most 1,000",
    ),
    "B82 an unclosed quotation mark": (b'prompt,completion\n"a,b\nc,d\n', "opens on line 2 is never closed"),
    "B84 a bomb": (bomb(), ("bytes once unpacked", "bytes of memory", "seconds")),
    "B85 too many rows": (claims_a_billion(), "claims 3,000,000 rows"),
    "B85 a cut footer": (table({"prompt": list("abcdef")})[:-20] + b"PAR1", "damaged or cut"),
    "B85 encrypted": (b"PARE" + b"\x00" * 100 + b"PARE", "encrypted"),
    "B86 a spreadsheet": (spreadsheet(), "Excel"),
    "B86 a program": (b"\x7fELF\x02" + b"\x00" * 100, "a program"),
    "B86 a pickle": (b"\x80\x04\x95\x10.", "Python pickle"),
    "B87 a gzip bomb": (gzip.compress(b"\x00" * 100_000_000), "compressed with gzip"),
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory) -> WorkerProcess:
    worker = WorkerProcess(tmp_path_factory.mktemp("reading") / "data", max_upload_bytes=20_000_000)
    yield worker
    worker.kill()


def memory(worker: WorkerProcess) -> int:
    return psutil.Process(worker.pid).memory_info().rss


def put(worker: WorkerProcess, content: bytes):
    return worker.http.put(f"/datasets/{hashlib.sha256(content).hexdigest()}", content=content, timeout=200)


def test_every_odd_file_is_told_in_a_sentence_and_the_worker_does_not_grow(worker):
    assert put(worker, lines(b"")).status_code == 200
    before = memory(worker)
    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(CORPUS, pool.map(lambda each: put(worker, each[0]), CORPUS.values()), strict=True))
    for name, (_, words) in CORPUS.items():
        answer = answers[name]
        assert answer.status_code == 422, (name, answer.text)
        told = " ".join(f"{each['where']}: {each['what']}" for each in answer.json()["problems"])
        expected = (words,) if isinstance(words, str) else words
        assert any(each in told for each in expected), (name, told)
        assert "Traceback" not in answer.text
    assert memory(worker) - before < MOST_GROWTH
    assert [each["ref"].get("name") for each in worker.http.get("/datasets").json()][4:] == [None]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + lines(),  # B69
        b"\r\n".join(GOOD),  # B67
        b"\n\n".join(GOOD),  # B73
        lines() + b"\n" * 3,  # B66
        b"prompt;completion\n" + b"".join(b"q%d;a\n" % n for n in range(9)),  # B83
        table({"prompt": [f"q{n}" for n in range(9)]}),
    ],
)
def test_what_does_no_harm_is_read(worker, content):
    answer = put(worker, content)
    assert answer.status_code == 200, answer.text
    assert answer.json()["profile"] is not None


def test_a_mapped_file_is_a_dataset_of_its_own_with_rows_split_and_original(worker):
    content = b"Question,Gold\n" + b"".join(b"What is %d?,%d\n" % (n, n) for n in range(40))
    sha256 = hashlib.sha256(content).hexdigest()
    put_file = worker.http.put(f"/files/{sha256}", params={"name": "sums"}, content=content)
    assert put_file.status_code == 200
    seen = worker.http.post(f"/files/{sha256}/look", json={}).json()
    assert seen["suggestion"]["prompt"] == "Question"
    order = {"file": sha256, "reading": {"columns": {"prompt": "Question", "answer": "Gold"}}}
    summary = worker.http.post("/datasets", json=order).json()
    key = summary["ref"]["sha256"]
    assert (key != sha256, summary["file_sha256"], summary["format"]) == (True, sha256, "csv")
    assert worker.http.post("/datasets", json=order).json() == summary
    page = worker.http.get(f"/datasets/{key}/rows", params={"offset": 35, "limit": 20}).json()
    assert (page["total"], len(page["rows"]), page["lines"][0]) == (40, 5, 37)
    held_out = worker.http.get(f"/datasets/{key}/split", params={"items": 5}).json()
    more = worker.http.get(f"/datasets/{key}/split", params={"items": 8}).json()
    assert len(held_out["rows"]) == 5
    assert set(held_out["rows"]) < set(more["rows"])
    assert held_out["sha256"] == summary["split_sha256"]
    assert (worker.data_dir / "datasets" / key / "original").read_bytes() == content


def test_a_repaired_copy_is_a_dataset_and_the_original_stays(worker):
    content = lines(GOOD[0], row(7))
    first = put(worker, content).json()
    copy = worker.http.post(f"/datasets/{first['ref']['sha256']}/repair").json()
    assert (copy["rows"], copy["repair"]["left_out"]) == (7, 1)
    assert copy["repair"]["changes"] == [{"line": 7, "what": "left out: it repeats an earlier row"}]
    assert worker.http.get(f"/datasets/{first['ref']['sha256']}").json() == first
    again = worker.http.post(f"/datasets/{copy['ref']['sha256']}/repair")
    assert again.status_code == 409


def test_a_file_that_was_refused_can_be_read_without_its_bad_rows(worker):
    content = lines(b"nonsense", row(11), row(12))
    assert put(worker, content).status_code == 422
    order = {"file": hashlib.sha256(content).hexdigest(), "mend": True}
    summary = worker.http.post("/datasets", json=order).json()
    assert (summary["rows"], summary["repair"]["changes"][0]["line"]) == (8, 7)


def test_only_plain_files_of_the_workers_folder_can_be_brought(worker):
    folder = worker.data_dir / "files"
    (folder / "cases.jsonl").write_bytes(lines())
    (folder / ".hidden").write_bytes(lines())
    (folder / "inside").mkdir()
    os.symlink("/etc/passwd", folder / "link")
    os.mkfifo(folder / "pipe")
    assert [each["name"] for each in worker.http.get("/files").json()] == ["cases.jsonl"]
    brought = worker.http.post("/files", json={"kind": "worker_file", "name": "cases.jsonl"}).json()
    assert brought["source"] == "the worker's file cases.jsonl"
    for name in (
        "link",
        "pipe",
        "inside",
        ".hidden",
        "../worker-token",
        "/etc/passwd",
        "inside/../cases.jsonl",
    ):
        answer = worker.http.post("/files", json={"kind": "worker_file", "name": name})
        assert answer.status_code == 404, name


def test_a_reader_that_needs_too_much_time_or_memory_is_told_by_its_setting(tmp_path):
    content = table({"prompt": [f"q{n} " + "long " * 2000 for n in range(2000)]})
    slow = WorkerProcess(tmp_path / "slow", reading_seconds=0.2)
    try:
        told = put(slow, content).json()["problems"][0]["what"]
        assert "TUNING_FORK_WORKER_READING_SECONDS" in told
    finally:
        slow.kill()
    small = WorkerProcess(tmp_path / "small", reading_memory_bytes=100_000_000)
    try:
        told = put(small, content).json()["problems"][0]["what"]
        assert "TUNING_FORK_WORKER_READING_MEMORY_BYTES" in told
    finally:
        small.kill()


def test_the_hub_is_told_of_when_it_is_off_or_away(worker, tmp_path, monkeypatch):
    wanted = {"kind": "hub", "id": "someone/something"}
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    away = WorkerProcess(tmp_path / "away")
    off = WorkerProcess(tmp_path / "off", allow_hub=False)
    try:
        said = away.http.post("/files", json=wanted, timeout=100).json()["problems"][0]
        assert said == {
            "where": "id",
            "what": "the hub cannot be reached from this worker; bring the file itself",
        }
        assert "turned off" in off.http.post("/files", json=wanted).json()["problems"][0]["what"]
    finally:
        away.kill()
        off.kill()
