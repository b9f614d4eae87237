"""How firmly the verdict stands: under other weights, under what is unknown, and under changed answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import atan, exp, floor, log1p, pi, sin, sqrt
from typing import Any, Literal, NamedTuple

from app.advisor.advice import (
    Flip,
    PlanId,
    Robustness,
    TornadoBar,
    TrainingMethod,
    WeightFlip,
)
from app.advisor.answers import Answer, Project
from app.advisor.conditions import NOT_APPLICABLE
from app.advisor.estimate import alternatives, described
from app.advisor.gates import OPEN_GRPO, OPEN_SFT, Ruled
from app.advisor.rulebook import Rulebook
from app.advisor.scoring import TINY, Score
from app.advisor.vocabulary import Factor, Question

# Gil-Pelaez inversion on a logarithmic grid. The integrand is smooth there and dies out at both
# ends, so that equal steps converge fast: 0.3 gives 5 digits against 6,000 nodes.
STEP = 0.3
NODES = tuple(exp(-3.5 + STEP * place) for place in range(245))
LEFT = NODES[0] / (exp(STEP) - 1)
LEFT_CUBED = NODES[0] ** 3 / (exp(3 * STEP) - 1)
"""Sums of the nodes that would lie left of the grid, and of their cubes."""
NEGLIGIBLE = -12.0
"""Logarithm of a modulus below which the rest of the integral no longer matters."""


def acceptability_near(directions: Sequence[float], weights: Sequence[float], kappa: float) -> float:
    """P(sum of d_i * w_i > 0) for weights drawn from a Dirichlet distribution with parameters kappa * w_i.

    A Dirichlet draw is a set of gamma draws over their sum, so the sign is that of a sum of
    gammas, whose characteristic function is a product (Gil-Pelaez 1951).
    """
    drawn = zip(directions, weights, strict=True)
    return positive_share([(kappa * weight, d) for d, weight in drawn if abs(d) > TINY and weight])


FACTORS = 5


def positive_share(terms: Sequence[tuple[float, float]]) -> float:
    """P(sum of d * Gamma(a) > 0) for up to five terms (a, d), no d being 0; 0 without any term."""
    if min([d for _, d in terms], default=0.0) >= 0:
        return 1.0 if terms else 0.0
    if max([d for _, d in terms]) < 0:
        return 0.0
    scale = sqrt(sum([a * d * d for a, d in terms]))
    scaled = [(a, d / scale) for a, d in terms]
    # Left of the grid two terms of the integrand's power series are enough.
    mean, cubes = sum([a * d for a, d in scaled]), sum([a * d * d * d for a, d in scaled])
    total = mean * LEFT - (cubes / 3 + mean**3 / 6 + mean / 2) * LEFT_CUBED
    padded = scaled + [(0.0, 0.0)] * (FACTORS - len(terms))
    # Written out: a loop over the terms takes twice as long, and this is a tenth of a recommendation.
    (a1, d1), (a2, d2), (a3, d3), (a4, d4), (a5, d5) = padded
    part = 0.0
    for t in NODES:
        x1, x2, x3, x4, x5 = d1 * t, d2 * t, d3 * t, d4 * t, d5 * t
        modulus = -0.5 * (
            a1 * log1p(x1 * x1)
            + a2 * log1p(x2 * x2)
            + a3 * log1p(x3 * x3)
            + a4 * log1p(x4 * x4)
            + a5 * log1p(x5 * x5)
        )
        angle = a1 * atan(x1) + a2 * atan(x2) + a3 * atan(x3) + a4 * atan(x4) + a5 * atan(x5)
        part = exp(modulus) * sin(angle)
        total += part
        if modulus < NEGLIGIBLE:
            break
    else:
        # Right of the grid it falls like a power of t: a geometric series.
        decay = exp(-STEP * sum([a for a, _ in terms]))
        total += part * decay / (1 - decay)
    return min(1.0, max(0.0, 0.5 + total * STEP / pi))


def acceptability_all(directions: Sequence[float]) -> float:
    """The same over all weightings alike; exact, and safe where directions are equal."""
    positive = [d for d in directions if d > TINY]
    shares = [1.0] + [0.0] * len(positive)
    for low in directions:
        if low > TINY:
            continue
        for place, high in enumerate(positive, 1):
            shares[place] = (high * shares[place] - low * shares[place - 1]) / (high - low)
    return 1 - shares[-1]


# Unknown answers


def unknowns_of(
    rulebook: Rulebook, score: Score, ruled: Sequence[Ruled], method: Callable[[float], TrainingMethod]
) -> list[dict[str, Any]]:
    """The fields of `Unknown`. Largest swing first; of equals the one that settles most gates."""
    unknown = [place for place, read in enumerate(score.reads) if read.state == "unknown"]
    if not unknown:
        return []
    gates, lean, found = _open_gates(ruled), score.lean, []
    for place in unknown:
        question, read, share = rulebook.scoring.questions[place], score.reads[place], score.shares[place]
        low, high = lean + share * read.low, lean + share * read.high
        touched = gates.get(question.id, ())
        turns = bool(touched) or method(low) != method(high)
        found.append(_unknown(question, rounded(low), rounded(high), touched, turns))
    found.sort(key=_weight)
    return found


def _weight(unknown: Mapping[str, Any]) -> tuple[float, int]:
    return -unknown["swing"], -len(unknown["gates"])


STILL_OPEN = OPEN_SFT | OPEN_GRPO


def _open_gates(ruled: Sequence[Ruled]) -> dict[str, tuple[str, ...]]:
    """Gates not settled that could still close a method, by the questions they look at."""
    touched: dict[str, tuple[str, ...]] = {}
    for one in ruled:
        if one.bits & STILL_OPEN:
            for question in one.outcome.questions:
                touched[question] = (*touched.get(question, ()), one.outcome.id)
    return touched


def _unknown(
    question: Question, low: float, high: float, gates: tuple[str, ...], could_turn: bool
) -> dict[str, Any]:
    moves = f"can put the lean anywhere from {signed(low)} to {signed(high)}"
    settles = f", and it settles {_listed(gates)}" if gates else ""
    return {
        "question": question.id,
        "title": question.title,
        "swing": rounded(high - low),
        "low": low,
        "high": high,
        "could_turn": could_turn,
        "gates": gates,
        "sentence": f"{question.text} The answer {moves if low < high else _STAYS}{settles}.",
    }


_STAYS = "does not move the lean"


def next_question(unknowns: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fields of `NextQuestion`. An unsettled gate comes first, then the widest swing."""
    if not unknowns:
        return None
    first = next((unknown for unknown in unknowns if unknown["gates"]), unknowns[0])
    return {"question": first["question"], "title": first["title"], "sentence": first["sentence"]}


