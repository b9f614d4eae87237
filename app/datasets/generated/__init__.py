"""Tasks that the project makes itself: rows, grader, and what the starter model makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter, itemgetter
from random import Random

from app.datasets.formats import Row, Split, Turn
from app.datasets.generated import clauses, recall, rulings
from app.datasets.generated.apart import distinct
from app.datasets.generated.corpus import corpus
from app.datasets.generated.recipes import EVALUATION, starter_recipe
from app.protocol import Grader, JsonSchema, Regex, StringCheck

__all__ = [
    "EVALUATION",
    "NAMES",
    "STARTER_VERSION",
    "TASKS",
    "Task",
    "draft_grader",
    "generate",
    "grader",
    "starter_hash",
    "starter_recipe",
]

STARTER_VERSION = 2
"""Raised when the architecture or the pre-training changes; the texts are hashed by themselves."""


@dataclass(frozen=True)
class Task:
    title: str
    description: str
    grader: Grader
    draft_grader: Grader | None
    rows: Callable[[], Split]


def generate(name: str) -> Split:
    return TASKS[name].rows()


def grader(name: str) -> Grader:
    return TASKS[name].grader


def draft_grader(name: str) -> Grader | None:
    return TASKS[name].draft_grader


@lru_cache
def starter_hash() -> str:
    """What the starter is trained from: texts and version. The same hash, the same model up to rounding."""
    digest = sha256(f"starter {STARTER_VERSION}".encode())
    for prompt, answer in corpus():
        digest.update(f"{prompt}\x1f{answer}\x1e".encode())
    return digest.hexdigest()


def _prompt_row(prompt: str, answer: str) -> Row:
    return Row(messages=[Turn(role="user", content=prompt)], item={"answer": answer})


def _demonstration(prompt: str, worked: str, **item: str) -> Row:
    turns = [Turn(role="user", content=prompt), Turn(role="assistant", content=worked)]
    return Row(messages=turns, item={"reference": worked, **item})


@lru_cache
def _rulings() -> Split:
    """1,000 held-out cases, 2,000 with their ruling alone, and a few worked out by a careful clerk."""
    random = Random(29)
    held_out = distinct(random, rulings.draw_case, attrgetter("prompt"), 1000, held_out=True)
    cases = distinct(random, rulings.draw_case, attrgetter("prompt"), 2120)
    worked = [
        _demonstration(
            case.prompt, rulings.worked_answer(case, random.choice(rulings.RULINGS)), answer=case.ruling
        )
        for case in cases[:120]
    ]
    return Split(
        train=worked + [_prompt_row(case.prompt, case.ruling) for case in cases[120:]],
        held_out=[_prompt_row(case.prompt, case.ruling) for case in held_out],
    )


@lru_cache
def _clauses() -> Split:
    random = Random(31)
    train = distinct(random, clauses.draw_clause, attrgetter("prompt"), 600)
    held_out = distinct(random, clauses.draw_clause, attrgetter("prompt"), 1000, held_out=True)
    return Split(
        train=[_demonstration(clause.prompt, clause.answer) for clause in train],
        held_out=[_demonstration(clause.prompt, clause.answer) for clause in held_out],
    )


def _pairs(make: Callable[[Random], tuple[str, str]], seed: int) -> Split:
    random = Random(seed)
    return Split(
        train=[_prompt_row(*pair) for pair in distinct(random, make, itemgetter(0), 400)],
        held_out=[_prompt_row(*pair) for pair in distinct(random, make, itemgetter(0), 400, held_out=True)],
    )


@lru_cache
def _mastered() -> Split:
    return _pairs(recall.mastered_pair, 37)


@lru_cache
def _impossible() -> Split:
    return _pairs(recall.impossible_pair, 41)


TASKS: dict[str, Task] = {
    "rulings": Task(
        title="Rulings",
        description="Statutory reasoning with self-correction: draft a ruling, check it by the act, mend it.",
        # The last ruling counts: a grader that accepts any would pay for listing them all.
        grader=Regex(name="ruling", pattern=r"Ruling: (\w+)", reference="{{ item.answer }}"),
        draft_grader=Regex(
            name="draft", pattern=r"Draft: (\w+)", match="first", reference="{{ item.answer }}"
        ),
        rows=_rulings,
    ),
    "clauses": Task(
        title="Clauses",
        description="A contract clause as a JSON record with kind, party, days and penalty.",
        grader=JsonSchema(name="record", json_schema=clauses.SCHEMA),
        draft_grader=None,
        rows=_clauses,
    ),
    "mastered": Task(
        title="Mastered",
        description="Which act governs a dispute: the starter model already answers nearly all of these.",
        grader=StringCheck(name="act", reference="{{ item.answer }}"),
        draft_grader=None,
        rows=_mastered,
    ),
    "impossible": Task(
        title="Impossible",
        description="The seal of a file, which nothing in the prompt tells: no amount of practice helps.",
        grader=StringCheck(name="seal", reference="{{ item.answer }}"),
        draft_grader=None,
        rows=_impossible,
    ),
}

NAMES = tuple(TASKS)
