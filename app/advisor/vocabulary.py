"""What the rulebook's files are made of: factors, questions, gates, plans, risks and their evidence."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from app.advisor.advice import Effect, PlanId, Rung
from app.advisor.conditions import Rule, When

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=64)]
ChoiceId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")]
Grade = Literal["A", "B", "C"]
Sources = Annotated[tuple[Id, ...], Field(min_length=1)]
Weight = Annotated[float, Field(ge=-3, le=3)]


class Evidence(Rule):
    """One source: where it stands, and what it found in our words."""

    id: Id
    citation: Text
    finding: Text
    year: Annotated[int, Field(ge=1990, le=2100)]
    arxiv: Annotated[str, StringConstraints(pattern=r"^\d{4}\.\d{5}$")] | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https://\S+$")] | None = None

    @property
    def link(self) -> str | None:
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url


class ConditionalEffect(Rule):
    """Replaces a choice's effect where it is the first whose condition holds."""

    when: When
    effect: Weight
    because: Text
    clause: Text | None = None
    grade: Grade | None = None
    sources: Sources | None = None


class Choice(Rule):
    id: ChoiceId
    label: Text
    hint: Text
    effect: Weight
    """-3 speaks for SFT, +3 for GRPO."""
    because: Text
    """One sentence about the project, shown as the reason."""
    clause: Text | None = None
    """The same in a few words, for the headline; every effect but 0 has one."""
    grade: Grade | None = None
    sources: Sources | None = None
    effects: tuple[ConditionalEffect, ...] = ()

    @property
    def rules(self) -> tuple["ConditionalEffect | Choice", ...]:
        """In the order they are tried; the last always holds."""
        return (*self.effects, self)

    @model_validator(mode="after")
    def _can_speak_for_itself(self) -> "Choice":
        for rule in self.rules:
            if rule.effect and not rule.clause:
                raise ValueError(f"an effect of {rule.effect} needs a clause for the headline")
        return self


class Question(Rule):
    id: Id
    title: Text
    text: Text
    why: Text
    help: Text
    kind: Literal["choice", "hardware", "budget"] = "choice"
    """What an answer is; hardware and budget are quantities from which a choice is derived."""
    grade: Grade
    sources: Sources
    deciding: bool = False
    """Belongs to the short list that separates the methods best."""
    changeable: bool = False
    """Whether a team can usually change the answer by working on it."""
    measured_only: bool = False
    """Never asked: only a measurement answers it, and without one it does not apply."""
    choices: Annotated[tuple[Choice, ...], Field(min_length=2)]

    @property
    def largest_effect(self) -> float:
        return max(abs(rule.effect) for choice in self.choices for rule in choice.rules)


class FactorHead(Rule):
    id: ChoiceId
    title: Text
    about: Text
    weight: Annotated[float, Field(ge=0, le=1)]
    low_end: Text
    high_end: Text


class Factor(FactorHead):
    questions: tuple[Question, ...]

    @property
    def asked(self) -> tuple[Question, ...]:
        """Without those that only a measurement answers."""
        return tuple(question for question in self.questions if not question.measured_only)


class FactorFile(Rule):
    factor: FactorHead
    questions: tuple[Question, ...]


class Measurement(Rule):
    id: ChoiceId
    title: Text
    rung: Rung
    low: float
    high: float


class Level(Rule):
    """How strictly a gate holds, from the strictest down."""

    effect: Effect
    when: Annotated[When, Field(min_length=1)]
    sentence: Text


class Gate(Rule):
    id: Id
    title: Text
    method: Literal["sft", "grpo", "both"]
    rung: Rung
    threshold: Text
    clause: Text
    """Completes "because ..."."""
    clear: Text
    unknown: Text
    lift: Text
    met_by: tuple[PlanId, ...] = ()
    """Plans whose first stage does what a deferring gate asks for."""
    grade: Grade
    sources: Sources
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]


class GatesFile(Rule):
    measurements: tuple[Measurement, ...]
    gates: tuple[Gate, ...]


class Reading(Rule):
    """Least lean and least acceptability of a band."""

    lean: Annotated[float, Field(ge=0, le=1)]
    acceptability: Annotated[float, Field(ge=0.5, le=1)]


class Bands(Rule):
    strong: Reading
    moderate: Reading


