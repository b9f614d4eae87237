"""Confirmed decisions as calibration cases: the answers before the choice, and which method proved right.

The form is that of the project's own cases, so that a rulebook can be held against a team's history.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from app.advisor.advice import TrainingMethod
from app.outcome import Outcome
from app.protocol import Message
from app.web.answer_form import unwrapped
from app.web.confirmed import PLANS, Decided

TRAINED: Mapping[tuple[str, ...], "CaseOutcome"] = {
    ("sft",): "sft",
    ("grpo",): "grpo",
    ("sft", "grpo"): "sft_then_grpo",
}

PREFERS: Mapping[str, TrainingMethod] = {"sft_ahead": "sft", "grpo_ahead": "grpo", "warm_start_ahead": "grpo"}
"""By what a pilot showed; where its figures do not tell the methods apart, none."""

CaseOutcome = Literal["sft", "grpo", "sft_then_grpo", "not_known"]


class Case(Message):
    id: str
    title: str
    source: str
    outcome: CaseOutcome
    confidence: Literal["high", "medium", "low"]
    answers: dict[str, Any]
    measurements: dict[str, float]


class Cases(Message):
    format: Literal["tuning-fork-cases"] = "tuning-fork-cases"
    format_version: Literal[1] = 1
    cases: list[Case]


def cases(decided: Iterable[Decided], with_names: bool = False, with_notes: bool = False) -> Cases:
    """Names and notes are left out unless asked for: a case is meant to leave the house."""
    return Cases(cases=[_case(one, with_names, with_notes) for one in decided])


def _case(one: Decided, with_names: bool, with_notes: bool) -> Case:
    outcome, milestone = one.outcome, one.milestone
    right, confidence = proved_right(outcome, milestone.answers)
    number = one.confirmation.id.hex[:8]
    return Case(
        id=f"confirmed_{number}",
        title=milestone.name if with_names else f"Confirmed decision {number}",
        source=f"A full run, measured before and after; advised {PLANS[outcome.plan]}",
        outcome=right,
        confidence=confidence,
        answers={question: _answer(given, with_notes) for question, given in milestone.answers.items()},
        measurements=dict(milestone.measurements),
    )


def _answer(given: object, with_notes: bool) -> dict[str, Any]:
    kept = {"choice", "quantity", "basis"} | ({"note", "evidence"} if with_notes else set())
    return {key: value for key, value in unwrapped(given).items() if key in kept}


def proved_right(
    outcome: Outcome, answers: Mapping[str, Any]
) -> tuple[CaseOutcome, Literal["high", "medium", "low"]]:
    """The method that the outcome tells was right, and how firmly.

    A run that held shows its own method: firmly where a pilot had compared both and said the same, else less
    so, because nobody tried the other. Where the run did not hold and a pilot had preferred the other
    method, that is what is known, and not firmly. Anything else tells nothing.
    """
    preferred = piloted(answers)
    against = preferred is not None and preferred != outcome.trained
    if outcome.verdict == "held" and not against:
        kinds = tuple(stage.kind for stage in outcome.stages)
        return TRAINED.get(kinds, outcome.trained), "high" if preferred else "medium"
    if outcome.verdict == "did_not_hold" and preferred is not None and against:
        return preferred, "low"
    return "not_known", "low"


def piloted(answers: Mapping[str, Any]) -> TrainingMethod | None:
    """Which method a pilot preferred, where its finding was accepted as an answer."""
    for given in map(unwrapped, answers.values()):
        if given.get("basis") == "piloted" and given.get("choice") in PREFERS:
            return PREFERS[given["choice"]]
    return None
