"""The rulebook: read from texts, checked once at start-up, and worked out for fast answers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.advisor.advice import Contradiction, RulebookStamp
from app.advisor.answers import Answer, Budget, Hardware, Project, read_answer, read_weights
from app.advisor.comparison import DERIVED, budget_choice, hardware_facts
from app.advisor.conditions import (
    NOT_APPLICABLE,
    UNKNOWN,
    Buckets,
    Domains,
    Facts,
    Lookup,
    cuts_of,
    holds,
    keys_of,
)
from app.advisor.gates import Gating
from app.advisor.job import unknown_names
from app.advisor.plan import Planning
from app.advisor.reading import FACTOR_FILES, FILES, TELLING, checked, documents_of, idle, misfits, refuse
from app.advisor.rendering import rendered
from app.advisor.scoring import Scoring
from app.advisor.tables import ConstantsFile, Tables
from app.advisor.vocabulary import (
    Claim,
    ContradictionRule,
    DecisionFile,
    Evidence,
    Example,
    Factor,
    FactorFile,
    Gate,
    GatesFile,
    Measurement,
    MonitorRule,
    PlanFile,
    Preset,
    Question,
)
from app.errors import BrokenRulebook, InvalidInput, Problem


@dataclass(frozen=True, eq=False)
class Rulebook:
    stamp: RulebookStamp
    """Version, and SHA-256 over all files by name."""
    stamp_json: bytes
    decision: DecisionFile
    factors: tuple[Factor, ...]
    questions: Mapping[str, Question]
    """All questions by id, in the order they are asked; those that only a measurement answers among them."""
    gates: tuple[Gate, ...]
    measurements: Mapping[str, Measurement]
    evidence: Mapping[str, Evidence]
    tables: Tables
    plan: PlanFile
    monitors: tuple[MonitorRule, ...]
    claims: tuple[Claim, ...]
    examples: tuple[Example, ...]
    scoring: Scoring
    gating: Gating
    planning: Planning
    buckets: Mapping[str, Buckets]
    blank: Mapping[str, str]
    """The facts of a project without any answer."""
    told: Mapping[str, Mapping[str, Answer]]
    """Plain answers, ready made, by question and choice."""
    weights: tuple[float, ...]
    """The factors' own, in their order."""
    factor_ids: tuple[str, ...]
    contradicting: tuple[Lookup[Contradiction | None], ...]

    @property
    def version(self) -> str:
        return self.stamp.version

    @property
    def checksum(self) -> str:
        return self.stamp.checksum

    @property
    def asked(self) -> tuple[Question, ...]:
        """What people are asked, in order."""
        return tuple(question for factor in self.factors for question in factor.asked)

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Weights to start from, the rulebook's own first."""
        own = Preset(
            id="rulebook",
            title="The rulebook’s own",
            about="What published projects suggest, and what counts unless you choose otherwise.",
            weights={factor.id: factor.weight for factor in self.factors},
        )
        return own, *self.decision.presets

    @staticmethod
    def parse(texts: Mapping[str, str]) -> "Rulebook":
        """`texts` from file name to TOML text; raises BrokenRulebook naming file, key and reason."""
        return _parse(texts)

    @staticmethod
    def stored(texts: Mapping[str, str]) -> "Rulebook":
        """One that an earlier version of the program accepted; raises BrokenRulebook.

        Files that only document are left out where this version lacks or cannot read them.
        """
        left_out: frozenset[str] = frozenset()
        while True:
            try:
                return _parse(texts, left_out)
            except BrokenRulebook as error:
                broken = {problem.where.partition(":")[0] for problem in error.problems}
                if not broken or not broken <= TELLING.keys() - left_out:
                    raise
                left_out |= broken

    def read(self, wire: Mapping[str, Any]) -> Project:
        """A project from its JSON form; raises InvalidInput naming every question and its fix."""
        problems: list[Problem] = []
        answers: dict[str, Answer] = {}
        for question, given in (wire.get("answers") or {}).items():
            if question not in self.questions:
                problems.append(_unknown_question(question, self.questions))
            elif given is not None:
                told = self.told[question].get(given) if isinstance(given, str) else None
                answer = told or read_answer(self.questions[question], given, self.told[question], problems)
                if answer is not None:
                    answers[question] = answer
                    if isinstance(answer.quantity, Hardware):
                        problems += unknown_names(self.tables, answer.quantity, question)
        weights = read_weights(self.factor_ids, wire.get("weights"), problems)
        measurements = self._measured(wire.get("measurements") or {}, problems)
        name, description = (_words(wire, key, problems) for key in ("name", "description"))
        if problems:
            raise InvalidInput("Some answers cannot be used.", tuple(problems))
        return Project(
            answers=answers,
            weights=weights,
            measurements=measurements,
            name=name,
            description=description,
        )

    def facts(self, project: Project) -> dict[str, str]:
        """What is known of every question, derived fact and measurement, as tokens."""
        facts = dict(self.blank)
        for question, answer in project.answers.items():
            if answer.choice is not None:
                facts[question] = answer.choice
            elif answer.state == "not_applicable":
                facts[question] = NOT_APPLICABLE
        self._add_quantities(project, facts)
        for name, value in project.measurements.items():
            facts[name] = self.buckets[name].token(value)
        return facts

    def contradictions(self, project: Project) -> tuple[Contradiction, ...]:
        """Answers that cannot all be true."""
        return self.contradicted(self.facts(project))

    def contradicted(self, facts: Facts) -> tuple[Contradiction, ...]:
        found = [lookup(facts) for lookup in self.contradicting]
        return tuple([each for each in found if each is not None])

    def _add_quantities(self, project: Project, facts: dict[str, str]) -> None:
        model, money = project.answers.get("C1"), project.answers.get("C2")
        hardware = model.quantity if model else None
        budget = money.quantity if money else None
        if isinstance(hardware, Hardware):
            said = budget if isinstance(budget, Budget) else None
            facts.update(hardware_facts(self.tables, hardware, said))
            if said is not None:
                facts["C2"] = budget_choice(self.tables, hardware, said)
        elif model is not None and model.state == "not_applicable":
            facts.update(dict.fromkeys(DERIVED, NOT_APPLICABLE))

    def _measured(self, given: Mapping[str, float], problems: list[Problem]) -> Mapping[str, float]:
        for name, value in given.items():
            known = self.measurements.get(name)
            if known is None:
                allowed = ", ".join(self.measurements)
                problems.append(
                    _problem("measurements", f"{name!r} is not a measurement; there are {allowed}")
                )
            elif isinstance(value, bool) or not isinstance(value, int | float):
                problems.append(_problem(f"measurements.{name}", "must be a number"))
            elif not known.low <= value <= known.high:
                problems.append(
                    _problem(f"measurements.{name}", f"must lie between {known.low:g} and {known.high:g}")
                )
        return dict(given)


