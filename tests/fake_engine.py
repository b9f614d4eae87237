"""An engine with the real command line, the real lock and the real files, which trains nothing.

What it does follows from the run's name: `steps 5`, `waits` (for a file `go`), `crash`, `fail`, `hang`,
`deaf` (to SIGTERM), `silent` (no event at all), `lingers` (after its verdict), `child` (starts one that
outlives it), `noisy` (a long log). A number after the word is how many steps it takes, 0.05 s each.
"""

import os
import signal
import sys
import time
from pathlib import Path

from app.protocol import CheckpointEvent, EndEvent, LogEvent, MetricEvent, RunState, StateEvent
from app.run_dir import EventLog, RunDir

STEP_SECONDS = 0.05


class Stopped(Exception):
    pass


def main(path: str) -> None:
    run = RunDir(Path(path))
    word, _, number = run.spec.name.partition(" ")
    if word == "silent":
        sys.stderr.write("Traceback: no such module\n")
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, _stop)
    log = run.event_log()
    log.append(StateEvent(state=RunState.STARTING))
    steps = int(number) if number.isdecimal() else 3
    try:
        _train(run, log, word, steps)
        _finish(run, log, steps)
    except Stopped:
        log.append(EndEvent(state=RunState.CANCELLED, steps_done=0, total_steps=steps))
    if word == "lingers":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


def _train(run, log: EventLog, word: str, steps: int) -> None:
    log.append(LogEvent(line=f"environment {' '.join(sorted(os.environ))}"))
    log.append(StateEvent(state=RunState.RUNNING, detail="training"))
    for step in range(1, steps + 1):
        log.append(MetricEvent(step=step, total_steps=steps, values={"loss": 1 / step}))
        print("step", step, flush=True)  # noqa: T201 - its stdout is the run's log
        _misbehave(run, word, step)
        time.sleep(STEP_SECONDS)


def _misbehave(run, word: str, step: int) -> None:
    while word == "waits" and not (run.path / "go").exists():
        time.sleep(0.02)
    if word in ("hang", "deaf"):
        while True:
            time.sleep(0.05)
    if word == "crash" and step == 2:
        with run.events_file.open("ab") as file:
            file.write(b'{"seq": 99, "at": 1.0, "wh')
        sys.stderr.write("RuntimeError: out of luck\n")
        sys.stderr.flush()
        os._exit(3)
    if word == "child" and step == 2:
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        os._exit(4)
    if word == "noisy":
        print("x" * 5000, flush=True)  # noqa: T201 - its stdout is the run's log


def _finish(run, log: EventLog, steps: int) -> None:
    log.append(CheckpointEvent(step=steps))
    if run.spec.name.startswith("fail"):
        log.append(
            EndEvent(state=RunState.FAILED, steps_done=steps, total_steps=steps, reason="It diverged.")
        )
        return
    making = run.path / ".model"
    making.mkdir()
    (making / "config.json").write_text("{}")
    (making / "model.safetensors").write_bytes(b"weights" * 1000)
    making.rename(run.model_dir)
    log.append(EndEvent(state=RunState.SUCCEEDED, steps_done=steps, total_steps=steps))


def _stop(signum, frame) -> None:
    raise Stopped


if __name__ == "__main__":
    main(sys.argv[1])
