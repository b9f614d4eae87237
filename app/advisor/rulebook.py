"""The rulebook: read from texts, checked once at start-up, and worked out for fast answers."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from tomllib import TOMLDecodeError, loads
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.advisor.advice import RulebookStamp
from app.advisor.answers import Answer, Budget, Hardware, Project, read_answer, read_weights
from app.advisor.conditions import (
    NOT_APPLICABLE,
    UNKNOWN,
    Buckets,
    Domains,
    Rule,
    cuts_of,
)
from app.advisor.estimate import DERIVED, budget_choice, hardware_facts
from app.advisor.gates import Gating
from app.advisor.plan import Planning
from app.advisor.rendering import rendered
from app.advisor.scoring import Scoring
from app.advisor.vocabulary import (
    ComputeFile,
    DecisionFile,
    Evidence,
    Example,
    ExamplesFile,
    Factor,
    FactorFile,
    Gate,
    GatesFile,
    Measurement,
    PlanFile,
    Question,
)
from app.errors import BrokenRulebook, InvalidInput, Problem

FACTOR_FILES = ("objective.toml", "data.toml", "stability.toml", "compute.toml", "deployment.toml")
FILES = (*FACTOR_FILES, "gates.toml", "decision.toml", "plan.toml", "evidence.toml", "examples.toml")

R = TypeVar("R", bound=Rule)


@dataclass(frozen=True, eq=False)
class Rulebook:
    stamp: RulebookStamp
    """Version, and SHA-256 over all files by name."""
    stamp_json: bytes
    decision: DecisionFile
    factors: tuple[Factor, ...]
    questions: Mapping[str, Question]
    """All questions by id, in the order they are asked."""
    gates: tuple[Gate, ...]
    measurements: Mapping[str, Measurement]
    evidence: Mapping[str, Evidence]
    compute: ComputeFile
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

    @property
    def version(self) -> str:
        return self.stamp.version

    @property
    def checksum(self) -> str:
        return self.stamp.checksum

    @staticmethod
    def parse(texts: Mapping[str, str]) -> "Rulebook":
        """`texts` from file name to TOML text; raises BrokenRulebook naming file, key and reason."""
        return _parse(texts)

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

    def _add_quantities(self, project: Project, facts: dict[str, str]) -> None:
        model, money = project.answers.get("C1"), project.answers.get("C2")
        hardware = model.quantity if model else None
        budget = money.quantity if money else None
        if isinstance(hardware, Hardware):
            facts.update(hardware_facts(self.compute.memory, hardware))
            if isinstance(budget, Budget):
                facts["C2"] = budget_choice(self.compute, hardware, budget)
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


def _parse(texts: Mapping[str, str]) -> Rulebook:
    missing = [name for name in FILES if name not in texts]
    if missing:
        raise BrokenRulebook(f"{missing[0]}: the file is missing")
    compute = _file(texts, "compute.toml", ComputeFile)
    factors = tuple(_factor(_file(texts, name, FactorFile)) for name in FACTOR_FILES)
    gates = _file(texts, "gates.toml", GatesFile)
    decision = _file(texts, "decision.toml", DecisionFile)
    plan = _file(texts, "plan.toml", PlanFile)
    evidence = _evidence(texts)
    examples = _file(texts, "examples.toml", ExamplesFile).examples
    questions = {question.id: question for factor in factors for question in factor.questions}
    measurements = {measurement.id: measurement for measurement in gates.measurements}
    domains, buckets = _domains(questions, gates)
    _check(texts, factors, questions, domains, evidence)
    _check_names(plan, decision, questions)
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
        compute=compute,
        examples=examples,
        scoring=scoring,
        gating=gating,
        planning=planning,
        buckets=buckets,
        blank=dict.fromkeys(domains, UNKNOWN),
        told={question.id: _told(question) for question in questions.values()},
        weights=tuple(factor.weight for factor in factors),
        factor_ids=tuple(factor.id for factor in factors),
    )
    _check_examples(rulebook)
    return rulebook


def _file(texts: Mapping[str, str], name: str, kind: type[R]) -> R:
    document = _toml(name, texts[name])
    if kind is FactorFile and name == "compute.toml":
        document = {key: document[key] for key in FactorFile.model_fields if key in document}
    return _validated(name, kind, document)


def _toml(name: str, text: str) -> dict[str, Any]:
    try:
        return {key: _with_alternatives(value) for key, value in loads(text).items()}
    except TOMLDecodeError as error:
        raise BrokenRulebook(f"{name}: not readable as TOML: {error}") from error


def _with_alternatives(value: Any) -> Any:
    """A `when` of one clause may be written without the list around it."""
    if isinstance(value, list):
        return [_with_alternatives(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key: [entry] if key == "when" and isinstance(entry, dict) else _with_alternatives(entry)
        for key, entry in value.items()
    }


def _validated(name: str, kind: type[R], document: Any) -> R:
    try:
        # By way of JSON, whose strict reading takes arrays for tuples and refuses dates.
        return kind.model_validate_json(dumps(document, allow_nan=False))
    except ValidationError as error:
        # Where two kinds were possible, the rule of one says more than the shape of the other.
        first = min(error.errors(), key=_says_little)
        raise BrokenRulebook(f"{name}: {_place(document, first['loc'])}: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise BrokenRulebook(f"{name}: {error}") from error


def _says_little(fault: ErrorDetails) -> int:
    return {"tuple_type": 1, "model_type": 2}.get(fault["type"], 0)


def _place(document: Any, location: tuple[int | str, ...]) -> str:
    """The keys down to the fault; list entries by their id or name where they have one."""
    names: list[str] = []
    for key in location:
        if isinstance(key, str) and "[" in key:
            continue  # which of two possible kinds was tried
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            document = None
        entry = document if isinstance(key, int) and isinstance(document, dict) else {}
        names.append(str(entry.get("id") or entry.get("name") or key))
    return ".".join(names)


def _factor(file: FactorFile) -> Factor:
    return Factor(questions=file.questions, **file.factor.model_dump())


def _evidence(texts: Mapping[str, str]) -> dict[str, Evidence]:
    document = _toml("evidence.toml", texts["evidence.toml"])
    return {
        name: _validated(f"evidence.toml: {name}", Evidence, {**entry, "id": name})
        for name, entry in document.items()
    }


def _checksum(texts: Mapping[str, str]) -> str:
    digest = sha256()
    for name in sorted(FILES):
        body = texts[name].encode()
        digest.update(f"{name} {len(body)}\n".encode() + body)
    return digest.hexdigest()


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
    whens = [level.when for gate in file.gates for level in gate.levels]
    buckets = {measurement.id: Buckets(cuts_of(whens, measurement.id)) for measurement in file.measurements}
    return both | {name: (*bucket.values, UNKNOWN) for name, bucket in buckets.items()}, buckets


# Checking what no single file can know


def _check(
    texts: Mapping[str, str],
    factors: tuple[Factor, ...],
    questions: Mapping[str, Question],
    domains: Domains,
    evidence: Mapping[str, Evidence],
) -> None:
    documents = {name: _toml(name, texts[name]) for name in FILES}
    for name, document in documents.items():
        _check_unique(name, document)
    asked = [question.id for factor in factors for question in factor.questions]
    twice = next((question for question in asked if asked.count(question) > 1), None)
    if twice:
        raise BrokenRulebook(f"{twice}: the same question stands in two files")
    for name, document in documents.items():
        if name != "evidence.toml":
            _check_references(name, document, domains, evidence)
    for question, kind in (("C1", "hardware"), ("C2", "budget")):
        if question not in questions or questions[question].kind != kind:
            raise BrokenRulebook(f"compute.toml: {question}: must be there and be of kind {kind}")
    if abs(sum(factor.weight for factor in factors) - 1) > 1e-9:
        raise BrokenRulebook(
            "objective.toml: factor.weight: the weights of the five factors must add up to 1"
        )


def _check_unique(name: str, document: Any, place: str = "") -> None:
    for key, entries in document.items() if isinstance(document, dict) else ():
        inside = f"{place}{key}"
        if isinstance(entries, dict):
            _check_unique(name, entries, f"{inside}.")
        if not isinstance(entries, list):
            continue
        ids = [entry["id"] for entry in entries if isinstance(entry, dict) and "id" in entry]
        twice = next((one for one in ids if ids.count(one) > 1), None)
        if twice:
            raise BrokenRulebook(f"{name}: {inside}.{twice}: this id is used twice")
        for entry in entries:
            called = entry.get("id", "") if isinstance(entry, dict) else ""
            _check_unique(name, entry, f"{inside}.{called}." if called else f"{inside}.")


def _check_references(
    name: str,
    document: Any,
    domains: Domains,
    evidence: Mapping[str, Evidence],
) -> None:
    for place, key, value in _walk(document, ""):
        if key == "sources":
            strange = next((source for source in value if source not in evidence), None)
            if strange:
                raise BrokenRulebook(f"{name}: {place}: no source {strange!r} in evidence.toml")
        if key == "when":
            _check_condition(f"{name}: {place}", value, domains)


def _check_names(plan: PlanFile, decision: DecisionFile, questions: Mapping[str, Question]) -> None:
    stages = [stage.id for stage in plan.stages]
    named: list[tuple[str, tuple[str, ...], Collection[str]]] = []
    for interaction in decision.interactions:
        named.append(
            (f"decision.toml: interactions.{interaction.id}.questions", interaction.questions, questions)
        )
    for rule in plan.plans:
        named.append((f"plan.toml: plans.{rule.id}.stages", rule.stages, stages))
    for stage in plan.stages:
        named.append((f"plan.toml: stages.{stage.id}.settings", (stage.settings,), plan.settings))
    for place, names, known in named:
        strange = next((name for name in names if name not in known), None)
        if strange:
            raise BrokenRulebook(f"{place}: there is no {strange!r}; there are {', '.join(known)}")
    conditions = [bool(rule.when) for rule in plan.plans if rule.method == "grpo"]
    if conditions != [True] * (len(conditions) - 1) + [False]:
        raise BrokenRulebook("plan.toml: plans: of those for grpo the last alone stands without a condition")


def _walk(document: Any, place: str) -> Iterator[tuple[str, str, Any]]:
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        called = value.get("id") or value.get("name") if isinstance(value, dict) else None
        inside = f"{place}.{called or key}" if place else str(called or key)
        yield inside, str(key), value
        if isinstance(value, dict | list) and key != "when":
            yield from _walk(value, inside)


def _check_condition(place: str, when: Iterable[Mapping[str, Any]], domains: Domains) -> None:
    for clause in when:
        for key, wanted in clause.items():
            if key not in domains:
                raise BrokenRulebook(f"{place}: {key!r} is neither a question nor a measurement")
            strange = (
                [token for token in wanted if token not in domains[key]] if isinstance(wanted, list) else []
            )
            if strange:
                raise BrokenRulebook(f"{place}: {key} has no choice {strange[0]!r}")
            if isinstance(wanted, dict) and domains[key][0] != "bucket 0":
                raise BrokenRulebook(f"{place}: {key} is a question and takes a list of choices")


def _check_examples(rulebook: Rulebook) -> None:
    for example in rulebook.examples:
        try:
            rulebook.read({"answers": example.answers})
        except InvalidInput as error:
            first = error.problems[0]
            raise BrokenRulebook(
                f"examples.toml: {example.id}.answers.{first.where}: {first.what}"
            ) from error
