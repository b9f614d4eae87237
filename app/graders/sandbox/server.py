"""The cage from inside: started with an empty environment, it forks a locked-in process for each batch.

Run by path, it imports nothing of ours. What a fork inherits its code can read, so nothing is here to
inherit: no environment, no key, no data. Source and answers come through the channel, after the lock is shut.

    python -I -S -B server.py CONTROL_FD     batches, as `cage` asks for them
    python -I -S -B server.py --exec PROGRAM ARGUMENTS...     the lock around one other program
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import platform
import resource
import select
import signal
import socket
import struct
import sys
import types
from typing import Any

CHANNEL = 3
NOBODY = 65534
LARGEST_FRAME = 1_000_000
"""Bytes, in either direction."""

PRELOADED = [
    "abc",
    "array",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "cmath",
    "collections.abc",
    "colorsys",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "dis",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "graphlib",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "html.parser",
    "inspect",
    "io",
    "itertools",
    "keyword",
    "math",
    "numbers",
    "operator",
    "pprint",
    "queue",
    "random",
    "re",
    "reprlib",
    "sqlite3",
    "statistics",
    "string",
    "stringprep",
    "struct",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "tokenize",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "unittest",
    "urllib.parse",
    "uuid",
    "weakref",
    "xml.etree.ElementTree",
    "zlib",
    "zoneinfo",
]
"""In memory before the lock: a program may sit where nobody may read, and the weaker lock opens no file."""

# The kernel's numbers (prctl.h, landlock.h, seccomp.h, filter.h, audit.h)

SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, SET_NO_NEW_PRIVS = 1, 4, 22, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, READ_FILE, READ_DIR = 1, 4, 8
LOAD, EQUALS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050001, 0x80000000
"""DENY answers EPERM."""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

ALWAYS: dict[str, tuple[int, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "mmap": (9, 222),
    "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "rt_sigreturn": (15, 139),
    "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "sched_yield": (24, 124), "mremap": (25, 216),
    "madvise": (28, 233), "dup": (32, 23), "nanosleep": (35, 101), "getpid": (39, 172), "exit": (60, 93),
    "uname": (63, 160), "fcntl": (72, 25), "gettimeofday": (96, 169), "getrusage": (98, 165),
    "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177),
    "getppid": (110, 173), "gettid": (186, 178), "futex": (202, 98), "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "exit_group": (231, 94), "getrandom": (318, 278), "rseq": (334, 293),
}  # fmt: skip

WHERE_LANDLOCK_GUARDS_FILES: dict[str, tuple[int, int | None]] = {
    "openat": (257, 56), "newfstatat": (262, 79), "statx": (332, 291), "getdents64": (217, 61),
    "getcwd": (79, 17), "readlinkat": (267, 78), "faccessat": (269, 48), "faccessat2": (439, 439),
    "open": (2, None), "stat": (4, None), "lstat": (6, None), "access": (21, None), "readlink": (89, None),
}  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class CannotLock(Exception):
    """The kernel lacks what the lock is made of."""


def _done(result: int, what: str) -> int:
    if result < 0:
        raise CannotLock(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def landlock(readable: dict[str, int]) -> int:
    """A ruleset under which only these paths can be opened, with these rights, and no TCP port."""
    abi = _done(libc.syscall(CREATE_RULESET, None, 0, 1), "this kernel has no Landlock")
    rights = (1 << 13) - 1 | (abi >= 2) << 13 | (abi >= 3) << 14 | (abi >= 5) << 15
    about = struct.pack("QQQ", rights, 3, 3)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _done(libc.syscall(CREATE_RULESET, about, len(about), 0), "Landlock")
    for path, allowed in readable.items():
        fd = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", allowed, fd)
        _done(libc.syscall(ADD_RULE, ruleset, 1, rule, 0), f"Landlock, {path}")
        os.close(fd)
    return fcntl.fcntl(ruleset, fcntl.F_DUPFD_CLOEXEC, 2 * CHANNEL)  # out of the channel's way


def standard_library() -> dict[str, int]:
    """Each part of it by itself: what other people installed beside it, this service perhaps, stays shut."""
    folder = os.path.dirname(os.__file__)
    parts = [entry for entry in os.scandir(folder) if entry.name not in ("site-packages", "dist-packages")]
    rights = {entry.path: READ_FILE | READ_DIR if entry.is_dir() else READ_FILE for entry in parts}
    return {folder: READ_DIR, **rights}


def seccomp(allowed: dict[str, tuple[int, int | None]]) -> None:
    """Everything else is answered with EPERM, for good."""
    if platform.machine() not in ARCHITECTURES:
        raise CannotLock(f"no list of system calls for {platform.machine()}")
    architecture, column = ARCHITECTURES[platform.machine()]
    numbers = [number for row in allowed.values() if (number := row[column]) is not None]
    rules = [(LOAD, 0, 0, 4), (EQUALS, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    left = len(numbers)
    for place, number in enumerate(numbers):
        rules.append((EQUALS, left - place, 0, number))
    rules += [(RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    held = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(rules), ctypes.addressof(held))
    _done(libc.prctl(SET_SECCOMP, 2, program, 0, 0), "this kernel has no seccomp filters")


def limit(memory: int, cpu: float, wall: float) -> None:
    """Kernel timers end what runs too long; once seccomp is on, nothing can disarm or ignore them."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, int(cpu) + 2),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    signal.setitimer(signal.ITIMER_PROF, cpu)
    signal.setitimer(signal.ITIMER_REAL, wall)


