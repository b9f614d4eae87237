"""Multipart forms as no browser sends them: each answered in words, nothing left on disk, memory flat."""

import gc
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from app.settings import WebSettings
from tests.browser.served import serving
from tests.worker_process import TOKEN, WorkerProcess, eventually

ROWS = b"".join(
    b'{"messages": [{"role": "user", "content": "Say %d."}, {"role": "assistant", "content": "%d."}]}\n'
    % (n, n)
    for n in range(10)
)

# A form that breaks off inside a file leaves the framework's file to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning"
)

MOST_GROWTH = 20_000_000
"""Bytes of the service's memory, over uploads much larger."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def site(data: Path, tmp_path_factory: pytest.TempPathFactory, _migrated_sqlite: Path) -> Iterator[str]:
    (data / "tuning-fork.db").write_bytes(_migrated_sqlite.read_bytes())
    worker = WorkerProcess(tmp_path_factory.mktemp("worker"))
    settings = WebSettings(
        data_dir=data,
        sign_in="off",
        worker_url=f"http://127.0.0.1:{worker.port}",
        worker_token=TOKEN,
        max_upload_bytes=40_000_000,
    )
    with serving(settings) as address:
        yield address
    worker.kill()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


def field(name: str, value: bytes = b"x") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


def file(filename: bytes = b"cases.jsonl", content: bytes = ROWS, name: bytes = b"file") -> bytes:
    head = b'Content-Disposition: form-data; name="' + name + b'"; filename="' + filename + b'"\r\n'
    return head + b"Content-Type: application/octet-stream\r\n\r\n" + content


def form(*parts: bytes, boundary: bytes = b"edge") -> bytes:
    return (
        b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    )


def post(site: str, body: bytes, kind: str = "multipart/form-data; boundary=edge") -> httpx.Response:
    headers = {"Content-Type": kind, "Origin": site, "Accept": "text/html"}
    return httpx.post(f"{site}/datasets", content=body, headers=headers, timeout=60)


def left_behind(data: Path) -> list[Path]:
    return [path for path in (data / "uploads").rglob("*") if path.is_file()]


LONG = b"e" * 10_000

ODD = {
    "1,001 fields": (form(*(field(f"f{n}") for n in range(1001))), None),
    "50 files": (form(*(file(name=b"file%d" % n) for n in range(50))), None),
    "no boundary": (form(file()), "multipart/form-data"),
    "an empty boundary": (form(file()), "multipart/form-data; boundary="),
    "a boundary of 10 KB": (form(file(), boundary=LONG), f"multipart/form-data; boundary={LONG.decode()}"),
    "another boundary": (form(file(), boundary=b"brink"), None),
    "no end": (form(file())[:-8], None),
    "half a header": (b"--edge\r\nContent-Disposition: form-data; na", None),
    "nothing": (b"", None),
    "nonsense": (os.urandom(5000), None),
    "no name": (form(b"Content-Disposition: form-data\r\n\r\nx"), None),
    "a header of 100 KB": (form(b"X-Long: " + b"x" * 100_000 + b"\r\n" + file()), None),
    "an empty filename": (form(file(b"")), None),
    "an empty file": (form(file(content=b"")), None),
    "a text in place of the file": (form(field("file", ROWS)), None),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_form_is_answered_in_words_and_leaves_nothing(site, data, name):
    body, kind = ODD[name]
    answer = post(site, body, kind or "multipart/form-data; boundary=edge")
    assert answer.status_code in (400, 413, 422), answer.text[:2000]
    assert "<h1" in answer.text
    assert "Traceback" not in answer.text
    assert left_behind(data) == []


@pytest.mark.parametrize(
    "filename",
    [
        b"n" * 3000 + b".jsonl",
        b"a\x00b.jsonl",
        b"../../etc/passwd",
        b"\xff\xfe.jsonl",
        "été ☃.jsonl".encode(),
    ],
)
def test_a_file_under_an_odd_name_is_read_like_any_other(site, data, filename):
    answer = post(site, form(field("name", b"Odd"), file(filename)))
    assert answer.status_code == 303, answer.text[:3000]
    shown = httpx.get(f"{site}{answer.headers['location']}")
    assert "10 rows" in shown.text
    assert left_behind(data) == []


def test_of_two_files_under_one_name_neither_is_taken(site, data):
    answer = post(site, form(file(), file(b"others.jsonl")))
    assert answer.status_code in (400, 422)
    assert left_behind(data) == []


def test_an_upload_that_breaks_off_near_its_end_leaves_nothing(site, data):
    body = form(file(content=ROWS * 1000))
    with connected(site) as line:
        line.sendall(head(site, len(body)) + body[: len(body) * 99 // 100])
    time.sleep(0.2)
    eventually(lambda: not left_behind(data), "the end of what had arrived")
    assert httpx.get(f"{site}/datasets").status_code == 200


def test_a_length_that_is_too_short_is_held_to(site, data):
    body = form(file())
    with connected(site) as line:
        line.sendall(head(site, len(body) // 2) + body)
        line.settimeout(30)
        answer = line.recv(65536)
    assert answer.split(b" ")[1] in (b"400", b"422")
    assert left_behind(data) == []


def test_large_files_do_not_pass_through_memory(site, data):
    process = psutil.Process()
    post(site, form(file(content=ROWS * 1000)))
    before = process.memory_info().rss
    for n in range(2):
        answer = post_in_pieces(site, 30_000_000, n)
        assert answer.status_code in (303, 422), answer.text[:2000]
    answer = post_in_pieces(site, 41_000_000, 0)
    assert answer.status_code == 413
    assert "larger than 40," in answer.text
    assert process.memory_info().rss - before < MOST_GROWTH
    assert left_behind(data) == []


def post_in_pieces(site: str, size: int, number: int) -> httpx.Response:
    """A CSV of one column, too narrow to be worth reading on."""
    begin, end = form(file(content=b"@"), boundary=b"edge").split(b"@")
    line = b"q%d\n" % number + b"x" * 997 + b"\n"

    def pieces() -> Iterator[bytes]:
        yield begin
        for _ in range(size // (len(line) * 100)):
            yield line * 100
        yield end

    headers = {"Content-Type": "multipart/form-data; boundary=edge", "Origin": site}
    return httpx.post(f"{site}/datasets", content=pieces(), headers=headers, timeout=200)


def connected(site: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(site.rpartition(":")[2])), timeout=30)


def head(site: str, length: int) -> bytes:
    return (
        f"POST /datasets HTTP/1.1\r\nHost: {site.removeprefix('http://')}\r\nOrigin: {site}\r\n"
        f"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
