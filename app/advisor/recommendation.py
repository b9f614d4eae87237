"""The one entry point: a project and a rulebook in, a recommendation with its whole justification out."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from app.advisor.advice import (
    Acceptability,
    Band,
    Contribution,
    Coverage,
    FactorReading,
    GateOutcome,
    PlanId,
    Recommendation,
    Span,
    TrainingMethod,
    trusted,
)
from app.advisor.answers import Answer, Project
from app.advisor.conditions import Facts
from app.advisor.estimate import budget_of, cost_of, described, estimate, hardware_of
from app.advisor.gates import BLOCKS, FIX, NOT_YET, OPEN, Ruled
from app.advisor.plan import NEITHER, steps_of
from app.advisor.robustness import (
    Outcome,
    acceptability_all,
    acceptability_near,
    flips_of,
    next_question,
    percent,
    robustness_of,
    rounded,
    signed,
    unknowns_of,
)
from app.advisor.rulebook import Rulebook
from app.advisor.scoring import Read, Score, Speech, leaning, normalised, part_of_lean

NOTHING_MORE: frozenset[str] = frozenset()
EVERYTHING = frozenset(("flips", "robustness", "estimate"))
"""Parts that cost more than all the rest and are left out unless asked for."""

LeanBand = Literal["strong", "moderate", "too_close"]
BANDS: tuple[LeanBand, ...] = ("too_close", "moderate", "strong")

NAMES = {"sft": "SFT", "grpo": "GRPO"}


def recommend(project: Project, rulebook: Rulebook, include: frozenset[str] = NOTHING_MORE) -> Recommendation:
    """Pure: equal projects and rulebooks give byte-identical JSON."""
    facts = rulebook.facts(project)
    score = rulebook.scoring.score(facts, weights_of(project, rulebook))
    ruled = rulebook.gating.rule(facts)
    bits = 0
    for one in ruled:
        bits |= one.bits
    verdict = _decide(rulebook, score, bits, facts)
    return trusted(Recommendation, _fields(project, rulebook, facts, score, ruled, verdict, include))


def weights_of(project: Project, rulebook: Rulebook) -> Sequence[float]:
    return rulebook.weights if project.weights is None else normalised(project.weights, rulebook.factors)


# The verdict


class Verdict(NamedTuple):
    method: TrainingMethod
    lean: float
    decided_by: Literal["lean", "gate", "tie"]
    plan: PlanId
    bits: int


def _decide(rulebook: Rulebook, score: Score, bits: int, facts: Facts) -> Verdict:
    lean = rounded(score.lean)
    method, decided_by = method_of(lean, bits, rulebook.decision.tie)
    return Verdict(method, lean, decided_by, rulebook.planning.choose(method, bits, facts), bits)


def method_of(lean: float, bits: int, tie: float) -> tuple[TrainingMethod, Literal["lean", "gate", "tie"]]:
    if bits & NEITHER:
        # With both closed the answer is still one of the two words: the cheaper and reversible one.
        return ("grpo" if bits & NEITHER == BLOCKS["sft"] else "sft"), "gate"
    if abs(lean) < tie:
        return "sft", "tie"
    return leaning(lean), "lean"


def outcome_of(rulebook: Rulebook, project: Project) -> Outcome:
    """The verdict alone, without its justification."""
    return outcome_under(rulebook, rulebook.facts(project), weights_of(project, rulebook))


def outcome_under(rulebook: Rulebook, facts: Facts, weights: Sequence[float]) -> Outcome:
    """The same from facts, which need not be those of a whole project."""
    score = rulebook.scoring.score(facts, weights)
    verdict = _decide(rulebook, score, rulebook.gating.bits(facts), facts)
    return Outcome(verdict.method, verdict.plan, verdict.lean, verdict.decided_by)


# The justification


def _fields(
    project: Project,
    rulebook: Rulebook,
    facts: Facts,
    score: Score,
    ruled: Sequence[Ruled],
    verdict: Verdict,
    include: frozenset[str],
) -> dict[str, Any]:
    near = acceptability_near(score.directions, score.weights, rulebook.decision.kappa)
    band, band_reason, lean_band = _band(rulebook, score, verdict, near)
    blocking = _blocking(ruled, verdict)
    cost = cost_of(rulebook.compute, hardware_of(project), budget_of(project))
    words = _Words(rulebook, score, ruled, verdict)
    unknowns = unknowns_of(
        rulebook, score, ruled, lambda lean: method_of(lean, verdict.bits, rulebook.decision.tie)[0]
    )
    planning, now = rulebook.planning, Outcome(verdict.method, verdict.plan, verdict.lean, verdict.decided_by)
    return {
        "method": verdict.method,
        "lean": verdict.lean,
        "lean_method": leaning(verdict.lean),
        "lean_band": lean_band,
        "band": band,
        "band_reason": band_reason,
        "decided_by": verdict.decided_by,
        "readiness": "fix_first" if blocking else "ready",
        "headline": words.headline(),
        "reason": words.reason(),
        "plan": planning.make(verdict.plan, steps_of([one.lift for one in blocking]), facts),
        "factors": _factors(rulebook, score),
        "unknowns": unknowns,
        "next_question": next_question(unknowns),
        "interval": trusted(Span, {"low": rounded(score.low), "high": rounded(score.high)}),
        "acceptability": trusted(
            Acceptability, {"near": rounded(near), "all": rounded(acceptability_all(_weighing(score)))}
        ),
        "cost": cost,
        "coverage": _coverage(score.reads),
        "rulebook": rulebook.stamp,
        **_more(project, rulebook, facts, score, now, include),
        "blockers": tuple(blocking),
        "gates": tuple([one.outcome for one in ruled]),
        "contributions": _contributions(project, rulebook, score),
        "risks": planning.risks_of(verdict.plan, verdict.method, cost.sentence, facts),
        "alternatives": planning.alternatives(facts),
    }


_NOTHING_MORE = {"flips": None, "robustness": None, "estimate": None}


def _more(
    project: Project,
    rulebook: Rulebook,
    facts: Facts,
    score: Score,
    now: Outcome,
    include: frozenset[str],
) -> dict[str, Any]:
    if not include:
        return _NOTHING_MORE

    def engine(changed: Project) -> Outcome:
        return outcome_of(rulebook, changed)

    return {
        "flips": flips_of(rulebook, project, now, engine) if "flips" in include else None,
        "robustness": robustness_of(rulebook, score) if "robustness" in include else None,
        "estimate": estimate(rulebook.compute, project, facts) if "estimate" in include else None,
    }


def _weighing(score: Score) -> list[float]:
    """Directions of the factors that apply at all."""
    return [d for d, weight in zip(score.directions, score.weights, strict=True) if weight]


def _band(rulebook: Rulebook, score: Score, verdict: Verdict, near: float) -> tuple[Band, str, LeanBand]:
    lean_band, reason = _lean_band(rulebook, score, verdict, near)
    if verdict.decided_by != "gate":
        return lean_band, reason, lean_band
    if verdict.bits & NEITHER == NEITHER:
        return (
            "too_close",
            "Neither method can run as things stand, so there is nothing to be sure of.",
            lean_band,
        )
    other = NAMES["sft" if verdict.method == "grpo" else "grpo"]
    return (
        "only_runnable",
        f"{other} cannot run as things stand, so {NAMES[verdict.method]} is the only option.",
        lean_band,
    )


def _lean_band(rulebook: Rulebook, score: Score, verdict: Verdict, near: float) -> tuple[LeanBand, str]:
    """The lower of two readings; what is unknown can lower it further."""
    towards_grpo = verdict.lean > 0
    ahead = near if towards_grpo else 1 - near
    size, bands = abs(verdict.lean), rulebook.decision.bands
    if size < rulebook.decision.tie:
        return "too_close", f"A lean of {signed(verdict.lean)} counts as a tie, and a tie goes to SFT."
    by_size = (size >= bands.moderate.lean) + (size >= bands.strong.lean)
    by_weights = (ahead >= bands.moderate.acceptability) + (ahead >= bands.strong.acceptability)
    method = leaning(verdict.lean)
    turning = score.low <= 0 if towards_grpo else score.high >= 0
    said = f"A lean of {signed(verdict.lean)}"
    stays = f"{NAMES[method]} stays ahead in {percent(ahead)} of weightings near yours"
    if min(by_size, by_weights) == 2 and turning:
        return "moderate", f"{said}, and {stays}, but what is not known yet could turn it."
    if min(by_size, by_weights) == 2 and verdict.bits & OPEN[method]:
        return "moderate", f"{said}, and {stays}, but a gate is not settled yet."
    if by_weights < by_size:
        return BANDS[
            by_weights
        ], f"{said}, but {NAMES[method]} leads in only {percent(ahead)} of weightings near yours."
    if by_size < by_weights:
        return BANDS[by_size], f"{said} is {_SIZES[by_size]}, although {stays}."
    return BANDS[by_size], f"{said}, and {stays}."


_SIZES = ("small", "moderate")


def _blocking(ruled: Sequence[Ruled], verdict: Verdict) -> list[GateOutcome]:
    """What has to be settled before this method can be launched."""
    concerned = FIX["sft"] | FIX["grpo"] if verdict.bits & NEITHER == NEITHER else FIX[verdict.method]
    if not verdict.bits & concerned:
        return []
    return [
        one.outcome
        for one in ruled
        if one.bits & concerned and one.outcome.state == "holds" and verdict.plan not in one.met_by
    ]


def _contributions(project: Project, rulebook: Rulebook, score: Score) -> tuple[Contribution, ...]:
    special = {
        question: answer
        for question, answer in project.answers.items()
        if answer.quantity is not None or answer.basis != "told"
    }
    return tuple(
        [
            read.usual
            if (share == usual or not read.effect) and question not in special
            else _unusual(read, share, special.get(question))
            for question, read, share, usual in zip(
                rulebook.scoring.ids, score.reads, score.shares, rulebook.scoring.usual, strict=True
            )
        ]
    )


def _unusual(read: Read, share: float, answer: Answer | None) -> Contribution:
    fields = read.usual.__dict__.copy()
    fields["contribution"] = part_of_lean(share, read.effect)
    if answer is not None and read.state == "answered":
        fields["basis"] = answer.basis
    if answer is not None and answer.quantity is not None:
        fields["answer_label"] = described(answer.quantity)
        if read.state == "unknown":
            fields["sentence"] = "Says nothing until model and GPUs are known."
    return trusted(Contribution, fields)


def _coverage(reads: Sequence[Read]) -> Coverage:
    states = [read.state for read in reads]
    return trusted(
        Coverage,
        {
            "answered": states.count("answered"),
            "unknown": states.count("unknown"),
            "not_applicable": states.count("not_applicable"),
            "total": len(states),
        },
    )


# In words


def _factors(rulebook: Rulebook, score: Score) -> tuple[FactorReading, ...]:
    speeches = rulebook.scoring.speeches(score.reads)
    return tuple([_factor(rulebook, score, place, speech) for place, speech in enumerate(speeches)])


def _factor(rulebook: Rulebook, score: Score, place: int, speech: Speech) -> FactorReading:
    factor, title = rulebook.scoring.names[place]
    weight, d = score.weights[place], score.directions[place]
    if not weight:
        paragraph = f"{title} is left out: it has no weight, or none of its questions applies."
    elif -0.005 < d < 0.005:
        paragraph = f"{title} does not pull either way.{speech.said}"
    else:
        towards = "GRPO" if d > 0 else "SFT"
        paragraph = (
            f"{title} pulls towards {towards} by {abs(d):.2f} of 1 and counts {percent(weight)}.{speech.said}"
        )
    return trusted(
        FactorReading,
        {
            "id": factor,
            "title": title,
            "weight": rounded(weight),
            "direction": rounded(d),
            "contribution": rounded(weight * d),
            "low": rounded(score.lows[place]),
            "high": rounded(score.highs[place]),
            "paragraph": paragraph,
            "sources": speech.sources,
        },
    )


class _Words:
    """One sentence for the verdict, and one for what decided it."""

    def __init__(self, rulebook: Rulebook, score: Score, ruled: Sequence[Ruled], verdict: Verdict) -> None:
        self.rulebook, self.ruled, self.verdict = rulebook, ruled, verdict
        sign = 1 if verdict.lean > 0 else -1
        spoken = [
            (sign * share * read.effect, read.clause)
            for read, share in zip(score.reads, score.shares, strict=True)
            if read.clause
        ]
        spoken.sort(key=_most_first)
        self.pro = [clause for strength, clause in spoken if strength > 0]
        self.contra = [clause for strength, clause in reversed(spoken) if strength < 0]

    def headline(self) -> str:
        verdict = self.verdict
        if verdict.plan == "not_yet":
            return f"Do not train yet: {self._why_not_yet()}."
        lead = _LEADS[verdict.plan]
        if verdict.decided_by == "gate":
            other: TrainingMethod = "sft" if verdict.method == "grpo" else "grpo"
            return f"{lead}: {NAMES[other]} cannot run, because {self._clause(BLOCKS[other])}."
        if verdict.decided_by == "tie":
            why = "the answers balance out" if self.pro or self.contra else "nothing decides yet"
            return f"{lead}: {why}, and SFT is cheaper and easier to undo."
        return f"{lead}: {_and(self.pro[:2])}."

    def reason(self) -> str:
        verdict = self.verdict
        if not verdict.lean:
            leans = "The answers do not lean either way"
        elif verdict.decided_by == "tie":
            leans = f"The answers lean so little ({signed(verdict.lean)}) that it counts as a tie"
        else:
            leans = f"The answers lean towards {NAMES[leaning(verdict.lean)]} by {abs(verdict.lean):.2f}"
        because = self.pro[:3] if verdict.lean else []
        sentences = [f"{leans}, mainly because {_and(because)}." if because else f"{leans}."]
        if self.contra and verdict.lean:
            sentences.append(f"Against it: {_and(self.contra[:2])}.")
        if verdict.decided_by == "gate":
            sentences.insert(0, self._gate_sentence())
        return " ".join(sentences)

    def _gate_sentence(self) -> str:
        if self.verdict.bits & NEITHER == NEITHER:
            why = self._clause(NEITHER)
            return f"Neither method can run: {why}. SFT is named because it is the cheaper one."
        other: TrainingMethod = "sft" if self.verdict.method == "grpo" else "grpo"
        return f"{NAMES[other]} is out because {self._clause(BLOCKS[other])}; that outweighs any lean."

    def _why_not_yet(self) -> str:
        held = [one for one in self.ruled if one.bits & NOT_YET]
        if held:
            return held[0].clause
        return _and([one.clause for one in self.ruled if one.bits & NEITHER][:2])

    def _clause(self, bits: int) -> str:
        held = [one.clause for one in self.ruled if one.bits & bits]
        return _and(held[:2])


_LEADS: dict[PlanId, str] = {
    "sft": "Train with SFT",
    "grpo": "Train with GRPO",
    "sft_then_grpo": "Train with GRPO after a short SFT warm start",
    "reward_model_then_grpo": "Train a reward model on your preferences first, then GRPO against it",
}


def _most_first(spoken: tuple[float, str]) -> float:
    return -spoken[0]


def _and(clauses: Sequence[str]) -> str:
    if len(clauses) < 2:
        return "".join(clauses)
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"


__all__ = ["EVERYTHING", "GateOutcome", "Recommendation", "outcome_of", "recommend"]
