"""Becomes the program that it is given, once something about the machine is changed for it.

python -m tests.worker.surroundings group FOLDER PROGRAM ARGUMENTS...
python -m tests.worker.surroundings no-seccomp PROGRAM ARGUMENTS...
python -m tests.worker.surroundings clock FILE PYTHON -m MODULE ARGUMENTS...     FILE holds seconds
"""

import ctypes
import os
import runpy
import struct
import sys
import time
from pathlib import Path

from app.graders.sandbox.server import ARCHITECTURES, DENY, SET_NO_NEW_PRIVS, SET_SECCOMP


def join_group(folder: str) -> None:
    (Path(folder) / "cgroup.procs").write_text(str(os.getpid()))


def deny_locks() -> None:
    """From here on, no process may filter its own system calls: EPERM, as on a kernel built without it."""
    architecture, row = ARCHITECTURES[os.uname().machine]
    prctl = (157, 167)[row]
    steps = [
        (0x20, 0, 0, 4),
        (0x15, 0, 4, architecture),
        (0x20, 0, 0, 0),
        (0x15, 0, 2, prctl),
        (0x20, 0, 0, 16),
        (0x15, 1, 0, SET_SECCOMP),
        (0x06, 0, 0, 0x7FFF0000),
        (0x06, 0, 0, DENY),
    ]
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    code = ctypes.create_string_buffer(program)
    told = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SET_SECCOMP, 2, told, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter could be set")


def set_clock(shift: str) -> None:
    real = time.time
    time.time = lambda: real() + float(Path(shift).read_text() or 0)


def main(what: str, *given: str) -> None:
    if what == "clock":
        shift, _, _, module, *arguments = given
        set_clock(shift)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__")
        return
    if what == "group":
        folder, *given = given
        join_group(folder)
    else:
        deny_locks()
    os.execv(given[0], given)


if __name__ == "__main__":
    main(*sys.argv[1:])
