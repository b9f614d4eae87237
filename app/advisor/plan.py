"""What follows from a verdict: the stages to run, suggested settings, risks, and why not another road."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic_core import to_json

from app.advisor.advice import Alternative, Plan, PlanId, Risk, Setting, Stage, TrainingMethod
from app.advisor.conditions import Buckets, Domains, Facts, Lookup, holds, keys_of
from app.advisor.gates import BLOCKS_GRPO, BLOCKS_SFT, NOT_YET
from app.advisor.rendering import around, listed, rendered
from app.advisor.vocabulary import AlternativeRule, PlanFile, PlanRule, RiskRule, SettingRule, StageRule

NO_BUCKETS: Mapping[str, Buckets] = {}

NEITHER = BLOCKS_SFT | BLOCKS_GRPO

_BOTH = frozenset(("both", "sft", "grpo"))
_ONE: Mapping[TrainingMethod, frozenset[str]] = {
    "sft": frozenset(("both", "sft")),
    "grpo": frozenset(("both", "grpo")),
}
"""Whose risks count."""


class Planning:
    """The plan file, worked out; what it says is JSON from the start."""

    def __init__(self, file: PlanFile, domains: Domains) -> None:
        self.trigger = file.trigger
        self.rules: Mapping[PlanId, PlanRule] = {rule.id: rule for rule in file.plans}
        self.for_grpo = [rule for rule in file.plans if rule.method == "grpo"]
        self.plans = {
            (rule.id, goes_on): around(_plan(rule, file.trigger.sentence if goes_on else None), *OPEN)
            for rule in file.plans
            for goes_on in (False, True)
        }
        stages = {
            stage.id: _StageLookups(stage, file.settings[stage.settings], domains) for stage in file.stages
        }
        self.stages = {rule.id: [stages[stage] for stage in rule.stages] for rule in file.plans}
        self.risks = [(rule, _risk_lookup(rule, domains)) for rule in file.risks]
        self.roads = [_alternative_lookup(rule, domains) for rule in file.alternatives]

    def choose(self, method: TrainingMethod, bits: int, facts: Facts) -> PlanId:
        if bits & NOT_YET or bits & NEITHER == NEITHER:
            return "not_yet"
        if method == "sft":
            return "sft"
        return next(rule.id for rule in self.for_grpo if _fits(rule, bits, facts))

    def make(self, plan: PlanId, steps: tuple[str, ...], facts: Facts) -> bytes:
        goes_on = plan == "sft" and holds(self.trigger.when, facts, NO_BUCKETS) is True
        before, between, after = self.plans[plan, goes_on]
        stages = listed([stage(facts) for stage in self.stages[plan]])
        return b"".join((before, to_json(steps), between, stages, after))

    def risks_of(self, plan: PlanId, method: TrainingMethod, rollout_cost: str, facts: Facts) -> list[bytes]:
        concerned = _BOTH if plan == "sft_then_grpo" else _ONE[method]
        found = [lookup.table[lookup.key(facts)] for rule, lookup in self.risks if rule.method in concerned]
        return [_priced(risk, rollout_cost) for risk in found if risk is not None]

    def alternatives(self, facts: Facts) -> list[bytes]:
        return [lookup.table[lookup.key(facts)] for lookup in self.roads]


def _fits(rule: PlanRule, bits: int, facts: Facts) -> bool:
    if rule.needs == "sft" and bits & BLOCKS_SFT:
        return False
    return holds(rule.when, facts, NO_BUCKETS) is True


PRICED = "rollout_cost"
"""The risk that is told with the numbers of the project."""


class _Risk(NamedTuple):
    json: bytes
    around: tuple[bytes, ...]
    """The sentence, of the risk that is priced."""


def _priced(risk: _Risk, sentence: str) -> bytes:
    return to_json(sentence).join(risk.around) if risk.around else risk.json


OPEN = ("steps", "stages")


def _plan(rule: PlanRule, trigger: str | None) -> Plan:
    return Plan(
        id=rule.id,
        title=rule.title,
        sentence=rule.sentence,
        trigger=trigger,
        stages=(),
        sources=rule.sources,
    )


class _StageLookups:
    """A stage with the settings that the facts suggest."""

    def __init__(self, rule: StageRule, settings: Sequence[SettingRule], domains: Domains) -> None:
        stage = Stage(method=rule.method, title=rule.title, purpose=rule.purpose, recipe=())
        self.around = around(stage, "recipe")
        self.settings = [_setting_lookup(setting, domains) for setting in settings]
        self.looks = [(lookup.table, lookup.key) for lookup in self.settings]

    def __call__(self, facts: Facts) -> bytes:
        suggested = [table[key(facts)] for table, key in self.looks]
        return listed([setting for setting in suggested if setting]).join(self.around)


def _setting_lookup(rule: SettingRule, domains: Domains) -> Lookup[bytes]:
    """Empty where nothing is suggested."""

    def suggested(facts: Facts) -> bytes:
        found = (case.value for case in rule.values if holds(case.when, facts, NO_BUCKETS))
        value = next(found, rule.value)
        if value is None:
            return b""
        return rendered(Setting(name=rule.name, value=value, why=rule.why, sources=rule.sources))

    return Lookup(keys_of([case.when for case in rule.values]), domains, suggested)


def _risk_lookup(rule: RiskRule, domains: Domains) -> Lookup[_Risk | None]:
    def risk(facts: Facts) -> _Risk | None:
        if holds(rule.when, facts, NO_BUCKETS) is not True:
            return None
        told = Risk(
            id=rule.id,
            method=rule.method,
            title=rule.title,
            sentence=_worded(rule, facts),
            watch=rule.watch,
            sources=rule.sources,
        )
        return _Risk(rendered(told), around(told, "sentence") if rule.id == PRICED else ())

    return Lookup(keys_of([rule.when, *(case.when for case in rule.values)]), domains, risk)


def _alternative_lookup(rule: AlternativeRule, domains: Domains) -> Lookup[bytes]:
    def alternative(facts: Facts) -> bytes:
        sentence = _worded(rule, facts)
        return rendered(Alternative(id=rule.id, title=rule.title, sentence=sentence, sources=rule.sources))

    return Lookup(keys_of([case.when for case in rule.values]), domains, alternative)


def _worded(rule: RiskRule | AlternativeRule, facts: Facts) -> str:
    found = (case.sentence for case in rule.values if holds(case.when, facts, NO_BUCKETS))
    return next(found, rule.sentence)


def steps_of(lifts: Sequence[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(lifts))
