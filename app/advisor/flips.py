"""Which changed answers would turn the advice: one alone, and two together where neither does alone."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from pydantic import ValidationError

from app.advisor.advice import AnswerChange, Flip, PairedFlip, trusted
from app.advisor.answers import Answer, Project, Quantity, wire_answer
from app.advisor.conditions import NOT_APPLICABLE, Facts
from app.advisor.estimate import alternatives, described
from app.advisor.gates import BLOCKS_GRPO, BLOCKS_SFT
from app.advisor.plan import NEITHER
from app.advisor.robustness import Outcome, signed
from app.advisor.rulebook import Rulebook
from app.advisor.scoring import Read, Score
from app.advisor.vocabulary import Question

Engine = Callable[[Project], Outcome]


class Present(NamedTuple):
    """A project and what was made of it."""

    project: Project
    facts: Mapping[str, str]
    weights: Sequence[float]
    score: Score
    outcome: Outcome


class Changed(NamedTuple):
    """One answer replaced, and what that alone does."""

    question: Question
    answer: Answer
    facts: Mapping[str, str]
    """Only those that differ."""
    reads: Mapping[int, Read]
    """Of the questions it touches, by place."""
    guarded: frozenset[int]
    """Places of the gates it touches."""
    gates: int
    """The same, two bits a gate."""
    blocks: int
    """What those block."""
    lean: float
    adds_up: bool
    """Whether as many questions apply as before; only then do changes of the lean simply add up."""


class Found(NamedTuple):
    changes: tuple[Changed, ...]
    after: Outcome


class Search:
    """Predicts each change by what it adds, and asks the engine about every one that may turn the advice.

    Effects add up except where one rule looks at both answers, and those few rules are looked up
    again: so predictions are exact up to rounding, and what lies within rounding goes to the engine too.
    """

    def __init__(self, rulebook: Rulebook, present: Present, engine: Engine) -> None:
        self.rulebook, self.present, self.engine = rulebook, present, engine
        self.readers, self.gates = rulebook.scoring.lookups, rulebook.gating.lookups
        self.settled = [(rule.id, lookup) for rule, lookup in rulebook.scoring.interactions]
        self.looking = [
            _by_key([self._keys(lookup.keys) for lookup in each]) for each in (self.readers, self.gates)
        ]
        self.blocks = self._blocked(range(len(self.gates)), present.facts)
        self.any_sft = sum([BLOCKS_SFT << 2 * place for place in range(len(self.gates))])
        self.any_grpo = sum([BLOCKS_GRPO << 2 * place for place in range(len(self.gates))])
        # GRPO leads from here on, since the lean is rounded to four decimals before it is compared.
        self.threshold = rulebook.decision.tie - 0.000_05
        self.lean = self._added_up({})

    def _keys(self, keys: Sequence[str]) -> set[str]:
        """With what decides the interactions among them."""
        behind = {rule: lookup.keys for rule, lookup in self.settled}
        return {name for key in keys for name in behind.get(key, (key,))}

    def _known(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Whether an interaction holds is a fact of its own, as `Scoring.score` has it."""
        return {**facts, **{rule: lookup(facts) for rule, lookup in self.settled}}

    def changes(self, questions: Iterable[Question]) -> list[Changed]:
        """Every other answer to each of these."""
        answers = self.present.project.answers
        return [
            self._changed(question, answer)
            for question in questions
            for answer in _other_answers(question, answers.get(question.id))
        ]

    def turning(self, changes: Iterable[Changed]) -> list[Found]:
        """Those that turn the advice by themselves."""
        able = [
            each for each in changes if self._may_turn(each.lean, self.blocks & ~each.gates | each.blocks)
        ]
        return [found for each in able if (found := self.confirmed(each)) is not None]

    def candidates(self, changes: Sequence[Changed]) -> Iterator[tuple[float, Changed, Changed]]:
        """Every two on different questions that may turn the advice together, and how far the lean moves."""
        for first, second in combinations(changes, 2):
            if first.question is second.question:
                continue
            if first.question.kind != "choice" and second.question.kind != "choice":
                # What a budget means depends on the hardware: nothing is known before both are read.
                yield 0.0, first, second
                continue
            lean, blocks = self._together(first, second)
            if self._may_turn(lean, blocks):
                yield abs(lean - self.lean), first, second

    def confirmed(self, *changes: Changed) -> Found | None:
        answers = dict(self.present.project.answers)
        for each in changes:
            answers[each.question.id] = each.answer
        after = self.engine(replace(self.present.project, answers=answers))
        return None if after.method == self.present.outcome.method else Found(changes, after)

    def _changed(self, question: Question, answer: Answer) -> Changed:
        project = self.present.project
        told = self.rulebook.facts(replace(project, answers={**project.answers, question.id: answer}))
        facts = {name: token for name, token in told.items() if token != self.present.facts[name]}
        read, guarded = (
            frozenset().union(*[looking.get(name, _NOBODY) for name in facts]) for looking in self.looking
        )
        known = self._known(told)
        reads = {place: self.readers[place](known) for place in read}
        before = self.present.score.reads
        return Changed(
            question,
            answer,
            facts,
            reads,
            guarded,
            _all_of(guarded),
            self._blocked(guarded, told),
            self._added_up(reads),
            all(reads[place].applies == before[place].applies for place in read),
        )

    def _together(self, first: Changed, second: Changed) -> tuple[float, int]:
        """Lean and blocking gates after both."""
        blocks = self.blocks & ~(first.gates | second.gates) | first.blocks | second.blocks
        lean = first.lean + second.lean - self.lean
        adds_up = first.adds_up and second.adds_up
        if adds_up and not first.gates & second.gates and first.reads.keys().isdisjoint(second.reads):
            return lean, blocks
        shared, guarded = first.reads.keys() & second.reads.keys(), first.guarded & second.guarded
        facts = {**self.present.facts, **first.facts, **second.facts}
        known = self._known(facts) if shared else facts
        again = {place: self.readers[place](known) for place in shared}
        blocks = blocks & ~_all_of(guarded) | self._blocked(guarded, facts)
        if not adds_up:
            return self._added_up({**first.reads, **second.reads, **again}), blocks
        score = self.present.score
        for place, read in again.items():
            twice = first.reads[place].effect + second.reads[place].effect - score.reads[place].effect
            lean += score.shares[place] * (read.effect - twice)
        return lean, blocks

    def _added_up(self, instead: Mapping[int, Read]) -> float:
        """The lean with some questions read otherwise; as `Scoring.score` has it."""
        scoring, score = self.rulebook.scoring, self.present.score
        sums, totals = [0.0] * len(scoring.factors), [0.0] * len(scoring.factors)
        for place, read in enumerate(score.reads):
            read = instead.get(place, read)
            if read.applies:
                sums[scoring.owners[place]] += read.effect
                totals[scoring.owners[place]] += scoring.largest[place]
        applied = [(w, s / t) for w, s, t in zip(self.present.weights, sums, totals, strict=True) if t]
        whole = sum([weight for weight, _ in applied])
        return sum([weight * d for weight, d in applied]) / whole if whole else 0.0

    def _blocked(self, places: Iterable[int], facts: Facts) -> int:
        return sum([(self.gates[place](facts).bits & NEITHER) << 2 * place for place in places])

    def _may_turn(self, lean: float, blocks: int) -> bool:
        now_grpo = self.present.outcome.method == "grpo"
        if blocks & self.any_sft:
            return now_grpo == bool(blocks & self.any_grpo)
        if blocks & self.any_grpo:
            return now_grpo
        return lean < self.threshold + TRIFLE if now_grpo else lean > self.threshold - TRIFLE


