"""Code by strangers, in both sandboxes: contained, and never paid for breaking out."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from string import Template

import psutil
import pytest

import app
from app.graders.answer import Answer
from app.graders.helpers import Lender
from app.graders.python import BATCH, grade_python
from app.graders.sandbox.availability import unavailable
from app.graders.sandbox.cage import Cage, watchdog_seconds
from app.graders.sandbox.monty import Little
from app.graders.sandbox.sums import Sums
from app.protocol import Abstain, GraderError, Python, SandboxLimits, Score
from tests.graders import hostile

LIMITS = SandboxLimits(seconds=0.2, memory_bytes=256_000_000)
MARKER = "marker-" + "c0ffee" * 4
HELD = {"marker": MARKER, "again": [MARKER]}
"""On this process's heap, for whoever can look there."""

OWN_SOURCE = Path(app.__file__).read_text()[3:30]

HONEST = "def grade(sample, item):\n    return float(sample['output_text'] == item['right'])"
TIERS = ("monty", "cage", "cage without Landlock")


@pytest.fixture(scope="module")
def secret() -> Iterator[Path]:
    """Readable by everybody, under a path that everybody may walk."""
    with tempfile.NamedTemporaryFile("w", dir="/tmp", prefix="tuning-fork-secret-") as file:
        file.write(MARKER)
        file.flush()
        os.chmod(file.name, 0o644)
        yield Path(file.name)


@pytest.fixture(scope="module")
def sandboxes():
    """Opened while this process's environment holds the secret."""
    os.environ["TUNING_FORK_SECRET"] = MARKER
    made = {
        "monty": Little(LIMITS),
        "cage": Cage(LIMITS),
        "cage without Landlock": Cage(LIMITS, landlock=False),
    }
    yield made
    for sandbox in made.values():
        sandbox.close()
    del os.environ["TUNING_FORK_SECRET"]


@pytest.fixture(scope="module")
def sums() -> Iterator[Sums]:
    sums = Sums()
    yield sums
    sums.close()


@pytest.fixture(params=TIERS)
def grade(request, sandboxes, sums):
    tier = request.param
    kind = "monty" if tier == "monty" else "cage"
    if why := unavailable(kind):
        pytest.skip(why)

    def graded(source: str, answers, **more):
        grader = Python(name="g", source=source, sandbox=kind, **more)
        lend = partial(Lender, sums, sandboxes["cage"])
        if tier == "cage":  # one server forks one process at a time
            lend = partial(Lender, sums, sandboxes["cage without Landlock"])
        return grade_python(grader, answers, sandboxes[tier], watchdog_seconds(LIMITS), lend)

    return graded


def filled(source: str, secret: Path) -> str:
    own = Path(app.__file__)
    places = {"FILE": secret, "SOURCE": own, "ROOT": own.parent.parent, "PID": os.getpid()}
    return Template(source).safe_substitute(places)


def is_still_at_work(grade) -> bool:
    return [
        outcome.value for outcome in grade(HONEST, [Answer("a", {"right": "a"}), Answer("b", {"right": "a"})])
    ] == [1, 0]


@pytest.mark.parametrize("name", hostile.GRADERS)
def test_a_hostile_grader_wins_nothing_and_harms_nobody(name, grade, secret):
    outcomes = grade(filled(hostile.GRADERS[name], secret), [Answer("x", {"right": "y"})])
    assert len(outcomes) == 1
    for outcome in outcomes:
        assert not (isinstance(outcome, Score) and outcome.value == 1.0)
        assert MARKER not in outcome.model_dump_json()
        assert OWN_SOURCE not in outcome.model_dump_json()
    assert not Path("/tmp/tuning-fork-was-here").exists()
    assert is_still_at_work(grade)


LETS_LOOSE = """
import json, sys
marker = sys.argv[1]
for name, source in json.load(sys.stdin).items():
    module = {}
    exec(source, module)
    try:
        won = module['grade']({'output_text': 'x'}, {}) == 1.0
    except ValueError as error:
        won = marker in str(error)
    print(json.dumps([name, won]))
"""


def test_the_same_programs_win_where_nothing_holds_them(secret):
    """At least forty there are; these are the ones that may be let loose on this machine."""
    assert len(hostile.GRADERS) >= 40
    programs = {name: filled(hostile.GRADERS[name], secret) for name in hostile.WIN_OUTSIDE}
    ran = subprocess.run(
        [sys.executable, "-c", LETS_LOOSE, MARKER],
        input=json.dumps(programs),
        env={**os.environ, "TUNING_FORK_SECRET": MARKER},
        capture_output=True,
        text=True,
        check=True,
    )
    assert dict(json.loads(line) for line in ran.stdout.split("\n") if line) == dict.fromkeys(programs, True)


@pytest.mark.parametrize("name", hostile.ABSTAINS)
def test_none_abstains(name, grade):
    (outcome,) = grade(hostile.ABSTAINS[name], [Answer("x")])
    assert isinstance(outcome, Abstain)


RUNS_ANSWERS = """
def grade(sample, item):
    try:
        return float(run(sample['output_text'], 'solve', [item['asked']]) == item['right'])
    except RuntimeError as error:
        return 0.0
"""


def test_an_answer_that_is_a_program_is_run_apart_from_its_grader(grade):
    good, bad = (
        Answer("def solve(x):\n    return {'twice': 2 * x}", RIGHT),
        Answer("def solve(x):\n    return 0", RIGHT),
    )
    assert [outcome.value for outcome in grade(RUNS_ANSWERS, [good, bad, good])] == [1, 0, 1]


RIGHT = {"asked": 21, "right": {"twice": 42}}


