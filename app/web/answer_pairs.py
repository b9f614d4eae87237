"""Answers before and after, side by side: what got worse first, or blind; and as a table with every score."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from app.protocol import Evaluation, GraderScores, RunSpec, SampledAnswer
from app.web.evaluation_words import GraderResult, scores_of


@dataclass(frozen=True)
class Pair:
    """One held-out item answered before and after."""

    item: int
    prompt: str
    reference: str | None
    before: SampledAnswer | None
    after: SampledAnswer | None

    @property
    def id(self) -> str:
        return f"answer-{self.item}"

    @property
    def course(self) -> str:
        words = (
            f"{outcome_word(answer)[1].lower()} {when}"
            for answer, when in ((self.before, "before"), (self.after, "after"))
            if answer
        )
        return ", ".join(words)


def outcome_word(answer: SampledAnswer) -> tuple[str, str]:
    """(state class, word) of a graded answer."""
    match answer.outcome.kind:
        case "abstain":
            return "idle", "Not gradable"
        case "error":
            return "bad", "The grader failed"
        case "score":
            value = answer.outcome.value
    if value == 1:
        return "ok", "Right"
    return ("bad", "Wrong") if value == 0 else ("idle", f"Scored {value:.2f}")


def regressions_first(
    before: Evaluation | None, after: Evaluation | None, results: Sequence[GraderResult]
) -> list[Pair]:
    """What got worse before all else, worst first; then what got better, then the rest."""
    found = pairs_of(before, after)
    first = results[0].pairs if results else None
    lost = {item: place for place, item in enumerate(first.regressions)} if first else {}
    return sorted(found, key=lambda pair: (lost.get(pair.item, len(lost)), _place(pair), pair.item))


def left_out(
    pairs: Sequence[Pair],
    before: Evaluation | None,
    after: Evaluation | None,
    results: Sequence[GraderResult],
) -> str:
    """Where the answers to only some items were kept: to how many, and how to keep more."""
    measured = max((len(each.sampled_outcomes) for each in (before, after) if each), default=0)
    if len(pairs) >= measured:
        return ""
    first = results[0].pairs if results else None
    lost = first.regressions if first else ()
    among = len({pair.item for pair in pairs} & set(lost))
    worse = f", with {among:,} of the {len(lost):,} that got worse" if lost else ""
    return (
        f"The answers to {len(pairs):,} of {measured:,} items were kept{worse}; the CSV has the scores of "
        "all. “Answers kept to read” among a run’s settings keeps up to 200."
    )


COURSES = ("right before, wrong after", "wrong before, right after", "wrong before, wrong after")


def _place(pair: Pair) -> int:
    return COURSES.index(pair.course) if pair.course in COURSES else len(COURSES)


def pairs_of(before: Evaluation | None, after: Evaluation | None) -> list[Pair]:
    old = {answer.item: answer for answer in (before.samples if before else [])}
    new = {answer.item: answer for answer in (after.samples if after else [])}
    return [
        Pair(item, either.prompt, either.reference, old.get(item), new.get(item))
        for item in sorted(old | new)
        if (either := old.get(item) or new[item])
    ]


@dataclass(frozen=True)
class Side:
    """One answer of a pair, under the letter it is read by while nobody knows which is which."""

    letter: str
    when: str
    answer: SampledAnswer


def sides(run_id: UUID, pair: Pair, blind: bool) -> list[Side]:
    """Before and after; blind, the order follows from run and item alone: the same every time."""
    known = [(w, a) for w, a in (("Before", pair.before), ("After", pair.after)) if a is not None]
    if blind and sha256(f"{run_id}/{pair.item}".encode()).digest()[0] & 1:
        known.reverse()
    return [Side(letter, when, answer) for letter, (when, answer) in zip("AB", known, strict=False)]


def as_rows(
    spec: RunSpec, before: Evaluation | None, after: Evaluation | None
) -> Iterator[tuple[object, ...]]:
    """One line a held-out item and grader, with the answers that were kept."""
    kept = {pair.item: pair for pair in pairs_of(before, after)}
    told = [scores_of(spec, each) for each in (before, after)]
    yield "item", "grader", "role", *_SCORES, *_TEXTS
    for key in {**told[0], **told[1]}:
        columns = [_column(each.get(key), way) for way in ("sampled", "greedy") for each in told]
        for item in range(max(len(column) for column in columns)):
            scores = (column[item] if item < len(column) else None for column in columns)
            yield item + 1, *key, *scores, *_texts(kept.get(item))


_SCORES = ("sampled before", "sampled after", "greedy before", "greedy after")
_TEXTS = ("prompt", "reference", "answer before", "answer after")


def _column(scores: GraderScores | None, way: str) -> Sequence[float | None]:
    if scores is None:
        return []
    return scores.sampled if way == "sampled" else scores.greedy


def _texts(pair: Pair | None) -> tuple[str, ...]:
    if pair is None:
        return ("",) * len(_TEXTS)
    answers = (answer.output_text if answer else "" for answer in (pair.before, pair.after))
    return pair.prompt, pair.reference or "", *answers
