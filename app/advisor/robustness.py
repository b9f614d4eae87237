"""How firmly the verdict stands: under other weights, under what is unknown, and under changed answers."""

from collections.abc import Callable, Mapping, Sequence
from math import atan, exp, floor, log1p, pi, sin, sqrt
from typing import Any, Literal, NamedTuple

from app.advisor.advice import (
    PlanId,
    Robustness,
    TornadoBar,
    TrainingMethod,
    WeightFlip,
)
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
    titles = {one.outcome.id: f"“{one.outcome.title}”" for one in ruled}
    for place in unknown:
        question, read, share = rulebook.scoring.questions[place], score.reads[place], score.shares[place]
        low, high = lean + share * read.low, lean + share * read.high
        touched = gates.get(question.id, ())
        turns = bool(touched) or method(low) != method(high)
        settles = [titles[gate] for gate in touched]
        found.append(_unknown(question, rounded(low), rounded(high), touched, turns, settles))
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
    question: Question, low: float, high: float, gates: tuple[str, ...], could_turn: bool, titles: list[str]
) -> dict[str, Any]:
    moves = f"can put the lean anywhere from {signed(low)} to {signed(high)}"
    settles = f", and it settles {_listed(titles)}" if gates else ""
    return {
        "question": question.id,
        "title": question.title,
        "swing": rounded(high - low),
        "low": low,
        "high": high,
        "could_turn": could_turn,
        "gates": gates,
        "sentence": f"{question.text} The answer {moves if low < high else _STAYS}{settles}.",
        "share": None,
    }


_STAYS = "does not move the lean"


