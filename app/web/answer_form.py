"""The form of one question: what it starts with, and how what was typed becomes an answer on the wire."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import TypeAdapter, ValidationError

from app.advisor.answers import Budget, Hardware, Link
from app.advisor.estimate import described
from app.advisor.job import unknown_names
from app.advisor.tables import Tables
from app.errors import Malformed, Problem

Form = Mapping[str, str]
Wire = dict[str, Any]

UNKNOWN = "unknown"
NOT_APPLICABLE = "not_applicable"
LONGEST_NOTE = 2000
LONGEST_REASON = 500
GROUPED = re.compile(r"\d{1,3}([, ]\d{3})+", re.ASCII)
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One number, or one choice from a list, of a question that asks for a quantity."""

    name: str
    label: str
    hint: str = ""
    unit: str = ""
    optional: bool = False
    whole: bool = False
    options: tuple[tuple[str, str], ...] = ()
    table: Literal["", "models", "gpus"] = ""
    """Whose names are the options, after `options`."""
    more: bool = False
    """Asked behind a disclosure."""


QUANTITIES: dict[str, tuple[Entry, ...]] = {
    "hardware": (
        Entry("model", "Model", options=(("", "Another: give its size"),), table="models"),
        Entry(
            "parameters_b",
            "Size of the model",
            hint="Leave empty for a model of the list",
            unit="billion parameters",
            optional=True,
        ),
        Entry("gpus", "Number of GPUs", hint="0 means training on the CPU", whole=True),
        Entry("gpu", "GPU", options=(("", "Another: give its memory"),), table="gpus"),
        Entry(
            "gpu_memory_gb",
            "Memory of one GPU",
            unit="GB",
            optional=True,
            hint="Leave empty for a GPU of the list; otherwise 80 GB is taken",
        ),
        Entry(
            "tuning",
            "How the weights may be trained",
            more=True,
            options=(
                ("any", "Any way that fits"),
                ("full", "All weights"),
                ("lora", "LoRA"),
                ("qlora", "QLoRA"),
            ),
        ),
        Entry(
            "rollout_engine",
            "How GRPO samples answers",
            more=True,
            options=(
                ("vllm_colocate", "vLLM on the GPUs that train"),
                ("vllm_server", "vLLM on GPUs of its own"),
                ("hf_generate", "Hugging Face’s generate"),
            ),
        ),
        Entry(
            "sharding",
            "How several GPUs share the model",
            more=True,
            options=(
                ("auto", "Only as far as one cannot hold it"),
                ("none", "Each holds all of it"),
                ("zero2", "Optimizer and gradients spread (ZeRO-2)"),
                ("zero3", "Everything spread (ZeRO-3, FSDP)"),
            ),
        ),
        Entry(
            "gpu_price",
            "Your price of one GPU",
            hint="The table’s, if left empty",
            unit="US dollars an hour",
            optional=True,
            more=True,
        ),
    ),
    "budget": (
        Entry("gpu_hours", "GPU-hours you can spend", hint="Hours times GPUs", unit="GPU-hours"),
        Entry("days", "Days until the model is needed", unit="days", optional=True),
        Entry(
            "tokens_per_demonstration",
            "Length of an ideal answer",
            unit="tokens",
            optional=True,
            whole=True,
            hint="A token is about three quarters of a word",
        ),
        Entry(
            "tokens_per_rollout",
            "Length of an answer with its thinking",
            unit="tokens",
            optional=True,
            whole=True,
        ),
        Entry(
            "completions_per_prompt",
            "Tries per prompt",
            hint="GRPO compares several tries at one prompt; 8 is usual",
            optional=True,
            whole=True,
            more=True,
        ),
        Entry("prompt_tokens", "Length of a prompt", unit="tokens", optional=True, whole=True, more=True),
        Entry(
            "longest_rollout",
            "Longest answer allowed",
            hint="Where an answer is cut off",
            unit="tokens",
            optional=True,
            whole=True,
            more=True,
        ),
        Entry("prompts_per_step", "Prompts in a GRPO step", optional=True, whole=True, more=True),
        Entry("steps", "GRPO steps", hint="300 if left empty", optional=True, whole=True, more=True),
        Entry("demonstrations", "Number of demonstrations", optional=True, whole=True, more=True),
        Entry("epochs", "Times SFT goes over them", optional=True, whole=True, more=True),
        Entry(
            "grader_seconds",
            "Time to grade one answer",
            hint="A test run or a judge; empty counts as none",
            unit="seconds",
            optional=True,
            more=True,
        ),
        Entry(
            "grader_concurrency",
            "Answers graded at once",
            hint="1 if left empty",
            optional=True,
            whole=True,
            more=True,
        ),
    ),
}

