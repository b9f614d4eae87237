"""What stays the same whatever the missing answers turn out to be: exact, by bounds where they suffice."""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from operator import and_, or_

from app.advisor.advice import PlanId, TrainingMethod
from app.advisor.comparison import DERIVED
from app.advisor.conditions import keys_of
from app.advisor.gates import NOT_YET
from app.advisor.plan import NEITHER
from app.advisor.recommendation import method_of, outcome_under
from app.advisor.robustness import rounded
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Question

DECIDING = NEITHER | NOT_YET
"""Of a gate's bits those that method and plan depend on."""

SLACK = 1e-9
"""Two ways to add up one lean differ by less."""

Facts = dict[str, str]
Open = Mapping[str, Sequence[str]]
"""Facts that are not known yet, and what each can turn out to be."""
Kind = tuple[TrainingMethod, PlanId]


def open_facts(question: Question) -> dict[str, tuple[str, ...]]:
    """What an answer to the question would settle.

    Model and GPUs settle three facts at once, taken as independent here: some combinations
    exist for no hardware, so that what stays the same in all of them stays the same in fact.
    """
    own = {question.id: tuple(choice.id for choice in question.choices)}
    return own | {name: tokens for name, tokens in DERIVED.items() if name.startswith(f"{question.id}.")}


class Completions:
    """Every way to answer what is open, under one rulebook and one set of weights."""

    def __init__(self, rulebook: Rulebook, weights: Sequence[float]) -> None:
        self.rulebook, self.weights = rulebook, weights
        self.gate_keys = [keys_of([level.when for level in gate.levels]) for gate in rulebook.gates]
        self.plan_keys = keys_of([rule.when for rule in rulebook.planning.for_grpo])
        self.bounds: dict[tuple[int, tuple[str | None, ...]], tuple[int, int]] = {}

    def kind(self, facts: Facts) -> Kind:
        outcome = outcome_under(self.rulebook, facts, self.weights)
        return outcome.method, outcome.plan

    def always(self, kind: Kind, facts: Facts, missing: Open) -> bool:
        """Whether every completion has this method and this plan; `missing` is unknown in `facts`."""
        ordered = {name: self._likeliest_to_differ(kind, facts, name, missing[name]) for name in missing}
        return self._always(kind, facts, ordered)

    def _likeliest_to_differ(
        self, kind: Kind, facts: Facts, name: str, tokens: Sequence[str]
    ) -> tuple[str, ...]:
        """Only a matter of speed: where something differs, it is found sooner."""
        away = 1 if kind[0] == "grpo" else -1

        def closeness(token: str) -> tuple[bool, float]:
            outcome = outcome_under(self.rulebook, facts | {name: token}, self.weights)
            return (outcome.method, outcome.plan) == kind, away * outcome.lean

        return tuple(sorted(tokens, key=closeness))

    def _always(self, kind: Kind, facts: Facts, missing: Open) -> bool:
        if not missing:
            return self.kind(facts) == kind
        certain, undecided = self._gated(facts, missing)
        found = self._bounded(facts, missing, certain) if not undecided else None
        if found is not None:
            return found == kind
        name = self._branch(facts, missing, undecided)
        rest = {other: tokens for other, tokens in missing.items() if other != name}
        return all(self._always(kind, facts | {name: token}, rest) for token in missing[name])

    def _gated(self, facts: Facts, missing: Open) -> tuple[int, list[int]]:
        """Bits that hold in every completion, and the gates of which a deciding bit does in some only."""
        certain, undecided = 0, []
        for place, keys in enumerate(self.gate_keys):
            tokens = tuple([None if key in missing else facts[key] for key in keys])
            must, may = self._gate(place, tokens, missing)
            certain |= must
            if (may ^ must) & DECIDING:
                undecided.append(place)
        # What one gate leaves open, another may have closed for certain.
        return certain, [] if certain & DECIDING == DECIDING else undecided

    def _gate(self, place: int, tokens: tuple[str | None, ...], missing: Open) -> tuple[int, int]:
        """Bits of all completions and of any; None stands for an open fact."""
        found = self.bounds.get((place, tokens))
        if found is None:
            keys, lookup = self.gate_keys[place], self.rulebook.gating.lookups[place]
            possible = [
                missing[key] if token is None else (token,) for key, token in zip(keys, tokens, strict=True)
            ]
            bits = [lookup(dict(zip(keys, chosen, strict=True))).bits for chosen in product(*possible)]
            found = self.bounds[place, tokens] = reduce(and_, bits), reduce(or_, bits)
        return found

    def _bounded(self, facts: Facts, missing: Open, bits: int) -> Kind | None:
        """Method and plan where gates and the bounds of the lean leave only one of each."""
        score = self.rulebook.scoring.score(facts, self.weights)
        ends = {
            method_of(rounded(lean), bits, self.rulebook.decision.tie)[0]
            for lean in (score.low - SLACK, score.high + SLACK)
        }
        method = ends.pop()
        if ends:
            return None
        decides_plan = method == "grpo" and not bits & NOT_YET and bits & NEITHER != NEITHER
        if decides_plan and any(key in missing for key in self.plan_keys):
            return None
        return method, self.rulebook.planning.choose(method, bits, facts)

    def _branch(self, facts: Facts, missing: Open, undecided: Sequence[int]) -> str:
        """What an unsettled gate looks at, else what moves the lean most, else what the plan looks at."""
        for place in undecided:
            for key in self.gate_keys[place]:
                if key in missing:
                    return key
        score = self.rulebook.scoring.score(facts, self.weights)
        spans = {
            question.id: share * (read.high - read.low)
            for question, read, share in zip(
                self.rulebook.scoring.questions, score.reads, score.shares, strict=True
            )
        }
        return max(missing, key=lambda name: (spans.get(name, 0.0), name in self.plan_keys))
