"""What a model's answers are worth: scores by every grader, shares with intervals, the fate of drafts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from app.datasets.formats import Row
from app.engine.phrases import abstains, defers
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
    GraderScores,
    Outcome,
    Regex,
    RunSpec,
    SampledAnswer,
    Score,
    Share,
    StringCheck,
    TextSimilarity,
    pass_threshold,
)

FULL_SCORE = 1.0

LONGEST_SHOWN = 4000
"""Characters of any one text in an event."""

NO_GRADER = Abstain(why="This run has no grader.")


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: int
    """With the end token, where it came to one."""
    is_clipped: bool


@dataclass(frozen=True)
class Answered:
    """Held-out rows with a prompt, what was answered to them, and what was measured without a grader."""

    rows: Sequence[Row]
    sampled: Sequence[Answer]
    greedy: Sequence[Answer]
    loss: float | None = None
    reference_tokens: float | None = None
    seconds: float = 0.0


def refuse_useless_grader(outcomes: Sequence[Outcome], of: str = "held-out answer") -> None:
    """A grader that could not score one such answer would not score one in training."""
    if not outcomes or any(isinstance(outcome, Score) for outcome in outcomes):
        return
    first = outcomes[0]
    why = f": {first.why}" if isinstance(first, Abstain | GraderError) else ""
    did = "failed" if any(isinstance(outcome, GraderError) for outcome in outcomes) else "abstained"
    raise CannotTrain(f"The grader {did} on every {of}{why}. No answer counted as wrong.")


def measured(
    bench: Bench,
    spec: RunSpec,
    when: Literal["before", "after"],
    answered: Answered,
    task: Literal["main", "guard"] = "main",
) -> Evaluation:
    graded = Graded(bench, answered)
    outcomes = graded.outcomes(spec.grader, answered.sampled)
    least = pass_threshold(spec.grader) if spec.grader else FULL_SCORE
    marks = marked(outcomes, least)
    greedy_marks = marked(graded.outcomes(spec.grader, answered.greedy), least)
    texts = [answer.text for answer in answered.sampled]
    return Evaluation(
        when=when,
        task=task,
        sampled=share(marks),
        greedy=share(greedy_marks),
        sampled_outcomes=marks,
        greedy_outcomes=greedy_marks,
        scores=graded.scores(spec),
        abstained=sum(isinstance(outcome, Abstain) for outcome in outcomes) if spec.grader else 0,
        errors=sum(isinstance(outcome, GraderError) for outcome in outcomes),
        mean_tokens=_mean(answer.tokens for answer in answered.sampled) or 0.0,
        sampled_tokens=[answer.tokens for answer in answered.sampled],
        reference_tokens=answered.reference_tokens,
        deference=_mean(defers(text) for text in texts),
        abstention=abstention(answered.rows, texts),
        loss=answered.loss,
        clipped=_mean(answer.is_clipped for answer in answered.sampled) or 0.0,
        drafts=drafts(bench, spec.draft_grader, answered.rows, texts, marks),
        samples=[
            sample(index, answered.rows[index], answered.sampled[index], outcomes[index], spec.grader)
            for index in range(min(spec.evaluation.samples_shown, len(answered.rows)))
        ],
        seconds=answered.seconds,
    )


class Graded:
    """Each grader reads each answer once."""

    def __init__(self, bench: Bench, answered: Answered) -> None:
        self._bench = bench
        self._answered = answered
        self._known: dict[tuple[int, int], list[Outcome]] = {}

    def outcomes(self, grader: Grader | None, given: Sequence[Answer]) -> list[Outcome]:
        if grader is None:
            return [NO_GRADER] * len(given)
        place = (id(grader), id(given))
        if place not in self._known:
            texts = [answer.text for answer in given]
            self._known[place] = self._bench.grade(grader, answers(self._answered.rows, texts))
        return self._known[place]

    def scores(self, spec: RunSpec) -> list[GraderScores]:
        reward = [self._of(spec.grader, "reward")] if spec.grader else []
        return [*reward, *(self._of(grader, "independent") for grader in spec.independent_graders)]

    def _of(self, grader: Grader, role: Literal["reward", "independent"]) -> GraderScores:
        sampled = self.outcomes(grader, self._answered.sampled)
        greedy = self.outcomes(grader, self._answered.greedy)
        return GraderScores(
            grader=grader.name,
            role=role,
            pass_threshold=pass_threshold(grader),
            sampled=values(sampled),
            greedy=values(greedy),
            errors=sum(isinstance(outcome, GraderError) for outcome in (*sampled, *greedy)),
        )


def values(outcomes: Iterable[Outcome]) -> list[float | None]:
    return [outcome.value if isinstance(outcome, Score) else None for outcome in outcomes]


def marked(outcomes: Iterable[Outcome], least: float = FULL_SCORE) -> str:
    return "".join(mark(outcome, least) for outcome in outcomes)


def mark(outcome: Outcome, least: float = FULL_SCORE) -> str:
    """1 right, from the score `least` on; 0 wrong; - where there is no score."""
    if not isinstance(outcome, Score):
        return "-"
    return "1" if outcome.value >= least else "0"


def share(marks: str) -> Share:
    right, n = marks.count("1"), len(marks) - marks.count("-")
    return Share(right=right, n=n, interval=wilson(right, n))


def abstention(rows: Sequence[Row], texts: Sequence[str]) -> float | None:
    """Of the answers to rows with a true field `unanswerable`, the share that says so."""
    wanted = [text for row, text in zip(rows, texts, strict=True) if row.item.get("unanswerable") is True]
    return _mean(abstains(text) for text in wanted)


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
    marks = [mark(outcome, pass_threshold(grader)) for outcome in bench.grade(grader, given)]
    if not isinstance(grader, Regex):
        return marks
    found = bench.grade(grader.model_copy(update={"reference": None}), given)
    return [drawn if mark(has) == "1" else "-" for drawn, has in zip(marks, found, strict=True)]


def sample(index: int, row: Row, answer: Answer, outcome: Outcome, grader: Grader | None) -> SampledAnswer:
    reference = _filled(grader, row) or row.answer
    return SampledAnswer(
        item=index,
        prompt=readable(in_words(row.prompt), LONGEST_SHOWN),
        output_text=readable(answer.text, LONGEST_SHOWN),
        reference=None if reference is None else readable(reference, LONGEST_SHOWN),
        outcome=outcome,
    )


def reference_answer(grader: Grader | None, row: Row) -> str | None:
    """A whole answer to compare lengths with: what the grader compares the answer with as a whole, else the
    row's `reference`, which for a demonstration is its own answer unless it names another."""
    if isinstance(grader, StringCheck | TextSimilarity) and (filled := _filled(grader, row)):
        return filled
    given = row.item.get("reference")
    return given if isinstance(given, str) else row.answer


def _filled(grader: Grader | None, row: Row) -> str | None:
    reference = getattr(grader, "reference", None)
    if reference is None:
        return None
    try:
        return fill(reference, "", row.item)
    except NothingToFill:
        return None


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
