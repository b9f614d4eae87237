"""The decision record: composed once, under the headings of MADR 4, for pages, paper and Markdown alike."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from math import isclose
from typing import ClassVar

from app.advisor.advice import Contribution, Coverage, Flip, GateOutcome, Recommendation, Stage
from app.advisor.answers import Project, wire_of
from app.advisor.robustness import percent, signed
from app.advisor.rulebook import Rulebook
from app.advisor.rungs import RUNGS, in_words, stands_on
from app.advisor.vocabulary import Evidence

CITED = re.compile(r" ?\[([a-z0-9][\w.-]*(?:, [a-z0-9][\w.-]*)*)\]")
GATE = re.compile(r"\b[A-Z]{1,2}\d{1,2}\b")

STRONGEST = 4
"""So many arguments are named for each method."""

WAITS = "waits for the run"


@dataclass(frozen=True)
class Filing:
    """What people decided about the recommendation. All in words or ISO form; empty where not known."""

    status: str = "proposed"
    decided_on: str = ""
    owner: str = ""
    review_by: str = ""
    supersedes: str = ""
    superseded_by: str = ""
    number: int | None = None
    note: str = ""
    """How it came here, where it was not simply made here."""


@dataclass(frozen=True)
class Confirmed:
    """A stage of the plan and what its run found; every figure in words."""

    stage: str
    run: str = ""
    """Address of the run, once there is one."""
    name: str = ""
    before: str = WAITS
    after: str = WAITS
    change: str = WAITS
    cost: str = WAITS


# What a record is made of


@dataclass(frozen=True)
class Line:
    """A sentence or several: pieces of text, each with the numbers of the sources behind it."""

    pieces: tuple[tuple[str, tuple[int, ...]], ...]
    lead: str = ""
    link: str = ""
    kind: ClassVar = "line"

    @property
    def host(self) -> str:
        """Where the link leads, in short."""
        return self.link.split("/")[2].rpartition("@")[2] if self.link else ""


@dataclass(frozen=True)
class Bullets:
    kind: ClassVar = "bullets"
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    kind: ClassVar = "table"
    label: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()
    """Columns that hold numbers."""
    foot: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Where the first cell of each row leads."""


@dataclass(frozen=True)
class Settings:
    """Suggested settings: on paper in one line, elsewhere as a table."""

    kind: ClassVar = "settings"
    label: str
    rows: tuple[tuple[str, str, Line], ...]


@dataclass(frozen=True)
class Source:
    number: int
    evidence: Evidence


Block = Line | Bullets | Table | Settings


@dataclass(frozen=True)
class Part:
    id: str
    title: str
    level: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Record:
    title: str
    filing: Filing
    verdict: str
    firmness: str
    parts: tuple[Part, ...]
    sources: tuple[Source, ...]
    checksum: str
    """SHA-256 over the recommendation's JSON."""
    project: str
    """As JSON, for `Rulebook.read`."""


def compose(
    project: Project,
    advice: Recommendation,
    rulebook: Rulebook,
    filing: Filing | None = None,
    confirmed: Iterable[Confirmed] = (),
    with_notes: bool = True,
    found: Iterable[str] = (),
) -> Record:
    """`with_notes` is False for readers who may not see what was noted beside the answers.

    `found`: whether the decision held, a sentence for each whole plan that was trained, newest first.
    """
    writer = _Writer(advice, rulebook)
    filing = filing or Filing()
    parts = (
        writer.context(project),
        writer.drivers(project),
        writer.options(),
        writer.outcome(project),
        *writer.gates(),
        writer.plan(),
        writer.unchecked(),
        writer.changes(),
        writer.consequences(),
        writer.cost(),
        writer.confirmation(tuple(confirmed), tuple(found)),
        writer.arguments(),
        writer.answers(),
        *writer.notes(project, with_notes),
        writer.reproduction(filing),
    )
    return Record(
        title=f"{project.name or 'SFT or GRPO'}: {advice.plan.title}",
        filing=filing,
        verdict=advice.headline,
        firmness=f"{BANDS[advice.band]}. {advice.band_reason}",
        parts=parts,
        sources=tuple(Source(number, rulebook.evidence[name]) for name, number in writer.numbers.items()),
        checksum=checksum(advice),
        project=dumps(wire_of(project), indent=2, ensure_ascii=False) if with_notes else "",
    )


BANDS = {
    "strong": "Strong",
    "moderate": "Moderate",
    "too_close": "Too close to call",
    "only_runnable": "The only option that can run",
}


def checksum(advice: Recommendation) -> str:
    return sha256(advice.model_dump_json().encode()).hexdigest()


