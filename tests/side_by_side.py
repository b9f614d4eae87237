"""Runs the tests in groups beside each other, and tells each group's story once it is over.

    python tests/side_by_side.py .venv/bin/pytest -m "not full and not gpu"

Browsers, engines and workers spend much of their time waiting for each other, so two cores carry four groups.
A group's fixtures (Chromium, a micro model, a PostgreSQL server) are made once for all of it.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent


def groups() -> dict[str, list[str]]:
    """Names to what pytest is given; every file is in exactly one."""
    folders = {"pages": ["browser", "journeys"], "engine": ["engine"], "worker": ["worker"], "web": ["web"]}
    given = {name: [f"tests/{each}" for each in parts] for name, parts in folders.items()}
    given["worker"] += sorted(f"tests/{path.name}" for path in HERE.glob("test_*.py"))
    elsewhere = {path.relative_to(HERE).parts[0] for path in HERE.glob("*/**/test_*.py")}
    known = {part for parts in folders.values() for part in parts}
    given["web"] += sorted(f"tests/{name}" for name in elsewhere - known)
    return given


def main(*command: str) -> int:
    began = time.monotonic()
    running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    for name, given in groups().items():
        told = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the group
        running[name] = subprocess.Popen([*command, *given], stdout=told, stderr=told), told
    sys.stdout.write(f"Running side by side: {', '.join(running)}. Each is told when it is over.\n")
    sys.stdout.flush()
    failed = []
    while running:
        for name in [name for name, (process, _) in running.items() if process.poll() is not None]:
            process, told = running.pop(name)
            minutes = (time.monotonic() - began) / 60
            sys.stdout.write(f"\n===== {name}, after {minutes:.1f} minutes =====\n")
            sys.stdout.flush()
            told.seek(0)
            sys.stdout.buffer.write(told.read())
            sys.stdout.buffer.flush()
            failed += [name] if process.returncode else []
        time.sleep(0.2)
    sys.stdout.write(f"\n{'Failed: ' + ', '.join(failed) if failed else 'All passed'}.\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
