"""Which rows a run learns from, and on which it is measured."""

from collections.abc import Sequence

from app import datasets
from app.datasets.formats import Row, Split, Turn
from app.engine.reporting import CannotTrain, Run
from app.errors import TuningForkError
from app.graders.bench import Answer
from app.graders.grading import item_fields
from app.protocol import Grader, SftRecipe


def read(run: Run) -> Split:
    """What this run's method can learn from, and the held-out rows that its grader can grade."""
    recipe, grader = run.spec.recipe, run.spec.grader
    assert grader is not None
    split = _loaded(run)
    held_out = gradable(split.held_out, grader)
    if not held_out:
        raise CannotTrain(_nothing_to_grade("held-out", grader))
    if isinstance(recipe, SftRecipe):
        return Split(demonstrations(split.train, recipe.max_demonstrations), held_out)
    return Split(prompts(split.train, grader), held_out)


def _loaded(run: Run) -> Split:
    dataset = run.spec.dataset
    assert dataset is not None
    try:
        return datasets.load(dataset, run.inputs.dataset_file, run.spec.evaluation.items)
    except TuningForkError as error:
        first = f" {error.problems[0].where}: {error.problems[0].what}." if error.problems else ""
        raise CannotTrain(f"{error.sentence}{first}") from None
    except FileNotFoundError:
        raise CannotTrain("The dataset is no longer on this worker; upload it again.") from None


def demonstrations(rows: Sequence[Row], most: int | None) -> list[Row]:
    found = [row for row in rows if row.is_demonstration][:most]
    if not found:
        raise CannotTrain(
            "The dataset has no demonstrations: SFT needs rows whose last message is the assistant's answer."
        )
    return found


def prompts(rows: Sequence[Row], grader: Grader) -> list[Row]:
    """Of a mixed file the rows without an answer; else the demonstrations' prompts."""
    able = gradable(rows, grader)
    found = [row for row in able if not row.is_demonstration] or able
    if not found:
        raise CannotTrain(_nothing_to_grade("training", grader))
    return found


def gradable(rows: Sequence[Row], grader: Grader) -> list[Row]:
    needed = item_fields(grader)
    return [row for row in rows if needed <= row.item.keys()]


def in_words(turns: Sequence[Turn]) -> str:
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in turns)


def answers(rows: Sequence[Row], texts: Sequence[str]) -> list[Answer]:
    """What was said to each row, as graders take it."""
    return [
        Answer(text, row.item, prompt=in_words(row.prompt)) for row, text in zip(rows, texts, strict=True)
    ]


def conversation(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _nothing_to_grade(which: str, grader: Grader) -> str:
    fields = ", ".join(f"`{name}`" for name in sorted(item_fields(grader)))
    needed = f" with the fields its grader reads: {fields}" if fields else ""
    return f"The dataset has no {which} row{needed}; add such rows or change the grader."
