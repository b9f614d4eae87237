"""Graders in the launch form: stored ones, three kinds typed in fields, any as JSON; and back to fields."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from app.datasets import generated
from app.errors import Problem, TuningForkError
from app.protocol import Grader, JsonSchema, Regex, RewardModelGrader, StringCheck
from app.runs import FIRST_STAGE
from app.strict_json import strict_loads

GRADER: TypeAdapter[Grader] = TypeAdapter(Grader)
GRADERS: TypeAdapter[list[Grader]] = TypeAdapter(list[Grader])

Form = Mapping[str, str]
Stored = Mapping[str, Grader]
"""Graders that have a name here, by the value that stands for their version."""
Draft: TypeAlias = Grader | dict[str, Any] | None
"""Read as far as it goes; a dict is checked together with the spec it belongs to."""

TYPED = ("regex", "string_check", "json_schema")
MOST_INDEPENDENT = 8
SHOWN_INDEPENDENT = 3

ITS_REWARD_MODEL = RewardModelGrader(name="reward model", run=FIRST_STAGE)


# From fields to graders


def read_grader(form: Form, prefix: str, stored: Stored, problems: list[Problem]) -> Draft:
    kind = form.get(prefix, "")
    match kind:
        case "" | "none":
            return None
        case "stored":
            return _stored(form.get(f"{prefix}.stored", ""), prefix, stored, problems)
        case "json":
            return _from_json(form.get(f"{prefix}.json", ""), f"{prefix}.json", problems)
        case "reward_model":
            return _reward_model(form.get(f"{prefix}.reward_model.run", ""), prefix, problems)
    return _typed(form, prefix, kind, problems)


def _stored(chosen: str, prefix: str, stored: Stored, problems: list[Problem]) -> Grader | None:
    if chosen not in stored:
        problems.append(Problem(where=f"{prefix}.stored", what="Choose one of the stored graders."))
    return stored.get(chosen)


def _reward_model(run: str, prefix: str, problems: list[Problem]) -> Grader | None:
    try:
        return RewardModelGrader(name="reward model", run=UUID(run))
    except ValueError:
        what = "Choose the run that trained the reward model."
        problems.append(Problem(where=f"{prefix}.reward_model.run", what=what))
        return None


def _from_json(text: str, where: str, problems: list[Problem]) -> Grader | None:
    try:
        return GRADER.validate_json(json.dumps(strict_loads(text.encode())))
    except TuningForkError as error:
        problems.append(Problem(where=where, what=error.sentence))
    except ValidationError as error:
        problems.append(Problem(where=where, what=_first_of(error)))
    return None


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"Give the grader a type: {first['ctx'].get('expected_tags', 'string_check, regex, …')}."
    place = ".".join(str(step) for step in first["loc"][1:]) or "The grader"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}."


def _typed(form: Form, prefix: str, kind: str, problems: list[Problem]) -> dict[str, Any]:
    typed = {
        key.removeprefix(f"{prefix}.{kind}."): value.replace("\r\n", "\n")
        for key, value in form.items()
        if key.startswith(f"{prefix}.{kind}.")
    }
    name = form.get(f"{prefix}.name", "").strip() or "answer"
    draft: dict[str, Any] = {"type": kind, "name": name}
    draft |= {key: value for key, value in typed.items() if value.strip()}
    if kind == "json_schema" and "schema" in draft:
        draft["schema"] = _schema(draft["schema"], f"{prefix}.json_schema.schema", problems)
    return draft


def _schema(text: str, where: str, problems: list[Problem]) -> Any:
    try:
        schema = strict_loads(text.encode())
    except TuningForkError as error:
        problems.append(Problem(where=where, what=error.sentence))
        return {}
    if not isinstance(schema, dict):
        problems.append(Problem(where=where, what="The schema must be a JSON object: { ... }."))
        return {}
    return schema


def read_independent(form: Form, stored: Stored, problems: list[Problem]) -> list[Grader]:
    """Of each choice the stored grader, or one that came with the run this form was copied from."""
    own = brought_along(form, problems)
    found = []
    for n in range(MOST_INDEPENDENT):
        chosen = form.get(f"independent.{n}", "")
        grader = stored.get(chosen) or own.get(chosen)
        if grader is not None:
            found.append(grader)
        elif chosen:
            what = "Choose a stored grader, or none."
            problems.append(Problem(where=f"independent.{n}", what=what))
    return found


def brought_along(form: Form, problems: list[Problem]) -> dict[str, Grader]:
    """Graders that are stored nowhere, by the value that stands for each."""
    text = form.get("independent.own", "")
    if not text:
        return {}
    try:
        return {f"own:{n}": each for n, each in enumerate(GRADERS.validate_json(text))}
    except ValidationError:
        what = "The graders that this form brought along cannot be read; copy the run again."
        problems.append(Problem(where="independent.0", what=what))
        return {}


def read_guard(form: Form, stored: Stored, problems: list[Problem]) -> Draft:
    """The guard set's grader: its task's own, or another."""
    if form.get("guard.grader") == "task":
        kind, _, name = form.get("guard.dataset", "").partition(":")
        if kind == "generated" and name in generated.TASKS:
            return generated.grader(name)
        what = "Only a generated task has a grader of its own; choose another."
        problems.append(Problem(where="guard.grader", what=what))
        return None
    found = read_grader(form, "guard.grader", stored, problems)
    if found is None and not any(p.where.startswith("guard.grader") for p in problems):
        problems.append(Problem(where="guard.grader", what="Choose how answers of the guard set are graded."))
    return found


# From graders to fields


def grader_values(prefix: str, grader: Grader | None, stored: Stored | None = None) -> dict[str, str]:
    """Fields that are read back as the same grader."""
    if grader is None:
        return {prefix: "none"}
    known = next((key for key, spec in (stored or {}).items() if spec == grader), None)
    if known is not None:
        return {prefix: "stored", f"{prefix}.stored": known}
    values = _fields(prefix, grader)
    return values if _is_read_back(values, prefix, grader) else _as_json(prefix, grader)


def _fields(prefix: str, grader: Grader) -> dict[str, str]:
    match grader:
        case Regex() | StringCheck() | JsonSchema():
            return _typed_fields(prefix, grader)
        case RewardModelGrader(run=run):
            return {prefix: "reward_model", f"{prefix}.reward_model.run": str(run)}
    return {}


def _typed_fields(prefix: str, grader: Regex | StringCheck | JsonSchema) -> dict[str, str]:
    values = {prefix: grader.type, f"{prefix}.name": grader.name}
    for key, value in grader.model_dump(by_alias=True).items():
        if key == "schema":
            values[f"{prefix}.{grader.type}.{key}"] = json.dumps(value, indent=2)
        elif key not in ("type", "name") and value is not None:
            values[f"{prefix}.{grader.type}.{key}"] = str(value)
    return values


def _is_read_back(values: Form, prefix: str, grader: Grader) -> bool:
    problems: list[Problem] = []
    found = read_grader(values, prefix, {}, problems)
    if found is None or problems:
        return False
    try:
        return GRADER.validate_python(found) == grader
    except ValidationError:
        return False


def _as_json(prefix: str, grader: Grader) -> dict[str, str]:
    text = GRADER.dump_json(grader, by_alias=True, exclude_none=True, indent=2).decode()
    return {prefix: "json", f"{prefix}.json": text}


def independent_values(graders: Sequence[Grader], stored: Stored | None = None) -> dict[str, str]:
    own: list[Grader] = []
    values = {}
    for n, grader in enumerate(graders):
        known = next((key for key, spec in (stored or {}).items() if spec == grader), None)
        values[f"independent.{n}"] = known or f"own:{len(own)}"
        own += [] if known else [grader]
    text = GRADERS.dump_json(own, by_alias=True, exclude_none=True).decode()
    return values | ({"independent.own": text} if own else {})


def guard_values(name: str | None, grader: Grader, stored: Stored | None = None) -> dict[str, str]:
    """`name`: of the generated task that guards, if it is one."""
    if name in generated.TASKS and generated.grader(name) == grader:
        return {"guard.grader": "task"}
    return grader_values("guard.grader", grader, stored)
