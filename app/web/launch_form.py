"""The launch form: how what was typed becomes run specs, or problems beside their fields, and back."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from app.errors import Problem, TuningForkError
from app.protocol import Grader, GrpoRecipe, ModelRef, Recipe, RunSpec, SftRecipe
from app.strict_json import strict_loads
from app.web.recipe_settings import BY_METHOD, EVALUATION, Setting

TrainingMethod = Literal["sft", "grpo"]
PLANS: Mapping[str, tuple[TrainingMethod, ...]] = {
    "sft": ("sft",),
    "grpo": ("grpo",),
    "sft_then_grpo": ("sft", "grpo"),
}
STAGE_TITLES = {"sft": "SFT", "grpo": "GRPO"}

Form = Mapping[str, str]

LONGEST_NAME = 90
"""Leaves room for the stage's title behind it."""
LONGEST_REASON = 2000
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass
class Reading:
    """What a form said: one spec per stage, or what is wrong with it."""

    specs: list[RunSpec] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


# From typed values to specs


def read(form: Form, origins: Mapping[str, RunSpec]) -> Reading:
    """`origins`: runs whose model the form may start from, by the value that stands for them."""
    methods = PLANS.get(form.get("plan", ""), ())
    reading = Reading()
    if not methods:
        reading.problems.append(Problem(where="plan", what="Choose what to train with."))
    shared = _shared(form, origins, reading.problems)
    for method in methods:
        name = form.get("name", "").strip()
        title = f"{name}, {STAGE_TITLES[method]}" if name and len(methods) > 1 else name
        draft = shared | {
            "name": title,
            "recipe": {"kind": method} | _settings(form, method, BY_METHOD[method], reading.problems),
        }
        _validate(draft, method, reading)
    reading.problems = _once_each(reading.problems)
    return reading


def _shared(form: Form, origins: Mapping[str, RunSpec], problems: list[Problem]) -> dict[str, Any]:
    _check_name(form.get("name", ""), problems)
    return _start(form, origins, problems) | {
        "dataset": _dataset(form, problems),
        "grader": _grader(form, "grader", problems),
        "draft_grader": _grader(form, "draft_grader", problems),
        "evaluation": _settings(form, "evaluation", EVALUATION, problems),
        "seed": _whole(form.get("seed", "").strip() or "0", "seed", "Seed", problems),
    }


def _check_name(name: str, problems: list[Problem]) -> None:
    if not name.strip():
        problems.append(Problem(where="name", what="Enter a name, so that you find the run again."))
    elif len(name.strip()) > LONGEST_NAME:
        problems.append(Problem(where="name", what=f"Shorten the name to {LONGEST_NAME} characters."))
    elif not name.isprintable():
        problems.append(Problem(where="name", what="Remove line breaks and control characters."))


def _start(form: Form, origins: Mapping[str, RunSpec], problems: list[Problem]) -> dict[str, Any]:
    """The model a run starts from; one made by an earlier run is named by that run."""
    choice = form.get("model", "")
    if choice in origins:
        return {"model": origins[choice].model, "starts_from": choice.removeprefix("run:")}
    return {"model": _model(form, choice, problems)}


def _model(form: Form, choice: str, problems: list[Problem]) -> dict[str, Any] | None:
    if choice == "starter":
        return {"kind": "starter"}
    if choice.startswith("local:"):
        return {"kind": "local", "name": choice.removeprefix("local:")}
    if choice == "hub":
        if not form.get("hub_id", "").strip():
            problems.append(Problem(where="hub_id", what="Enter the model's id on the Hugging Face hub."))
            return None
        revision = form.get("hub_revision", "").strip() or None
        return {"kind": "hub", "id": form["hub_id"].strip(), "revision": revision}
    problems.append(Problem(where="model", what="Choose the model to start from."))
    return None


def _dataset(form: Form, problems: list[Problem]) -> dict[str, Any] | None:
    kind, _, name = form.get("dataset", "").partition(":")
    if kind == "generated":
        return {"kind": "generated", "name": name}
    if kind == "uploaded":
        return {"kind": "uploaded", "sha256": name}
    problems.append(Problem(where="dataset", what="Choose what to learn from."))
    return None


def _grader(form: Form, prefix: str, problems: list[Problem]) -> dict[str, Any] | None:
    kind = form.get(prefix, "")
    if kind in ("", "none"):
        if prefix == "grader":
            problems.append(Problem(where=prefix, what="Choose how an answer is graded."))
        return None
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


