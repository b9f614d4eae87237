"""What a dataset holds that the data questions ask about: what is usable, by whom, how its parts differ."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from app.datasets.apart import FEWEST, MOST, told_apart, words_of
from app.datasets.rows import Row
from app.datasets.survey import Survey, question_of
from app.protocol import Content, Maker, SeveralAnswers, Shift

Between = Literal["splits", "held_out", "prompts"]

MAKERS = frozenset(
    {
        "annotator", "author", "created_by", "creator", "generated_by", "generator", "labeler", "labeller",
        "model", "model_name", "origin", "provenance", "source", "teacher", "written_by",
    }
)  # fmt: skip
"""Fields of a row that may say who made its answer."""
CHECKS = frozenset({"approved", "checked", "is_verified", "reviewed", "validated", "verified"})
SPLITS = frozenset({"partition", "split", "subset"})
TRAINING = re.compile(r"train.*")
OTHERS = re.compile(r"(test|val|dev|eval|held).*")
"""What such a field calls them; a subset may be anything else."""
MOST_VALUES = 200
"""Of a field, that are told apart; names of makers are few."""
TOLD_VALUES = 20
LONGEST_VALUE = 80


@dataclass
class _Group:
    """An even sample of rows whose number is not known before: every second is dropped when it is full."""

    every: int = 1
    seen: int = 0
    kept: list[frozenset[str]] = field(default_factory=list)

    def add(self, text: str) -> None:
        if self.seen % self.every == 0:
            self.kept.append(words_of(text))
        self.seen += 1
        if len(self.kept) >= 2 * MOST:
            self.kept, self.every = self.kept[::2], self.every * 2


class Contents:
    """Fed row by row after the survey, whose findings it counts with."""

    def __init__(self, survey: Survey, is_given: bool) -> None:
        self._survey = survey
        self._is_given = is_given
        """Whether the held-out rows came as such; those that a hash chose differ by chance alone."""
        self._usable: Counter[str] = Counter()
        self._answered = 0
        self._asked: set[int] = set()
        self._answers: Counter[int] = Counter()
        self._values: dict[str, Counter[str]] = {}
        self._checked = 0
        self._groups: dict[str, _Group] = {}

    def add(self, row: Row) -> None:
        index, kind = self._survey.count - 1, _kind(row)
        if kind != "text":
            part = self._part(index, kind, row.item)
            self._groups.setdefault(part, _Group()).add(question_of(row))
        if self._is_apart(index):
            return
        self._usable[kind] += self._is_usable(index)
        if kind != "text":
            self._asked.add(self._survey.asked[index])
        if kind == "demo":
            self._add_answer(index, row.item)

    def _is_apart(self, index: int) -> bool:
        """Rows that came as held out are nothing to learn from."""
        return self._is_given and index in self._survey.held_out

    def _is_usable(self, index: int) -> bool:
        faults = (self._survey.duplicates, self._survey.placeholders, self._survey.equal_pairs)
        return not any(fault and fault[-1] == index for fault in faults)

    def _add_answer(self, index: int, item: dict[str, Any]) -> None:
        self._answered += 1
        if not self._survey.duplicates or self._survey.duplicates[-1] != index:
            self._answers[self._survey.asked[index]] += 1
        for name in MAKERS & item.keys():
            values = self._values.setdefault(name, Counter())
            value = str(item[name]).strip()[:LONGEST_VALUE]
            if value and (value in values or len(values) < MOST_VALUES):
                values[value] += 1
        self._checked += any(item[name] in (True, 1, "true", "True", "yes") for name in CHECKS & item.keys())

    def _part(self, index: int, kind: str, item: dict[str, Any]) -> str:
        for name in sorted(SPLITS & item.keys()):
            if part := _split_called(str(item[name]).strip().lower()):
                return part
        if self._is_given:
            return "held_out" if self._is_apart(index) else "not_held_out"
        return kind

    def content(self) -> Content:
        near = sum(not self._is_apart(index) for index in self._survey.near_duplicates())
        return Content(
            demonstrations=self._usable["demo"],
            answered=self._answered,
            prompts=len(self._asked),
            near_prompts=near,
            pairs=self._usable["pair"],
            makers=self._makers(),
            checked=self._checked,
            several=self._several(),
            shift=self._shift(),
        )

    def _makers(self) -> list[Maker]:
        return [
            Maker(field=name, value=value, rows=rows)
            for name, values in sorted(self._values.items())
            for value, rows in values.most_common(TOLD_VALUES)
        ]

    def _several(self) -> SeveralAnswers | None:
        more = [count for count in self._answers.values() if count > 1]
        if not more:
            return None
        return SeveralAnswers(answered=len(self._answers), prompts=len(more), typical=median(more))

    def _shift(self) -> Shift | None:
        for between, (examples, others) in _COMPARED.items():
            pair = [self._groups.get(part) for part in (examples, others)]
            if all(pair):
                return _apart(between, [group.kept for group in pair if group])
        return None


def _split_called(name: str) -> str:
    if TRAINING.fullmatch(name):
        return "train"
    return "other" if OTHERS.fullmatch(name) else ""


def _kind(row: Row) -> str:
    if row.is_text:
        return "text"
    if row.is_pair:
        return "pair"
    return "prompt" if row.answer is None else "demo"


_COMPARED: dict[Between, tuple[str, str]] = {
    "splits": ("train", "other"),
    "held_out": ("not_held_out", "held_out"),
    "prompts": ("demo", "prompt"),
}


def _apart(between: Between, groups: Sequence[Sequence[frozenset[str]]]) -> Shift | None:
    rows = min(MOST, *(len(group) for group in groups))
    if rows < FEWEST:
        return None
    one, other = (_evenly(group, rows) for group in groups)
    return Shift(between=between, rows=rows, told_apart=told_apart(one, other))


def _evenly(group: Sequence[frozenset[str]], rows: int) -> list[frozenset[str]]:
    return [group[place * len(group) // rows] for place in range(rows)]
