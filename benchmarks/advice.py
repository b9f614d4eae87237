"""How fast advice is, against a bare FastAPI POST that validates the same request and answers from a can.

    .venv/bin/python benchmarks/advice.py [--rounds 8] [--seconds 4] [--connections 32]

One server process on one core serves, the way the product is served: ours, with a line in the access log for
every request; a bare endpoint in an otherwise empty FastAPI app, and a bare GET beside it; the same endpoint
behind our own middleware. A second process on another core sends more than a thousand distinct projects over
keep-alive connections.

Requests a second are measured in closed loops, in interleaved rounds, so that a noisy neighbour hits all
alike: a round's ratio compares neighbours in time, and the median of the ratios is the figure. Latency is
measured in open loops at half of the rate found, each from the moment its request was due, because a closed
loop sends less while the server is slow. Prints a table and, last, one line of JSON.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import random
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import fastapi
import psutil
import uvicorn

from app import logs
from app.advisor.advice import Recommendation
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.rulebook import Rulebook
from app.database import Database
from app.http_server import configured, settle
from app.main import create_app, read_rulebook
from app.migrations import migrate
from app.settings import WebSettings
from app.web.api.recommendations import AdviceRequest

PROJECTS = 2000
SEED = 20260101
WARM_UP_SECONDS = 2.0
PATH = "/api/v1/recommendations"
BARE_GET = "/api/v1/bare"

OURS, BARE, BEHIND, GET, FULL = TARGETS = (
    "ours",
    "bare POST, in an empty app",
    "bare POST, behind our middleware",
    "bare GET, in an empty app",
    "ours, everything included",
)


@dataclass
class Round:
    requests: int
    seconds: float
    latencies: list[float] = field(repr=False)
    server_seconds: float = 0.0
    """CPU time of the server: what the rate would be without a client or a neighbour in the way."""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu(self) -> float:
        return self.server_seconds / self.requests

    def quantile(self, share: float) -> float:
        return quantile(self.latencies, share)


def quantile(latencies: list[float], share: float) -> float:
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# Projects


def projects(rulebook: Rulebook, count: int) -> list[bytes]:
    """Distinct by construction: duplicates are drawn again."""
    chance = random.Random(SEED)
    found: dict[bytes, None] = {}
    while len(found) < count:
        found[json.dumps(_project(rulebook, chance)).encode()] = None
    return list(found)


def _project(rulebook: Rulebook, chance: random.Random) -> dict[str, object]:
    answers = {q: _answer(rulebook, q, chance) for q in rulebook.questions if chance.random() < 0.9}
    project: dict[str, object] = {"answers": answers}
    if chance.random() < 0.3:
        project["weights"] = {factor.id: chance.randint(1, 100) for factor in rulebook.factors}
    return project


def _answer(rulebook: Rulebook, question: str, chance: random.Random) -> object:
    asked = rulebook.questions[question]
    if chance.random() < 0.1:
        return chance.choice([None, "not_applicable"])
    if asked.kind == "hardware":
        size, gpus = chance.choice([0.5, 1.5, 3, 7, 8, 14, 32, 70]), chance.choice([0, 1, 2, 4, 8])
        return {"parameters_b": size, "gpus": gpus, "gpu_memory_gb": chance.choice([16, 24, 48, 80])}
    if asked.kind == "budget":
        return {"gpu_hours": chance.choice([1, 8, 24, 100, 500]), "days": chance.choice([2, 7, 30])}
    choice = chance.choice(asked.choices).id
    if chance.random() < 0.15:
        return {"choice": choice, "basis": "told", "note": "Measured last week by the data team."}
    return choice


# Server


def bare(canned: Recommendation) -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.post(PATH)
    async def answer(body: AdviceRequest) -> Recommendation:
        return canned

    @app.get(BARE_GET)
    async def hello() -> dict[str, str]:
        return {"method": "sft"}

    return app


def serve(ready: Connection, core: int | None, folder: str, log_level: str) -> None:
    pin(core)
    logs.configure(log_level, Path(folder) / "web.log")
    rulebook = read_rulebook()
    canned = recommend(rulebook.read({"answers": rulebook.examples[0].answers}), rulebook)
    url = f"sqlite:///{folder}/benchmark.db"
    database = Database(url)
    migrate(database)
    database.close()
    settings = WebSettings(
        database_url=url, data_dir=Path(folder), worker_token="none", recommendations_per_minute=10**9
    )
    behind = create_app(settings)
    behind.router.routes.insert(
        0, next(r for r in bare(canned).router.routes if getattr(r, "path", "") == PATH)
    )
    settle()
    asyncio.run(_serve([create_app(settings), bare(canned), behind], ready))


async def _serve(apps: list[fastapi.FastAPI], ready: Connection) -> None:
    listeners = [_listener() for _ in apps]
    ready.send([listener.getsockname()[1] for listener in listeners])
    await asyncio.gather(
        *(
            uvicorn.Server(configured(app, lifespan="off")).serve(sockets=[sock])
            for app, sock in zip(apps, listeners, strict=True)
        )
    )


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    return listener


def pin(core: int | None) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


# Clients


def request(path: str, body: bytes, method: str = "POST") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, requests: list[bytes], connections: int, seconds: float) -> Round:
    """A closed loop: every connection sends its next request when the answer to the last has arrived."""
    latencies: list[float] = []
    began = time.perf_counter()
    until = began + seconds
    clients = [
        _client(port, requests[n::connections], until, latencies)
        for n in range(min(connections, len(requests)))
    ]
    await asyncio.gather(*clients)
    return Round(len(latencies), time.perf_counter() - began, latencies)


async def _client(port: int, requests: list[bytes], until: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    n = 0
    while (sent := time.perf_counter()) < until:
        await _ask(reader, writer, requests[n % len(requests)])
        n += 1
        latencies.append(time.perf_counter() - sent)
    writer.close()
    await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> None:
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"the server refused: {head.decode()}{await reader.read(500)!r}")
    length = head.lower().index(b"content-length:") + 15
    await reader.readexactly(int(head[length : head.index(b"\r", length)]))


async def paced(
    port: int, requests: list[bytes], connections: int, seconds: float, rate: float
) -> list[float]:
    """An open loop: latencies of requests that are due at equal distances, however slow the answers are."""
    latencies: list[float] = []
    began = time.perf_counter() + 0.1

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for n in range(first, int(rate * seconds), connections):
            due = began + n / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await _ask(reader, writer, requests[n % len(requests)])
            latencies.append(time.perf_counter() - due)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(first) for first in range(connections)))
    return latencies


# The comparison


Targets = dict[str, tuple[int, list[bytes]]]
"""Port and requests, by name."""


def targets_of(ports: list[int], bodies: list[bytes]) -> Targets:
    plain = [request(PATH, body) for body in bodies]
    full = [request(f"{PATH}?include={','.join(sorted(EVERYTHING))}", body) for body in bodies]
    ours, bare, behind = ports
    get = [request(BARE_GET, b"", "GET")] * len(plain)
    sent = ((ours, plain), (bare, plain), (behind, plain), (bare, get), (ours, full))
    return dict(zip(TARGETS, sent, strict=True))


async def compare(
    targets: Targets, server: psutil.Process, options: argparse.Namespace
) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {name: [] for name in targets}
    for port, requests in targets.values():
        await load(port, requests, options.connections, WARM_UP_SECONDS)
    for _ in range(options.rounds):
        for name, (port, requests) in targets.items():
            before = sum(server.cpu_times()[:2])
            found = await load(port, requests, options.connections, options.seconds)
            found.server_seconds = sum(server.cpu_times()[:2]) - before
            rounds[name].append(found)
    return rounds


async def open_loops(
    targets: Targets, rounds: dict[str, list[Round]], options: argparse.Namespace
) -> dict[str, list[list[float]]]:
    """At half of the rate of the closed loops; latencies by round."""
    found: dict[str, list[list[float]]] = {OURS: [], FULL: []}
    for _ in range(options.rounds):
        for name in found:
            port, requests = targets[name]
            rate = statistics.median(r.rate for r in rounds[name]) / 2
            found[name].append(await paced(port, requests, options.connections, options.seconds, rate))
    return found


def milliseconds(rounds: list[list[float]], share: float) -> float:
    return round(statistics.median(quantile(latencies, share) for latencies in rounds) * 1000, 2)


def figures_of(rounds: dict[str, list[Round]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "requests_per_second": round(statistics.median(r.rate for r in found), 1),
            "closed_p50_ms": round(statistics.median(r.quantile(0.5) for r in found) * 1000, 2),
            "closed_p99_ms": round(statistics.median(r.quantile(0.99) for r in found) * 1000, 2),
            "server_cpu_ms": round(statistics.median(r.cpu for r in found) * 1000, 3),
            "of_bare": ratio(rounds, name, BARE),
        }
        for name, found in rounds.items()
    }


def ratio(rounds: dict[str, list[Round]], of: str, to: str) -> float:
    return round(statistics.median(a.rate / b.rate for a, b in zip(rounds[of], rounds[to], strict=True)), 3)


def cpu_ratio(rounds: dict[str, list[Round]], of: str, to: str) -> float:
    return round(statistics.median(b.cpu / a.cpu for a, b in zip(rounds[of], rounds[to], strict=True)), 3)


def report(
    rounds: dict[str, list[Round]], paced: dict[str, list[list[float]]], options: argparse.Namespace
) -> None:
    figures = figures_of(rounds)
    print(f"{options.connections} connections, each sending its next request when the last is answered:")
    print(f"{'':34}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'of bare':>9}")
    for name, row in figures.items():
        print(
            f"{name:34}" + "".join(f"{value:>{11 if i == 0 else 9}}" for i, value in enumerate(row.values()))
        )
    print("Requests due at half of that rate, whatever the answers do:")
    for name, latencies in paced.items():
        print(f"{name:45}{milliseconds(latencies, 0.5):>9}{milliseconds(latencies, 0.99):>9}")
    result = {
        "ratio_same_models": ratio(rounds, OURS, BARE),
        "ratio_bare_get": ratio(rounds, OURS, GET),
        "p99_ms": milliseconds(paced[OURS], 0.99),
        "p99_full_ms": milliseconds(paced[FULL], 0.99),
        "ratio_same_models_by_server_cpu": cpu_ratio(rounds, OURS, BARE),
        "ratio_behind_our_middleware": ratio(rounds, OURS, BEHIND),
        "figures": figures,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "fastapi": fastapi.__version__,
        "uvicorn": uvicorn.__version__,
        "log_level": options.log_level,
        "projects": PROJECTS,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": options.connections,
    }
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--log-level", default="info", help="`warning` leaves out the access log")
    options = parser.parse_args()
    bodies = projects(read_rulebook(), PROJECTS)
    apart = (os.cpu_count() or 1) > 1
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, 0 if apart else None, folder, options.log_level), daemon=True
        )
        server.start()
        try:
            pin(1 if apart else None)
            watched = psutil.Process(server.pid)
            targets = targets_of(ours.recv(), bodies)
            rounds = asyncio.run(compare(targets, watched, options))
            report(rounds, asyncio.run(open_loops(targets, rounds, options)), options)
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
