"""Conditions over facts, with three outcomes, and tables that answer them in one look."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, product
from math import prod
from operator import itemgetter
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from app.errors import BrokenRulebook

UNKNOWN = "unknown"
NOT_APPLICABLE = "not_applicable"

Facts = Mapping[str, str]
"""Question, derived or measurement id to the token that stands for what is known of it."""
Domains = Mapping[str, Sequence[str]]
"""Every token a fact can have."""

T = TypeVar("T")


class Rule(BaseModel):
    """Base of what is read from the rulebook: closed, immutable, strict, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Threshold(Rule):
    above: float | None = None
    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _is_one_bound(self) -> "Threshold":
        if len(self.model_fields_set) != 1:
            raise ValueError("a threshold is exactly one of above, at_least, below")
        return self

    @property
    def cut(self) -> float:
        return next(value for value in (self.above, self.at_least, self.below) if value is not None)

    def holds(self, value: float) -> bool:
        if self.above is not None:
            return value > self.above
        if self.at_least is not None:
            return value >= self.at_least
        return self.below is not None and value < self.below


Clause = Mapping[str, tuple[str, ...] | Threshold]
"""All keys must match."""
When = tuple[Clause, ...]
"""Any clause must match; none at all always does."""


class Buckets:
    """A measured number as a token: which side of every threshold of the rulebook it lies on."""

    def __init__(self, cuts: Sequence[float]) -> None:
        self.cuts = sorted(set(cuts))
        edges = [self.cuts[0] - 1, *self.cuts, self.cuts[-1] + 1] if self.cuts else [-1.0, 1.0]
        between = [(low + high) / 2 for low, high in pairwise(edges)]
        in_order = sorted([*between, *self.cuts])
        self.values = {f"bucket {place}": value for place, value in enumerate(in_order)}

    def token(self, value: float) -> str:
        below = sum(cut < value for cut in self.cuts)
        return f"bucket {2 * below + (value in self.cuts)}"


def matches(clause: Clause, facts: Facts, buckets: Mapping[str, Buckets]) -> bool | None:
    """None while an unknown fact decides."""
    undecided = False
    for key, wanted in clause.items():
        token = facts[key]
        if isinstance(wanted, Threshold):
            known = None if token == UNKNOWN else wanted.holds(buckets[key].values[token])
        elif token in wanted:
            known = True
        else:
            known = None if token == UNKNOWN else False
        if known is False:
            return False
        undecided = undecided or known is None
    return None if undecided else True


def holds(when: When, facts: Facts, buckets: Mapping[str, Buckets]) -> bool | None:
    if not when:
        return True
    outcomes = [matches(clause, facts, buckets) for clause in when]
    if True in outcomes:
        return True
    return None if None in outcomes else False


def keys_of(whens: Sequence[When]) -> tuple[str, ...]:
    """In order of first mention."""
    return tuple(dict.fromkeys(key for when in whens for clause in when for key in clause))


def cuts_of(whens: Sequence[When], key: str) -> list[float]:
    wanted = [clause[key] for when in whens for clause in when if key in clause]
    return [threshold.cut for threshold in wanted if isinstance(threshold, Threshold)]


def combinations(keys: Sequence[str], domains: Domains) -> Iterator[dict[str, str]]:
    for tokens in product(*(domains[key] for key in keys)):
        yield dict(zip(keys, tokens, strict=True))


MOST_COMBINATIONS = 100_000
"""Above this, start-up takes seconds and memory, one rule at a time."""


class Lookup(Generic[T]):
    """A function of a few facts, worked out beforehand for every combination they can have.

    Rules are evaluated thousands of times a second and depend on few facts each, so all
    three-valued logic happens once, at start-up.
    """

    def __init__(self, keys: Sequence[str], domains: Domains, answer: Callable[[Facts], T]) -> None:
        size = prod(len(domains[key]) for key in keys)
        if size > MOST_COMBINATIONS:
            raise BrokenRulebook(
                f"A rule looks at {', '.join(keys)} together, which is {size:,} combinations of answers; "
                f"{MOST_COMBINATIONS:,} can be worked out, so let it look at fewer."
            )
        self.keys = tuple(keys)
        self.key = picking(keys)
        self.table = {self.key(facts): answer(facts) for facts in combinations(keys, domains)}

    def __call__(self, facts: Facts) -> T:
        return self.table[self.key(facts)]


def picking(keys: Sequence[str]) -> Callable[[Facts], object]:
    """What tells facts apart for whoever looks at these keys alone."""
    return itemgetter(*keys) if keys else _nothing


def _nothing(facts: Facts) -> object:
    return None