class Interaction(Rule):
    id: Id
    title: Text
    questions: tuple[Id, ...]
    rule: Literal["no_positive", "no_negative"]
    when: Annotated[When, Field(min_length=1)]
    because: Text
    grade: Grade
    sources: Sources

    def left_of(self, effect: float) -> float:
        """What still counts of an effect while this holds."""
        return min(effect, 0.0) if self.rule == "no_positive" else max(effect, 0.0)


class Preset(Rule):
    """Weights to start from; in force for nobody who does not choose them."""

    id: ChoiceId
    title: Text
    about: Text
    weights: Mapping[str, Annotated[float, Field(ge=0, le=1)]]
    """Of all five factors; they add up to 1."""


class ContradictionRule(Rule):
    """Answers that cannot all be true."""

    id: Id
    when: Annotated[When, Field(min_length=1)]
    sentence: Text


class DecisionFile(Rule):
    version: Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}$")]
    tie: Annotated[float, Field(ge=0, lt=1)]
    kappa: Annotated[float, Field(gt=0, le=1000)]
    bands: Bands
    interactions: tuple[Interaction, ...] = ()
    presets: tuple[Preset, ...] = ()
    contradictions: tuple[ContradictionRule, ...] = ()
    most_paired_flips: Annotated[int, Field(ge=0, le=300)] = 12
    """So many pairs of changed answers are told, the nearest ones."""


class PlanRule(Rule):
    id: PlanId
    method: Literal["sft", "grpo", "both"]
    title: Text
    sentence: Text
    stages: tuple[Id, ...]
    needs: Literal["sft"] | None = None
    """A method that must not be blocked besides the plan's own."""
    when: When = ()
    sources: Sources


class Trigger(Rule):
    sentence: Text
    when: When


class StageRule(Rule):
    id: Id
    method: Literal["sft", "grpo", "reward_model"]
    title: Text
    purpose: Text
    settings: Id


class SettingValue(Rule):
    """Without a value the setting is left out."""

    when: When
    value: float | int | str | bool | None = None


class SettingRule(Rule):
    name: ChoiceId
    why: Text
    grade: Grade
    sources: Sources
    value: float | int | str | bool
    values: tuple[SettingValue, ...] = ()


class Wording(Rule):
    when: When
    sentence: Text


class RiskRule(Rule):
    id: Id
    method: Literal["sft", "grpo", "both"]
    title: Text
    sentence: Text
    watch: Text
    sources: Sources
    when: When = ()
    values: tuple[Wording, ...] = ()


class AlternativeRule(Rule):
    id: Literal["dpo", "distillation", "retrieval", "prompting"]
    title: Text
    sentence: Text
    sources: Sources
    values: tuple[Wording, ...] = ()


class PlanFile(Rule):
    plans: tuple[PlanRule, ...]
    trigger: Trigger
    stages: tuple[StageRule, ...]
    settings: Mapping[str, tuple[SettingRule, ...]]
    risks: tuple[RiskRule, ...]
    alternatives: tuple[AlternativeRule, ...]


class MonitorRule(Rule):
    """What watches a run; the engine, which reads no rulebook, holds the same numbers by name."""

    id: ChoiceId
    title: Text
    method: Literal["sft", "grpo", "both"]
    level: Literal["info", "warn", "stop"]
    metric: Text
    threshold: Text
    limits: Mapping[str, float] = {}
    because: Text
    grade: Grade
    sources: Sources


class MonitorsFile(Rule):
    monitors: tuple[MonitorRule, ...]


class Claim(Rule):
    """Something that is passed around about the two methods, and what became of it."""

    id: Id
    claim: Text
    verdict: Literal["holds", "holds_in_part", "contradicted", "unsupported"]
    wording: Text
    what_we_do: Text
    rules: tuple[Id, ...]
    """Questions, gates, interactions, monitors or settings that act on it."""
    grade: Grade
    sources: Sources


class ClaimsFile(Rule):
    claims: tuple[Claim, ...]


class Example(Rule):
    """A ready-made project and what the rulebook says to it."""

    id: ChoiceId
    title: Text
    description: Text
    method: Literal["sft", "grpo"]
    plan: PlanId
    sources: Sources
    """The published project or result that it follows."""
    answers: Mapping[str, Any]


class ExamplesFile(Rule):
    examples: tuple[Example, ...]
