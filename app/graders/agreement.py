"""How far a grader agrees with people who scored the same answers."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from app.graders.comparison import Z_95
from app.protocol import Confusion, Disagreement, ExpertAgreement, GraderError, Outcome, Score, TriedAnswer

GO, FIX = 0.8, 0.6
"""Spearman from which a grader may be trained on, and below which it must be mended first
(Microsoft Foundry, reinforcement fine-tuning)."""

WORST_SHOWN = 5
LONGEST_SHOWN = 600

Reading = Literal["go", "warn", "fix", "unclear"]


def agreement(
    answers: Sequence[TriedAnswer],
    outcomes: Sequence[Outcome],
    grader_pass: float,
    expert_pass: float | None = None,
) -> ExpertAgreement:
    both = [
        (index, outcome.value, answer.expert)
        for index, (answer, outcome) in enumerate(zip(answers, outcomes, strict=True))
        if isinstance(outcome, Score) and answer.expert is not None
    ]
    ours, theirs = [score for _, score, _ in both], [score for _, _, score in both]
    threshold = _middle(theirs) if expert_pass is None else expert_pass
    rho = spearman(ours, theirs)
    low, high = interval(rho, len(both))
    confusion = confuse(ours, theirs, grader_pass, threshold)
    return ExpertAgreement(
        n=len(both),
        left_out=len(answers) - len(both),
        spearman=rho,
        low=low,
        high=high,
        kappa=kappa(confusion),
        confusion=confusion,
        grader_pass=grader_pass,
        expert_pass=threshold,
        reading=read(rho),
        findings=[*_findings(rho, low, high, len(both), confusion), *_failures(outcomes)],
        worst=_worst(answers, both),
    )


def spearman(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """SciPy's rank correlation, ties by their mean rank; None where one side never varies."""
    if len(ours) < 2 or min(ours) == max(ours) or min(theirs) == max(theirs):
        return None
    # Imported here: it takes a second, and the worker must start fast.
    from scipy.stats import spearmanr

    # Rounded, so that a correlation of 0.8 is not taken for one below it.
    return max(-1.0, min(1.0, round(float(spearmanr(ours, theirs).statistic), 12)))


def interval(rho: float | None, n: int) -> tuple[float | None, float | None]:
    """95 %, by Fisher's transformation with the standard error of Bonett and Wright (2000)."""
    if rho is None or n < 4 or abs(rho) >= 1:
        return None, None
    reach = Z_95 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)


def confuse(
    ours: Sequence[float], theirs: Sequence[float], ours_from: float, theirs_from: float
) -> Confusion:
    fates = [(us >= ours_from, them >= theirs_from) for us, them in zip(ours, theirs, strict=True)]
    return Confusion(
        both_right=fates.count((True, True)),
        only_grader=fates.count((True, False)),
        only_expert=fates.count((False, True)),
        both_wrong=fates.count((False, False)),
    )


def kappa(confusion: Confusion) -> float | None:
    """Cohen (1960): observed agreement beyond what both shares of passes would give by chance."""
    n = confusion.both_right + confusion.only_grader + confusion.only_expert + confusion.both_wrong
    if not n:
        return None
    observed = (confusion.both_right + confusion.both_wrong) / n
    ours = (confusion.both_right + confusion.only_grader) / n
    theirs = (confusion.both_right + confusion.only_expert) / n
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    return None if chance >= 1 else (observed - chance) / (1 - chance)


def read(rho: float | None) -> Reading:
    if rho is None:
        return "unclear"
    return "go" if rho >= GO else "warn" if rho >= FIX else "fix"


def _middle(scores: Sequence[float]) -> float:
    return (min(scores) + max(scores)) / 2 if scores else 0.5


_READINGS: dict[Reading, str] = {
    "go": "good enough to train on",
    "warn": "usable with care: read the disagreements, and keep an independent grader beside it",
    "fix": "too little to train on: mend the grader first",
}


def _findings(
    rho: float | None, low: float | None, high: float | None, n: int, confusion: Confusion
) -> Iterator[str]:
    if rho is None:
        yield (
            "No correlation can be told: grader or experts gave every answer the same score."
            if n > 1
            else f"No correlation can be told from {n} answer{'' if n == 1 else 's'}."
        )
    else:
        reach = "" if low is None or high is None else f" (95 % interval {_signed(low)} to {_signed(high)})"
        yield f"Spearman {_signed(rho)} on {n} answers{reach}: {_READINGS[read(rho)]}."
        yield from _is_sure(low, high)
    if confusion.only_grader:
        yield (
            f"The grader passes {confusion.only_grader} that the experts do not. Training finds more of "
            "these: mend them first."
        )
    if confusion.only_expert:
        yield f"It fails {confusion.only_expert} that the experts call right."


def _failures(outcomes: Sequence[Outcome]) -> Iterator[str]:
    failed = [outcome.why for outcome in outcomes if isinstance(outcome, GraderError)]
    if failed:
        yield f"The grader failed on {len(failed)} of {len(outcomes)} answers. The first time: {failed[0]}."


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _is_sure(low: float | None, high: float | None) -> Iterator[str]:
    if low is not None and high is not None and read(low) != read(high):
        yield "The interval spans more than one reading: score more answers to be sure."


def _worst(answers: Sequence[TriedAnswer], both: Sequence[tuple[int, float, float]]) -> list[Disagreement]:
    """Experts' scores are stretched to 0 to 1 between their lowest and highest."""
    theirs = [score for _, _, score in both]
    low, span = min(theirs, default=0.0), max(theirs, default=0.0) - min(theirs, default=0.0)
    if not span:
        return []
    found = [
        Disagreement(
            index=index,
            grader=us,
            expert=(them - low) / span,
            output_text=answers[index].output_text[:LONGEST_SHOWN],
        )
        for index, us, them in both
    ]
    apart = [each for each in found if abs(each.grader - each.expert) > 0]
    return sorted(apart, key=lambda each: abs(each.grader - each.expert), reverse=True)[:WORST_SHOWN]
