"""An engine with the real command line, the real lock and the real files, which trains nothing.

What it does follows from the run's name: `steps 5`, `waits` (for a file `go`), `crash`, `fail`, `hang`,
`deaf` (to SIGTERM), `silent` (no event at all), `lingers` (after its verdict or its pause), `child` (starts
one that outlives it), `orphan` (waits, then does so too), `noisy` (a long log), `lost` (killed at its second
step, in its first attempt), `doomed` (in each), `limited` (saves every step), `hungry` (for memory),
`stopped` (by a finding; a model is kept). A number after the word is how many steps it takes, 0.05 s each.
Like the real one it saves and stops when asked to, and goes on from what it saved. It imports nothing of
ours: it is started some hundred times, and what it writes is read strictly.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

STEP_SECONDS = 0.05


was_told_to_stop = False
"""Only noted by the handler, as in the real engine: an exception could come between an event and its end."""


class Stopped(Exception):
    pass


class Paused(Exception):
    def __init__(self, detail, limit) -> None:
        self.limit = limit
        super().__init__(detail)


class Log:
    """Appends to events.jsonl, after what an earlier attempt wrote whole."""

    def __init__(self, file: Path) -> None:
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        self._seq = len(whole)
        self._file = file.open("r+b" if file.exists() else "w+b", buffering=0)
        self._file.seek(sum(map(len, whole)))
        self._file.truncate()

    def append(self, kind: str, **what: Any) -> None:
        self._seq += 1
        event = {"seq": self._seq, "at": time.time(), "what": {"kind": kind, **what}}
        self._file.write(json.dumps(event).encode() + b"\n")


class Run:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = json.loads((path / "spec.json").read_text())
        self.inputs = json.loads((path / "inputs.json").read_text())

    @property
    def most_steps(self) -> int | None:
        raised = self.path / "limits.json"
        limits = json.loads(raised.read_text()) if raised.exists() else self.spec["limits"]
        most: int | None = limits["steps"]
        return most


def main(path: str) -> None:
    run = Run(Path(path))
    word, _, number = run.spec["name"].partition(" ")
    if word == "silent":
        sys.stderr.write("Traceback: no such module\n")
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, _note_stop)
    log = Log(run.path / "events.jsonl")
    log.append("state", state="starting")
    steps = int(number) if number.isdecimal() else 3
    try:
        _train(run, log, word, steps)
        _finish(run, log, steps)
    except Paused as paused:
        log.append("state", state="paused", detail=str(paused), limit=paused.limit)
    except Stopped:
        if not (run.path / "cancel").exists():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        log.append("end", state="cancelled", steps_done=0, total_steps=steps)
    if word == "lingers":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


def _train(run: Run, log: Log, word: str, steps: int) -> None:
    log.append("log", line=f"environment {' '.join(sorted(os.environ))}")
    done = _newest_checkpoint(run)
    if run.inputs["why"]:
        log.append("resume", from_step=done, attempt=run.inputs["attempt"], why=run.inputs["why"])
    log.append("state", state="running", detail="training")
    for step in range(done + 1, steps + 1):
        log.append("metric", step=step, total_steps=steps, values={"loss": 1 / step})
        print("step", step, flush=True)  # noqa: T201 - its stdout is the run's log
        _misbehave(run, log, word, step, steps)
        _stop_if_asked(run, log, step, steps)
        if word == "limited":
            _save(run, log, step)
        time.sleep(STEP_SECONDS)


def _misbehave(run: Run, log: Log, word: str, step: int, steps: int) -> None:
    while word in ("waits", "orphan") and not (run.path / "go").exists():
        _stop_if_asked(run, log, step, steps)
        time.sleep(0.02)
    if word in ("hang", "deaf"):
        while True:
            _stop_if_asked(run, log, step, steps)
            time.sleep(0.05)
    if word == "noisy":
        print("x" * 5000, flush=True)  # noqa: T201 - its stdout is the run's log
    if step == 2:
        _die(run, word)


def _die(run: Run, word: str) -> None:
    if word == "crash":
        with (run.path / "events.jsonl").open("ab") as file:
            file.write(b'{"seq": 99, "at": 1.0, "wh')
        sys.stderr.write("RuntimeError: out of luck\n")
        sys.stderr.flush()
        os._exit(3)
    if word in ("child", "orphan"):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        os._exit(4)
    if word == "hungry":
        eaten = []
        while True:
            eaten.append(os.urandom(1 << 24))
    if word == "doomed" or (word == "lost" and run.inputs["attempt"] == 1):
        os.kill(os.getpid(), signal.SIGKILL)


def _stop_if_asked(run: Run, log: Log, step: int, steps: int) -> None:
    if was_told_to_stop:
        raise Stopped
    most = run.most_steps
    limit = "steps" if most is not None and step >= most and step < steps else None
    if limit or (run.path / "pause").exists():
        _save(run, log, step)
        raise Paused(f"Paused after {step} of {steps} steps.", limit)


def _save(run: Run, log: Log, step: int) -> None:
    (run.path / "checkpoints" / str(step)).mkdir(parents=True, exist_ok=True)
    log.append("checkpoint", step=step)


def _newest_checkpoint(run: Run) -> int:
    return max((int(path.name) for path in run.path.glob("checkpoints/*")), default=0)


def _finish(run: Run, log: Log, steps: int) -> None:
    log.append("checkpoint", step=steps)
    if run.spec["name"].startswith("fail"):
        log.append("end", state="failed", steps_done=steps, total_steps=steps, reason="It diverged.")
        return
    making = run.path / ".model"
    making.mkdir(exist_ok=True)
    (making / "config.json").write_text("{}")
    (making / "model.safetensors").write_bytes(b"weights" * 1000)
    making.rename(run.path / "model")
    if run.spec["name"].startswith("stopped"):
        log.append("state", state="evaluating", detail="measuring")
        why = "It diverged. The model of step 2 is kept."
        log.append("end", state="failed", steps_done=steps, total_steps=steps, reason=why, kept_step=2)
        return
    log.append("end", state="succeeded", steps_done=steps, total_steps=steps)


def _note_stop(signum, frame) -> None:
    global was_told_to_stop
    was_told_to_stop = True


if __name__ == "__main__":
    main(sys.argv[1])
