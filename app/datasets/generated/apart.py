"""Which prompts are held out: the prompt itself decides, so none can also be in a text to learn from.

Its last line, the question, has no say: the same case must not be learnt from under another question.
"""

from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import TypeVar

T = TypeVar("T")

HELD_OUT_OF_256 = 64


def is_held_out(prompt: str) -> bool:
    case, _, _ = prompt.rpartition("\n")
    return sha256(case.encode()).digest()[0] < HELD_OUT_OF_256


def draw(
    random: Random, make: Callable[[Random], T], prompt_of: Callable[[T], str], *, held_out: bool = False
) -> T:
    """The next thing on the wanted side."""
    while is_held_out(prompt_of(made := make(random))) != held_out:
        pass
    return made


def distinct(
    random: Random,
    make: Callable[[Random], T],
    prompt_of: Callable[[T], str],
    count: int,
    *,
    held_out: bool = False,
) -> list[T]:
    found: dict[str, T] = {}
    while len(found) < count:
        made = draw(random, make, prompt_of, held_out=held_out)
        found.setdefault(prompt_of(made), made)
    return list(found.values())
