"""Which rows a run learns from, and on which it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from app import datasets
from app.datasets.formats import Row, Split, Turn
from app.engine.reporting import CannotTrain, Run
from app.errors import TuningForkError
from app.graders.bench import Answer
from app.graders.grading import item_fields
from app.protocol import Grader, ProbeRecipe, RewardModelRecipe, SftRecipe

MOST_SHOWN_TO_GRADER = 256
"""Demonstrations of which a probe asks how good they are."""


def read(run: Run) -> Split:
    """What this run's method can learn from, and the held-out rows that it can be measured on."""
    recipe, grader = run.spec.recipe, run.spec.grader
    split = _loaded(run)
    if isinstance(recipe, RewardModelRecipe):
        return _pairs(split)
    if isinstance(recipe, SftRecipe) and any(row.is_text for row in split.train):
        return Split(_texts(split.train), _texts(split.held_out))
    held_out = gradable(split.held_out, grader) if grader else split.held_out
    if grader and not held_out:
        raise CannotTrain(_nothing_to_grade("held-out", grader))
    if isinstance(recipe, SftRecipe):
        return Split(demonstrations(split.train, recipe.max_demonstrations), held_out)
    assert grader is not None
    return Split(prompts(split.train, grader), held_out)


@dataclass(frozen=True)
class Probed:
    """What a probe asks."""

    prompts: dict[int, Row]
    """By their places among the rows that GRPO would practise on."""
    demonstrations: list[Row]
    """Other rows with an answer, where the prompts have none; else empty."""


def to_probe(run: Run) -> Probed:
    """Drawn by the run's seed from the rows that GRPO would practise on: the same for every probe of them."""
    recipe, grader = run.spec.recipe, run.spec.grader
    assert isinstance(recipe, ProbeRecipe)
    assert grader is not None
    learned = _loaded(run).train
    able = [row for row in prompts(learned, grader) if row.prompt]
    if not able:
        raise CannotTrain("The dataset has no prompt that a model could answer; a probe needs some.")
    random = Random(run.spec.seed)
    drawn = sorted(random.sample(range(len(able)), min(recipe.prompts, len(able))))
    chosen = {place: able[place] for place in drawn}
    if any(row.is_demonstration for row in chosen.values()):
        return Probed(chosen, [])
    others = [row for row in gradable(learned, grader) if row.is_demonstration]
    return Probed(chosen, random.sample(others, min(MOST_SHOWN_TO_GRADER, len(others))))


def _pairs(split: Split) -> Split:
    """All pairs of one prompt fall together, so no held-out pair is about a prompt that was trained on."""
    train, held_out = ([row for row in rows if row.is_pair] for rows in (split.train, split.held_out))
    if not train or not held_out:
        raise CannotTrain(
            "A reward model learns from preference pairs, and this dataset has none for it: rows need a "
            "prompt, a `chosen` and a `rejected` answer. Use SFT or GRPO on this dataset."
        )
    return Split(train, held_out)


def _texts(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.is_text]


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