def with_gates_named(sentence: str, gates: Iterable[GateOutcome]) -> str:
    """Gate ids are for programs; people read the title."""
    titles = {gate.id: gate.title for gate in gates}
    return GATE.sub(lambda found: f"“{titles[found[0]]}”" if found[0] in titles else found[0], sentence)


def cut(paragraph: str) -> list[tuple[str, tuple[str, ...]]]:
    """A paragraph as pieces of text, each with the sources that it names behind it in square brackets."""
    pieces = CITED.split(paragraph)
    named = [tuple(ids.split(", ")) for ids in pieces[1::2]] + [()]
    return list(zip(pieces[::2], named, strict=True))


class _Writer:
    """Composes the parts in reading order, and numbers the sources as they come up."""

    def __init__(self, advice: Recommendation, rulebook: Rulebook) -> None:
        self.advice = advice
        self.rulebook = rulebook
        self.numbers: dict[str, int] = {}

    def cited(self, names: Iterable[str]) -> tuple[int, ...]:
        known = [name for name in names if name in self.rulebook.evidence]
        return tuple(self.numbers.setdefault(name, len(self.numbers) + 1) for name in known)

    def line(self, text: str, lead: str = "", sources: Iterable[str] = (), link: str = "") -> Line:
        """`text` is this program's own: it may name sources in square brackets, and gates by id."""
        named = with_gates_named(text, self.advice.gates)
        pieces = [(piece, self.cited(names)) for piece, names in cut(named)]
        if more := self.cited(sources):
            pieces.append(("", more))
        return Line(tuple(piece for piece in pieces if any(piece)), lead, link)

    def _sentences(self, of: object, name: str) -> list[Line]:
        """Of a part that not every recommendation has: not asked for, or not yet told when it was frozen."""
        told = getattr(of, name, None) or ()
        return [self.line(each if isinstance(each, str) else each.sentence) for each in told]

    # Context, drivers, options

    def context(self, project: Project) -> Part:
        blocks = [told(project.description)] if project.description else []
        blocks.append(
            self.line(
                "A language model is to be trained further, and the question is how: by SFT (supervised "
                "fine-tuning), which copies good answers, or by GRPO (Group Relative Policy Optimization), "
                "which lets the model try several answers and reinforces those that score better. "
                f"{_covered(self.advice.coverage)}"
            )
        )
        return Part("context", "Context and Problem Statement", 2, tuple(blocks))

    def drivers(self, project: Project) -> Part:
        advice = self.advice
        rows = tuple(
            (f.title, percent(f.weight), signed(f.direction), signed(f.contribution)) for f in advice.factors
        )
        table = Table(
            "The five factors",
            ("Factor", "Weight", "Direction", "Adds to the lean"),
            rows,
            (1, 2, 3),
            ("Together", "", "", signed(advice.lean)),
        )
        how = self.line(
            "Directions run from −1 (all SFT) to +1 (all GRPO); weight times direction is what a factor "
            f"adds. {self._whose(project)}"
        )
        why = Bullets(tuple(self.line(factor.paragraph) for factor in advice.factors))
        return Part("drivers", "Decision Drivers", 2, (table, how, why))

    def _whose(self, project: Project) -> str:
        """Whether anybody moved the weights, which is what a sceptic asks first."""
        own = {factor.id: factor.weight for factor in self.rulebook.factors}
        given = project.weights or own
        total = sum(given.values())
        if all(isclose(given[factor] / total, own[factor], abs_tol=1e-6) for factor in own):
            return "The weights are the rulebook’s own."
        named = ", ".join(f"{f.title} {percent(f.weight)}" for f in self.rulebook.factors)
        return f"The weights were set for this project; the rulebook’s own are {named}."

    def options(self) -> Part:
        options = (
            "SFT",
            "GRPO",
            "A short SFT warm start, then GRPO",
            "A reward model from preference pairs, then GRPO against it",
            "Not training yet",
        )
        return Part(
            "options", "Considered Options", 2, (Bullets(tuple(self.line(option) for option in options)),)
        )

    # The outcome

    def outcome(self, project: Project) -> Part:
        advice = self.advice
        every = advice.acceptability.all if advice.lean_method == "grpo" else 1 - advice.acceptability.all
        robust = ""
        if advice.decided_by != "tie":
            robust = (
                f" Of all weightings, however far from these, {advice.lean_method.upper()} leads in "
                f"{percent(every)}. That says how robust the rules are; it is no forecast of success."
            )
        blocks = [
            self.line(advice.reason, lead=f"Chosen option: “{advice.plan.title}”."),
            self.line(f"{advice.band_reason}{robust}", lead=f"How firm: {BANDS[advice.band].lower()}."),
            self.line(_DECIDED[advice.decided_by], lead="What decided."),
            self.line(self._stands_on(project), lead="What it stands on."),
        ]
        return Part("outcome", "Decision Outcome", 2, tuple(blocks))

    def _stands_on(self, project: Project) -> str:
        """Answers by rung, and what was measured besides."""
        known = self.rulebook.measurements
        named = [
            f"{known[name].title[0].lower()}{known[name].title[1:]} {value:g} ({known[name].rung})"
            for name, value in project.measurements.items()
            if name in known
        ]
        besides = f" Measured besides: {'; '.join(named)}." if named else ""
        counts = in_words(stands_on(self.advice.contributions))
        return f"Answers by how they are known: {counts.lower()}.{besides}"

    def gates(self) -> Iterator[Part]:
        """Gates first: what blocks, what warns, and what was checked and found clear."""
        advice = self.advice
        if unfit := self._sentences(advice, "contradictions"):
            yield Part("unfit", "Answers That Do Not Fit Together", 3, (Bullets(tuple(unfit)),))
        if advice.blockers:
            yield Part("first", "To Be Settled First", 3, (self._lifted(advice.blockers),))
        known = {gate.id for gate in advice.blockers}
        held = [gate for gate in advice.gates if gate.state == "holds" and gate.id not in known]
        clear = [gate.title for gate in advice.gates if gate.state == "clear"]
        unsettled = sum(gate.state == "unknown" for gate in advice.gates)
        blocks: list[Block] = [self._lifted(held)] if held else []
        if clear:
            blocks.append(self.line(f"{'; '.join(clear)}.", lead="Looked for and not found:"))
        if unsettled:
            blocks.append(
                self.line(f"{unsettled} of {len(advice.gates)} gates are not settled yet: see below.")
            )
        what = "A gate is a fact that rules a method out, or asks for care, whatever the factors say."
        yield Part("gates", "Gates", 3, (self.line(what), *blocks))

    def _lifted(self, gates: Iterable[GateOutcome]) -> Bullets:
        return Bullets(
            tuple(
                self.line(
                    f"{gate.sentence} What lifts it: {gate.lift}", lead=f"{gate.title}.", sources=gate.sources
                )
                for gate in gates
            )
        )

    def plan(self) -> Part:
        plan = self.advice.plan
        blocks: list[Block] = [self.line(plan.sentence, lead=f"{plan.title}.", sources=plan.sources)]
        if plan.steps:
            blocks.append(Bullets(tuple(self.line(step) for step in plan.steps)))
        for number, stage in enumerate(plan.stages, 1):
            blocks += self._stage(number, stage)
        if plan.trigger:
            blocks.append(self.line(plan.trigger, lead="Go further when:"))
        return Part("plan", "The Plan", 3, tuple(blocks))

    def _stage(self, number: int, stage: Stage) -> Iterator[Block]:
        yield self.line(stage.purpose, lead=f"Stage {number}: {stage.title}.")
        if stage.recipe:
            yield Settings(
                f"Suggested settings of stage {number}",
                tuple(
                    (setting.name, _value(setting.value), self.line(setting.why, sources=setting.sources))
                    for setting in stage.recipe
                ),
            )

    # What is not certain

    def unchecked(self) -> Part:
        advice = self.advice
        blocks: list[Block] = [self.line(self._measured())]
        lines = [self.line(unknown.sentence, lead=f"{unknown.title}.") for unknown in advice.unknowns]
        open_ones = {unknown.question for unknown in advice.unknowns}
        # A gate that waits for an answer above is named there already.
        lines += [
            self.line(gate.sentence, lead=f"{gate.title}.")
            for gate in advice.gates
            if gate.state == "unknown" and not open_ones.intersection(gate.questions)
        ]
        if lines:
            blocks.append(Bullets(tuple(lines)))
        if advice.next_question and advice.unknowns:
            blocks.append(self.line(advice.next_question.sentence, lead="Worth finding out first:"))
        return Part("unchecked", "What Was Not Checked", 3, tuple(blocks))

    def _measured(self) -> str:
        given = [part for part in self.advice.contributions if part.state == "answered"]
        measured = [part for part in given if part.basis not in (None, "told")]
        open_ones = len(self.advice.unknowns)
        missing = f"{open_ones} of {self.advice.coverage.total} questions have no answer yet. "
        missing = missing if open_ones else "Every question that applies has an answer. "
        if not given:
            return f"{missing}Nothing was measured."
        if not measured:
            return f"{missing}Nothing was measured: every answer counts as told."
        named = {rung: [part.title for part in measured if part.basis == rung] for rung in RUNGS}
        found = " ".join(
            f"{rung.capitalize()}: {', '.join(titles)}." for rung, titles in named.items() if titles
        )
        told = len(given) - len(measured)
        others = (
            "No answer counts"
            if not told
            else f"The other {told} {'answers count' if told > 1 else 'counts'}"
        )
        return f"{missing}{found} {others} as told."

    def changes(self) -> Part:
        return Part("changes", "What Would Change It", 3, (*self._by_answers(), *self._by_weights()))

    def _by_answers(self) -> Iterator[Block]:
        advice = self.advice
        if advice.flips:
            yield self.line("Any one of these answers would change the advice:")
            yield Bullets(tuple(self._flipped(advice.flips)))
        elif advice.flips is not None:
            yield self.line("No single answer that a team can change would change the advice.")
        if pairs := self._sentences(advice, "paired_flips"):
            yield self.line("Two changes together would, where neither does alone:")
            yield Bullets(tuple(pairs))
        if fixed := tuple(self._flipped(getattr(advice, "fixed_flips", None) or ())):
            yield self.line("Nobody can change these answers, but if one of them is wrong:")
            yield Bullets(fixed)

    def _by_weights(self) -> Iterator[Block]:
        advice = self.advice
        if advice.robustness:
            turning = [flip for flip in advice.robustness.weight_flips if flip.turns_at is not None]
            for flip in turning:
                yield self.line(flip.sentence)
            if not turning:
                yield self.line("No other weight of a single factor would change the method.")
        if advice.unknowns:
            low, high = signed(advice.interval.low), signed(advice.interval.high)
            said = f"While some answers are unknown, the lean lies between {low} and {high}."
            yield self.line(getattr(advice.interval, "sentence", "") or said)

    def _flipped(self, flips: Iterable[Flip]) -> Iterator[Line]:
        """One line for all answers to a question that lead to the same advice."""
        rows: dict[tuple[str, str, str], tuple[Flip, list[str]]] = {}
        for flip in flips:
            _, labels = rows.setdefault((flip.question, flip.method_after, flip.plan_after), (flip, []))
            labels.append(f"“{flip.to_label}”")
        for flip, labels in rows.values():
            then = "not to train yet" if flip.plan_after == "not_yet" else flip.method_after.upper()
            said = f"with {_or(labels)} instead of “{flip.from_label}” the advice would be {then}."
            yield self.line(said, lead=f"{flip.title}:")

    def consequences(self) -> Part:
        lines = [
            self.line(
                f"{risk.sentence} Watched by: {risk.watch}", lead=f"{risk.title}.", sources=risk.sources
            )
            for risk in self.advice.risks
        ]
        return Part("consequences", "Consequences", 3, (Bullets(tuple(lines)),))

    def cost(self) -> Part:
        cost = self.advice.cost
        estimate = self.advice.estimate
        estimated = (*self._sentences(estimate, "summary"), *self._sentences(estimate, "warnings"))
        # The estimate knows how many demonstrations and tokens there are; without it the cost names its own.
        named = (estimate.assumptions if estimate else ()) or cost.assumptions
        assumed = "; ".join(each.removeprefix("Assumed: ").removesuffix(".") for each in named)
        return Part(
            "cost",
            "Cost",
            3,
            (
                self.line(cost.sentence),
                *([Bullets(estimated)] if estimated else []),
                *([self.line(f"{assumed}.", lead="Assumed:")] if assumed else []),
            ),
        )

    def confirmation(self, confirmed: tuple[Confirmed, ...], found: tuple[str, ...]) -> Part:
        stages = self.advice.plan.stages
        rows = confirmed or tuple(Confirmed(stage.title) for stage in stages)
        blocks: list[Block] = [
            *map(told, found[:1]),
            self.line(
                "The same held-out items and the same grader measure the model before and after training, "
                "with 95 % intervals. The decision held if the score rose by more than chance explains and "
                "nothing else got worse."
            ),
        ]
        if rows:
            blocks.append(
                Table(
                    "Figures of the runs",
                    ("Stage", "Before", "After", "Change", "Cost"),
                    tuple((_stage_and_run(row), row.before, row.after, row.change, row.cost) for row in rows),
                    links=tuple(row.run for row in rows),
                )
            )
        else:
            blocks.append(self.line("There is no training to confirm yet; the steps above come first."))
        if found[1:]:
            blocks += [self.line("Earlier trainings that followed it:"), Bullets(tuple(map(told, found[1:])))]
        return Part("confirmation", "Confirmation", 3, tuple(blocks))

    # The case for each side, and everything behind it

    def arguments(self) -> Part:
        parts = self.advice.contributions
        lines = []
        for method, sign in (("SFT", -1), ("GRPO", 1)):
            side = sorted((p for p in parts if p.contribution * sign > 0), key=_least_first)
            named = [f"{p.title}: {p.answer_label} ({signed(p.contribution)})" for p in side[:STRONGEST]]
            lines.append(told("; ".join(named) + "." if named else "Nothing.", lead=f"For {method}:"))
        lines += [
            self.line(other.sentence, lead=f"{other.title}:", sources=other.sources)
            for other in self.advice.alternatives
        ]
        return Part("arguments", "Pros and Cons of the Options", 2, (Bullets(tuple(lines)),))

    def answers(self) -> Part:
        parts = self.advice.contributions
        known = [part for part in parts if part.state != "unknown"]
        missing = [part.title for part in parts if part.state == "unknown"]
        blocks: list[Block] = []
        if known:
            blocks.append(self._answered(known))
        if missing:
            blocks.append(self.line(f"{'; '.join(missing)}.", lead="Not known yet:"))
        blocks.append(
            self.line(
                "Effects run from −3 (SFT) to +3 (GRPO). Grade A: several independent sources; B: one good "
                "source, or caveats; C: practice, or a single report."
            )
        )
        return Part("answers", "More Information", 2, tuple(blocks))

    def _answered(self, known: Iterable[Contribution]) -> Table:
        for part in known:
            if part.effect:
                self.cited(part.sources)
        return Table(
            "Every answer and what it adds to the lean",
            ("Question", "Answer", "Basis", "Effect", "Adds", "Grade"),
            tuple(
                (
                    part.title,
                    part.answer_label,
                    part.basis or "–",
                    f"{part.effect:+g}".replace("-", "−") if part.effect else "0",
                    _fine(part.contribution),
                    part.grade,
                )
                for part in known
            ),
            (3, 4),
            ("Together", "", "", "", _fine(self.advice.lean), ""),
        )

    def notes(self, project: Project, with_notes: bool) -> Iterator[Part]:
        noted = [
            told(answer.note, lead=f"{question.title}:", link=answer.evidence or "")
            for name, question in self.rulebook.questions.items()
            if (answer := project.answers.get(name)) and (answer.note or answer.evidence)
        ]
        if not noted:
            return
        if with_notes:
            yield Part("notes", "Notes and Evidence", 3, (Bullets(tuple(noted)),))
        else:
            hidden = "Notes and links beside the answers are not shown here."
            yield Part("notes", "Notes and Evidence", 3, (self.line(hidden),))

    def reproduction(self, filing: Filing) -> Part:
        stamp = self.advice.rulebook
        blocks = [
            self.line(
                f"Rulebook {stamp.version}, SHA-256 {stamp.checksum}. "
                f"Result, SHA-256 {checksum(self.advice)}. The same answers and weights under that rulebook "
                "give this result again, byte for byte: import the record’s JSON into any Tuning Fork that "
                "holds the rulebook, and it says whether they do."
            )
        ]
        if filing.note:
            blocks.append(told(filing.note))
        return Part("reproduction", "How to Reproduce It", 3, tuple(blocks))


_DECIDED = {
    "lean": "The sum of the five factors; no gate ruled a method out.",
    "gate": "A gate ruled the other method out, whatever the factors say.",
    "tie": "The factors balance out. A tie goes to SFT: it is cheaper, can be undone, and is the usual "
    "first stage in any case.",
}


def _covered(coverage: Coverage) -> str:
    said = f"Of {coverage.total} questions about the project, {coverage.answered} are answered"
    if coverage.unknown:
        said += f", {coverage.unknown} not known yet"
    if coverage.not_applicable:
        said += f", {coverage.not_applicable} not applicable"
    return f"{said}."


def told(text: str, lead: str = "", link: str = "") -> Line:
    """A user's words: nothing in them is read as a citation."""
    return Line(((text, ()),) if text else (), lead, link)


def _least_first(part: Contribution) -> float:
    return -abs(part.contribution)


def _stage_and_run(row: Confirmed) -> str:
    return f"{row.stage}: {row.name}" if row.name else row.stage


def _value(value: float | int | str | bool) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fine(value: float) -> str:
    """Three places: answers that add little still show what they add."""
    shown = f"{value:+.3f}"
    return "0" if shown[1:] == "0.000" else shown.replace("-", "−")


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