@pytest.mark.parametrize("name", hostile.CANDIDATES)
def test_a_hostile_answer_is_only_a_wrong_answer(name, grade):
    (outcome,) = grade(RUNS_ANSWERS, [Answer(hostile.CANDIDATES[name], RIGHT)])
    assert isinstance(outcome, Score)
    assert outcome.value == 0.0


def test_an_answer_is_not_executed_beside_its_grader(grade):
    for word in ("exec", "eval"):
        source = f"def grade(sample, item):\n    return float({word}(sample['output_text']) == 1)"
        (outcome,) = grade(source, [Answer("1")])
        assert "call run(program, function, arguments)" in outcome.why


def test_an_answer_that_its_grader_does_not_survive_costs_the_others_nothing(grade):
    source = """
def grade(s, i):
    while s['output_text'] == 'poison':
        pass
    return float(s['output_text'] == 'good')
"""
    texts = ["good", "bad", "poison", "good", "bad", "good"]
    outcomes = grade(source, [Answer(text) for text in texts])
    assert [getattr(outcome, "value", None) for outcome in outcomes] == [1, 0, None, 1, 0, 1]
    assert "did not finish" in outcomes[2].why


def test_what_one_batch_leaves_behind_the_next_does_not_find(grade):
    remembers = "seen = []\ndef grade(s, i):\n    seen.append(s['output_text'])\n    return len(seen) / 10"
    assert max(outcome.value for outcome in grade(remembers, [Answer("x")] * 3)) == pytest.approx(0.3)
    assert max(outcome.value for outcome in grade(remembers, [Answer("x")] * 3)) == pytest.approx(0.3)


def test_more_answers_than_a_batch_are_graded_in_order(grade):
    answers = [Answer("a" if number % 3 else "b", {"right": "a"}) for number in range(2 * BATCH + 5)]
    assert [outcome.value for outcome in grade(HONEST, answers)] == [float(a.text == "a") for a in answers]


def test_scores_are_clipped_to_the_range_and_mapped_onto_zero_to_one(grade):
    source = "def grade(s, i):\n    return i['gives']"
    answers = [Answer("x", {"gives": value}) for value in (-5, -1, 0, 0.5, 1, 7, True, False)]
    assert [o.value for o in grade(source, answers, low=-1.0)] == [0, 0, 0.5, 0.75, 1, 1, 1, 0.5]


def test_a_grader_sees_the_answer_the_prompt_and_the_answer_as_json(grade):
    source = """
def grade(s, i):
    return float(s['output_json']['a'] == 1 and s['prompt'] == 'Say.' and i['k'] == [1])
"""
    (outcome,) = grade(source, [Answer('{"a": 1}', {"k": [1]}, "Say.")])
    assert outcome.value == 1.0


def test_helpers_work_and_tell_what_they_do_not_take(grade):
    source = """
def grade(s, i):
    assert similarity('abcd', 'abcd') == 1
    assert math_equal('so 0.5', '1/2') and not math_equal('2', '3')
    assert json_valid('{"a": 1}', {'required': ['a']}) and not json_valid('{}', {'required': ['a']})
    assert literal("[1, 'a']") == [1, 'a']
    odd = {'type': 'odd'}
    for wrong in (lambda: similarity(1, 2), lambda: literal('open()'), lambda: json_valid('{}', odd)):
        try:
            wrong()
            return 0.0
        except RuntimeError:
            pass
    return 1.0
"""
    (outcome,) = grade(source, [Answer("x")])
    assert outcome == Score(value=1.0)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\U0001f600", "\x1b[0m\r\n", "{{ x }}", '"}', ""])
def test_whatever_a_model_writes_reaches_grader_and_helpers(text, grade):
    source = (
        "def grade(s, i):\n    return similarity('[' + s['output_text'] + ']', '[' + s['output_text'] + ']')"
    )
    assert grade(source, [Answer(text)]) == [Score(value=1.0)]


def test_helpers_are_lent_only_so_often(grade):
    source = "def grade(s, i):\n    for _ in range(1000):\n        similarity('a', 'b')\n    return 1.0"
    (outcome,) = grade(source, [Answer("x")])
    assert isinstance(outcome, GraderError)


def test_texts_beyond_the_limit_are_errors_and_odd_characters_are_not(grade):
    long, odd = Answer("x" * 70_000, {"right": ""}), Answer("\ud800 \x00 \U0001f600", {"right": "?"})
    outcomes = grade(HONEST, [long, odd])
    assert "longer than" in outcomes[0].why
    assert outcomes[1] == Score(value=0.0)


def test_a_killed_server_is_replaced(sandboxes, grade):
    assert is_still_at_work(grade)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any("server.py" in part or "monty" in part for part in child.cmdline()):
                child.kill()
    grade(HONEST, [Answer("a", {"right": "a"})])
    assert is_still_at_work(grade)


def test_nothing_is_left_running_after_a_batch(grade):
    grade(hostile.GRADERS["loops"], [Answer("x")])
    ran = [child for child in psutil.Process().children(recursive=True) if child.uids().real == 65534]
    assert ran == []


OPENS_ALL = """
import sys, time
from app.graders.answer import Answer
from app.graders.bench import Bench
from app.protocol import Math, Python
bench = Bench()
for sandbox in ("monty", "cage"):
    source = "def grade(s, i):\\n    return run('f = abs', 'f', [-1])"
    bench.grade(Python(name="g", sandbox=sandbox, source=source), [Answer("x")])
bench.grade(Math(name="m", reference="1"), [Answer("1")])
print("open", flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_had_opened_does_not_outlive_it():
    with subprocess.Popen([sys.executable, "-c", OPENS_ALL], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 4
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
