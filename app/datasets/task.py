"""What a process that reads a stranger's file is asked to do, and what it may use for it."""

import resource
from pathlib import Path

from pydantic import BaseModel

from app.errors import Problem
from app.protocol import BroughtFile, DatasetRef, Message, Reading


class Limits(Message):
    memory_bytes: int
    seconds: float
    """Of CPU time; whoever started the process watches the clock."""
    max_line_bytes: int
    max_rows: int
    max_bytes: int
    """That the rows may take once unpacked."""


class Task(BaseModel):
    limits: Limits
    folder: Path
    """Where what was found is left."""
    reading: Reading = Reading()
    ref: DatasetRef | None = None
    file: BroughtFile | None = None
    tokenizer: Path | None = None
    """Its tokenizer.json; None counts four bytes as a token."""
    tokenizer_name: str = ""
    context: int | None = None
    """Tokens that its model can see at once."""


class Refusal(BaseModel):
    sentence: str
    problems: list[Problem]


def hold_to(limits: Limits) -> None:
    """Address space, CPU time and size of files; a crash leaves no core behind."""
    seconds = max(1, round(limits.seconds))
    # The soft limit ends the process by a signal of its own, which tells time from memory.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, 2 * limits.max_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))
