"""The rulebook's files: read from texts, and whatever is wrong with them told at once, by file and key."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from json import dumps
from tomllib import loads
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from app.advisor.conditions import Domains
from app.advisor.tables import ConstantsFile, HardwareFile, ModelsFile
from app.advisor.vocabulary import (
    ClaimsFile,
    DecisionFile,
    Evidence,
    ExamplesFile,
    Factor,
    FactorFile,
    GatesFile,
    MonitorsFile,
    PlanFile,
    Question,
)
from app.errors import BrokenRulebook, Problem

FACTOR_FILES = ("objective.toml", "data.toml", "stability.toml", "compute.toml", "deployment.toml")

KINDS: Mapping[str, TypeAdapter[Any]] = {
    **{name: TypeAdapter(FactorFile) for name in FACTOR_FILES},
    "gates.toml": TypeAdapter(GatesFile),
    "decision.toml": TypeAdapter(DecisionFile),
    "plan.toml": TypeAdapter(PlanFile),
    "monitors.toml": TypeAdapter(MonitorsFile),
    "claims.toml": TypeAdapter(ClaimsFile),
    "evidence.toml": TypeAdapter(dict[str, Evidence]),
    "examples.toml": TypeAdapter(ExamplesFile),
    "constants.toml": TypeAdapter(ConstantsFile),
    "hardware.toml": TypeAdapter(HardwareFile),
    "models.toml": TypeAdapter(ModelsFile),
}
FILES = tuple(KINDS)
"""All that a result follows from: the rules, and the tables behind its estimates."""

TELLING: Mapping[str, Mapping[str, Any]] = {
    "monitors.toml": {"monitors": []},
    "claims.toml": {"claims": []},
    "examples.toml": {"examples": []},
}
"""Files that no result follows from, and what stands in for one that this version cannot read."""

PLAINER = {
    "missing": "is missing",
    "extra_forbidden": "is not known here: leave it out, or check how it is spelt",
}
"""Where pydantic's complaint speaks of inputs and fields."""

Documents = Mapping[str, Mapping[str, Any]]
"""File name to what its TOML says."""


def refuse(problems: Sequence[Problem]) -> None:
    if problems:
        first = problems[0]
        raise BrokenRulebook(f"{first.where}: {first.what}", tuple(problems))


def documents_of(texts: Mapping[str, str], left_out: Collection[str] = ()) -> Documents:
    """Raises BrokenRulebook naming every file that is missing or not TOML; those left out are empty."""
    problems: list[Problem] = []
    documents: dict[str, Mapping[str, Any]] = {name: TELLING[name] for name in left_out}
    for name in FILES:
        if name in left_out:
            continue
        if name not in texts:
            problems.append(Problem(where=name, what="the file is missing"))
            continue
        try:
            documents[name] = ready(name, loads(texts[name]))
        except RecursionError:
            problems.append(Problem(where=name, what="not readable as TOML: nested too deeply"))
        except ValueError as error:
            problems.append(Problem(where=name, what=f"not readable as TOML: {error}"))
    refuse(problems)
    return documents


