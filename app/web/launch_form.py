"""The launch form: how what was typed becomes run specs, or problems beside their fields."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from app.errors import Problem
from app.protocol import AdvancedValue, Grader, RunSpec
from app.web.launch_graders import ITS_REWARD_MODEL, read_grader, read_guard, read_independent
from app.web.launch_problems import place_of, words_of
from app.web.recipe_settings import BY_METHOD, Setting
from app.web.run_settings import ADAPTER, CONDUCT, EVALUATION, GUARD_ITEMS, LIMITS, PRIORITIES

TrainingMethod = Literal["sft", "grpo", "reward_model"]
PLANS: Mapping[str, tuple[TrainingMethod, ...]] = {
    "sft": ("sft",),
    "grpo": ("grpo",),
    "sft_then_grpo": ("sft", "grpo"),
    "reward_model": ("reward_model",),
    "reward_model_then_grpo": ("reward_model", "grpo"),
}
STAGE_TITLES = {"sft": "SFT", "grpo": "GRPO", "reward_model": "reward model"}

Form = Mapping[str, str]

LONGEST_NAME = 90
"""Leaves room for the stage's title behind it."""
LONGEST_REASON = 2000
"""Characters that a run keeps."""
LONGEST_ADVANCED = 200
"""Lines."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Offers:
    """What a form may point to."""

    origins: Mapping[str, RunSpec] = field(default_factory=dict)
    """Runs whose model may be started from, by the value that stands for them."""
    graders: Mapping[str, Grader] = field(default_factory=dict)
    """Stored ones, by the value that stands for their version."""


@dataclass
class Reading:
    """What a form said: one spec per stage, or what is wrong with it."""

    specs: list[RunSpec] = field(default_factory=list)
    priority: int = 0
    problems: list[Problem] = field(default_factory=list)


# From typed values to specs


def read(form: Form, offers: Offers = Offers()) -> Reading:
    methods = PLANS.get(form.get("plan", ""), ())
    reading = Reading()
    if not methods:
        reading.problems.append(Problem(where="plan", what="Choose what to train with."))
    shared = _shared(form, offers, reading.problems)
    measured = _measured(form, methods, offers, reading.problems)
    for method in methods:
        source = "pairs" if method == "reward_model" and len(methods) > 1 else "dataset"
        stage = {} if method == "reward_model" else measured
        name = form.get("name", "").strip()
        title = f"{name}, {STAGE_TITLES[method]}" if name and len(methods) > 1 else name
        recipe = _recipe(form, method, reading.problems)
        data = dataset_of(form.get(source, ""), source, reading.problems)
        validate(shared | stage | {"name": title, "recipe": recipe, "dataset": data}, method, reading)
    reading.priority = _priority(form, reading.problems)
    reading.problems = _once_each(reading.problems)
    return reading


def _shared(form: Form, offers: Offers, problems: list[Problem]) -> dict[str, Any]:
    _check_name(form.get("name", ""), problems)
    evaluation = read_settings(form, "evaluation", EVALUATION, problems)
    if form.get("guard.dataset"):
        evaluation["guard"] = _guard(form, offers, problems)
    return start_of(form, offers.origins, problems) | {
        "limits": {
            name: value
            for name, value in read_settings(form, "limits", LIMITS, problems).items()
            if value is not None
        },
        **{name: value for name, value in read_settings(form, "conduct", CONDUCT, problems).items() if value},
        "evaluation": evaluation,
        "seed": _whole(form.get("seed", "").strip() or "0", "seed", "Seed", problems),
    }


def _measured(
    form: Form, methods: Sequence[TrainingMethod], offers: Offers, problems: list[Problem]
) -> dict[str, Any]:
    """The graders of a form; a reward model that the plan itself trains is its own second stage's."""
    if methods == ("reward_model",):
        return {}
    if methods == ("reward_model", "grpo"):
        rewarded: Any = ITS_REWARD_MODEL
    else:
        rewarded = read_grader(form, "grader", offers.graders, problems)
        lacks = rewarded is None and not any(p.where.startswith("grader") for p in problems)
        if lacks and not (methods == ("sft",) and form.get("grader") == "none"):
            problems.append(Problem(where="grader", what="Choose how an answer is graded."))
    return {
        "grader": rewarded,
        "draft_grader": read_grader(form, "draft_grader", offers.graders, problems),
        "independent_graders": read_independent(form, offers.graders, problems),
    }


