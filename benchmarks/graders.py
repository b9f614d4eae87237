"""How long grading takes: every kind of grader by the batch, beside a bare Python function.

    python benchmarks/graders.py [--rounds N]

One bench, warmed up; batches of 1, 16 and 64 answers, interleaved over the rounds; the median of each in
milliseconds. The judge is a local HTTP server that answers at once, so its row shows what asking costs and
not what a model takes. The last line is one JSON object: milliseconds by kind and size, and for both
sandboxes the time of a batch of 64 over that of the bare function.
"""

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

from app.graders.answer import Answer
from app.graders.bench import Bench, Resources
from app.graders.sandbox.availability import report
from app.protocol import (
    Grader,
    JsonSchema,
    JudgeEndpoint,
    JudgeMessage,
    Length,
    Math,
    Multi,
    Python,
    Regex,
    RewardModelGrader,
    ScoreModel,
    SelfCorrection,
    Sql,
    StringCheck,
    TextSimilarity,
)

SIZES = (1, 16, 64)
BARE = "bare function"

SOURCE = """
import re

def grade(sample, item):
    found = re.findall(r"Ruling: (\\w+)", sample["output_text"])
    return 1.0 if found and found[-1] == item["answer"] else 0.0
"""

RUNS_ANSWERS = """
def grade(sample, item):
    return 1.0 if run(item["program"], "twice", [21]) == 42 else 0.0
"""

TEXT = (
    "The notice was given within thirty days, so the clause applies. Draft: void. " * 12
) + "Ruling: lawful"


class Judge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"choices": [{"message": {"content": '{"score": 0.5}'}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def kinds() -> dict[str, Grader]:
    right = "{{ item.answer }}"
    final = Regex(name="r", pattern=r"Ruling: (\w+)", reference=right)
    draft = Regex(name="d", pattern=r"Draft: (\w+)", reference=right)
    tables = "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'x');"
    query, schema = "SELECT a FROM t WHERE b = 'x'", {"type": "object", "required": ["a"]}
    return {
        "string_check": StringCheck(name="s", reference=right, operation="like"),
        "regex": final,
        "length": Length(name="l", high=200),
        "json_schema": JsonSchema(name="j", input='{"a": 1}', schema=schema),
        "text_similarity (fuzzy_match)": TextSimilarity(name="t", reference=TEXT[:300]),
        "text_similarity (bleu)": TextSimilarity(name="t", reference=TEXT[:300], evaluation_metric="bleu"),
        "text_similarity (rouge_l)": TextSimilarity(
            name="t", reference=TEXT[:300], evaluation_metric="rouge_l"
        ),
        "math": Math(name="m", input=r"so it is \boxed{\frac{1}{2}}", reference="0.5"),
        "sql (parses)": Sql(name="q", input=query),
        "sql (fixture)": Sql(name="q", input=query, fixture=tables, reference=query),
        "self_correction": SelfCorrection(name="c", draft=draft, final=final),
        "multi": Multi(name="w", graders={"a": final, "b": draft}, calculate_output="0.7 * a + 0.3 * b"),
        "score_model": ScoreModel(
            name="j", input=[JudgeMessage(role="user", content="{{ sample.output_text }}")]
        ),
        "reward_model": RewardModelGrader(name="p", run=uuid4()),
        "python (monty)": Python(name="p", source=SOURCE),
        "python (cage)": Python(name="p", source=SOURCE, sandbox="cage"),
        "python (monty, runs the answer)": Python(name="p", source=RUNS_ANSWERS),
    }


def bare(answers: list[Answer]) -> None:
    module: dict[str, Callable[..., float]] = {}
    exec(SOURCE, module)
    for answer in answers:
        module["grade"]({"output_text": answer.text}, answer.item)


def answers(count: int) -> list[Answer]:
    item = {"answer": "lawful", "program": "def twice(x):\n    return 2 * x"}
    return [Answer(TEXT + " " * number, item, "Is it lawful?") for number in range(count)]


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def measure(bench: Bench, rounds: int) -> dict[str, dict[int, float]]:
    """Medians. One round goes through all kinds and sizes, so that a busy moment is shared by all."""
    given = {size: answers(size) for size in SIZES}
    works = {BARE: bare, **{name: _grading(bench, name, grader) for name, grader in kinds().items()}}
    for work in works.values():
        work(given[1])
    times: dict[str, dict[int, list[float]]] = {name: {size: [] for size in SIZES} for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            for size in SIZES:
                times[name][size].append(milliseconds(lambda work=work, size=size: work(given[size])))
    return {name: {n: statistics.median(found) for n, found in row.items()} for name, row in times.items()}


def _grading(bench: Bench, name: str, grader: Grader) -> Callable[[list[Answer]], None]:
    def work(given: list[Answer]) -> None:
        failed = [outcome for outcome in bench.grade(grader, given) if outcome.kind == "error"]
        if failed:
            raise SystemExit(f"{name} does not work here: {failed[0].why}")

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = JudgeEndpoint(url=f"http://127.0.0.1:{server.server_address[1]}/v1", model="local")
    scores = Resources(judge=endpoint, reward_models=lambda run, given: [0.5] * len(given))
    for sandbox, why in report().items():
        print(f"{sandbox}: {why or 'works here'}")
    with Bench(scores) as bench:
        found = measure(bench, rounds)
    server.shutdown()
    print(
        f"\n{'milliseconds a batch of':34}" + "".join(f"{size:>10}" for size in SIZES) + f"{'an answer':>12}"
    )
    for name, row in found.items():
        print(f"{name:34}" + "".join(f"{row[size]:10.2f}" for size in SIZES) + f"{row[64] / 64:12.3f}")
    over = {tier: found[f"python ({tier})"][64] / found[BARE][64] for tier in ("monty", "cage")}
    print(json.dumps({"rounds": rounds, "ms": found, "times_bare": over}))


if __name__ == "__main__":
    main()