def drop(parent: int) -> None:
    """Nobody's rights, no way to gain others, and no life after the parent's."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    libc.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def lock_in(limits: dict[str, float], ruleset: int | None, parent: int) -> None:
    _done(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if ruleset is not None:
        _done(libc.syscall(RESTRICT_SELF, ruleset, 0), "Landlock")
    os.closerange(CHANNEL + 1, 1024)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    limit(int(limits["memory"]), limits["cpu"], limits["wall"])
    drop(parent)
    seccomp(ALWAYS if ruleset is None else {**ALWAYS, **WHERE_LANDLOCK_GUARDS_FILES})


# What the locked-in process does: loads a source, then calls its functions as it is asked to


def receive() -> Any:
    head = _exactly(4)
    return json.loads(_exactly(int.from_bytes(head, "big")))


def _exactly(count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = os.read(CHANNEL, count - len(found))
        if not more:
            os._exit(0)
        found += more
    return found


def send(message: dict[str, Any]) -> None:
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > LARGEST_FRAME:
        raise ValueError("what it returned is too large")
    left = len(body).to_bytes(4, "big") + body
    while left:
        left = left[os.write(CHANNEL, left) :]


def lent(name: str) -> Any:
    """A function outside the cage, called through the channel."""

    def helper(*arguments: Any) -> Any:
        send({"call": name, "arguments": list(arguments)})
        answer = receive()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    helper.__name__ = name
    return helper


def no_code_of_answers(*_: Any, **__: Any) -> Any:
    raise RuntimeError("an answer never runs beside its grader; call run(program, function, arguments)")


def serve_batch() -> None:
    asked = receive()
    module = types.ModuleType("grader")
    if asked["helpers"]:  # of these two, a nudge: what stands between grader and answers is another process
        module.__dict__.update(exec=no_code_of_answers, eval=no_code_of_answers)
    module.__dict__.update({name: lent(name) for name in asked["helpers"]})
    try:
        code = compile(asked["source"], "grader.py", "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except BaseException as error:
        send({"token": asked["token"], "error": said(error)})
        os._exit(0)
    send({"token": asked["token"], "value": None})
    while True:
        call(module, receive())


def call(module: types.ModuleType, asked: dict[str, Any]) -> None:
    try:
        function = getattr(module, asked["function"], None)
        if not callable(function):
            raise TypeError(f"there is no function {asked['function']}")
        value = function(*asked["arguments"])
        if type(value) not in (bool, int, float, str, list, dict, type(None)):
            raise TypeError(f"{asked['function']} returned a {type(value).__name__}")
        send({"token": asked["token"], "value": value})
    except BaseException as error:
        send({"token": asked["token"], "error": said(error)})


def said(error: BaseException) -> str:
    try:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return f"{type(error).__name__}: {str(error)[:300]}{line}"
    except BaseException:
        return "an error that cannot be put into words"


# What forks it, and nothing else


def serve(control: socket.socket, ruleset: int | None) -> None:
    me = os.getpid()
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            return
        if not fds:
            continue  # told to stop a batch that had just ended
        if (child := os.fork()) == 0:
            batch(fds[0], json.loads(message), ruleset, me)
        os.close(fds[0])
        control.send(str(ended(child, control)).encode())


def batch(channel: int, limits: dict[str, float], ruleset: int | None, parent: int) -> None:
    try:
        os.dup2(channel, CHANNEL)
        lock_in(limits, ruleset, parent)
    except BaseException as error:
        send({"unlocked": said(error)})
        os._exit(1)
    try:
        serve_batch()
    finally:
        os._exit(1)


def ended(child: int, control: socket.socket) -> int:
    """How the child ended, by itself or because whoever asked for it wants it to or is gone."""
    watched = os.pidfd_open(child)
    ready, _, _ = select.select([watched, control.fileno()], [], [])
    if watched not in ready:
        os.kill(child, signal.SIGKILL)
        control.recv(64)
    os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def prepare() -> None:
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the fork's first collection would copy every page


def main() -> None:
    if sys.argv[1] == "--exec":
        return become(sys.argv[2:])
    control = socket.socket(fileno=int(sys.argv[1]))
    prepare()
    try:
        ruleset = landlock(standard_library()) if "--without-landlock" not in sys.argv else None
    except CannotLock:
        ruleset = None
    control.send(b"ready" if ruleset is not None else b"ready without Landlock")
    serve(control, ruleset)


def become(command: list[str]) -> None:
    """Another program under as much of the lock as there is: it may read only what starts it."""
    folders = {
        path: EXECUTE | READ_FILE | READ_DIR for path in ("/lib", "/lib64", "/usr/lib") if os.path.isdir(path)
    }
    libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with contextlib.suppress(CannotLock):
        ruleset = landlock({**folders, os.path.realpath(command[0]): EXECUTE | READ_FILE})
        _done(libc.syscall(RESTRICT_SELF, ruleset, 0), "Landlock")
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(what, (0, 0))
    os.closerange(3, 4096)  # a run's lock among them, which must not outlive its engine
    os.execve(command[0], command, {})


if __name__ == "__main__":
    main()