def ready(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """The TOML of a file in the shape its kind is read from."""
    if name == "evidence.toml":
        document = {
            key: {**entry, "id": key} if isinstance(entry, dict) else entry for key, entry in document.items()
        }
    return {key: _with_alternatives(value) for key, value in document.items()}


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


def checked(documents: Documents) -> dict[str, Any]:
    """Each file as what `KINDS` says it is; raises BrokenRulebook with all that is wrong inside the files."""
    problems: list[Problem] = []
    files = {name: _validated(name, KINDS[name], documents[name], problems) for name in FILES}
    for name, document in documents.items():
        problems += _repeated(name, document)
    problems += _asked_twice(documents)
    sources = documents["evidence.toml"]
    for name, document in documents.items():
        if name != "evidence.toml":
            problems += _without_source(name, document, sources)
    refuse(problems)
    return files


def _validated(name: str, kind: TypeAdapter[Any], document: Any, problems: list[Problem]) -> Any:
    try:
        # By way of JSON, whose strict reading takes arrays for tuples and refuses dates.
        return kind.validate_json(dumps(document, allow_nan=False))
    except ValidationError as error:
        # Where two kinds were possible, the rule of one says more than the shape of the other.
        told: dict[str, ErrorDetails] = {}
        for fault in error.errors():
            place = _place(document, fault)
            told[place] = min(told.get(place, fault), fault, key=_says_little)
        problems += [Problem(where=f"{name}: {place}", what=_reason(fault)) for place, fault in told.items()]
    except (TypeError, ValueError) as error:
        problems.append(Problem(where=name, what=str(error)))
    return None


def _says_little(fault: ErrorDetails) -> int:
    return {"tuple_type": 1, "model_type": 2}.get(fault["type"], 0)


def _reason(fault: ErrorDetails) -> str:
    return PLAINER.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")


def _place(document: Any, fault: ErrorDetails) -> str:
    """The keys down to the fault; list entries by their id or name where they have one."""
    names: list[str] = []
    for key in fault["loc"]:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            if fault["type"] != "missing" or key != fault["loc"][-1]:
                continue  # which of two possible kinds was tried
            document = None
        entry = document if isinstance(key, int) and isinstance(document, dict) else {}
        names.append(str(entry.get("id") or entry.get("name") or key))
    return ".".join(names)


def _repeated(name: str, document: Any, place: str = "") -> Iterator[Problem]:
    for key, entries in document.items() if isinstance(document, dict) else ():
        inside = f"{place}{key}"
        if isinstance(entries, dict):
            yield from _repeated(name, entries, f"{inside}.")
        if not isinstance(entries, list):
            continue
        ids = [str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry]
        for one in dict.fromkeys(one for one in ids if ids.count(one) > 1):
            yield Problem(where=f"{name}: {inside}.{one}", what="this id is used twice")
        for entry in entries:
            called = entry.get("id", "") if isinstance(entry, dict) else ""
            yield from _repeated(name, entry, f"{inside}.{called}." if called else f"{inside}.")


def _asked_twice(documents: Documents) -> Iterator[Problem]:
    stands: dict[str, str] = {}
    for name in FACTOR_FILES:
        questions = documents[name].get("questions")
        for question in questions if isinstance(questions, list) else ():
            called = str(question.get("id", "")) if isinstance(question, dict) else ""
            if called and stands.setdefault(called, name) != name:
                what = f"the same question stands in {stands[called]} too"
                yield Problem(where=f"{name}: questions.{called}", what=what)


def _without_source(name: str, document: Any, known: Collection[str]) -> Iterator[Problem]:
    for place, key, value in walk(document):
        if key == "sources" and isinstance(value, list):
            for source in value:
                if isinstance(source, str) and source not in known:
                    yield Problem(where=f"{name}: {place}", what=f"no source {source!r} in evidence.toml")


def walk(document: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every entry as its place, its key and its value; list entries go by id or name where they have one."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        called = value.get("id") or value.get("name") if isinstance(value, dict) else None
        inside = f"{place}.{called or key}" if place else str(called or key)
        yield inside, str(key), value
        if isinstance(value, dict | list) and key != "when":
            yield from walk(value, inside)


# What can be told only once every file has its shape


def misfits(
    documents: Documents,
    factors: Sequence[Factor],
    questions: Mapping[str, Question],
    domains: Domains,
    plan: PlanFile,
    decision: DecisionFile,
    constants: ConstantsFile,
) -> Iterator[Problem]:
    for name, document in documents.items():
        for place, key, value in walk(document):
            if key == "when":
                yield from _unknown_condition(f"{name}: {place}", value, domains)
    yield from _missing_quantities(questions)
    yield from _unbalanced(factors)
    yield from _misnamed(plan, decision, questions)
    yield from _unordered(plan)
    yield from _uneven(decision, factors)
    if "D1" in questions:
        rows = constants.assumed.rows
        for choice in (choice.id for choice in questions["D1"].choices if choice.id not in rows):
            what = f"there is no {choice!r}, a choice of D1; add the rows it stands for"
            yield Problem(where="constants.toml: assumed.rows", what=what)


def _unknown_condition(place: str, when: Iterable[Mapping[str, Any]], domains: Domains) -> Iterator[Problem]:
    for key, wanted in ((key, wanted) for clause in when for key, wanted in clause.items()):
        if key not in domains:
            yield Problem(where=place, what=f"{key!r} is neither a question nor a measurement")
        elif isinstance(wanted, dict) and domains[key][0] != "bucket 0":
            yield Problem(where=place, what=f"{key} is a question and takes a list of choices")
        elif isinstance(wanted, list):
            for token in wanted:
                if token not in domains[key]:
                    yield Problem(where=place, what=f"{key} has no choice {token!r}")


def _missing_quantities(questions: Mapping[str, Question]) -> Iterator[Problem]:
    for question, kind in (("C1", "hardware"), ("C2", "budget")):
        if question not in questions or questions[question].kind != kind:
            where = f"compute.toml: questions.{question}"
            yield Problem(where=where, what=f"must be there and be of kind {kind}")


def _unbalanced(factors: Sequence[Factor]) -> Iterator[Problem]:
    whole = sum(factor.weight for factor in factors)
    if abs(whole - 1) > 1e-9:
        what = f"the weights of the five factors must add up to 1; they add up to {whole:g}"
        yield Problem(where=f"{FACTOR_FILES[0]}: factor.weight", what=what)
    for name, factor in zip(FACTOR_FILES, factors, strict=True):
        if not any(question.largest_effect for question in factor.questions):
            yield Problem(
                where=f"{name}: questions", what="no answer has an effect, so the factor says nothing"
            )


def _uneven(decision: DecisionFile, factors: Sequence[Factor]) -> Iterator[Problem]:
    known = [factor.id for factor in factors]
    for preset in decision.presets:
        where, whole = f"decision.toml: presets.{preset.id}", sum(preset.weights.values())
        if preset.id == "rulebook":
            what = "this name stands for the factors' own weights; choose another"
            yield Problem(where=f"{where}.id", what=what)
        if set(preset.weights) != set(known):
            what = f"must name exactly these: {', '.join(known)}"
            yield Problem(where=f"{where}.weights", what=what)
        elif abs(whole - 1) > 1e-9:
            what = f"the weights must add up to 1; they add up to {whole:g}"
            yield Problem(where=f"{where}.weights", what=what)


def _misnamed(plan: PlanFile, decision: DecisionFile, questions: Mapping[str, Question]) -> Iterator[Problem]:
    stages = [stage.id for stage in plan.stages]
    named: list[tuple[str, tuple[str, ...], Collection[str]]] = []
    for interaction in decision.interactions:
        where = f"decision.toml: interactions.{interaction.id}.questions"
        named.append((where, interaction.questions, questions))
    for rule in plan.plans:
        named.append((f"plan.toml: plans.{rule.id}.stages", rule.stages, stages))
    for stage in plan.stages:
        named.append((f"plan.toml: stages.{stage.id}.settings", (stage.settings,), plan.settings))
    for where, names, known in named:
        for name in names:
            if name not in known:
                yield Problem(where=where, what=f"there is no {name!r}; there are {', '.join(known)}")


def _unordered(plan: PlanFile) -> Iterator[Problem]:
    there = [rule.id for rule in plan.plans]
    for wanted in ("sft", "not_yet"):
        if wanted not in there:
            yield Problem(where="plan.toml: plans", what=f"the plan {wanted!r} is missing")
    conditions = [bool(rule.when) for rule in plan.plans if rule.method == "grpo"]
    if conditions != [True] * (len(conditions) - 1) + [False]:
        what = "of those for grpo the last alone stands without a condition"
        yield Problem(where="plan.toml: plans", what=what)


def idle(files: Mapping[str, Any]) -> Iterator[Problem]:
    """Claims that say a rule acts on them which is not there."""
    kinds = (
        ("gates.toml", "gates"),
        ("monitors.toml", "monitors"),
        ("decision.toml", "interactions"),
        *((name, "questions") for name in FACTOR_FILES),
    )
    acting = {rule.id for name, kind in kinds for rule in getattr(files[name], kind)}
    acting |= {each.name for group in files["plan.toml"].settings.values() for each in group}
    for claim in files["claims.toml"].claims:
        for name in claim.rules:
            if name not in acting:
                what = f"{name!r} is no question, gate, interaction, monitor or setting"
                yield Problem(where=f"claims.toml: claims.{claim.id}.rules", what=what)
