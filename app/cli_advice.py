"""Advice in the terminal: a file of answers in; a table, Markdown or JSON out, and an exit status."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.errors import InvalidInput, Malformed, Problem
from app.strict_json import strict_loads

if TYPE_CHECKING:
    from app.advisor.advice import Recommendation

NOT_READY = 3
"""Exit status: the advice stands, but something must be put right before training."""

FLIPS_SHOWN = 3

READINESS = {"ready": "ready to train", "fix_first": "something must be put right first"}

out = Console()


class Format(StrEnum):
    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


def advise(
    answers: Annotated[Path, typer.Argument(help="JSON as `questionnaire` prints it; - is standard input.")],
    format: Annotated[Format, typer.Option(help="How to print the advice.")] = Format.TABLE,
    include: Annotated[str, typer.Option(help="flips, robustness, estimate; with commas.")] = "",
) -> None:
    """SFT or GRPO, with reasons. Exit status: 0 ready, 3 something to put right first, 2 unusable answers."""
    from app.advisor.markdown import markdown
    from app.advisor.recommendation import recommend
    from app.advisor.record import compose
    from app.main import read_rulebook
    from app.web.api.recommendations import advice_request, included

    rulebook = read_rulebook()
    project = rulebook.read(vars(advice_request(_wire(_read(answers)))))
    advice = recommend(project, rulebook, included(include))
    match format:
        case Format.JSON:
            sys.stdout.write(advice.model_dump_json(indent=2) + "\n")
        case Format.MARKDOWN:
            sys.stdout.write(markdown(compose(project, advice, rulebook)))
        case Format.TABLE:
            _print(advice)
    if advice.readiness != "ready":
        raise typer.Exit(NOT_READY)


def template() -> None:
    """Print an answers.json to fill in: every question, unanswered, with its choices."""
    from app.main import read_rulebook

    rulebook = read_rulebook()
    answers = {question.id: None for question in rulebook.asked}
    choices = {
        question.id: [question.title, *(choice.id for choice in question.choices), "not_applicable"]
        for question in rulebook.asked
    }
    sys.stdout.write(json.dumps({"answers": answers, "weights": None, "_choices": choices}, indent=2) + "\n")


def _read(file: Path) -> Any:
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Malformed(f"{file} cannot be read: {error.strerror}.") from None
    return strict_loads(body)


def _wire(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or "answers" not in given:
        raise InvalidInput(
            "This is not a file of answers.",
            (Problem(where="answers", what="`tuning-fork questionnaire` prints a file to fill in"),),
        )
    return {name: value for name, value in given.items() if not name.startswith("_")}


def _print(advice: "Recommendation") -> None:
    out.print(f"[bold]{advice.headline}[/]", highlight=False)
    out.print(advice.reason, highlight=False, markup=False)
    out.print(f"\nReadiness: {READINESS[advice.readiness]}. Plan: {advice.plan.title}.", highlight=False)
    for blocker in advice.blockers:
        out.print(f"  First: {blocker.sentence} {blocker.lift}", highlight=False, markup=False)
    factors = Table("factor", "weight", "pulls to", "by", title="Why", title_justify="left")
    for factor in advice.factors:
        factors.add_row(
            factor.title, f"{factor.weight:.0%}", _side(factor.contribution), f"{factor.contribution:+.3f}"
        )
    factors.add_row("together", "", _side(advice.lean), f"{advice.lean:+.3f}", style="bold")
    out.print(factors)
    for flip in (advice.flips or ())[:FLIPS_SHOWN]:
        out.print(f"Would turn it: {flip.sentence}", highlight=False, markup=False)
    if advice.next_question:
        out.print(f"Worth finding out next: {advice.next_question.sentence}", highlight=False, markup=False)
    out.print(
        f"Rulebook {advice.rulebook.version}, {advice.coverage.answered} of {advice.coverage.total} answered."
    )


def _side(value: float) -> str:
    if abs(value) < 0.0005:
        return "neither"
    return "GRPO" if value > 0 else "SFT"