TRIFLE = 1e-7
_NOBODY: frozenset[int] = frozenset()


def _by_key(keys: Sequence[Collection[str]]) -> dict[str, frozenset[int]]:
    """Who looks at each fact."""
    return {
        name: frozenset(place for place, mine in enumerate(keys) if name in mine)
        for name in {name for mine in keys for name in mine}
    }


def _all_of(places: Iterable[int]) -> int:
    return sum([NEITHER << 2 * place for place in places])


# What is told of them


class Flips(NamedTuple):
    singles: list[Flip]
    pairs: list[PairedFlip]
    fixed: list[Flip]
    """Of answers that nobody can change."""


def flips_of(rulebook: Rulebook, present: Present, engine: Engine) -> Flips:
    """Every single change after which the engine advises the other method, and the nearest pairs."""
    search = Search(rulebook, present, engine)
    there = [
        each
        for each in rulebook.questions.values()
        if not each.measured_only or present.facts[each.id] != NOT_APPLICABLE
    ]
    able = [question for question in there if question.changeable]
    others = [question for question in there if not question.changeable]
    changes = search.changes(able)
    singles, fixed = search.turning(changes), search.turning(search.changes(others))
    alone = {id(found.changes[0]) for found in singles}
    pairs = nearest(search, [each for each in changes if id(each) not in alone])
    return Flips(
        [_flip(present, found) for found in by_distance(singles, present)],
        [_paired(present, found) for found in pairs[: rulebook.decision.most_paired_flips]],
        [_flip(present, found) for found in by_distance(fixed, present)],
    )