MODELS: dict[str, type[Hardware] | type[Budget]] = {"hardware": Hardware, "budget": Budget}

LONG_FORM = frozenset({"choice", "quantity", "basis", "note", "evidence"})

BLANK = {"choice": "", "reason": "", "note": "", "evidence": ""}


async def typed(request: Request) -> dict[str, str]:
    """The text fields of a form. PostgreSQL cannot keep NUL, and no keyboard types it."""
    form = await request.form()
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if any("\x00" in text for pair in fields.items() for text in pair):
        raise Malformed("A text holds the character NUL; remove it.")
    return {name: value.replace("\r\n", "\n").strip() for name, value in fields.items()}


FormDep = Annotated[dict[str, str], Depends(typed)]


# From the wire to the form


def shown(wire: object, kind: str) -> dict[str, str]:
    """What the form starts with, given the stored answer; nothing is chosen where there is none."""
    values = BLANK | {entry.name: "" for entry in QUANTITIES.get(kind, ())}
    given = unwrapped(wire)
    choice, quantity = given.get("choice"), given.get("quantity")
    if quantity:
        values |= {name: _text(value) for name, value in quantity.items() if name in values}
    else:
        values["choice"] = UNKNOWN if choice is None else str(choice)
    note = str(given.get("note") or "")
    if values["choice"] == NOT_APPLICABLE:
        values["reason"], _, note = note.partition("\n")
    return values | {"note": note, "evidence": str(given.get("evidence") or "")}


def unwrapped(wire: object) -> Wire:
    """The long form of an answer: a choice and a quantity may also stand there by themselves."""
    if not isinstance(wire, dict):
        return {"choice": wire}
    return wire if wire.keys() & LONG_FORM else {"quantity": wire}


def entries(kind: str, tables: Tables) -> tuple[Entry, ...]:
    """As the form shows them: with the names of models and GPUs."""
    names = {"models": [row.name for row in tables.models], "gpus": [row.name for row in tables.gpus]}
    return tuple(
        replace(entry, options=(*entry.options, *((name, name) for name in names[entry.table])))
        if entry.table
        else entry
        for entry in QUANTITIES.get(kind, ())
    )


def misnamed(given: object, kind: str, tables: Tables) -> list[Problem]:
    """Names that no table has; a list offers none, but anybody can send a form."""
    quantity = unwrapped(given).get("quantity")
    if kind != "hardware" or not quantity:
        return []
    found = unknown_names(tables, Hardware.model_validate(quantity), "")
    return [Problem(where=problem.where.removeprefix("."), what=problem.what) for problem in found]


def unanswered(kind: str) -> dict[str, str]:
    return BLANK | {entry.name: "" for entry in QUANTITIES.get(kind, ())}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# From the form to the wire


def read(form: Form, kind: str, choices: frozenset[str]) -> tuple[object, list[Problem]]:
    problems: list[Problem] = []
    given: Wire = {}
    if kind in QUANTITIES and form.get("choice") not in (UNKNOWN, NOT_APPLICABLE):
        given["quantity"] = _quantity(form, kind, problems)
    else:
        given["choice"] = _choice(form, choices, problems)
    if note := _note(form, problems):
        given["note"] = note
    if evidence := form.get("evidence", ""):
        given["evidence"] = _link(evidence, problems)
    return given if len(given) > 1 else next(iter(given.values())), problems


def _choice(form: Form, choices: frozenset[str], problems: list[Problem]) -> str | None:
    chosen = form.get("choice", "")
    if chosen == UNKNOWN:
        return None
    if chosen == NOT_APPLICABLE:
        return NOT_APPLICABLE
    if chosen not in choices:
        problems.append(Problem(where="choice", what="Choose an answer, or “I don’t know yet”."))
    return chosen


