"""A Hugging Face hub on the loopback interface: the parts of its HTTP interface that its library asks for."""

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEXT_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
FIRST_CHANGED = "2026-01-02T03:04:05.000Z"

API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<id>[\w.-]+/[\w.-]+)(/(?P<what>revision|tree|paths-info)/(?P<rev>[^/]+)(/.*)?)?"
)
FILE = re.compile(r"/(?P<kind>datasets/)?(?P<id>[\w.-]+/[\w.-]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")


class Hub:
    """Repositories are folders: `root/models/OWNER/NAME` and `root/datasets/OWNER/NAME`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pushed: dict[str, Path] = {}
        """Folders of what is at NEXT_COMMIT, by that of COMMIT."""
        self.asked: list[str] = []
        """Method and path of each request."""
        self.url = ""

    def repository(self, kind: str, name: str) -> Path:
        folder = self.root / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def push(self, kind: str, name: str) -> Path:
        """A copy of the repository's files, to be changed: what `main` means from now on."""
        first = self.repository(kind, name)
        after = self.root / "pushed" / kind / name
        shutil.copytree(first, after)
        self.pushed[str(first)] = after
        return after

    def at(self, kind: str, name: str, rev: str) -> tuple[Path, str] | None:
        """Folder and commit; None without such a revision."""
        first = self.root / kind / name
        after = self.pushed.get(str(first))
        if rev == COMMIT or (rev == "main" and after is None):
            return first, COMMIT
        return (after, NEXT_COMMIT) if after and rev in ("main", NEXT_COMMIT) else None


@contextmanager
def hub_at(root: Path) -> Iterator[Hub]:
    hub = Hub(root)
    server = Server(("127.0.0.1", 0), Handler)
    server.hub = hub
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Server(ThreadingHTTPServer):
    hub: Hub


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        where = urlsplit(self.path)
        path = unquote(where.path)
        self.server.hub.asked.append(f"{self.command} {path}")
        if found := FILE.fullmatch(path):
            kind = "datasets" if found["kind"] else "models"
            self._file(self.server.hub.at(kind, found["id"], found["rev"]), found["path"])
        elif found := API.fullmatch(path):
            self._told(found["kind"], found["id"], found["what"] or "", found["rev"] or "main", body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _told(self, kind: str, name: str, what: str, rev: str, body: str) -> None:
        if not (self.server.hub.root / kind / name).is_dir():
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        if not (found := self.server.hub.at(kind, name, rev)):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        folder, commit = found
        if what == "tree":
            self._json([_entry(folder, path) for path in _files(folder)])
        elif what == "paths-info":
            wanted = parse_qs(body)["paths"] if "=" in body else json.loads(body)["paths"]
            self._json([_entry(folder, folder / each) for each in wanted if (folder / each).is_file()])
        else:
            siblings = [{"rfilename": str(path.relative_to(folder))} for path in _files(folder)]
            told = {"id": name, "sha": commit, "siblings": siblings, "lastModified": FIRST_CHANGED}
            self._json(told | {"private": False, "gated": False, "tags": [], "downloads": 0})

    def _file(self, found: tuple[Path, str] | None, name: str) -> None:
        folder, commit = found or (Path(), COMMIT)
        path = folder / name
        if not found or not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit}
        headers |= {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and self.command == "GET":
            first, last = int(asked[1]), int(asked[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._send(206, content[first : last + 1], headers)
        else:
            self._send(200, content, headers)

    def _json(self, told: Any) -> None:
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    oid = hashlib.sha1(path.read_bytes()).hexdigest()
    return {
        "type": "file",
        "path": str(path.relative_to(folder)),
        "size": path.stat().st_size,
        "oid": oid,
        "lastCommit": {"id": COMMIT, "title": "first", "date": FIRST_CHANGED},
    }
