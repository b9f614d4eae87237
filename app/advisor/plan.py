"""What follows from a verdict: the stages to run, suggested settings, risks, and why not another road."""

from collections.abc import Iterable, Mapping, Sequence

from app.advisor.advice import Alternative, Plan, PlanId, Risk, Setting, Stage, TrainingMethod, trusted
from app.advisor.conditions import Buckets, Domains, Facts, Lookup, holds, keys_of
from app.advisor.gates import BLOCKS_GRPO, BLOCKS_SFT, NOT_YET
from app.advisor.vocabulary import AlternativeRule, PlanFile, PlanRule, RiskRule, SettingRule, StageRule

NO_BUCKETS: Mapping[str, Buckets] = {}

NEITHER = BLOCKS_SFT | BLOCKS_GRPO


class Planning:
    def __init__(self, file: PlanFile, domains: Domains) -> None:
        self.trigger = file.trigger
        self.rules: Mapping[PlanId, PlanRule] = {rule.id: rule for rule in file.plans}
        self.for_grpo = [rule for rule in file.plans if rule.method == "grpo"]
        self.stages = {stage.id: stage for stage in file.stages}
        self.settings = {
            name: [_setting_lookup(rule, domains) for rule in rules] for name, rules in file.settings.items()
        }
        self.risks = [(rule, _risk_lookup(rule, domains)) for rule in file.risks]
        self.roads = [_alternative_lookup(rule, domains) for rule in file.alternatives]

    def fixed(self) -> Iterable[Risk | Alternative]:
        for _, risks in self.risks:
            yield from (risk for risk in risks.table.values() if risk is not None)
        for road in self.roads:
            yield from road.table.values()

    def choose(self, method: TrainingMethod, bits: int, facts: Facts) -> PlanId:
        if bits & NOT_YET or bits & NEITHER == NEITHER:
            return "not_yet"
        if method == "sft":
            return "sft"
        return next(rule.id for rule in self.for_grpo if _fits(rule, bits, facts))

    def make(self, plan: PlanId, steps: tuple[str, ...], facts: Facts) -> Plan:
        rule = self.rules[plan]
        goes_on = plan == "sft" and holds(self.trigger.when, facts, NO_BUCKETS)
        return trusted(
            Plan,
            {
                "id": plan,
                "title": rule.title,
                "sentence": rule.sentence,
                "trigger": self.trigger.sentence if goes_on else None,
                "steps": steps,
                "stages": tuple([self._stage(self.stages[stage], facts) for stage in rule.stages]),
                "sources": rule.sources,
            },
        )

    def _stage(self, stage: StageRule, facts: Facts) -> Stage:
        settings = [lookup(facts) for lookup in self.settings[stage.settings]]
        return trusted(
            Stage,
            {
                "method": stage.method,
                "title": stage.title,
                "purpose": stage.purpose,
                "recipe": tuple([setting for setting in settings if setting is not None]),
            },
        )

    def risks_of(
        self, plan: PlanId, method: TrainingMethod, rollout_cost: str, facts: Facts
    ) -> tuple[Risk, ...]:
        concerned = {"both", "sft", "grpo"} if plan == "sft_then_grpo" else {"both", method}
        found = [lookup(facts) for rule, lookup in self.risks if rule.method in concerned]
        return tuple([_priced(risk, rollout_cost) for risk in found if risk is not None])

    def alternatives(self, facts: Facts) -> tuple[Alternative, ...]:
        return tuple([lookup(facts) for lookup in self.roads])


def _fits(rule: PlanRule, bits: int, facts: Facts) -> bool:
    if rule.needs == "sft" and bits & BLOCKS_SFT:
        return False
    return holds(rule.when, facts, NO_BUCKETS) is True


def _priced(risk: Risk, rollout_cost: str) -> Risk:
    return risk if risk.id != "rollout_cost" else trusted(Risk, {**risk.__dict__, "sentence": rollout_cost})


def _setting_lookup(rule: SettingRule, domains: Domains) -> Lookup[Setting | None]:
    def suggested(facts: Facts) -> Setting | None:
        found = (case.value for case in rule.values if holds(case.when, facts, NO_BUCKETS))
        value = next(found, rule.value)
        return (
            None
            if value is None
            else Setting(name=rule.name, value=value, why=rule.why, sources=rule.sources)
        )

    return Lookup(keys_of([case.when for case in rule.values]), domains, suggested)


def _risk_lookup(rule: RiskRule, domains: Domains) -> Lookup[Risk | None]:
    def risk(facts: Facts) -> Risk | None:
        if holds(rule.when, facts, NO_BUCKETS) is not True:
            return None
        return Risk(
            id=rule.id,
            method=rule.method,
            title=rule.title,
            sentence=_worded(rule, facts),
            watch=rule.watch,
            sources=rule.sources,
        )

    return Lookup(keys_of([rule.when, *(case.when for case in rule.values)]), domains, risk)


def _alternative_lookup(rule: AlternativeRule, domains: Domains) -> Lookup[Alternative]:
    def alternative(facts: Facts) -> Alternative:
        return Alternative(id=rule.id, title=rule.title, sentence=_worded(rule, facts), sources=rule.sources)

    return Lookup(keys_of([case.when for case in rule.values]), domains, alternative)


def _worded(rule: RiskRule | AlternativeRule, facts: Facts) -> str:
    found = (case.sentence for case in rule.values if holds(case.when, facts, NO_BUCKETS))
    return next(found, rule.sentence)


def steps_of(lifts: Sequence[str]) -> tuple[str, ...]:
    """Each once, in order."""
    return tuple(dict.fromkeys(lifts))