def by_distance(found: Iterable[Found], present: Present) -> list[Found]:
    return sorted(found, key=lambda each: abs(each.after.lean - present.outcome.lean))


def nearest(search: Search, changes: Sequence[Changed]) -> list[Found]:
    """For every two questions the pair that turns the advice and moves the lean least."""
    able: dict[tuple[str, str], list[tuple[float, Changed, Changed]]] = {}
    for candidate in search.candidates(changes):
        able.setdefault((candidate[1].question.id, candidate[2].question.id), []).append(candidate)
    found = []
    for candidates in able.values():
        candidates.sort(key=lambda candidate: candidate[0])
        turning = (search.confirmed(first, second) for _, first, second in candidates)
        found += [pair for pair in [next((pair for pair in turning if pair is not None), None)] if pair]
    return by_distance(found, search.present)


def _other_answers(question: Question, answer: Answer | None) -> Iterator[Answer]:
    if question.kind == "choice":
        chosen = answer.choice if answer else None
        yield from (Answer(choice=choice.id) for choice in question.choices if choice.id != chosen)
    elif answer is not None and answer.quantity is not None:
        others = [quantity for quantity in alternatives(answer.quantity) if quantity != answer.quantity]
        yield from (Answer(quantity=quantity) for quantity in others if _allowed(quantity))


def _allowed(quantity: Quantity) -> bool:
    try:
        type(quantity).model_validate(quantity.model_dump())
    except ValidationError:
        return False
    return True


def _flip(present: Present, found: Found) -> Flip:
    (changed,), after = found.changes, found.after
    return trusted(
        Flip,
        {
            "question": changed.question.id,
            "title": changed.question.title,
            **_from_to(present, changed),
            "changeable": changed.question.changeable,
            **_after(after),
            "sentence": f"{_told(present, changed)}, {_advice(after)}.",
            "to_answer": wire_answer(changed.answer),
        },
    )


def _paired(present: Present, found: Found) -> PairedFlip:
    changes = [
        trusted(
            AnswerChange,
            {
                "question": changed.question.id,
                "title": changed.question.title,
                **_from_to(present, changed),
                "to_answer": wire_answer(changed.answer),
            },
        )
        for changed in found.changes
    ]
    together = "; together with ".join(_told(present, changed) for changed in found.changes)
    sentence = f"{together}, {_advice(found.after)}."
    return trusted(PairedFlip, {"changes": tuple(changes), **_after(found.after), "sentence": sentence})


def _after(after: Outcome) -> dict[str, object]:
    return {"method_after": after.method, "plan_after": after.plan, "lean_after": after.lean}


def _from_to(present: Present, changed: Changed) -> dict[str, object]:
    before = present.project.answers.get(changed.question.id)
    return {
        "from_choice": before.choice if before else None,
        "to_choice": changed.answer.choice,
        "from_label": label(changed.question, before),
        "to_label": label(changed.question, changed.answer),
    }


def _told(present: Present, changed: Changed) -> str:
    before = present.project.answers.get(changed.question.id)
    known = before is not None and before.state == "answered"
    instead = f"instead of “{label(changed.question, before)}”" if known else "where the answer is open now"
    return f"{changed.question.title}: with “{label(changed.question, changed.answer)}” {instead}"


def _advice(after: Outcome) -> str:
    if after.plan == "not_yet":
        return "the advice would be not to train yet"
    would = f"the advice would be {after.method.upper()}"
    if after.decided_by == "gate":
        other = "GRPO" if after.method == "sft" else "SFT"
        return f"{would}, because {other} could not run"
    return f"{would}, with a lean of {signed(after.lean)}"


def label(question: Question, answer: Answer | None) -> str:
    if answer is None or answer.state == "unknown":
        return "Not known yet"
    if answer.state == NOT_APPLICABLE:
        return "Does not apply"
    if answer.quantity is not None:
        return described(answer.quantity)
    return next(choice.label for choice in question.choices if choice.id == answer.choice)
