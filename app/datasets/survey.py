"""One pass over a dataset's rows: digests of all, texts of a sample, and the findings that follow."""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from app.datasets.near import MOST_CHARACTERS, near_between, near_earlier, normal
from app.datasets.rows import Row, Turn
from app.datasets.splitting import prompt_digest
from app.protocol import Finding

COMPARED_ROWS = 20_000
"""Among which near-duplicates are looked for; more would not fit the time that reading may take."""
LISTED_LINES = 20
SAME_ANSWER_SHARE = 0.9
FEWEST_FOR_SAME = 10

PLACEHOLDERS = frozenset({"nan", "n/a", "#n/a", "null", "undefined", "tbd", "none", "-", "?", "..."})


class Survey:
    """Memory: a few dozen bytes a row, and the texts of the sample."""

    def __init__(self, total: int, held_out: set[int]) -> None:
        self.held_out = held_out
        self.count = 0
        self.roles: Counter[str] = Counter()
        self.duplicates: list[int] = []
        self.padded: list[int] = []
        self.placeholders: list[int] = []
        self.equal_pairs: list[int] = []
        self.contradictory: set[int] = set()
        self.sampled: dict[int, str] = {}
        """What the rows of the sample ask, to be compared."""
        self._answers: Counter[int] = Counter()
        self._an_answer: dict[int, str] = {}
        self.asked = array("Q")
        """What each row asks, as a number."""
        self._whole: set[int] = set()
        self._first_answer: dict[int, tuple[int, int]] = {}
        self._near: list[int] | None = None
        self._compare_every = max(1, -(-total // COMPARED_ROWS))

    def add(self, row: Row) -> None:
        index = self.count
        self.count += 1
        said = answer_of(row)
        self._count_turns(index, row)
        self._compare_exactly(index, row, said)
        self._note_answer(index, row)
        question = question_of(row)
        self.asked.append(number_of(normal(question)))
        if index % self._compare_every == 0 or index in self.held_out:
            self.sampled[index] = question[:MOST_CHARACTERS]

    def _count_turns(self, index: int, row: Row) -> None:
        turns = all_turns(row)
        self.roles.update(turn.role for turn in turns)
        if any(turn.content != turn.content.strip() for turn in turns):
            self.padded.append(index)

    def _compare_exactly(self, index: int, row: Row, said: str) -> None:
        prompt = int.from_bytes(prompt_digest(row)[:8], "big")
        settled = settles(row, said)
        whole = number_of(f"{prompt} {settled}")
        if whole in self._whole:
            self.duplicates.append(index)
            return
        self._whole.add(whole)
        if row.is_text or not settled:
            return
        answer = number_of(settled)
        first, where = self._first_answer.setdefault(prompt, (answer, index))
        if row.is_pair:
            if row.chosen != row.rejected and number_of(f"{prompt} {swapped(row)}") in self._whole:
                self.contradictory.update((where, index))
        elif first != answer:
            self.contradictory.update((where, index))

    def _note_answer(self, index: int, row: Row) -> None:
        if row.is_pair and row.chosen == row.rejected:
            self.equal_pairs.append(index)
        if row.answer is None:
            return
        answer = row.answer.strip()
        if answer.lower() in PLACEHOLDERS:
            self.placeholders.append(index)
        key = number_of(answer)
        self._answers[key] += 1
        if len(self._an_answer) < 100:
            self._an_answer.setdefault(key, answer)

    # What follows

    def leaks(self) -> list[int]:
        """Training rows that ask what a held-out row asks, but for case, spacing or the system message."""
        held_out = {self.asked[index] for index in self.held_out}
        asked = enumerate(self.asked)
        return [index for index, digest in asked if digest in held_out and index not in self.held_out]

    def near_leaks(self) -> list[int]:
        held_out = {index: self.sampled[index] for index in sorted(self.held_out)}
        exact = set(self.leaks())
        others = (
            (index, text)
            for index, text in self.sampled.items()
            if index not in self.held_out and index not in exact
        )
        return [index for index, _ in near_between(held_out, others)]

    def near_duplicates(self) -> list[int]:
        if self._near is None:
            self._near = self._near_duplicates()
        return self._near

    def _near_duplicates(self) -> list[int]:
        firsts: dict[int, int] = {}
        for index in sorted(self.sampled):
            firsts.setdefault(self.asked[index], index)
        different = {index: self.sampled[index] for index in firsts.values()}
        return [index for index, _ in near_earlier(different)]

    def same_answer(self) -> tuple[int, str] | None:
        """The answer that nearly all rows give, and how many do."""
        total = self._answers.total()
        if total < FEWEST_FOR_SAME:
            return None
        key, count = self._answers.most_common(1)[0]
        return (count, self._an_answer.get(key, "")) if count >= SAME_ANSWER_SHARE * total else None


def all_turns(row: Row) -> list[Turn]:
    return [*row.messages, *(row.chosen or ()), *(row.rejected or ())]


def question_of(row: Row) -> str:
    if row.text is not None:
        return row.text
    return "\n".join(turn.content for turn in row.prompt if turn.role != "system")


def answer_of(row: Row) -> str:
    if row.is_pair:
        return "\n".join(turn.content for turn in [*(row.chosen or ()), *(row.rejected or ())])
    return row.answer or ""


def settles(row: Row, said: str) -> str:
    """What a row says of its prompt: its answer, its pair, or the fields an answer is compared with."""
    if row.is_pair:
        return _pair(row.chosen, row.rejected)
    if row.answer is not None:
        return said.strip()
    return json.dumps(row.item, sort_keys=True) if row.item else ""


def swapped(row: Row) -> str:
    return _pair(row.rejected, row.chosen)


def _pair(first: list[Turn] | None, second: list[Turn] | None) -> str:
    return json.dumps([[turn.content for turn in turns or []] for turns in (first, second)])


def number_of(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


# In words


def findings(found: Survey, lines: Sequence[int]) -> list[Finding]:
    """In the order of what they do to a result: first what makes the measurement untrue."""

    def told(kind: Any, rows: Iterable[int], sentence: str, fix: str, mended: bool = False) -> Finding | None:
        indices = sorted(rows)
        count = len(indices)
        if not count:
            return None
        where = [lines[index] for index in indices[:LISTED_LINES]]
        return Finding(
            kind=kind,
            rows=count,
            lines=where,
            sentence=sentence.format(
                n=f"{count:,}", rows="row" if count == 1 else "rows", s="s" if count == 1 else ""
            ),
            fix=fix,
            mended=mended,
        )

    each = [
        told("leaks", found.leaks(), *_LEAKS, True),
        told("near_leaks", found.near_leaks(), *_NEAR_LEAKS, True),
        told("contradictions", found.contradictory, *_CONTRADICTIONS),
        told("duplicates", found.duplicates, *_DUPLICATES, True),
        told("near_duplicates", found.near_duplicates(), *_NEAR_DUPLICATES),
        told("equal_pairs", found.equal_pairs, *_EQUAL_PAIRS, True),
        told("placeholders", found.placeholders, *_PLACEHOLDERS),
        _same_answer(found),
        told("padding", found.padded, *_PADDING, True),
    ]
    return [finding for finding in each if finding]


def _same_answer(found: Survey) -> Finding | None:
    if (same := found.same_answer()) is None:
        return None
    count, answer = same
    said = f"“{answer[:60]}”" if answer else "the same text"
    return Finding(
        kind="same_answers",
        rows=count,
        sentence=f"{count:,} of the answers are {said}: a model learns to say it whatever is asked.",
        fix="Add rows with other answers, or ask for something that differs from row to row.",
    )


_LEAKS = (
    "{n} training {rows} ask{s} what a held-out row asks, but for case, spacing or the system message. "
    "What was trained on is then measured on.",
    "Leave them out: the repaired copy does.",
)
_NEAR_LEAKS = (
    "{n} training {rows} ask{s} nearly what a held-out row asks: four fifths of its word triples.",
    "Leave them out: the repaired copy does.",
)
_CONTRADICTIONS = (
    "{n} {rows} give{s} different answers to the same prompt.",
    "Keep the right one of each. If several are right, SFT can learn from them, but a grader that compares "
    "with one calls the others wrong.",
)
_DUPLICATES = (
    "{n} {rows} repeat{s} an earlier row word for word, and would count double.",
    "Keep the first of each: the repaired copy does.",
)
_NEAR_DUPLICATES = (
    "{n} {rows} ask{s} nearly what an earlier row asks: four fifths of the word triples are the same.",
    "Look at a few; where they are the same question, keep one.",
)
_EQUAL_PAIRS = (
    "In {n} {rows} the chosen and the rejected answer are the same, so that there is nothing to prefer.",
    "Leave them out: the repaired copy does.",
)
_PLACEHOLDERS = (
    "In {n} {rows} the answer reads like a missing value (NaN, n/a, null, tbd, …).",
    "Fill in the answer or leave the row out, unless it is meant.",
)
_PADDING = (
    "In {n} {rows} a message begins or ends with blank space, which a model learns to write.",
    "Trim them: the repaired copy does.",
)