def _check_name(name: str, problems: list[Problem]) -> None:
    if not name.strip():
        problems.append(Problem(where="name", what="Enter a name, so that you find the run again."))
    elif len(name.strip()) > LONGEST_NAME:
        problems.append(Problem(where="name", what=f"Shorten the name to {LONGEST_NAME} characters."))
    elif not name.isprintable():
        problems.append(Problem(where="name", what="Remove line breaks and control characters."))


def start_of(form: Form, origins: Mapping[str, RunSpec], problems: list[Problem]) -> dict[str, Any]:
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


def dataset_of(chosen: str, where: str, problems: list[Problem]) -> dict[str, Any] | None:
    kind, _, name = chosen.partition(":")
    if kind == "generated":
        return {"kind": "generated", "name": name}
    if kind == "uploaded":
        return {"kind": "uploaded", "sha256": name}
    problems.append(Problem(where=where, what="Choose what to learn from."))
    return None


def _guard(form: Form, offers: Offers, problems: list[Problem]) -> dict[str, Any]:
    grader = read_guard(form, offers.graders, problems)
    items = _value(GUARD_ITEMS, form.get("guard.items", "").strip() or "100", "guard.items", problems)
    found = {
        "dataset": dataset_of(form["guard.dataset"], "guard.dataset", problems),
        "grader": grader,
        "items": items,
    }
    return {name: value for name, value in found.items() if value is not None and value is not _ABSENT}


def _priority(form: Form, problems: list[Problem]) -> int:
    typed = form.get("priority", "0")
    if typed not in {value for value, _ in PRIORITIES}:
        problems.append(Problem(where="priority", what="Choose when its turn comes."))
        return 0
    return int(typed)


# Settings


def _recipe(form: Form, method: TrainingMethod, problems: list[Problem]) -> dict[str, Any]:
    found = {"kind": method} | read_settings(form, method, BY_METHOD[method], problems)
    tuning = form.get("tuning", "full")
    found["tuning"] = {"kind": tuning}
    if tuning in ("lora", "qlora"):
        found["tuning"] |= read_settings(form, "tuning", ADAPTER, problems)
    found["advanced"] = _advanced(form.get(f"{method}.advanced", ""), f"{method}.advanced", problems)
    return found


def read_settings(
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
        case "names":
            return re.split(r"[\s,]+", text.strip(", ")) if text.strip(", ") else []
        case _ if not text:
            return _nothing(setting, where, problems)
        case "whole":
            return _whole(text, where, setting.label, problems)
        case "number":
            return _number(text, where, setting.label, problems)


def _nothing(setting: Setting, where: str, problems: list[Problem]) -> Any:
    if setting.optional:
        return None
    problems.append(Problem(where=where, what=f"{setting.label}: enter a number."))
    return _ABSENT


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


def _advanced(text: str, where: str, problems: list[Problem]) -> dict[str, AdvancedValue]:
    """One `name = value` a line; empty lines and what follows a # at a line's start are nothing."""
    found: dict[str, AdvancedValue] = {}
    lines = text.replace("\r\n", "\n").split("\n")[:LONGEST_ADVANCED]
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not value:
            problems.append(Problem(where=where, what=f"Line {number}: write it as name = value."))
        elif name in found:
            problems.append(Problem(where=where, what=f"Line {number}: {name} stands there twice."))
        else:
            found[name] = advanced_value(value)
    return found


def advanced_value(text: str) -> AdvancedValue:
    """`true`, `3`, `0.1` and `"3"` as JSON reads them; anything else is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return text
    return value if isinstance(value, bool | int | float | str) and value == value else text


# What the spec itself says


def validate(draft: dict[str, Any], method: str, reading: Reading) -> None:
    known = {key: value for key, value in draft.items() if value is not None and value is not _ABSENT}
    try:
        reading.specs.append(RunSpec.model_validate(known))
    except ValidationError as error:
        # A gap that was named already is not named again in the model's own words.
        named = {problem.where for problem in reading.problems}
        for each in error.errors(include_url=False, include_context=True):
            where = place_of(each, method)
            if not each["loc"] and named:
                continue
            if where not in named and not (each["type"] == "missing" and _parent_named(where, named)):
                reading.problems.append(Problem(where=where, what=words_of(each, where)))


def _parent_named(where: str, named: set[str]) -> bool:
    return any(where.startswith(other) or other.startswith(where) for other in named)


def _once_each(problems: list[Problem]) -> list[Problem]:
    return list({(problem.where, problem.what): problem for problem in problems}.values())
