"""Uploads that go on after a lost connection, and what they may not do."""

import base64
import hashlib
import json
from uuid import uuid4

import pytest

from app.cli_datasets import sent
from app.errors import Conflict
from app.remote import Remote
from app.settings import WebSettings
from app.web import uploads
from app.web.bringing import plain_name, plain_words
from tests.browser.served import serving
from tests.web.conftest import program
from tests.web.cutting_proxy import CuttingProxy

TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": "application/offset+octet-stream"}


def begin(api, length: int, filename: str = "cases.jsonl") -> str:
    metadata = f"filename {base64.b64encode(filename.encode()).decode()}"
    answer = api.post(
        "/api/v1/uploads", headers=TUS | {"Upload-Length": str(length), "Upload-Metadata": metadata}
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def patch(api, at: str, offset: int, content: bytes):
    return api.patch(at, content=content, headers=PART | {"Upload-Offset": str(offset)})


def test_an_upload_comes_in_parts_and_says_how_far_it_is(api, tmp_path):
    at = begin(api, 10)
    assert patch(api, at, 0, b"01234").headers["upload-offset"] == "5"
    stands = api.head(at)
    assert (stands.headers["upload-offset"], stands.headers["upload-length"]) == ("5", "10")
    assert stands.headers["cache-control"] == "no-store"
    refused = patch(api, at, 3, b"34567")
    assert refused.status_code == 409
    assert "stands at byte 5" in refused.json()["detail"]
    assert patch(api, at, 5, b"56789").headers["upload-offset"] == "10"
    (part,) = (tmp_path / "uploads").glob("*.part")
    assert part.read_bytes() == b"0123456789"
    assert api.delete(at).status_code == 204
    assert api.head(at).status_code == 404
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_this_service_knows_of_tus_is_told(api):
    told = api.options("/api/v1/uploads").headers
    assert (told["tus-version"], told["tus-extension"]) == ("1.0.0", "creation,termination")
    assert api.head(begin(api, 3), headers={"Tus-Resumable": "0.2"}).status_code == 412


def test_more_than_was_announced_is_refused(api):
    at = begin(api, 4)
    assert patch(api, at, 0, b"0123456789").status_code == 413
    assert api.head(at).headers["upload-offset"] == "0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 422),
        ({"Upload-Length": "-1"}, 422),
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Length": "many"}, 422),
        ({"Upload-Length": str(2**40)}, 413),
        ({"Upload-Length": "5", "Upload-Metadata": "filename ???"}, 400),
    ],
)
def test_an_upload_that_cannot_be_is_refused_at_once(api, headers, status):
    assert api.post("/api/v1/uploads", headers=TUS | headers).status_code == status


def test_only_so_many_uploads_are_unfinished_at_a_time(make_app):
    api = program(make_app(max_uploads=2))
    first, _ = begin(api, 5), begin(api, 5)
    assert api.post("/api/v1/uploads", headers=TUS | {"Upload-Length": "5"}).status_code == 429
    api.delete(first)
    begin(api, 5)


def test_an_upload_that_nobody_goes_on_with_is_forgotten(make_app, tmp_path):
    api = program(make_app(upload_hours=1e-9))
    at = begin(api, 5)
    begin(api, 5)
    assert api.head(at).status_code == 404


def test_a_part_needs_its_type_and_an_upload_its_id(api):
    at = begin(api, 5)
    assert api.patch(at, content=b"01234", headers=TUS | {"Upload-Offset": "0"}).status_code == 415
    assert api.head(f"/api/v1/uploads/{uuid4()}").status_code == 404
    assert api.head("/api/v1/uploads/..%2f..%2fetc").status_code in (404, 422)


def test_an_upload_is_not_used_before_all_of_it_is_here(api):
    at = begin(api, 10)
    source = {"kind": "upload", "id": at.rpartition("/")[2]}
    answer = api.post("/api/v1/datasets/from", json={"name": "Cases", "source": source})
    assert answer.status_code == 409
    assert "0 of 10 bytes" in answer.json()["detail"]


def test_two_requests_do_not_write_one_upload(tmp_path):
    settings = WebSettings(data_dir=tmp_path, worker_token="x")
    upload = uploads.begin(settings, 5, "x")
    twice = pytest.raises(Conflict, match="being received already")
    with uploads._alone(upload), twice, uploads._alone(upload):
        pass


def test_an_upload_over_a_connection_that_breaks_arrives_whole(tmp_path, sqlite_url):
    """The real server, the terminal's own client, and a network that is cut three times in between."""
    content = b"".join(
        json.dumps({"messages": [{"role": "user", "content": f"{n} " + "x" * 1000}]}).encode() + b"\n"
        for n in range(6000)
    )
    file = tmp_path / "cases.jsonl"
    file.write_bytes(content)
    settings = WebSettings(
        data_dir=tmp_path / "web", database_url=sqlite_url, sign_in="off", worker_token="x"
    )
    with serving(settings) as address:
        proxy = CuttingProxy(int(address.rpartition(":")[2]), [1_000_000, 300_000, 2_500_000])
        at = sent(Remote(f"http://127.0.0.1:{proxy.port}", "any"), file)
        proxy.close()
    assert proxy.cuts == 3
    part = tmp_path / "web" / "uploads" / f"{at.rpartition('/')[2]}.part"
    assert hashlib.sha256(part.read_bytes()).digest() == hashlib.sha256(content).digest()


def test_a_name_that_comes_with_a_file_is_only_shown():
    assert plain_name("../../etc/pass\x00wd.jsonl") == "passwd"
    assert plain_name("C:\\data\\cases.csv") == "cases"
    assert plain_words("/tmp/a.csv") == "the file a.csv"
    assert len(plain_name("x" * 3000 + ".csv")) == 120
    assert plain_name("") == "dataset"
