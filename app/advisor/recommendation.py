"""The one entry point: a project and a rulebook in, a recommendation with its whole justification out."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from app.advisor.advice import Band, Cost, PlanId, Recommendation, TrainingMethod
from app.advisor.answers import Answer, Project
from app.advisor.conditions import Facts
from app.advisor.estimate import budget_of, cost_of, described, estimate, hardware_of
from app.advisor.flips import Present, flips_of
from app.advisor.gates import BLOCKS, FIX, NOT_YET, OPEN, Ruled
from app.advisor.plan import NEITHER, steps_of
from app.advisor.rendering import joined, listed
from app.advisor.robustness import (
    Outcome,
    acceptability_all,
    acceptability_near,
    interval,
    next_question,
    percent,
    robustness_of,
    rounded,
    signed,
    two_places,
    unknowns_of,
    with_shares,
)
from app.advisor.rulebook import Rulebook
from app.advisor.scoring import Read, Score, Scoring, Speech, leaning, normalised, part_of_lean

NOTHING_MORE: frozenset[str] = frozenset()
EVERYTHING = frozenset(("flips", "robustness", "estimate"))
"""Parts that cost more than all the rest and are left out unless asked for."""

LeanBand = Literal["strong", "moderate", "too_close"]
BANDS: tuple[LeanBand, ...] = ("too_close", "moderate", "strong")

NAMES = {"sft": "SFT", "grpo": "GRPO"}


def recommend(project: Project, rulebook: Rulebook, include: frozenset[str] = NOTHING_MORE) -> Recommendation:
    """Pure: equal projects and rulebooks give byte-identical JSON."""
    return Recommendation.model_validate_json(recommendation_json(project, rulebook, include))


def recommendation_json(
    project: Project, rulebook: Rulebook, include: frozenset[str] = NOTHING_MORE
) -> bytes:
    """The recommendation as a program gets it.

    Worked out as JSON in the first place: most of it is the rulebook's own words, rendered at start-up.
    """
    facts = rulebook.facts(project)
    score = rulebook.scoring.score(facts, weights_of(project, rulebook))
    ruled = rulebook.gating.rule(facts)
    bits = 0
    for one in ruled:
        bits |= one.bits
    verdict = _decide(rulebook, score, bits, facts)
    cost = cost_of(rulebook.tables, hardware_of(project), budget_of(project))
    case = Case(rulebook, project, facts, score, ruled, verdict, _blocking(ruled, verdict), cost)
    return joined(_values(case, include), _ready(case))


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
    ruled = rulebook.gating.rule(facts)
    bits = 0
    for one in ruled:
        bits |= one.bits
    verdict = _decide(rulebook, score, bits, facts)
    return _outcome(verdict, not _blocking(ruled, verdict))


def _outcome(verdict: Verdict, ready: bool) -> Outcome:
    return Outcome(verdict.method, verdict.plan, verdict.lean, verdict.decided_by, ready)


# The justification


class Case(NamedTuple):
    rulebook: Rulebook
    project: Project
    facts: Facts
    score: Score
    ruled: Sequence[Ruled]
    verdict: Verdict
    blocking: Sequence[Ruled]
    """What has to be settled before this method can be launched."""
    cost: Cost


def _values(case: Case, include: frozenset[str]) -> dict[str, Any]:
    """What this project alone has, by the names and in the order of the recommendation."""
    rulebook, score, verdict = case.rulebook, case.score, case.verdict
    near = acceptability_near(score.directions, score.weights, rulebook.decision.kappa)
    band, band_reason, lean_band = _band(rulebook, score, verdict, near)
    words = _Words(case)
    unknowns = unknowns_of(
        rulebook, score, case.ruled, lambda lean: method_of(lean, verdict.bits, rulebook.decision.tie)[0]
    )
    if "robustness" in include:
        unknowns = _ranked(case, unknowns)
    return {
        "method": verdict.method,
        "lean": verdict.lean,
        "lean_method": leaning(verdict.lean),
        "lean_band": lean_band,
        "band": band,
        "band_reason": band_reason,
        "decided_by": verdict.decided_by,
        "readiness": "fix_first" if case.blocking else "ready",
        "headline": words.headline(),
        "reason": words.reason(),
        "factors": _factors(rulebook, score),
        "unknowns": unknowns,
        "next_question": next_question(unknowns),
        "interval": interval(score.low, score.high, bool(unknowns)),
        "acceptability": {"near": rounded(near), "all": rounded(acceptability_all(_weighing(score)))},
        "cost": case.cost,
        "coverage": _coverage(rulebook.scoring, score.reads),
        "contradictions": rulebook.contradicted(case.facts),
        **_more(case, include),
    }


def _ranked(case: Case, unknowns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    weights = weights_of(case.project, case.rulebook)
    now = _outcome(case.verdict, not case.blocking)
    return with_shares(
        unknowns, case.rulebook, case.facts, now, lambda facts: outcome_under(case.rulebook, facts, weights)
    )


_NOTHING_MORE = dict.fromkeys(("flips", "paired_flips", "fixed_flips", "robustness", "estimate"))


def _more(case: Case, include: frozenset[str]) -> dict[str, Any]:
    if not include:
        return _NOTHING_MORE
    rulebook, verdict = case.rulebook, case.verdict
    by_gate = verdict.decided_by == "gate"
    return {
        **_NOTHING_MORE,
        **(_flips(case) if "flips" in include else {}),
        "robustness": robustness_of(rulebook, case.score, by_gate) if "robustness" in include else None,
        "estimate": estimate(rulebook.tables, case.project, case.facts) if "estimate" in include else None,
    }


def _flips(case: Case) -> dict[str, Any]:
    rulebook, project = case.rulebook, case.project
    now = _outcome(case.verdict, not case.blocking)
    present = Present(project, case.facts, weights_of(project, rulebook), case.score, now)
    found = flips_of(rulebook, present, lambda changed: outcome_of(rulebook, changed))
    return {"flips": found.singles, "paired_flips": found.pairs, "fixed_flips": found.fixed}


def _ready(case: Case) -> dict[str, bytes]:
    """What the rulebook says for itself, by the names and in the order of the recommendation."""
    planning, verdict = case.rulebook.planning, case.verdict
    return {
        "rulebook": case.rulebook.stamp_json,
        "plan": planning.make(
            verdict.plan, steps_of([one.outcome.lift for one in case.blocking]), case.facts
        ),
        "blockers": listed([one.json for one in case.blocking]),
        "gates": listed([one.json for one in case.ruled]),
        "contributions": listed(_contributions(case)),
        "risks": listed(planning.risks_of(verdict.plan, verdict.method, case.cost.sentence, case.facts)),
        "alternatives": listed(planning.alternatives(case.facts)),
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


def _blocking(ruled: Sequence[Ruled], verdict: Verdict) -> list[Ruled]:
    concerned = FIX["sft"] | FIX["grpo"] if verdict.bits & NEITHER == NEITHER else FIX[verdict.method]
    if not verdict.bits & concerned:
        return []
    return [
        one
        for one in ruled
        if one.bits & concerned and one.outcome.state == "holds" and verdict.plan not in one.met_by
    ]


def _contributions(case: Case) -> list[bytes]:
    scoring, score = case.rulebook.scoring, case.score
    parts = [
        read.json
        if share == usual or not read.effect
        else read.before + to_json(part_of_lean(share, read.effect)) + read.after
        for read, share, usual in zip(score.reads, score.shares, scoring.usual, strict=True)
    ]
    for question, answer in case.project.answers.items():
        if answer.quantity is not None or answer.basis != "told":
            place = scoring.places[question]
            parts[place] = _special(score.reads[place], score.shares[place], answer)
    for place in reversed(scoring.measured):
        if not score.reads[place].applies:
            del parts[place]
    return parts


def _special(read: Read, share: float, answer: Answer) -> bytes:
    """The contribution of a quantity, or of an answer that was more than told."""
    fields = vars(read.usual) | {"contribution": part_of_lean(share, read.effect)}
    if read.state == "answered":
        fields["basis"] = answer.basis
    if answer.quantity is not None:
        fields["answer_label"] = described(answer.quantity)
        if read.state == "unknown":
            fields["sentence"] = "Says nothing until model and GPUs are known."
    return to_json(fields)


def _coverage(scoring: Scoring, reads: Sequence[Read]) -> dict[str, int]:
    """What only a measurement answers counts once it is there."""
    absent = [place for place in scoring.measured if not reads[place].applies]
    states = [read.state for place, read in enumerate(reads) if place not in absent]
    return {
        "answered": states.count("answered"),
        "unknown": states.count("unknown"),
        "not_applicable": states.count("not_applicable"),
        "total": len(states),
    }


# In words


def _factors(rulebook: Rulebook, score: Score) -> list[dict[str, Any]]:
    speeches = rulebook.scoring.speeches(score.reads)
    return [_factor(rulebook, score, place, speech) for place, speech in enumerate(speeches)]


def _factor(rulebook: Rulebook, score: Score, place: int, speech: Speech) -> dict[str, Any]:
    factor, title = rulebook.scoring.names[place]
    weight, d = score.weights[place], score.directions[place]
    if not weight:
        paragraph = f"{title} is left out: it has no weight, or none of its questions applies."
    elif -0.005 < d < 0.005:
        paragraph = f"{title} does not pull either way.{speech.said}"
    else:
        towards = "GRPO" if d > 0 else "SFT"
        pull = f"{title} pulls towards {towards} by {two_places(d)} of 1"
        paragraph = f"{pull} and counts {percent(weight)}.{speech.said}"
    return {
        "id": factor,
        "title": title,
        "weight": rounded(weight),
        "direction": rounded(d),
        "contribution": rounded(weight * d),
        "low": rounded(score.lows[place]),
        "high": rounded(score.highs[place]),
        "paragraph": paragraph,
        "sources": speech.sources,
    }


class _Words:
    """One sentence for the verdict, and one for what decided it."""

    def __init__(self, case: Case) -> None:
        score, verdict = case.score, case.verdict
        self.ruled, self.verdict = case.ruled, verdict
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
            leans = f"The answers lean towards {NAMES[leaning(verdict.lean)]} by {two_places(verdict.lean)}"
        if verdict.decided_by == "tie" and self.pro and self.contra:
            return self._both_sides(leans)
        because = self.pro[:3] if verdict.lean else []
        sentences = [f"{leans}, mainly because {_and(because)}." if because else f"{leans}."]
        if self.contra and verdict.lean:
            sentences.append(f"Against it: {_and(self.contra[:2])}.")
        if verdict.decided_by == "gate":
            sentences.insert(0, self._gate_sentence())
        return " ".join(sentences)

    def _both_sides(self, leans: str) -> str:
        ahead = leaning(self.verdict.lean)
        other: TrainingMethod = "sft" if ahead == "grpo" else "grpo"
        return (
            f"{leans}. For {NAMES[ahead]}: {_and(self.pro[:2])}. For {NAMES[other]}: {_and(self.contra[:2])}."
        )

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
    """Semicolons where a clause has parts of its own."""
    if len(clauses) < 2:
        return "".join(clauses)
    if any(mark in clause for clause in clauses for mark in (" and ", ",")):
        return f"{'; '.join(clauses[:-1])}; and {clauses[-1]}"
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"


__all__ = ["EVERYTHING", "Recommendation", "outcome_of", "recommend", "recommendation_json"]
