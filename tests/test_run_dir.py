"""A run on disk: written whole or not at all, read without what is half written."""

import fcntl
import json
import os
import subprocess
import sys
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Conflict
from app.protocol import (
    EndEvent,
    LogEvent,
    MetricEvent,
    RunSpec,
    RunState,
    StarterModel,
    StarterRecipe,
    StateEvent,
)
from app.run_dir import INDEX_EVERY, Accepted, EventLog, Inputs, RunDir, create_run_dir

SPEC = RunSpec(name="a run", model=StarterModel(), recipe=StarterRecipe())


@pytest.fixture
def run(tmp_path) -> RunDir:
    return create_run_dir(tmp_path, uuid4(), SPEC, Accepted(order=1, at=2.5))


def fill(run: RunDir, count: int) -> None:
    log = run.event_log()
    for step in range(1, count + 1):
        log.append(MetricEvent(step=step, total_steps=count, values={"loss": 1.0}))
    log.close()


def test_a_new_run_holds_its_spec_and_its_place(run, tmp_path):
    assert RunDir(run.path).spec == SPEC
    assert RunDir(run.path).accepted == Accepted(order=1, at=2.5)
    assert [path.name for path in tmp_path.iterdir()] == [run.path.name]
    assert run.events() == []
    assert run.verdict() is None


def test_what_a_crash_left_of_the_same_run_is_replaced(tmp_path):
    run_id = uuid4()
    half = tmp_path / f".{run_id}.new"
    half.mkdir()
    (half / "spec.json").write_text("{")
    assert create_run_dir(tmp_path, run_id, SPEC, Accepted(order=1, at=0.0)).spec == SPEC
    assert not half.exists()


def test_inputs_and_the_request_to_cancel_are_for_the_engine_to_read(run):
    inputs = Inputs(model_dir=None, dataset_file="x", device="cpu", threads=2, starter_cache="y")
    run.write_inputs(inputs)
    assert RunDir(run.path).inputs == inputs
    assert not run.cancel_requested
    run.request_cancel()
    assert RunDir(run.path).cancel_requested


def test_events_are_numbered_without_gaps_over_several_writers(run):
    fill(run, 3)
    fill(run, 2)
    assert [event.seq for event in run.events()] == [1, 2, 3, 4, 5]


@given(after=st.integers(0, 1300), limit=st.integers(0, 700))
def test_any_page_is_the_same_stretch_of_the_log(many, after, limit):
    expected = [seq for seq in range(1, 1201) if after < seq <= after + limit]
    assert [event.seq for event in many.events(after, limit)] == expected


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> RunDir:
    run = create_run_dir(tmp_path_factory.mktemp("runs"), uuid4(), SPEC, Accepted(order=1, at=0.0))
    fill(run, 1200)
    assert 3 * INDEX_EVERY < 1200
    return run


def test_a_reader_sees_what_is_appended_while_it_reads(run):
    reader = RunDir(run.path)
    fill(run, INDEX_EVERY)
    assert len(reader.events(limit=10_000)) == INDEX_EVERY
    fill(run, INDEX_EVERY)
    assert [event.seq for event in reader.events(after=2 * INDEX_EVERY - 1)] == [2 * INDEX_EVERY]


@pytest.mark.parametrize(
    "torn", [b"{", b'{"seq": 4, "at": 1.0, "what": {"kind": "log", "line": "x"}}', b"\x00" * 100, b"\xff\xfe"]
)
def test_an_unfinished_last_line_is_not_read_and_is_cut_by_the_next_writer(run, torn):
    fill(run, 3)
    with run.events_file.open("ab") as file:
        file.write(torn)
    assert len(run.events()) == 3
    fill(run, 1)
    assert [event.seq for event in run.events()] == [1, 2, 3, 4]
    assert [json.loads(line)["seq"] for line in run.events_file.read_text().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", [b"\x00" * 50 + b"\n", b'{"seq": 9}\n', b"nonsense\n{}\n"])
def test_damage_that_ends_in_a_line_end_ends_the_log_where_it_was_sound(run, damage):
    fill(run, 3)
    with run.events_file.open("ab") as file:
        file.write(damage)
    assert len(run.events()) == 3
    assert run.verdict() is None
    fill(run, 1)
    assert [event.seq for event in run.events()] == [1, 2, 3, 4]


def test_nothing_follows_the_verdict(run):
    log = run.event_log()
    log.append(EndEvent(state=RunState.SUCCEEDED, steps_done=1))
    with pytest.raises(Conflict):
        log.append(LogEvent(line="one more"))
    log.close()
    later = run.event_log()
    assert later.is_over
    with pytest.raises(Conflict):
        later.append(EndEvent(state=RunState.FAILED, steps_done=1))
    later.close()
    assert run.verdict().what.state is RunState.SUCCEEDED


def test_the_verdict_is_found_behind_a_long_line_and_a_long_log(run):
    fill(run, 500)
    log = run.event_log()
    log.append(EndEvent(state=RunState.FAILED, steps_done=1, log_tail="x" * 300_000))
    log.close()
    assert run.verdict().seq == 501


def test_a_full_disk_leaves_no_half_line_behind(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
from app.protocol import LogEvent
from app.run_dir import EventLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
log = EventLog(path)
log.append(LogEvent(line="first"))
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, resource.RLIM_INFINITY))
try:
    log.append(LogEvent(line="x" * 1000))
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append(LogEvent(line="second"))
"""
    path = tmp_path / "events.jsonl"
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout == "refused\n"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(event["seq"], event["what"]["line"]) for event in events] == [(1, "first"), (2, "second")]


def test_the_lock_is_one_engines_and_outlives_the_one_who_took_it(run):
    lock = run.take_lock()
    assert run.take_lock() is None
    engine = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    os.close(lock)
    assert run.take_lock() is None
    engine.communicate(b"\n")
    again = run.take_lock()
    assert again is not None
    fcntl.flock(again, fcntl.LOCK_UN)
    os.close(again)


def test_the_tail_of_a_log_is_its_last_lines_without_control_characters(run):
    assert run.log_tail() == ""
    run.log_file.write_bytes(b"".join(b"line %d\x1b[0m\n" % n for n in range(100)) + b"\x00end \xff")
    assert run.log_tail(lines=2) == "line 99[0m\nend \ufffd"


def test_a_log_that_grew_too_long_keeps_its_later_half_and_goes_on(run):
    with run.log_file.open("ab", buffering=0) as engine:
        engine.write(b"a" * 600 + b"b" * 500)
        run.cap_log(1000)
        engine.write(b"c" * 10)
    text = run.log_file.read_bytes()
    assert text.startswith(b"[the log grew too long")
    assert text.endswith(b"b" * 500 + b"c" * 10)
    assert len(text) < 600
    run.cap_log(1000)
    assert run.log_file.read_bytes() == text


def test_an_event_log_needs_no_run_directory_around_it(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    event = log.append(StateEvent(state=RunState.STARTING))
    log.close()
    assert event.seq == 1
    assert event.at > 0