def _settings(
    form: Form, prefix: str, settings: Sequence[Setting], problems: list[Problem]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting in settings:
        where = f"{prefix}.{setting.name}"
        value = _value(setting, form.get(where, "").strip(), where, problems)
        if value is not _ABSENT:
            found[setting.name] = value
    return found


_ABSENT = object()


def _value(setting: Setting, text: str, where: str, problems: list[Problem]) -> Any:
    match setting.kind:
        case "yes_no":
            return text == "yes"
        case "choice":
            return text
        case _ if not text:
            if not setting.optional:
                problems.append(Problem(where=where, what=f"{setting.label}: enter a number."))
                return _ABSENT
            return None
        case "whole":
            return _whole(text, where, setting.label, problems)
        case "number":
            return _number(text, where, setting.label, problems)


def _whole(text: str, where: str, label: str, problems: list[Problem]) -> Any:
    if WHOLE.fullmatch(text):
        return int(text)
    problems.append(Problem(where=where, what=f"{label} must be a whole number, such as 16."))
    return _ABSENT


def _number(text: str, where: str, label: str, problems: list[Problem]) -> Any:
    if NUMBER.fullmatch(text):
        return float(text)
    hint = "with a point, not a comma" if "," in text else "such as 0.001 or 1e-3"
    problems.append(Problem(where=where, what=f"{label} must be a number, {hint}."))
    return _ABSENT


def _validate(draft: dict[str, Any], method: str, reading: Reading) -> None:
    known = {key: value for key, value in draft.items() if value is not None and value is not _ABSENT}
    try:
        reading.specs.append(RunSpec.model_validate(known))
    except ValidationError as error:
        # A gap that was named already is not named again in the model's own words.
        named = {problem.where for problem in reading.problems}
        for each in error.errors(include_url=False, include_context=True):
            where = _where(each, method)
            if not each["loc"] and named:
                continue
            if where not in named and not (each["type"] == "missing" and _parent_named(where, named)):
                reading.problems.append(Problem(where=where, what=_words(each, where)))


def _parent_named(where: str, named: set[str]) -> bool:
    return any(where.startswith(other) or other.startswith(where) for other in named)


FIELD_OF_PART = {"model": "model", "dataset": "dataset", "grader": "grader", "draft_grader": "draft_grader"}


def _where(error: ErrorDetails, method: str) -> str:
    """The id of the field that an error of the spec belongs to."""
    place = [str(step) for step in error["loc"]]
    match place:
        case []:
            return "grader" if "grader" in error["msg"] else "name"
        case ["recipe", *rest]:
            return f"{method}.{rest[-1]}" if len(rest) > 1 else f"{method}.batch_size"
        case ["evaluation", setting, *_]:
            return f"evaluation.{setting}"
        case ["model", "hub", part]:
            return f"hub_{part}"
        case [("grader" | "draft_grader") as prefix, kind, part, *_]:
            return f"{prefix}.{kind}.{part}"
        case [first, *_]:
            return FIELD_OF_PART.get(first, first)
    raise AssertionError(place)


def _words(error: ErrorDetails, where: str) -> str:
    label = _label(where)
    if error["type"] == "value_error":
        sentence = str(error["msg"]).removeprefix("Value error, ")
        return f"{sentence[:1].upper()}{sentence[1:]}."
    if error["type"] == "string_pattern_mismatch" and where in _PATTERNS:
        return _PATTERNS[where]
    said = _SAID.get(error["type"])
    if said is None:
        return f"{label}: {error['msg']}."
    return said.format(label=label, **error.get("ctx", {}))


_SAID = {
    "greater_than": "{label} must be greater than {gt:g}.",
    "greater_than_equal": "{label} must be at least {ge:g}.",
    "less_than": "{label} must be less than {lt:g}.",
    "less_than_equal": "{label} must be at most {le:g}.",
    "finite_number": "{label} is too large a number.",
    "missing": "{label} is missing.",
    "string_too_short": "{label} is missing.",
    "string_too_long": "{label} must be at most {max_length} characters long.",
    "string_pattern_mismatch": "{label} has characters that cannot be used here.",
    "literal_error": "{label} must be {expected}.",
}

_PATTERNS = {
    "hub_id": "A Hugging Face id looks like owner/name, for example Qwen/Qwen3-0.6B.",
    "hub_revision": "A revision is a commit, branch or tag: letters, digits, points, dashes.",
}


def _label(where: str) -> str:
    prefix, _, name = where.partition(".")
    settings = EVALUATION if prefix == "evaluation" else BY_METHOD.get(prefix, ())
    for setting in settings:
        if setting.name == name:
            return setting.label
    return name.rsplit(".", 1)[-1].replace("_", " ").capitalize() or where.replace("_", " ").capitalize()


def _once_each(problems: list[Problem]) -> list[Problem]:
    return list({(problem.where, problem.what): problem for problem in problems}.values())


# From specs to the values a form starts with


def recipe_values(recipe: Recipe) -> dict[str, str]:
    if not isinstance(recipe, SftRecipe | GrpoRecipe):
        return {}
    return {
        f"{recipe.kind}.{setting.name}": text(getattr(recipe, setting.name))
        for setting in BY_METHOD[recipe.kind]
    }


def grader_values(prefix: str, grader: Grader | None) -> dict[str, str]:
    if grader is None:
        return {prefix: "none"}
    fields = TypeAdapter(Grader).dump_python(grader, by_alias=True)
    values = {prefix: grader.type, f"{prefix}.name": grader.name}
    for key, value in fields.items():
        if key == "schema":
            values[f"{prefix}.{grader.type}.{key}"] = json.dumps(value, indent=2)
        elif key not in ("type", "name") and value is not None:
            values[f"{prefix}.{grader.type}.{key}"] = str(value)
    return values


def model_value(model: ModelRef) -> dict[str, str]:
    match model.kind:
        case "hub":
            return {"model": "hub", "hub_id": model.id, "hub_revision": model.revision or ""}
        case "local":
            return {"model": f"local:{model.name}"}
        case "starter":
            return {"model": "starter"}


def text(value: object) -> str:
    """A setting's value as it stands in its field: `0.00005` stays readable, True is `yes`."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else ""
        case float():
            return f"{value:g}"
    return str(value)