def _words(wire: Mapping[str, Any], key: str, problems: list[Problem]) -> str:
    words = wire.get(key)
    if words is None or isinstance(words, str):
        return words or ""
    problems.append(_problem(key, "must be text"))
    return ""


def _problem(where: str, what: str) -> Problem:
    return Problem(where=where, what=what)


def _unknown_question(question: str, questions: Iterable[str]) -> Problem:
    return _problem(question, f"there is no such question; the questions are {', '.join(questions)}")


# Reading


def _parse(texts: Mapping[str, str], left_out: frozenset[str] = frozenset()) -> Rulebook:
    documents = documents_of(texts, left_out)
    files = checked(documents)
    factors = tuple(_factor(files[name]) for name in FACTOR_FILES)
    gates: GatesFile = files["gates.toml"]
    decision: DecisionFile = files["decision.toml"]
    plan: PlanFile = files["plan.toml"]
    evidence: Mapping[str, Evidence] = files["evidence.toml"]
    examples: tuple[Example, ...] = files["examples.toml"].examples
    questions = {question.id: question for factor in factors for question in factor.questions}
    measurements = {measurement.id: measurement for measurement in gates.measurements}
    domains, buckets = _domains(questions, gates)
    constants: ConstantsFile = files["constants.toml"]
    refuse([*misfits(documents, factors, questions, domains, plan, decision, constants), *idle(files)])
    tables = Tables.of(constants, files["hardware.toml"], files["models.toml"])
    scoring = Scoring(factors, decision.interactions, domains)
    gating = Gating(gates.gates, domains, buckets, tuple(questions))
    planning = Planning(plan, domains)
    stamp = RulebookStamp(version=decision.version, checksum=_checksum(texts))
    rulebook = Rulebook(
        stamp=stamp,
        stamp_json=rendered(stamp),
        decision=decision,
        factors=factors,
        questions=questions,
        gates=gates.gates,
        measurements=measurements,
        evidence=evidence,
        tables=tables,
        plan=plan,
        monitors=files["monitors.toml"].monitors,
        claims=files["claims.toml"].claims,
        examples=examples,
        scoring=scoring,
        gating=gating,
        planning=planning,
        buckets=buckets,
        blank=_blank(domains, questions),
        told={question.id: _told(question) for question in questions.values()},
        weights=tuple(factor.weight for factor in factors),
        factor_ids=tuple(factor.id for factor in factors),
        contradicting=tuple(_contradicting(rule, domains, buckets) for rule in decision.contradictions),
    )
    refuse([*_unanswerable(rulebook)])
    return rulebook


