"""How fast pages come: time in the server, and what a browser makes of them.

    .venv/bin/python benchmarks/pages.py [--requests 60]

The real web service on SQLite, with an assessment of every worked example, in a process of its own. Beside
each page stands a bare Starlette route that answers the same bytes from the same kind of process: the
difference is ours. A real Chromium then loads each page and tells its largest contentful paint, its layout
shift and what styles and scripts weigh. Prints a table and, last, one line of JSON.
"""

import argparse
import gzip
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import uvicorn
from playwright.sync_api import Browser, sync_playwright
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from app.database import Database
from app.http_server import TimedProtocol
from app.main import create_app, read_rulebook
from app.migrations import migrate
from app.settings import WebSettings

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.browser.chromium import HOW_TO_GET_ONE, find
from tests.browser.served import FLAGS

PAGES = (
    "/",
    "/assessments",
    "{a}",
    "{a}/q/O1",
    "{a}/check",
    "{a}/result",
    "{a}/whatif",
    "{a}/record",
    "/help/method",
    "/runs",
)

PAINTS = """() => new Promise((done) => {
  const seen = {lcp: 0, cls: 0};
  new PerformanceObserver((list) => { for (const e of list.getEntries()) seen.lcp = e.startTime; })
    .observe({type: 'largest-contentful-paint', buffered: true});
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) if (!e.hadRecentInput) seen.cls += e.value; })
    .observe({type: 'layout-shift', buffered: true});
  setTimeout(() => done(seen), 300);
})"""


CHANGED = """(choice) => new Promise((done) => {
  const began = performance.now();
  new MutationObserver((_, seen) => { seen.disconnect(); done(performance.now() - began); })
    .observe(document.getElementById('told'), {childList: true, characterData: true, subtree: true});
  const select = document.getElementById('D3');
  select.value = choice;
  select.dispatchEvent(new Event('input', {bubbles: true}));
})"""


def serve_ours(ready: Connection, folder: str) -> None:
    url = f"sqlite:///{folder}/pages.db"
    database = Database(url)
    migrate(database)
    database.close()
    settings = WebSettings(
        database_url=url,
        data_dir=Path(folder),
        sign_in="off",
        worker_url="http://127.0.0.1:9",
        worker_token="nobody listens there",
    )
    _serve(create_app(settings), ready)


def serve_bare(ready: Connection, bodies: dict[str, str]) -> None:
    def answer(body: str) -> Route:
        return Route(body, lambda request: HTMLResponse(bodies[body]))

    _serve(Starlette(routes=[answer(path) for path in bodies]), ready)


def _serve(app: object, ready: Connection) -> None:
    config = uvicorn.Config(app, http=TimedProtocol, log_config=None, access_log=False, ws="none")  # type: ignore[arg-type]
    # Named TCP, or asyncio would not switch Nagle's algorithm off and every other page would wait 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    ready.send(listener.getsockname()[1])
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def served(target: object, *given: object) -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(theirs, *given), daemon=True)  # type: ignore[arg-type]
    process.start()
    try:
        address = f"http://127.0.0.1:{ours.recv()}"
        _wait(address)
        yield address
    finally:
        process.terminate()
        process.join()


def _wait(address: str) -> None:
    for _ in range(100):
        try:
            httpx.get(address)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers at {address}")


def fill(address: str) -> str:
    """An assessment of every example, each with its recommendation; the path of the first."""
    paths = []
    for example in read_rulebook().examples:
        form = {"name": example.title, "example": example.id, "description": ""}
        begun = httpx.post(f"{address}/assessments/new", data=form, headers={"Origin": address})
        paths.append(begun.headers["location"])
        httpx.post(f"{address}{paths[-1]}/result", headers={"Origin": address})
    return paths[0]


def timed(ours: str, bare: str, path: str, requests: int) -> tuple[list[float], list[float]]:
    """Milliseconds to the whole page, ours and bare by turns over kept connections."""
    found: tuple[list[float], list[float]] = ([], [])
    with httpx.Client() as client:
        for _ in range(requests + 3):
            for times, address in zip(found, (ours, bare), strict=True):
                began = time.perf_counter()
                client.get(address + path).raise_for_status()
                times.append((time.perf_counter() - began) * 1000)
    return found[0][3:], found[1][3:]


def followed(browser: Browser, address: str, path: str, times: int = 10) -> float:
    """Median milliseconds from a changed answer to the new advice on the what-if page, its pause included."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.goto(f"{path}/whatif")
    page.wait_for_load_state("networkidle")
    took = [page.evaluate(CHANGED, ("cannot", "exact_match")[n % 2]) for n in range(times)]
    context.close()
    return float(statistics.median(took))


def painted(browser: Browser, address: str, path: str) -> dict[str, float]:
    """Of the third load in a fresh context: milliseconds to the largest paint, shift, and kilobytes."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    fetched: set[str] = set()
    page.on("request", lambda request: fetched.add(request.url))
    page.goto(path)
    page.wait_for_load_state("networkidle")
    seen: dict[str, float] = page.evaluate(PAINTS)
    parts = [url for url in fetched if ".css" in url or ".js" in url]
    weight = sum(len(gzip.compress(httpx.get(url).content, 9)) for url in parts)
    context.close()
    return seen | {"kilobytes": weight / 1024}


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def measure(ours: str, requests: int) -> tuple[dict[str, dict[str, float]], float]:
    """By page; and how long what-if takes to follow a change."""
    first = fill(ours)
    paths = {page: page.replace("{a}", first) for page in PAGES}
    bodies = {path: httpx.get(ours + path).raise_for_status().text for path in paths.values()}
    executable = find() or sys.exit(HOW_TO_GET_ONE)
    rows = {}
    with served(serve_bare, bodies) as bare, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        for page, path in paths.items():
            mine, theirs = timed(ours, bare, path, requests)
            rows[page] = {
                "p50_ms": statistics.median(mine),
                "p95_ms": p95(mine),
                "bare_p95_ms": p95(theirs),
                **painted(browser, ours, path),
            }
        what_if = followed(browser, ours, first)
        browser.close()
    return rows, what_if


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(serve_ours, folder) as ours:
        rows, what_if = measure(ours, options.requests)
    print(f"{'page':16}{'p50 ms':>9}{'p95 ms':>9}{'bare p95':>10}{'LCP ms':>9}{'CLS':>8}{'CSS+JS KB':>11}")
    for page, row in rows.items():
        print(
            f"{page:16}{row['p50_ms']:9.1f}{row['p95_ms']:9.1f}{row['bare_p95_ms']:10.1f}"
            f"{row['lcp']:9.0f}{row['cls']:8.3f}{row['kilobytes']:11.1f}"
        )
    print(f"What-if follows a changed answer after {what_if:.0f} ms, a pause of 300 ms included.")
    worst = {
        "worst_p95_ms": round(max(row["p95_ms"] for row in rows.values()), 1),
        "worst_bare_p95_ms": round(max(row["bare_p95_ms"] for row in rows.values()), 1),
        "worst_lcp_ms": round(max(row["lcp"] for row in rows.values())),
        "worst_cls": round(max(row["cls"] for row in rows.values()), 4),
        "worst_kilobytes": round(max(row["kilobytes"] for row in rows.values()), 1),
        "what_if_ms": round(what_if),
        "requests": options.requests,
        "pages": len(rows),
    }
    print(json.dumps(worst))


if __name__ == "__main__":
    main()
