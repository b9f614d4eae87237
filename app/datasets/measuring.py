"""How many tokens the rows have: an even sample of them, and the longest, under the model's own tokenizer."""

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.datasets.rows import Row, Turn
from app.protocol import Bin, Finding, Lengths

MEASURED_ROWS = 5_000
LONGEST_ROWS = 16
BATCH = 64
BYTES_PER_TOKEN = 4
"""Where there is no tokenizer: what English text has under common ones."""

Counter = Callable[[Sequence[str]], list[int]]


def by_bytes(texts: Sequence[str]) -> list[int]:
    return [-(-len(text.encode()) // BYTES_PER_TOKEN) for text in texts]


def tokenizer(file: Path) -> Counter:
    from tokenizers import Tokenizer

    loaded: Any = Tokenizer.from_file(str(file))
    loaded.no_truncation()
    loaded.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(each.ids) for each in loaded.encode_batch(list(texts), add_special_tokens=False)]

    return count


class Measuring:
    def __init__(self, count: Counter, total: int) -> None:
        self._count = count
        self._every = max(1, -(-total // MEASURED_ROWS))
        self._seen = 0
        self._waiting: list[tuple[int, str]] = []
        self._longest: list[tuple[int, int, list[tuple[str, str]]]] = []
        self.tokens: dict[str, list[int]] = {"prompt": [], "answer": [], "text": []}
        self.most: dict[str, int] = dict.fromkeys(self.tokens, 0)
        self.whole: list[tuple[int, int]] = []
        """Tokens of the longest rows altogether, with the row's number."""
        self.measured = 0

    def add(self, row: Row) -> None:
        parts = parts_of(row)
        index = self._seen
        self._seen += 1
        if index % self._every == 0:
            self.measured += 1
            for part, text in parts:
                self._count_later(part, text)
        keep = heapq.heappush if len(self._longest) < LONGEST_ROWS else heapq.heappushpop
        keep(self._longest, (sum(len(text) for _, text in parts), index, parts))

    def _count_later(self, part: str, text: str) -> None:
        self._waiting.append((list(self.tokens).index(part), text))
        if len(self._waiting) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        names = list(self.tokens)
        counts = self._count([text for _, text in self._waiting])
        for (part, _), count in zip(self._waiting, counts, strict=True):
            self.tokens[names[part]].append(count)
        self._waiting.clear()

    def finish(self) -> None:
        self._flush()
        for _, index, parts in self._longest:
            counts = self._count([text for _, text in parts])
            for (part, _), count in zip(parts, counts, strict=True):
                self.most[part] = max(self.most[part], count)
            self.whole.append((sum(counts), index))

    def lengths(self, part: str) -> Lengths | None:
        counts = sorted(self.tokens[part])
        if not counts:
            return None
        longest = max(counts[-1], self.most[part])
        return Lengths(
            rows=len(counts),
            p50=_quantile(counts, 0.5),
            p90=_quantile(counts, 0.9),
            p95=_quantile(counts, 0.95),
            p99=_quantile(counts, 0.99),
            longest=longest,
            bins=_bins(counts),
        )

    def too_long(self, context: int | None, lines: Sequence[int]) -> Finding | None:
        """Rows that the model cannot see whole, of the longest ones."""
        over = sorted(index for count, index in self.whole if context and count > context)
        if not over:
            return None
        some = "At least " if len(over) == LONGEST_ROWS else ""
        return Finding(
            kind="too_long",
            rows=len(over),
            lines=[lines[index] for index in over],
            sentence=f"{some}{len(over)} rows have more tokens than the model sees at once ({context:,}).",
            fix="Shorten them or leave them out, or choose a model with a longer context.",
        )


def parts_of(row: Row) -> list[tuple[str, str]]:
    if row.text is not None:
        return [("text", row.text)]
    parts = [("prompt", _joined(row.prompt))]
    if row.answer is not None:
        parts.append(("answer", row.answer))
    return parts + [("answer", _joined(turns)) for turns in (row.chosen, row.rejected) if turns]


def _joined(turns: Sequence[Turn]) -> str:
    return "\n".join(turn.content for turn in turns)


def _quantile(counts: Sequence[int], share: float) -> int:
    """Nearest rank."""
    return counts[min(len(counts) - 1, max(0, -(-int(share * 1000) * len(counts) // 1000) - 1))]


def _bins(counts: Sequence[int]) -> list[Bin]:
    """Each twice as wide as the one before, from the shortest to the longest."""
    bins: list[Bin] = []
    done, edge = 0, 8
    while done < len(counts):
        within = sum(count <= edge for count in counts)
        if bins or within:
            bins.append(Bin(up_to=edge, count=within - done))
        done, edge = within, edge * 2
    return bins
