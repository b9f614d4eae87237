"""Texts that are nearly the same: candidates by MinHash (Broder 1997), settled by their true overlap.

Two texts are near when the Jaccard overlap of their word triples is at least `NEAR` and they hold the same
numbers: "12 + 7" and "12 + 8" are different questions however alike they look.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

NEAR = 0.8
"""As used for deduplicating training data (Lee et al. 2022)."""
FEWEST_WORDS = 8
"""Of shorter texts little can be said."""
PERMUTATIONS = 64
MOST_CHARACTERS = 4000
"""Of a text that are looked at."""
MOST_CANDIDATES = 8

WORD = re.compile(r"\w+")
NUMBER = re.compile(r"\d+")


def normal(text: str) -> str:
    """Without what does not change a question: case, spacing, punctuation."""
    return " ".join(WORD.findall(text.casefold()))


def near_earlier(texts: Mapping[int, str]) -> list[tuple[int, int]]:
    """Each text that is near an earlier one, with that one."""
    index, found = _Index(), []
    for key, text in texts.items():
        if (sketch := _Sketch.of(text)) is None:
            continue
        other = next(index.near(sketch), None)
        if other is None:
            index.add(key, sketch)
        else:
            found.append((key, other))
    return found


def near_between(some: Mapping[int, str], others: Iterable[tuple[int, str]]) -> list[tuple[int, int]]:
    """Each of the others that is near one of some, with that one."""
    index, found = _Index(), []
    for key, text in some.items():
        if sketch := _Sketch.of(text):
            index.add(key, sketch)
    for key, text in others:
        sketch = _Sketch.of(text)
        if sketch and (near := next(index.near(sketch), None)) is not None:
            found.append((key, near))
    return found


class _Sketch:
    def __init__(self, shingles: frozenset[str], numbers: tuple[str, ...]) -> None:
        from datasketch import MinHash  # with scipy behind it, half a second that a worker starts without

        self.shingles, self.numbers = shingles, numbers
        self.hash = MinHash(num_perm=PERMUTATIONS)
        self.hash.update_batch([shingle.encode() for shingle in shingles])

    @classmethod
    def of(cls, text: str) -> "_Sketch | None":
        text = normal(text[:MOST_CHARACTERS])
        words = text.split()
        if len(words) >= FEWEST_WORDS:
            shingles = frozenset(map(" ".join, zip(words, words[1:], words[2:], strict=False)))
        elif len(text) >= 5 * FEWEST_WORDS:  # a language that is written without spaces
            shingles = frozenset(text[start : start + 5] for start in range(len(text) - 4))
        else:
            return None
        return cls(shingles, tuple(sorted(NUMBER.findall(text))))

    def is_near(self, other: "_Sketch") -> bool:
        if self.numbers != other.numbers:
            return False
        shared = len(self.shingles & other.shingles)
        return shared >= NEAR * (len(self.shingles) + len(other.shingles) - shared)


class _Index:
    def __init__(self) -> None:
        from datasketch import MinHashLSH

        self._lsh = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
        self._sketches: dict[int, _Sketch] = {}

    def add(self, key: int, sketch: _Sketch) -> None:
        self._lsh.insert(key, sketch.hash)
        self._sketches[key] = sketch

    def near(self, sketch: _Sketch) -> Iterator[int]:
        candidates = sorted(self._lsh.query(sketch.hash))[:MOST_CANDIDATES]
        return (key for key in candidates if self._sketches[key].is_near(sketch))