def next_question(unknowns: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fields of `NextQuestion`. What changes the advice most often, where that is worked out.

    Else an unsettled gate comes first, then the widest swing.
    """
    if not unknowns:
        return None
    gated = next((unknown for unknown in unknowns if unknown["gates"]), unknowns[0])
    first = unknowns[0] if unknowns[0].get("share") else gated
    return {"question": first["question"], "title": first["title"], "sentence": first["sentence"]}


class Outcome(NamedTuple):
    method: TrainingMethod
    plan: PlanId
    lean: float
    decided_by: Literal["lean", "gate", "tie"]
    ready: bool


Told = Callable[[Mapping[str, str]], Outcome]
"""What is advised under these facts."""


def with_shares(
    unknowns: Sequence[Mapping[str, Any]],
    rulebook: Rulebook,
    facts: Mapping[str, str],
    now: Outcome,
    told: Told,
) -> list[dict[str, Any]]:
    """Those first that change the advice after most of their answers; then the widest swing, then gates."""
    found = [_with_share(one, rulebook.questions[one["question"]], facts, now, told) for one in unknowns]
    return sorted(found, key=_by_share)


def _by_share(unknown: Mapping[str, Any]) -> tuple[float, float, int]:
    return -unknown["share"], *_weight(unknown)


def _with_share(
    unknown: Mapping[str, Any], question: Question, facts: Mapping[str, str], now: Outcome, told: Told
) -> dict[str, Any]:
    after = [told({**facts, question.id: choice.id}) for choice in question.choices]
    turning, count = sum([_differs(each, now) for each in after]), len(after)
    how_many = "None" if not turning else "Each" if turning == count else str(turning)
    sentence = f"{unknown['sentence']} {how_many} of its {count} answers would change what is advised."
    return {**unknown, "sentence": sentence, "share": rounded(turning / count)}


def _differs(after: Outcome, now: Outcome) -> bool:
    return (after.method, after.plan, after.ready) != (now.method, now.plan, now.ready)


# What holds whatever the open answers are


def interval(low: float, high: float, unknown: bool) -> dict[str, Any]:
    """The fields of `Span`: bounds of the lean while answers are open, and what they mean."""
    stable = low > TINY or high < -TINY
    if not unknown:
        sentence = "Every question has an answer."
    elif stable:
        ahead = "GRPO" if low > 0 else "SFT"
        sentence = f"Whatever the open answers turn out to be, {ahead} stays ahead."
    else:
        sentence = "The open answers together could turn the lean either way."
    return {"low": rounded(low), "high": rounded(high), "stable": stable, "sentence": sentence}


# Weights


def robustness_of(rulebook: Rulebook, score: Score, by_gate: bool) -> Robustness:
    kappa = rulebook.decision.kappa
    ends = [acceptability_near(side, score.weights, kappa) for side in (score.lows, score.highs)]
    places = range(len(rulebook.factors))
    bars = [_bar(rulebook.factors[place], score, place) for place in places]
    turning = [
        _weight_flip(rulebook.factors[place], score, place, rulebook.decision.tie, by_gate)
        for place in places
    ]
    return Robustness(
        near_low=rounded(ends[0]),
        near_high=rounded(ends[1]),
        weight_flips=tuple(turning),
        tornado=tuple(sorted(bars, key=_width)),
        central_sft=_central(rulebook, score, grpo=False),
        central_grpo=_central(rulebook, score, grpo=True),
    )


def _central(rulebook: Rulebook, score: Score, grpo: bool) -> dict[str, float] | None:
    """Mean of all weightings under which the method leads, over the factors that weigh; exact.

    A weight under a flat Dirichlet distribution averages as if its factor counted twice.
    """
    weighing = [place for place, weight in enumerate(score.weights) if weight]
    directions = [score.directions[place] for place in weighing]

    def share(over: Sequence[float]) -> float:
        leading = acceptability_all(over)
        return leading if grpo else 1 - leading

    whole = share(directions)
    if whole < TINY:
        return None
    means = [share([*directions, d]) / (whole * len(directions)) for d in directions]
    return {
        factor.id: rounded(means[weighing.index(place)]) if place in weighing else 0.0
        for place, factor in enumerate(rulebook.factors)
    }


def _others(score: Score, place: int) -> float | None:
    """The lean without one factor; None where nothing else weighs."""
    weight = score.weights[place]
    if weight >= 1:
        return None
    return (score.lean - weight * score.directions[place]) / (1 - weight)


def _weight_flip(factor: Factor, score: Score, place: int, tie: float, by_gate: bool) -> WeightFlip:
    weight, d, others = score.weights[place], score.directions[place], _others(score, place)
    zero = _reaches(0.0, weight, d, others)
    turns_at = None if by_gate else _reaches(tie, weight, d, others)
    return WeightFlip(
        factor=factor.id,
        title=factor.title,
        weight=rounded(weight),
        turns_at=turns_at,
        sentence=_turning(factor.title, weight, d > (others or 0.0), turns_at, zero),
        lean_turns_at=zero,
    )


def _reaches(lean: float, weight: float, d: float, others: float | None) -> float | None:
    """The weight at which the lean has this value, the other weights kept in proportion."""
    at = None if others is None or d == others or not weight else (lean - others) / (d - others)
    return rounded(at) if at is not None and 0 <= at <= 1 else None


def _turning(title: str, weight: float, for_grpo: bool, at: float | None, zero: float | None) -> str:
    if at is None:
        reached = f"; the lean itself would be zero at {percent(zero)}" if zero is not None else ""
        return f"No weight of {title} alone turns the advice{reached}."
    more = at > weight
    method = "GRPO" if for_grpo == more else "SFT"
    reached = (
        f", where the lean is small enough for a tie; it is zero at {percent(zero)}"
        if zero is not None
        else ""
    )
    return (
        f"The advice turns to {method} when {title} weighs {'more' if more else 'less'} than {percent(at)} "
        f"instead of {percent(weight)}{reached}."
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
    return f"{floor(share * 100 + HALF)} %"


HALF = 0.500_000_1
"""A half, and what keeps it one where a decimal has no exact binary form."""


def two_places(value: float) -> str:
    """The size of a number with two decimals, halves away from zero: 0.075 is 0.08."""
    return f"{floor(abs(value) * 100 + HALF) / 100:.2f}"


def signed(value: float) -> str:
    """With a sign, except where two decimals leave nothing of it."""
    shown = two_places(value)
    return shown if shown == "0.00" else f"{'+' if value > 0 else '−'}{shown}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
