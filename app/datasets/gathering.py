"""Rows taken in one after the other: what is wrong with each, and what they are together."""

from array import array
from collections import Counter
from typing import Any

from app.datasets.rows import Row
from app.datasets.shapes import row_of
from app.datasets.splitting import USUAL_ITEMS, held_out_rows, prompt_digest, stored_split
from app.errors import InvalidInput, Problem
from app.protocol import DatasetKind, DatasetRef, DatasetSummary, StoredSplit

MOST_PROBLEMS_LISTED = 200
FEWEST_PROMPTS = 5
"""Different ones: with fewer, a fifth held out would be none."""
PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 2000
"""Of any one text in a preview."""

FAMILIES = {"rows": "a demonstration or a prompt", "pairs": "a preference pair", "texts": "a plain text"}


class Gathering:
    """Holds a digest and a line number a row, never the rows themselves."""

    def __init__(self, most_rows: int = 2**62, unit: str = "line") -> None:
        self.unit = unit
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.lines = array("Q")
        self.digests: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.preview: list[dict[str, Any]] = []
        self._most_rows = most_rows
        self._kinds: dict[str, tuple[str, int]] = {}
        self._family: tuple[str, int] | None = None
        self._fields: set[str] | None = None

    def take(self, number: int, given: dict[str, Any] | str) -> Row | str:
        """The row, once it is counted in; or what is wrong with it, once that is noted."""
        what = given if isinstance(given, str) else self._problem_or_row(number, given)
        if isinstance(what, str):
            self.problem_count += 1
            if len(self.problems) < MOST_PROBLEMS_LISTED:
                self.problems.append(Problem(where=f"{self.unit} {number}", what=what))
        return what

    def _problem_or_row(self, number: int, given: dict[str, Any]) -> Row | str:
        row = row_of(given)
        if isinstance(row, str):
            return row
        if problem := self._mixed(row, number) or self._drift(row, given, number):
            return problem
        if len(self.lines) >= self._most_rows:
            raise too_many(self._most_rows)
        self._count_in(row, number)
        return row

    def _mixed(self, row: Row, number: int) -> str | None:
        family = "pairs" if row.is_pair else "texts" if row.is_text else "rows"
        if self._family is None:
            self._family = (family, number)
        first, where = self._family
        if family == first:
            return None
        return (
            f"{FAMILIES[family]}, but {self.unit} {where} is {FAMILIES[first]}; give each a file of its own"
        )

    def _drift(self, row: Row, given: dict[str, Any], number: int) -> str | None:
        """A field that is a text here and a number there would be graded differently from row to row."""
        for field, value in row.item.items():
            if value is None or field not in given:
                continue
            kind = json_kind(value)
            first, where = self._kinds.setdefault(field, (kind, number))
            if kind != first:
                return (
                    f"`{field}` is {kind} here but {first} on {self.unit} {where}; "
                    "give it one type in the whole file"
                )
        return None

    def _count_in(self, row: Row, number: int) -> None:
        self.lines.append(number)
        self.digests.append(prompt_digest(row))
        self.counts[kind_of(row)] += 1
        self._fields = set(row.item) if self._fields is None else self._fields & row.item.keys()
        if len(self.preview) < PREVIEW_ROWS:
            self.preview.append(shown(row))

    def refuse(self) -> None:
        """Raises InvalidInput where the file cannot be used as it is."""
        problems, total = self.problems, self.problem_count
        if not problems:
            problems = self._too_few()
            total = len(problems)
        if problems:
            raise refusal(problems, total)

    def _too_few(self) -> list[Problem]:
        if not self.lines:
            return [Problem(where="file", what="there is no row in it; add one JSON object a line")]
        different = len(set(self.digests))
        if different >= FEWEST_PROMPTS:
            return []
        what = (
            f"it has {different} different prompt{'s' if different > 1 else ''}; at least "
            f"{FEWEST_PROMPTS} are needed, so that one can be kept aside to measure with"
        )
        return [Problem(where="file", what=what)]

    def split(self) -> StoredSplit:
        return stored_split(self.digests)

    def summary(self, ref: DatasetRef, size: int, held_out: int | None = None) -> DatasetSummary:
        """`held_out` where it is not ours to choose; else what an evaluation of the usual size holds out."""
        order = self.split()
        if held_out is None:
            held_out = len(held_out_rows(order, USUAL_ITEMS))
        return DatasetSummary(
            ref=ref,
            kind=self._kind(),
            rows=len(self.lines),
            demonstrations=self.counts["demonstrations"],
            prompts=self.counts["prompts"],
            preferences=self.counts["preferences"],
            texts=self.counts["texts"],
            held_out=held_out,
            item_fields=sorted(
                field for field in self._fields or () if field.isidentifier() and field.isascii()
            ),
            bytes=size,
            preview=self.preview,
            split_sha256=order.sha256,
        )

    def _kind(self) -> DatasetKind:
        kinds = [kind for kind, count in self.counts.items() if count]
        return DatasetKind(kinds[0]) if len(kinds) == 1 else DatasetKind.MIXED


def kind_of(row: Row) -> str:
    if row.is_pair:
        return "preferences"
    if row.is_text:
        return "texts"
    return "demonstrations" if row.is_demonstration else "prompts"


def json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def refusal(problems: list[Problem], total: int | None = None) -> InvalidInput:
    total = len(problems) if total is None else total
    sentence = f"The file has {total:,} problem{'s' if total > 1 else ''}."
    if total > MOST_PROBLEMS_LISTED:
        sentence += f" The first {MOST_PROBLEMS_LISTED} are listed."
    return InvalidInput(sentence, tuple(problems[:MOST_PROBLEMS_LISTED]))


def of_the_file(what: str) -> InvalidInput:
    """What makes the whole file unusable, so that naming its lines would only bury it."""
    return refusal([Problem(where="file", what=what)])


def too_many(most_rows: int) -> InvalidInput:
    return of_the_file(
        f"it has more than {most_rows:,} rows; split it, or raise TUNING_FORK_WORKER_MAX_ROWS on the worker"
    )


def shown(row: Row) -> dict[str, Any]:
    """A row for people: its parts by name, long texts shortened."""
    cut: dict[str, Any] = shortened(whole(row))
    return cut


def whole(row: Row) -> dict[str, Any]:
    """A row for graders: its parts by name."""
    parts = row.model_dump(mode="json", exclude_none=True, exclude={"item"})
    if row.is_text:
        parts.pop("messages")
    return {**parts, **_apart_from(row.item, parts)}


def _apart_from(item: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in parts}


def shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= PREVIEW_CHARACTERS else value[:PREVIEW_CHARACTERS] + "…"
    if isinstance(value, list):
        return [shortened(each) for each in value]
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    return value
