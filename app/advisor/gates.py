"""What makes a method impossible, or something else come first, whatever the score says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Literal

from app.advisor.advice import GateOutcome, PlanId, TrainingMethod
from app.advisor.conditions import Buckets, Domains, Facts, Lookup, holds, keys_of
from app.advisor.rendering import rendered
from app.advisor.vocabulary import Gate, Level

# What a gate's outcome means for the verdict, as bits, so that thirty outcomes add up in one pass.
BLOCKS_SFT, BLOCKS_GRPO, NOT_YET, OPEN_SFT, OPEN_GRPO, FIX_SFT, FIX_GRPO = (1 << bit for bit in range(7))

BLOCKS: Mapping[TrainingMethod, int] = {"sft": BLOCKS_SFT, "grpo": BLOCKS_GRPO}
OPEN: Mapping[TrainingMethod, int] = {"sft": OPEN_SFT, "grpo": OPEN_GRPO}
"""A gate of the told rung that is not settled and could still block or defer the method."""
FIX: Mapping[TrainingMethod, int] = {"sft": FIX_SFT, "grpo": FIX_GRPO}


@dataclass(frozen=True, slots=True, eq=False)
class Ruled:
    outcome: GateOutcome
    json: bytes
    """The outcome's."""
    bits: int
    clause: str
    met_by: tuple[PlanId, ...]


class Gating:
    def __init__(
        self,
        gates: Sequence[Gate],
        domains: Domains,
        buckets: Mapping[str, Buckets],
        questions: Sequence[str],
    ) -> None:
        self.gates = tuple(gates)
        self.lookups = [_lookup(gate, domains, buckets, questions) for gate in gates]
        self.looks = [(lookup.table, lookup.key) for lookup in self.lookups]

    def rule(self, facts: Facts) -> list[Ruled]:
        return [table[key(facts)] for table, key in self.looks]

    def bits(self, facts: Facts) -> int:
        together = 0
        for table, key in self.looks:
            together |= table[key(facts)].bits
        return together


def _lookup(
    gate: Gate, domains: Domains, buckets: Mapping[str, Buckets], questions: Sequence[str]
) -> Lookup[Ruled]:
    keys = keys_of([level.when for level in gate.levels])
    asked = tuple(dict.fromkeys(key.partition(".")[0] for key in keys if key.partition(".")[0] in questions))
    made: dict[tuple[bool | None, ...], Ruled] = {}

    def ruled(facts: Facts) -> Ruled:
        outcomes = tuple(holds(level.when, facts, buckets) for level in gate.levels)
        if outcomes not in made:
            made[outcomes] = _ruled(gate, outcomes, asked)
        return made[outcomes]

    return Lookup(keys, domains, ruled)


def _ruled(gate: Gate, outcomes: Sequence[bool | None], asked: tuple[str, ...]) -> Ruled:
    """The first level that holds; while none does, the first that still may."""
    settled = outcomes.index(True) if True in outcomes else len(outcomes)
    open_levels = [place for place, outcome in enumerate(outcomes[:settled]) if outcome is None]
    bits = _together(_open_bits(gate, gate.levels[place]) for place in open_levels)
    if settled < len(outcomes):
        level = gate.levels[settled]
        bits |= _held_bits(gate, level)
        outcome = _outcome(gate, level, "holds", level.sentence, asked)
    else:
        state: GateState = "unknown" if open_levels else "clear"
        level = gate.levels[open_levels[0] if open_levels else 0]
        sentence = gate.unknown if open_levels else gate.clear
        outcome = _outcome(gate, level, state, sentence, asked)
    return Ruled(outcome, rendered(outcome), bits, gate.clause, gate.met_by)


GateState = Literal["holds", "unknown", "clear"]


def _outcome(
    gate: Gate, level: Level, state: GateState, sentence: str, asked: tuple[str, ...]
) -> GateOutcome:
    return GateOutcome(
        id=gate.id,
        title=gate.title,
        method=gate.method,
        effect=level.effect,
        state=state,
        sentence=sentence,
        lift=gate.lift,
        rung=gate.rung,
        questions=asked,
        sources=gate.sources,
    )


def _concerned(gate: Gate) -> tuple[TrainingMethod, ...]:
    return ("sft", "grpo") if gate.method == "both" else (gate.method,)


def _open_bits(gate: Gate, level: Level) -> int:
    settled_later = gate.rung != "told" or level.effect in ("warn", "block_launch")
    return 0 if settled_later else _together(OPEN[method] for method in _concerned(gate))


def _held_bits(gate: Gate, level: Level) -> int:
    if level.effect == "warn":
        return 0
    bits = _together(FIX[method] for method in _concerned(gate))
    if level.effect == "block":
        bits |= _together(BLOCKS[method] for method in _concerned(gate))
    if gate.method == "both" and level.effect in ("block", "defer"):
        bits |= NOT_YET
    return bits


def _together(bits: Iterable[int]) -> int:
    return reduce(or_, bits, 0)
