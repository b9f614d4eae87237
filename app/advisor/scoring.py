"""Direction of each factor, the lean, and what each answer contributed to it, exactly."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.advisor.advice import Contribution, TrainingMethod
from app.advisor.conditions import (
    NOT_APPLICABLE,
    UNKNOWN,
    Buckets,
    Domains,
    Facts,
    Lookup,
    holds,
    keys_of,
)
from app.advisor.vocabulary import Choice, ConditionalEffect, Factor, Interaction, Question

TINY = 1e-9


class Read(NamedTuple):
    """What one question says, all conditions settled."""

    effect: float
    low: float
    high: float
    """Bounds of the effect over everything that is still unknown."""
    applies: bool
    fields: dict[str, Any]
    """Of the `Contribution`, all but the number itself."""
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
        return sum(map(_times, self.weights, self.lows))

    @property
    def high(self) -> float:
        return sum(map(_times, self.weights, self.highs))


class Scoring:
    """The rulebook's questions, each worked out for every combination of answers it depends on."""

    def __init__(
        self, factors: Sequence[Factor], interactions: Sequence[Interaction], domains: Domains
    ) -> None:
        self.factors = tuple(factors)
        self.questions = tuple(question for factor in factors for question in factor.questions)
        self.owners = [place for place, factor in enumerate(factors) for _ in factor.questions]
        self.largest = [question.largest_effect for question in self.questions]
        titles = {question.id: factor.id for factor in factors for question in factor.questions}
        self.lookups = [
            _lookup(question, titles[question.id], interactions, domains) for question in self.questions
        ]
        self.steps = tuple(zip(self.lookups, self.owners, self.largest, strict=True))

    def score(self, facts: Facts, weights: Sequence[float]) -> Score:
        """`weights` need not add up to anything; at least one is above 0."""
        count = len(weights)
        totals, sums, lows, highs = [0.0] * count, [0.0] * count, [0.0] * count, [0.0] * count
        reads = [lookup.table[lookup.key(facts)] for lookup in self.lookups]
        for read, (_, owner, largest) in zip(reads, self.steps, strict=True):
            if read.applies:
                totals[owner] += largest
                sums[owner] += read.effect
                lows[owner] += read.low
                highs[owner] += read.high
        applied = [weight if total else 0.0 for weight, total in zip(weights, totals, strict=True)]
        whole = sum(applied)
        shared = [weight / whole for weight in applied] if whole else applied
        per_effect = [w / total if total else 0.0 for w, total in zip(shared, totals, strict=True)]
        lean = sum(map(_times, per_effect, sums))
        return Score(
            lean=0.0 if abs(lean) <= TINY else lean,
            reads=reads,
            shares=[per_effect[owner] for owner in self.owners],
            weights=shared,
            directions=_ratios(sums, totals),
            lows=_ratios(lows, totals),
            highs=_ratios(highs, totals),
        )


def _times(a: float, b: float) -> float:
    return a * b


def _ratios(sums: Sequence[float], totals: Sequence[float]) -> list[float]:
    return [part / total if total else 0.0 for part, total in zip(sums, totals, strict=True)]


def leaning(lean: float) -> TrainingMethod:
    return "grpo" if lean > 0 else "sft"


def normalised(weights: Mapping[str, float], factors: Sequence[Factor]) -> list[float]:
    whole = sum(weights[factor.id] for factor in factors)
    return [weights[factor.id] / whole for factor in factors]


def _lookup(
    question: Question, factor: str, interactions: Sequence[Interaction], domains: Domains
) -> Lookup[Read]:
    mine = [interaction for interaction in interactions if question.id in interaction.questions]
    whens = [rule.when for choice in question.choices for rule in choice.effects]
    keys = keys_of([({question.id: ()},), *whens, *(interaction.when for interaction in mine)])
    choices = {choice.id: choice for choice in question.choices}

    def read(facts: Facts) -> Read:
        token = facts[question.id]
        if token == NOT_APPLICABLE:
            return _unanswered(question, factor, "not_applicable", 0.0, 0.0)
        if token == UNKNOWN:
            spans = [_span(choice, mine, facts) for choice in question.choices]
            low, high = min(low for low, _ in spans), max(high for _, high in spans)
            return _unanswered(question, factor, "unknown", low, high)
        return _answered(question, factor, choices[token], mine, facts)

    return Lookup(keys, domains, read)


NO_BUCKETS: Mapping[str, Buckets] = {}
"""Effects depend on answers only; a measurement counts once it is accepted as an answer."""


def _span(choice: Choice, interactions: Sequence[Interaction], facts: Facts) -> tuple[float, float]:
    possible = []
    for rule in choice.rules:
        decided = _decided(rule, facts)
        if decided is not False:
            possible.append(rule.effect)
        if decided:
            break
    for interaction in interactions:
        decided = holds(interaction.when, facts, NO_BUCKETS)
        without = [min(effect, 0.0) for effect in possible]
        possible = without if decided else possible if decided is False else possible + without
    return min(possible), max(possible)


def _decided(rule: Choice | ConditionalEffect, facts: Facts) -> bool | None:
    when = rule.when if isinstance(rule, ConditionalEffect) else ()
    return holds(when, facts, NO_BUCKETS)


def _answered(
    question: Question, factor: str, choice: Choice, interactions: Sequence[Interaction], facts: Facts
) -> Read:
    rule = next(rule for rule in choice.rules if _decided(rule, facts))
    effect, sentence = float(rule.effect), rule.because
    sources = rule.sources or choice.sources or question.sources
    for interaction in interactions:
        if effect > 0 and holds(interaction.when, facts, NO_BUCKETS):
            effect, sentence = 0.0, f"{sentence} {interaction.because}"
            sources = tuple(dict.fromkeys((*sources, *interaction.sources)))
    low, high = _span(choice, interactions, facts)
    fields = {
        "question": question.id,
        "factor": factor,
        "title": question.title,
        "choice": choice.id,
        "answer_label": choice.label,
        "basis": "told",
        "effect": effect,
        "contribution": 0.0,
        "grade": rule.grade or choice.grade or question.grade,
        "sources": sources,
        "sentence": sentence,
        "state": "answered",
    }
    Contribution.model_validate(fields)
    clause = rule.clause if effect and rule.clause else ""
    return Read(effect, low, high, True, fields, clause, f"{sentence} [{', '.join(sources)}]")


def _unanswered(question: Question, factor: str, state: str, low: float, high: float) -> Read:
    applies = state == "unknown"
    sentence = (
        f"Not known yet: {question.title[0].lower()}{question.title[1:]}."
        if applies
        else "Does not apply to this project, so it is left out."
    )
    fields = {
        "question": question.id,
        "factor": factor,
        "title": question.title,
        "choice": None,
        "answer_label": "Not known yet" if applies else "Does not apply",
        "basis": None,
        "effect": 0.0,
        "contribution": 0.0,
        "grade": question.grade,
        "sources": question.sources,
        "sentence": sentence,
        "state": state,
    }
    return Read(0.0, low, high, applies, fields, "", sentence)
