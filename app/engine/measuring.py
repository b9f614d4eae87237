"""What a model's answers are worth: marks, shares with intervals, and what became of drafts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.datasets.formats import Row
from app.engine.reporting import CannotTrain, readable
from app.engine.rows import answers, in_words
from app.graders import bench as graders
from app.graders.bench import Bench
from app.graders.comparison import wilson
from app.graders.template import NothingToFill, fill
from app.protocol import (
    Abstain,
    DraftCounts,
    Evaluation,
    Grader,
    GraderError,
    Regex,
    RunSpec,
    SampledAnswer,
    Score,
    Share,
)

FULL_SCORE = 1.0

LONGEST_SHOWN = 4000
"""Characters of any one text in an event."""


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: int
    is_clipped: bool


def refuse_useless_grader(evaluation: Evaluation) -> None:
    """A grader that could not score one held-out answer would not score one in training."""
    if evaluation.sampled.n:
        return
    outcome = next((answer.outcome for answer in evaluation.samples), None)
    why = f": {outcome.why}" if isinstance(outcome, Abstain | GraderError) else ""
    did = "failed" if evaluation.errors else "abstained"
    raise CannotTrain(f"The grader {did} on every held-out answer{why}. No answer counted as wrong.")


def measured(
    bench: Bench,
    spec: RunSpec,
    when: Literal["before", "after"],
    rows: Sequence[Row],
    sampled: list[Answer],
    greedy: list[Answer],
    seconds: float,
) -> Evaluation:
    grader, plan = spec.grader, spec.evaluation
    assert grader is not None
    texts = [answer.text for answer in sampled]
    outcomes = bench.grade(grader, answers(rows, texts))
    greedy_outcomes = bench.grade(grader, answers(rows, [answer.text for answer in greedy]))
    greedy_marks = "".join(mark(outcome) for outcome in greedy_outcomes)
    marks = "".join(mark(outcome) for outcome in outcomes)
    return Evaluation(
        when=when,
        sampled=share(marks),
        greedy=share(greedy_marks),
        sampled_outcomes=marks,
        greedy_outcomes=greedy_marks,
        abstained=sum(isinstance(outcome, Abstain) for outcome in outcomes),
        errors=sum(isinstance(outcome, GraderError) for outcome in outcomes),
        mean_tokens=sum(answer.tokens for answer in sampled) / len(sampled),
        clipped=sum(answer.is_clipped for answer in sampled) / len(sampled),
        drafts=drafts(bench, spec.draft_grader, rows, texts, marks),
        samples=[
            _sample(index, rows[index], sampled[index], outcomes[index], grader)
            for index in range(min(plan.samples_shown, len(rows)))
        ],
        seconds=seconds,
    )


def mark(outcome: Score | Abstain | GraderError) -> str:
    if not isinstance(outcome, Score):
        return "-"
    return "1" if outcome.value >= FULL_SCORE else "0"


def share(marks: str) -> Share:
    right, n = marks.count("1"), len(marks) - marks.count("-")
    return Share(right=right, n=n, interval=wilson(right, n))


def drafts(
    bench: Bench, grader: Grader | None, rows: Sequence[Row], texts: Sequence[str], marks: str
) -> DraftCounts | None:
    """What became of each draft, given the final answers' marks."""
    if grader is None:
        return None
    given = answers(rows, texts)
    fates = [draft + final for draft, final in zip(_draft_marks(bench, grader, given), marks, strict=True)]
    decided = [fate for fate in fates if "-" not in fate]
    return DraftCounts(
        wrong=sum(fate[0] == "0" for fate in decided),
        mended=decided.count("01"),
        right=sum(fate[0] == "1" for fate in decided),
        spoiled=decided.count("10"),
        undecided=len(fates) - len(decided),
    )


def _draft_marks(bench: Bench, grader: Grader, given: Sequence[graders.Answer]) -> list[str]:
    """An answer in which the pattern finds no draft has none, which is not a wrong one."""
    marks = [mark(outcome) for outcome in bench.grade(grader, given)]
    if not isinstance(grader, Regex):
        return marks
    found = bench.grade(grader.model_copy(update={"reference": None}), given)
    return [drawn if mark(has) == "1" else "-" for drawn, has in zip(marks, found, strict=True)]


def _sample(
    index: int, row: Row, answer: Answer, outcome: Score | Abstain | GraderError, grader: Grader
) -> SampledAnswer:
    reference = _reference(grader, row)
    return SampledAnswer(
        item=index,
        prompt=readable(in_words(row.prompt), LONGEST_SHOWN),
        output_text=readable(answer.text, LONGEST_SHOWN),
        reference=None if reference is None else readable(reference, LONGEST_SHOWN),
        outcome=outcome,
    )


def _reference(grader: Grader, row: Row) -> str | None:
    reference = getattr(grader, "reference", None)
    if reference is None:
        return row.answer
    try:
        return fill(reference, "", row.item)
    except NothingToFill:
        return row.answer
