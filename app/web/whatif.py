"""What if: other answers and weights beside a saved result, which never moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from app.advisor.advice import Band, PlanId, Recommendation, TrainingMethod
from app.advisor.recommendation import NOTHING_MORE, recommend
from app.advisor.robustness import signed
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Question
from app.errors import Problem
from app.models import Milestone
from app.web import answer_form
from app.web.answer_form import NOT_APPLICABLE, QUANTITIES, UNKNOWN, Entry
from app.web.differing import Difference, differences, project_of, weights_differ
from app.web.weighing import own_points, read_points, typed

SHORT: Mapping[str, frozenset[str]] = {
    "hardware": frozenset({"parameters_b", "gpus", "gpu_memory_gb"}),
    "budget": frozenset({"gpu_hours"}),
}
"""Of a quantity only what decides most can be tried out here; the rest stays as it was saved."""

PLANS: Mapping[PlanId, str] = {
    "sft": "SFT",
    "grpo": "GRPO",
    "sft_then_grpo": "SFT, then GRPO",
    "reward_model_then_grpo": "a reward model, then GRPO",
    "not_yet": "not training yet",
}
BANDS: Mapping[Band, str] = {
    "strong": "strong",
    "moderate": "moderate",
    "too_close": "too close to call",
    "only_runnable": "the only runnable option",
}


class Verdict(BaseModel):
    method: TrainingMethod
    plan: PlanId
    band: Band
    readiness: Literal["ready", "fix_first"]
    lean: float


class WhatIf(BaseModel):
    """Other answers beside a frozen recommendation."""

    milestone: int
    """With which it is compared."""
    sentence: str
    changed: list[Difference]
    saved: Verdict
    now: Verdict
    recommendation: Recommendation


def verdict_of(advice: Recommendation) -> Verdict:
    return Verdict(
        method=advice.method,
        plan=advice.plan.id,
        band=advice.band,
        readiness=advice.readiness,
        lean=advice.lean,
    )


def what_if(
    milestone: Milestone,
    answers: Mapping[str, Any],
    weights: Mapping[str, float],
    rulebook: Rulebook,
    include: frozenset[str] = NOTHING_MORE,
) -> WhatIf:
    """All answers there are, not only the changed ones; `rulebook` is the one of the milestone."""
    told = project_of(
        answers, weights, rulebook, milestone.name, milestone.description, milestone.measurements
    )
    advice = recommend(told, rulebook, include)
    changed = [
        *differences(milestone.answers, answers, rulebook),
        *weights_differ(milestone.weights, weights, rulebook),
    ]
    saved, now = verdict_of(milestone.recommendation), verdict_of(advice)
    return WhatIf(
        milestone=milestone.number,
        sentence=_sentence(saved, now, bool(changed)),
        changed=changed,
        saved=saved,
        now=now,
        recommendation=advice,
    )


def _sentence(saved: Verdict, now: Verdict, changed: bool) -> str:
    if not changed:
        return "Nothing is changed yet: this is the saved result."
    if now.plan != saved.plan:
        advice = f"This would change the advice from {PLANS[saved.plan]} to {PLANS[now.plan]}"
    else:
        advice = f"The advice would stay {PLANS[now.plan]}"
    lean = (
        f"the lean stays {signed(now.lean)}"
        if signed(now.lean) == signed(saved.lean)
        else f"the lean moves from {signed(saved.lean)} to {signed(now.lean)}"
    )
    band = f"; it would be {BANDS[now.band]}" if now.band != saved.band else ""
    return f"{advice}; {lean}{band}."


# The form: every answer at once, in short


@dataclass(frozen=True)
class Row:
    question: Question
    fields: Mapping[str, str]
    """What the form starts with, by the name of the field."""
    options: tuple[tuple[str, str], ...] = ()
    entries: tuple[Entry, ...] = ()


def rows_of(answers: Mapping[str, Any], question: Question) -> Row:
    shown = answer_form.shown(answers.get(question.id), question.kind)
    if question.kind == "choice":
        options = [(choice.id, choice.label) for choice in question.choices]
        options += [(UNKNOWN, "Not known"), (NOT_APPLICABLE, "Does not apply")]
        return Row(question, {question.id: shown["choice"]}, options=tuple(options))
    short = SHORT[question.kind]
    entries = tuple(entry for entry in QUANTITIES[question.kind] if entry.name in short)
    return Row(
        question,
        {f"{question.id}-{entry.name}": shown[entry.name] for entry in entries},
        entries=entries,
    )


@dataclass(frozen=True)
class Tried:
    answers: dict[str, Any]
    weights: dict[str, float]
    fields: dict[str, str]
    """As typed."""
    problems: list[Problem]


def tried(form: Mapping[str, str], milestone: Milestone, rulebook: Rulebook) -> Tried:
    """What is not in the form, stands there unchanged or cannot be used stays as saved, notes included."""
    answers, problems = dict(milestone.answers), list[Problem]()
    fields: dict[str, str] = {}
    for question in rulebook.questions.values():
        row = rows_of(milestone.answers, question)
        given = {name: form.get(name, value) for name, value in row.fields.items()}
        fields |= given
        if given != row.fields:
            answer, wrong = _read(row, given, milestone.answers.get(question.id))
            problems += wrong
            if not wrong:
                answers[question.id] = answer
    saved = typed(milestone.weights or own_points(rulebook))
    points = {factor: form.get(factor, value) for factor, value in saved.items()}
    weights, wrong = dict(milestone.weights), []
    if points != saved:
        read, wrong = read_points(points, rulebook)
        read = {} if read == own_points(rulebook) else read
        weights = weights if wrong else read
    return Tried(answers, weights, fields | points, problems + wrong)


def _read(row: Row, given: Mapping[str, str], saved: object) -> tuple[Any, list[Problem]]:
    """A changed answer stands by itself: the note and the link beside the saved one spoke of that one."""
    question = row.question
    if question.kind == "choice":
        return _chosen(question, given[question.id])
    if not any(given.values()):
        return None, []
    typed_in = answer_form.shown(saved, question.kind) | {"choice": "", "note": "", "evidence": ""}
    typed_in |= {entry.name: given[f"{question.id}-{entry.name}"] for entry in row.entries}
    quantity, problems = answer_form.read(typed_in, question.kind, frozenset())
    return quantity, [
        Problem(where=f"{question.id}-{problem.where}", what=problem.what) for problem in problems
    ]


def _chosen(question: Question, choice: str) -> tuple[Any, list[Problem]]:
    if choice == UNKNOWN:
        return None, []
    if choice == NOT_APPLICABLE or choice in {each.id for each in question.choices}:
        return choice, []
    return None, [Problem(where=question.id, what=f"{question.title}: choose one of the answers.")]