# Flips


class Outcome(NamedTuple):
    method: TrainingMethod
    plan: PlanId
    lean: float
    decided_by: Literal["lean", "gate", "tie"]


Engine = Callable[[Project], Outcome]


def flips_of(rulebook: Rulebook, project: Project, now: Outcome, engine: Engine) -> tuple[Flip, ...]:
    """Every change of a single answer after which the engine advises the other method.

    What a team can usually change comes first, then the change that moves the lean least.
    """
    found = [
        _flip(project, question, answer, after)
        for question in rulebook.questions.values()
        for answer in _other_answers(question, project.answers.get(question.id))
        if (after := engine(_with(project, question.id, answer))).method != now.method
    ]
    found.sort(key=lambda flip: (not flip.changeable, abs(flip.lean_after - now.lean)))
    return tuple(found)


def _with(project: Project, question: str, answer: Answer) -> Project:
    return replace(project, answers={**project.answers, question: answer})


def _other_answers(question: Question, answer: Answer | None) -> Iterator[Answer]:
    if question.kind == "choice":
        chosen = answer.choice if answer else None
        yield from (Answer(choice=choice.id) for choice in question.choices if choice.id != chosen)
    elif answer is not None and answer.quantity is not None:
        yield from (Answer(quantity=quantity) for quantity in alternatives(answer.quantity))


def _flip(project: Project, question: Question, answer: Answer, after: Outcome) -> Flip:
    before = project.answers.get(question.id)
    was, becomes = label(question, before), label(question, answer)
    known = before is not None and before.state == "answered"
    instead = f"instead of “{was}”" if known else "where the answer is open now"
    return Flip(
        question=question.id,
        title=question.title,
        from_choice=before.choice if before else None,
        to_choice=answer.choice,
        from_label=was,
        to_label=becomes,
        changeable=question.changeable,
        method_after=after.method,
        plan_after=after.plan,
        lean_after=after.lean,
        sentence=f"{question.title}: with “{becomes}” {instead}, {_advice(after)}.",
    )


