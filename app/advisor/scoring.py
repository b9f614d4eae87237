"""Direction of each factor, the lean, and what each answer contributed to it, exactly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from math import floor, prod
from operator import attrgetter
from typing import NamedTuple

from app.advisor.advice import AnswerState, Contribution, TrainingMethod
from app.advisor.conditions import (
    NOT_APPLICABLE,
    UNKNOWN,
    Buckets,
    Domains,
    Facts,
    Lookup,
    holds,
    keys_of,
    picking,
)
from app.advisor.rendering import around, rendered
from app.advisor.vocabulary import Choice, ConditionalEffect, Factor, Interaction, Question

TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What one question says, all conditions settled."""

    effect: float
    low: float
    high: float
    """Bounds of the effect over everything that is still unknown."""
    applies: bool
    number: int
    """Different for every reading of the question."""
    strength: float
    """Size of the effect."""
    title: str
    state: AnswerState
    sources: Mapping[str, None]
    """Each once, in order."""
    usual: Contribution
    """As it is under the rulebook's own weights while every question that the factor asks applies."""
    json: bytes
    """Of the usual contribution; then what stands around its number, for any other."""
    before: bytes
    after: bytes
    clause: str
    cited: str
    """The sentence with its sources."""


class Score(NamedTuple):
    lean: float
    reads: list[Read]
    """One per question, in the rulebook's order."""
    shares: list[float]
    """What an effect of 1 moves the lean by, per question; 0 where nothing applies."""
    weights: list[float]
    """Per factor, over the factors that apply; they add up to 1."""
    directions: list[float]
    lows: list[float]
    highs: list[float]

    @property
    def low(self) -> float:
        return dot(self.weights, self.lows)

    @property
    def high(self) -> float:
        return dot(self.weights, self.highs)


class Speech(NamedTuple):
    """What the answers to a factor's questions say, with a space before."""

    said: str
    sources: tuple[str, ...]


MOST_PREPARED = 2_000
"""Combinations of answers to one factor up to which its speeches are made at start-up."""


class Scoring:
    """The rulebook's questions, each worked out for every combination of answers it depends on."""

    def __init__(
        self, factors: Sequence[Factor], interactions: Sequence[Interaction], domains: Domains
    ) -> None:
        self.factors = tuple(factors)
        self.questions = tuple(question for factor in factors for question in factor.questions)
        self.places = {question.id: place for place, question in enumerate(self.questions)}
        self.names = [(factor.id, factor.title) for factor in factors]
        self.owners = [place for place, factor in enumerate(factors) for _ in factor.questions]
        ends = list(accumulate((len(factor.questions) for factor in factors), initial=0))
        self.ranges = list(pairwise(ends))
        """Where each factor's questions stand among all."""
        self.largest = [question.largest_effect for question in self.questions]
        totals = [sum(question.largest_effect for question in factor.asked) for factor in factors]
        self.measured = [place for place, each in enumerate(self.questions) if each.measured_only]
        """Places of the questions that are never asked, and told of only where something was measured."""
        whole = sum([factor.weight for factor in factors])
        self.usual = [factors[owner].weight / whole / totals[owner] for owner in self.owners]
        """The shares under the rulebook's own weights while every question that is asked applies."""
        self.interactions = [(rule, _settled(rule, domains)) for rule in interactions]
        states = {rule.id: tuple(dict.fromkeys(lookup.table.values())) for rule, lookup in self.interactions}
        known = {**domains, **states}
        self.lookups = [
            _lookup(_Reader(question, factors[owner].id, share, interactions), known)
            for question, owner, share in zip(self.questions, self.owners, self.usual, strict=True)
        ]
        self.looks = [(lookup.table, lookup.key) for lookup in self.lookups]
        self.settled = [(rule.id, lookup.table, lookup.key) for rule, lookup in self.interactions]
        self.prepared = [self._prepare(first, last) for first, last in self.ranges]

    def speeches(self, reads: list[Read]) -> list[Speech]:
        """One per factor."""
        made = []
        for (first, last), prepared in zip(self.ranges, self.prepared, strict=True):
            mine = reads[first:last]
            made.append(prepared[tuple([read.number for read in mine])] if prepared else _speech(mine))
        return made

    def _prepare(self, first: int, last: int) -> dict[tuple[int, ...], Speech]:
        """Of a factor with few questions: every combination of their readings."""
        possible = [
            list({read.number: read for read in lookup.table.values()}.values())
            for lookup in self.lookups[first:last]
        ]
        if prod(len(reads) for reads in possible) > MOST_PREPARED:
            return {}
        return {tuple(read.number for read in reads): _speech(reads) for reads in product(*possible)}

    def score(self, facts: Facts, weights: Sequence[float]) -> Score:
        """`weights` need not add up to anything; at least one is above 0."""
        count = len(weights)
        totals, sums, lows, highs = [0.0] * count, [0.0] * count, [0.0] * count, [0.0] * count
        # Whether an interaction holds is a fact of its own, so that the tables of questions stay small.
        known = dict(facts)
        for rule, table, key in self.settled:
            known[rule] = table[key(facts)]
        reads = [table[key(known)] for table, key in self.looks]
        for read, owner, largest in zip(reads, self.owners, self.largest, strict=True):
            if read.applies:
                totals[owner] += largest
                sums[owner] += read.effect
                lows[owner] += read.low
                highs[owner] += read.high
        applied = [weight if total else 0.0 for weight, total in zip(weights, totals, strict=True)]
        whole = sum(applied)
        shared = [weight / whole for weight in applied] if whole else applied
        per_effect = [w / total if total else 0.0 for w, total in zip(shared, totals, strict=True)]
        lean = dot(per_effect, sums)
        return Score(
            lean=0.0 if abs(lean) <= TINY else lean,
            reads=reads,
            shares=[per_effect[owner] for owner in self.owners],
            weights=shared,
            directions=_ratios(sums, totals),
            lows=_ratios(lows, totals),
            highs=_ratios(highs, totals),
        )


