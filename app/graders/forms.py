"""Whether an answer has the form that a grader reads (a pattern, a number, JSON, SQL), right or wrong."""

from collections.abc import Callable, Sequence

from app.errors import TuningForkError
from app.graders.answer import Answer
from app.graders.parts import inner
from app.graders.template import NothingToFill, fill
from app.protocol import Grader, JsonSchema, Math, Multi, Outcome, Regex, Score, SelfCorrection, Sql
from app.strict_json import strict_loads

Grade = Callable[[Grader, Sequence[Answer]], list[Outcome]]


def readable(grader: Grader, answers: Sequence[Answer], grade: Grade) -> list[bool] | None:
    """For each answer; None for a grader that reads any text. Of several graders in one each must read it."""
    match grader:
        case Regex():
            return _scored(grader.model_copy(update={"reference": None}), answers, grade)
        case Math():
            # What holds no number or formula is no reference to compare with either.
            return _scored(grader.model_copy(update={"reference": grader.input}), answers, grade)
        case Sql():
            return _scored(grader.model_copy(update={"fixture": None, "reference": None}), answers, grade)
        case JsonSchema():
            return [_is_json(grader.input, answer) for answer in answers]
        case Multi():
            return _each([readable(part, answers, grade) for part in inner(grader).values()])
        case SelfCorrection():
            return readable(grader.final, answers, grade)
        case _:
            return None


def _scored(grader: Grader, answers: Sequence[Answer], grade: Grade) -> list[bool]:
    return [isinstance(outcome, Score) and outcome.value == 1 for outcome in grade(grader, answers)]


def _is_json(template: str, answer: Answer) -> bool:
    try:
        strict_loads(fill(template, answer.text, answer.item).strip().encode("utf-8", "surrogatepass"))
    except (TuningForkError, NothingToFill):
        return False
    return True


def _each(read: Sequence[list[bool] | None]) -> list[bool] | None:
    known = [part for part in read if part is not None]
    return [all(of_answer) for of_answer in zip(*known, strict=True)] if known else None
