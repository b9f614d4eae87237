"""Graders made of graders: `multi` computes with their scores, `self_correction` compares two of them."""

from collections.abc import Callable, Sequence

from app.graders.answer import Answer
from app.graders.expression import BadExpression, Expression
from app.graders.outcomes import CannotGrade
from app.protocol import (
    Abstain,
    Grader,
    GraderError,
    Multi,
    Outcome,
    Regex,
    Score,
    SelfCorrection,
    pass_threshold,
)

Grade = Callable[[Grader, Sequence[Answer]], list[Outcome]]


def grade_multi(grader: Multi, answers: Sequence[Answer], grade: Grade) -> list[Outcome]:
    try:
        expression = Expression(grader.calculate_output)
    except BadExpression as error:
        raise CannotGrade(str(error)) from None
    found = {name: grade(each, answers) for name, each in grader.graders.items()}
    return [
        _computed(expression, {name: outcomes[place] for name, outcomes in found.items()})
        for place in range(len(answers))
    ]


def _computed(expression: Expression, outcomes: dict[str, Outcome]) -> Outcome:
    """A part that failed or abstained has no number to compute with, and none is made up for it."""
    for name in sorted(expression.names):
        match outcomes.get(name):
            case GraderError(why=why):
                return GraderError(why=f"{name}: {why}")
            case None:
                return GraderError(why=f"there is no grader named {name}")
    for name in sorted(expression.names):
        if isinstance(outcomes[name], Abstain):
            return Abstain(why=f"{name} abstained")
    parts = {
        name: outcome.value if isinstance(outcome, Score) else None for name, outcome in outcomes.items()
    }
    try:
        value = expression.value({name: value for name, value in parts.items() if value is not None})
    except BadExpression as error:
        return GraderError(why=str(error))
    return Score(value=min(1.0, max(0.0, value)), parts=parts)


def grade_self_correction(grader: SelfCorrection, answers: Sequence[Answer], grade: Grade) -> list[Outcome]:
    drafts, finals = grade(grader.draft, answers), grade(grader.final, answers)
    has_draft = _has_draft(grader.draft, answers, grade)
    return [
        _paid(grader, draft, final) if has else _paid(grader, Abstain(why="there is no draft"), final)
        for draft, final, has in zip(drafts, finals, has_draft, strict=True)
    ]


def _has_draft(draft: Grader, answers: Sequence[Answer], grade: Grade) -> list[bool]:
    """An answer in which the pattern finds no draft has none, which is not a wrong one."""
    if not isinstance(draft, Regex) or draft.reference is None:
        return [True] * len(answers)
    found = grade(draft.model_copy(update={"reference": None}), answers)
    return [not (isinstance(outcome, Score) and outcome.value == 0) for outcome in found]


def _paid(grader: SelfCorrection, draft: Outcome, final: Outcome) -> Outcome:
    """Without a draft nothing was mended and nothing spoiled: the final answer alone is paid."""
    for name, outcome in (("draft", draft), ("final", final)):
        if isinstance(outcome, GraderError):
            return GraderError(why=f"{name}: {outcome.why}")
    if isinstance(final, Abstain):
        return Abstain(why=f"final: {final.why}")
    was_right = _is_right(grader.draft, draft)
    if _is_right(grader.final, final):
        pay = grader.mended if was_right is False else grader.kept_right
    else:
        pay = grader.spoiled if was_right else grader.wrong
    parts = {"draft": _value(draft), "final": _value(final)}
    return Score(value=pay, parts=parts)


def _is_right(grader: Grader, outcome: Outcome) -> bool | None:
    return outcome.value >= pass_threshold(grader) if isinstance(outcome, Score) else None


def _value(outcome: Outcome) -> float | None:
    return outcome.value if isinstance(outcome, Score) else None