def _contradicting(
    rule: ContradictionRule, domains: Domains, buckets: Mapping[str, Buckets]
) -> Lookup[Contradiction | None]:
    keys = keys_of([rule.when])
    told = Contradiction(questions=keys, sentence=rule.sentence)
    return Lookup(keys, domains, lambda facts: told if holds(rule.when, facts, buckets) else None)


def _factor(file: FactorFile) -> Factor:
    return Factor(questions=file.questions, **file.factor.model_dump())


def _checksum(texts: Mapping[str, str]) -> str:
    digest = sha256()
    for name in sorted(texts.keys() & set(FILES)):
        body = texts[name].encode()
        digest.update(f"{name} {len(body)}\n".encode() + body)
    return digest.hexdigest()


def _blank(domains: Domains, questions: Mapping[str, Question]) -> dict[str, str]:
    never_asked = {name: NOT_APPLICABLE for name, question in questions.items() if question.measured_only}
    return {**dict.fromkeys(domains, UNKNOWN), **never_asked}


def _told(question: Question) -> dict[str, Answer]:
    plain = {NOT_APPLICABLE: Answer(state="not_applicable")}
    if question.kind == "choice":
        plain |= {choice.id: Answer(choice=choice.id) for choice in question.choices}
    return plain


def _domains(
    questions: Mapping[str, Question], file: GatesFile
) -> tuple[dict[str, tuple[str, ...]], dict[str, Buckets]]:
    tokens = {question.id: tuple(choice.id for choice in question.choices) for question in questions.values()}
    both = {name: (*known, UNKNOWN, NOT_APPLICABLE) for name, known in (tokens | DERIVED).items()}
    both |= {
        question.id: (*tokens[question.id], NOT_APPLICABLE)
        for question in questions.values()
        if question.measured_only
    }
    whens = [level.when for gate in file.gates for level in gate.levels]
    buckets = {measurement.id: Buckets(cuts_of(whens, measurement.id)) for measurement in file.measurements}
    return both | {name: (*bucket.values, UNKNOWN) for name, bucket in buckets.items()}, buckets


def _unanswerable(rulebook: Rulebook) -> Iterator[Problem]:
    for example in rulebook.examples:
        try:
            rulebook.read({"answers": example.answers})
        except InvalidInput as error:
            for problem in error.problems:
                where = f"examples.toml: {example.id}.answers.{problem.where}"
                yield Problem(where=where, what=problem.what)