def _speech(reads: Sequence[Read]) -> Speech:
    speaking = _speaking(reads)
    said = [read.cited for read in speaking]
    missing = [read.title for read in reads if read.state == "unknown"]
    if missing:
        said.append(f"Not known yet: {', '.join(missing)}.")
    sources: dict[str, None] = {}
    for read in speaking:
        sources |= read.sources
    return Speech(f" {' '.join(said)}" if said else "", tuple(sources))


def _speaking(reads: Sequence[Read]) -> list[Read]:
    """The three strongest answers, and the strongest on the other side where they all agree.

    One share is common to all questions of a factor, so the effect alone ranks them.
    """
    ranked = sorted([read for read in reads if read.effect], key=_strength, reverse=True)
    if not ranked:
        # Answers without effect are still what the project is like.
        return [read for read in reads if read.state == "answered"][:2]
    speaking, rest = ranked[:3], ranked[3:]
    if rest:
        sides = {read.effect > 0 for read in speaking}
        speaking += [read for read in rest if (read.effect > 0) not in sides][:1]
    return speaking


_strength = attrgetter("strength")


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum([a * b for a, b in zip(left, right, strict=True)])


def _ratios(sums: Sequence[float], totals: Sequence[float]) -> list[float]:
    return [part / total if total else 0.0 for part, total in zip(sums, totals, strict=True)]


def leaning(lean: float) -> TrainingMethod:
    return "grpo" if lean > 0 else "sft"


def normalised(weights: Mapping[str, float], factors: Sequence[Factor]) -> list[float]:
    whole = sum(weights[factor.id] for factor in factors)
    return [weights[factor.id] / whole for factor in factors]


def _lookup(reader: "_Reader", domains: Domains) -> Lookup[Read]:
    question = reader.question
    whens = [rule.when for choice in question.choices for rule in choice.effects]
    also = [BUDGET] if reader.waits_for_budget else []
    named = [question.id, *also, *(rule.id for rule in reader.interactions)]
    keys = keys_of([*(({name: ()},) for name in named), *whens])
    return Lookup(keys, domains, reader.read)


HOLDS, FAILS = "holds", "fails"

BUDGET = "C2"
"""The question whose answer says how long texts are, which decides with the hardware what fits."""


def _settled(rule: Interaction, domains: Domains) -> Lookup[str]:
    def state(facts: Facts) -> str:
        decided = holds(rule.when, facts, NO_BUCKETS)
        return UNKNOWN if decided is None else HOLDS if decided else FAILS

    return Lookup(keys_of([rule.when]), domains, state)


NO_BUCKETS: Mapping[str, Buckets] = {}
"""Effects depend on answers only; a measurement counts once it is accepted as an answer."""


class _Possible:
    """What one choice can come to: the place of the rule that holds, its smallest and its largest effect.

    Worked out once for the facts that its own rules look at, which are few of those in a combination.
    """

    def __init__(self, choice: Choice, interactions: Sequence[Interaction]) -> None:
        self.choice, self.interactions = choice, interactions
        looked_at = keys_of([*(rule.when for rule in choice.effects), *(({i.id: ()},) for i in interactions)])
        self.key = picking(looked_at)
        self.known: dict[object, tuple[int, float, float]] = {}

    def __call__(self, facts: Facts) -> tuple[int, float, float]:
        key = self.key(facts)
        if key not in self.known:
            self.known[key] = self._work_out(facts)
        return self.known[key]

    def _work_out(self, facts: Facts) -> tuple[int, float, float]:
        possible, place = [], 0
        for place, rule in enumerate(self.choice.rules):  # noqa: B007 - the last always holds
            decided = _decided(rule, facts)
            if decided is not False:
                possible.append(rule.effect)
            if decided:
                break
        for interaction in self.interactions:
            state = facts[interaction.id]
            left = [interaction.left_of(effect) for effect in possible]
            possible = left if state == HOLDS else possible if state == FAILS else possible + left
        return place, min(possible), max(possible)