def _advice(after: Outcome) -> str:
    if after.plan == "not_yet":
        return "the advice would be not to train yet"
    would = f"the advice would be {after.method.upper()}"
    if after.decided_by == "gate":
        other = "GRPO" if after.method == "sft" else "SFT"
        return f"{would}, because {other} could not run"
    return f"{would}, with a lean of {signed(after.lean)}"


def label(question: Question, answer: Answer | None) -> str:
    if answer is None or answer.state == "unknown":
        return "Not known yet"
    if answer.state == NOT_APPLICABLE:
        return "Does not apply"
    if answer.quantity is not None:
        return described(answer.quantity)
    return next(choice.label for choice in question.choices if choice.id == answer.choice)


# Weights


def robustness_of(rulebook: Rulebook, score: Score) -> Robustness:
    kappa = rulebook.decision.kappa
    ends = [acceptability_near(side, score.weights, kappa) for side in (score.lows, score.highs)]
    places = range(len(rulebook.factors))
    bars = [_bar(rulebook.factors[place], score, place) for place in places]
    return Robustness(
        near_low=rounded(ends[0]),
        near_high=rounded(ends[1]),
        weight_flips=tuple(
            _weight_flip(rulebook.factors[place], score, place, rulebook.decision.tie) for place in places
        ),
        tornado=tuple(sorted(bars, key=_width)),
    )


def _others(score: Score, place: int) -> float | None:
    """The lean without one factor; None where nothing else weighs."""
    weight = score.weights[place]
    if weight >= 1:
        return None
    return (score.lean - weight * score.directions[place]) / (1 - weight)


def _weight_flip(factor: Factor, score: Score, place: int, tie: float) -> WeightFlip:
    weight, d, others = score.weights[place], score.directions[place], _others(score, place)
    turns_at = None if others is None or d == others or not weight else (tie - others) / (d - others)
    if turns_at is None or not 0 <= turns_at <= 1:
        return WeightFlip(
            factor=factor.id,
            title=factor.title,
            weight=rounded(weight),
            turns_at=None,
            sentence=f"No weight of {factor.title} alone turns the advice.",
        )
    side = "more" if turns_at > weight else "less"
    method = "GRPO" if (d > (others or 0.0)) == (side == "more") else "SFT"
    return WeightFlip(
        factor=factor.id,
        title=factor.title,
        weight=rounded(weight),
        turns_at=rounded(turns_at),
        sentence=(
            f"The advice turns to {method} when {factor.title} weighs {side} than {percent(turns_at)} "
            f"instead of {percent(weight)}."
        ),
    )


def _bar(factor: Factor, score: Score, place: int) -> TornadoBar:
    lean, weight, d = score.lean, score.weights[place], score.directions[place]
    others = _others(score, place)
    doubled = min(2 * weight, 1.0)
    ends = [lean] if others is None else [others, doubled * d + (1 - doubled) * others]
    return TornadoBar(
        factor=factor.id,
        title=factor.title,
        unknown_low=rounded(lean - weight * (d - score.lows[place])),
        unknown_high=rounded(lean + weight * (score.highs[place] - d)),
        weight_low=rounded(min(lean, *ends)),
        weight_high=rounded(max(lean, *ends)),
    )


def _width(bar: TornadoBar) -> float:
    unknown, weight = bar.unknown_high - bar.unknown_low, bar.weight_high - bar.weight_low
    return -max(unknown, weight)


# Numbers in words


def rounded(value: float) -> float:
    """Four decimals, and never a negative zero; a third of the cost of `round`."""
    return floor(value * 10_000 + 0.5) / 10_000


def percent(share: float) -> str:
    """Rounds neither to nothing nor to everything what is not."""
    if 0.995 <= share < 1:
        return "over 99 %"
    if 0 < share < 0.005:
        return "under 1 %"
    return f"{share * 100:.0f} %"


def signed(value: float) -> str:
    """With a sign, except where two decimals leave nothing of it."""
    if -0.005 < value < 0.005:
        return "0.00"
    return f"+{value:.2f}" if value > 0 else f"−{-value:.2f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