def _quantity(form: Form, kind: str, problems: list[Problem]) -> Wire:
    entries = QUANTITIES[kind]
    if not any(form.get(entry.name) for entry in entries if entry.table or not entry.options):
        first = next(entry.name for entry in entries if not entry.options)
        problems.append(Problem(where=first, what="Fill in the numbers, or choose “I don’t know yet”."))
        return {}
    before = len(problems)
    read = {entry.name: _number(form, entry, problems) for entry in entries}
    quantity = {name: value for name, value in read.items() if value not in (None, "")}
    sized = not quantity.keys().isdisjoint(("model", "parameters_b"))
    if kind == "hardware" and not sized and "parameters_b" not in {problem.where for problem in problems}:
        what = "Size of the model: enter a number, or choose a model of the list."
        problems.append(Problem(where="parameters_b", what=what))
    if len(problems) == before:
        problems.extend(_out_of_range(quantity, kind))
    return quantity


def _number(form: Form, entry: Entry, problems: list[Problem]) -> float | int | str | None:
    text = form.get(entry.name, "")
    if entry.options:
        return text if entry.table or text in dict(entry.options) else entry.options[0][0]
    if not text:
        if not entry.optional:
            problems.append(Problem(where=entry.name, what=f"{entry.label}: enter a number."))
        return None
    if GROUPED.fullmatch(text):
        what = f"{entry.label}: write the number without separators between thousands."
        problems.append(Problem(where=entry.name, what=what))
        return None
    plain = text.replace(",", ".")
    if len(plain) > 40 or not NUMBER.fullmatch(plain):
        problems.append(Problem(where=entry.name, what=f"{entry.label} must be a number, such as 8."))
        return None
    value = float(plain)
    if entry.whole and value.is_integer():
        return int(value)
    return value


def _out_of_range(quantity: Wire, kind: str) -> list[Problem]:
    labels = {entry.name: entry.label for entry in QUANTITIES[kind]}
    try:
        MODELS[kind].model_validate(quantity)
    except ValidationError as error:
        return [
            Problem(where=name, what=f"{labels[name]} must {_must(said['msg'])}.")
            if (name := str(said["loc"][0]) if said["loc"] else "") in labels
            else Problem(
                where="longest_rollout", what="The longest answer cannot be shorter than the typical one."
            )
            for said in error.errors(include_url=False)
        ]
    return []


def _must(message: str) -> str:
    """Our numbers are typed as text, so what a model calls a valid integer is a whole number to the user."""
    if "integer" in message:
        return "be a whole number"
    return message.removeprefix("Input should ")


def _note(form: Form, problems: list[Problem]) -> str:
    note = form.get("note", "")
    if len(note) > LONGEST_NOTE:
        what = f"The note has {len(note):,} characters; {LONGEST_NOTE:,} fit."
        problems.append(Problem(where="note", what=what))
    if form.get("choice") != NOT_APPLICABLE:
        return note
    reason = " ".join(form.get("reason", "").split())
    if not reason:
        problems.append(Problem(where="reason", what="Say in a few words why this does not apply."))
    elif len(reason) > LONGEST_REASON:
        what = f"The reason has {len(reason):,} characters; {LONGEST_REASON} fit."
        problems.append(Problem(where="reason", what=what))
    both = f"{reason}\n{note}" if note else reason
    if len(both) > LONGEST_NOTE >= len(note):
        problems.append(
            Problem(where="note", what=f"Reason and note together hold {LONGEST_NOTE:,} characters.")
        )
    return both


def _link(text: str, problems: list[Problem]) -> str:
    try:
        TypeAdapter(Link).validate_python(text)
    except ValidationError:
        what = "The link must be an address that begins with https:// or http:// and holds no spaces."
        problems.append(Problem(where="evidence", what=what))
    return text


def in_words(wire: object, kind: str, labels: Mapping[str, str]) -> str:
    """A stored answer as a line of text."""
    given = unwrapped(wire)
    choice = given.get("choice")
    if given.get("quantity"):
        return described(MODELS[kind].model_validate(given["quantity"]))
    if choice == NOT_APPLICABLE:
        reason = str(given.get("note") or "").partition("\n")[0]
        return f"Does not apply: {reason}" if reason else "Does not apply"
    return "Not known yet" if choice is None else labels.get(choice, choice)
