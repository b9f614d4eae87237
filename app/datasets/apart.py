"""How well two groups of texts can be told apart by their words and lengths: one half, if they are alike.

A classifier two-sample test (Lopez-Paz and Oquab 2017) with the plainest classifier: naive Bayes over which
words occur, each half of the texts judged by what the other half taught.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

Words = frozenset[str]

FEWEST = 50
"""Texts in each group: with fewer, chance alone goes beyond six in ten."""
MOST = 1_000
"""Of each group are compared."""
MOST_WORDS = 400

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+|\d+")


def words_of(text: str) -> Words:
    """Which words occur, numbers taken for one, with the length as a power of two."""
    words = WORD.findall(text.casefold())
    said = ("0" if word.isdecimal() else word for word in words[:MOST_WORDS])
    return frozenset(said) | {f"length {len(words).bit_length()}"}


def told_apart(one: Sequence[Words], other: Sequence[Words]) -> float:
    """Share of texts put in the right group, from a half for groups that are alike to 1; of equal sizes.

    Unequal sizes would make words that nobody knows speak for the smaller group.
    """
    assert len(one) == len(other)
    halves = [(one[place::2], other[place::2]) for place in (0, 1)]
    right = _right(halves[0], _weights(*halves[1])) + _right(halves[1], _weights(*halves[0]))
    return right / (2 * len(one))


def _weights(one: Sequence[Words], other: Sequence[Words]) -> dict[str, float]:
    mine, theirs = _counted(one), _counted(other)
    return {word: log((mine[word] + 1) / (theirs[word] + 1)) for word in mine | theirs}


def _counted(texts: Iterable[Words]) -> Counter[str]:
    return Counter(word for text in texts for word in text)


def _right(groups: tuple[Sequence[Words], Sequence[Words]], weights: dict[str, float]) -> float:
    """A text that the words do not place counts half."""
    sums = ([sum(weights.get(word, 0.0) for word in text) for text in group] for group in groups)
    ones, others = sums
    return sum(_above(value) for value in ones) + sum(_above(-value) for value in others)


def _above(value: float) -> float:
    return 0.5 if abs(value) < 1e-9 else float(value > 0)