def _decided(rule: Choice | ConditionalEffect, facts: Facts) -> bool | None:
    when = rule.when if isinstance(rule, ConditionalEffect) else ()
    return holds(when, facts, NO_BUCKETS)


class _Reader:
    """Reads one question out of facts."""

    def __init__(
        self, question: Question, factor: str, share: float, interactions: Sequence[Interaction]
    ) -> None:
        self.question, self.factor, self.share = question, factor, share
        self.choices = {choice.id: choice for choice in question.choices}
        self.interactions = [rule for rule in interactions if question.id in rule.questions]
        self.possible = {choice.id: _Possible(choice, self.interactions) for choice in question.choices}
        self.waits_for_budget = question.kind == "hardware"
        self.made: dict[tuple[object, ...], Read] = {}

    def read(self, facts: Facts) -> Read:
        token = facts[self.question.id]
        if token == NOT_APPLICABLE:
            return self._once(("not_applicable",), lambda: self._unanswered("not_applicable", 0.0, 0.0))
        if token == UNKNOWN:
            low, high = self._any_choice(facts)
            return self._once((low, high), lambda: self._unanswered("unknown", low, high))
        choice = self.choices[token]
        rule, *span = self.possible[token](facts)
        cancelled = [facts[interaction.id] == HOLDS for interaction in self.interactions]
        open_still = self.waits_for_budget and facts[BUDGET] == UNKNOWN
        low, high = self._any_choice(facts) if open_still else span
        return self._once(
            (token, rule, *cancelled, low, high),
            lambda: self._answered(choice, choice.rules[rule], cancelled, (low, high)),
        )

    def _any_choice(self, facts: Facts) -> tuple[float, float]:
        spans = [possible(facts) for possible in self.possible.values()]
        return min([low for _, low, _ in spans]), max([high for _, _, high in spans])

    def _once(self, key: tuple[object, ...], make: Callable[[], Read]) -> Read:
        """Thousands of combinations come to a few dozen readings."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def _answered(
        self,
        choice: Choice,
        rule: Choice | ConditionalEffect,
        cancelled: Sequence[bool],
        span: tuple[float, float],
    ) -> Read:
        effect, sentence = float(rule.effect), rule.because
        sources = rule.sources or choice.sources or self.question.sources
        for interaction, holds_here in zip(self.interactions, cancelled, strict=True):
            if holds_here and interaction.left_of(effect) != effect:
                effect, sentence = 0.0, f"{sentence} {interaction.because}"
                sources = tuple(dict.fromkeys((*sources, *interaction.sources)))
        usual = Contribution(
            question=self.question.id,
            factor=self.factor,
            title=self.question.title,
            choice=choice.id,
            answer_label=choice.label,
            basis="told",
            effect=effect,
            contribution=part_of_lean(self.share, effect),
            grade=rule.grade or choice.grade or self.question.grade,
            sources=sources,
            sentence=sentence,
            state="answered",
        )
        before, after = around(usual, "contribution")
        return Read(
            effect,
            *span,
            applies=True,
            number=len(self.made),
            strength=abs(effect),
            title=self.question.title,
            state="answered",
            sources=dict.fromkeys(sources),
            usual=usual,
            json=rendered(usual),
            before=before,
            after=after,
            clause=rule.clause if effect and rule.clause else "",
            cited=f"{sentence} [{', '.join(sources)}]",
        )

    def _unanswered(self, state: AnswerState, low: float, high: float) -> Read:
        applies = state == "unknown"
        title = self.question.title
        sentence = (
            f"Not known yet: {title[0].lower()}{title[1:]}."
            if applies
            else "Does not apply to this project, so it is left out."
        )
        usual = Contribution(
            question=self.question.id,
            factor=self.factor,
            title=title,
            choice=None,
            answer_label="Not known yet" if applies else "Does not apply",
            basis=None,
            effect=0.0,
            contribution=0.0,
            grade=self.question.grade,
            sources=self.question.sources,
            sentence=sentence,
            state=state,
        )
        before, after = around(usual, "contribution")
        return Read(
            0.0,
            low,
            high,
            applies=applies,
            number=len(self.made),
            strength=0.0,
            title=title,
            state=state,
            sources={},
            usual=usual,
            json=rendered(usual),
            before=before,
            after=after,
            clause="",
            cited=sentence,
        )


def part_of_lean(share: float, effect: float) -> float:
    """Six decimals, so that all parts add up to the four of the lean."""
    return floor(share * effect * 1_000_000 + 0.5) / 1_000_000
