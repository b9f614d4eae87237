"""A pilot against the questionnaire: advice with and without it, and which answers would have to be wrong."""

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from pydantic import BaseModel

from app.advisor.advice import Flip, PairedFlip, Recommendation
from app.advisor.answers import Answer, Project
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.rulebook import Rulebook
from app.models import Milestone
from app.pilots import ARMS
from app.web.answer_form import unwrapped
from app.web.piloting import LEADERS, Outcome, PilotReading
from app.web.run_words import duration, percent

QUESTION = "O7"
"""Of the rulebook: what a pilot of both methods showed."""

MOST_NAMED = 6
"""Of answers that would have to be wrong."""


class Verdict(BaseModel):
    method: str
    plan: str
    lean: float
    headline: str


class PilotAdvice(BaseModel):
    """What this pilot does to the advice of its assessment, under the answers as they stand."""

    choice: Outcome
    is_accepted: bool
    """Whether the assessment is answered so already."""
    without: Verdict
    with_it: Verdict
    contribution: float
    """What the pilot itself adds to the lean."""
    effect: float
    grade: str
    silenced: list[str]
    """Titles of the answers that no longer count against what it showed."""
    weight: str
    """The same in words."""
    contradicts: bool
    """Whether the questionnaire alone says otherwise than the pilot."""
    wrong: list[str]
    """Told answers of which one would have to be wrong for the questionnaire to agree, each as a sentence."""
    pairs_looked_at: int | None
    """Where only so many of the nearest pairs of answers were looked at; None where it was all of them."""


def choices_of(rulebook: Rulebook) -> frozenset[str]:
    """Empty under a rulebook that is older than pilots."""
    question = rulebook.questions.get(QUESTION)
    return frozenset(choice.id for choice in question.choices) if question else frozenset()


def advise(rulebook: Rulebook, project: Project, outcome: Outcome) -> PilotAdvice | None:
    """None where the rulebook does not ask about pilots."""
    if outcome not in choices_of(rulebook):
        return None
    told = _without(project)
    answers = {**told.answers, QUESTION: Answer(choice=outcome, basis="piloted")}
    before = recommend(told, rulebook, EVERYTHING)
    after = recommend(replace(told, answers=answers), rulebook)
    part = next(part for part in after.contributions if part.question == QUESTION)
    silenced = list(_silenced(before, after))
    pairs = len(before.paired_flips or ())
    disagrees = outcome in LEADERS and before.method != side_of(outcome)
    return PilotAdvice(
        choice=outcome,
        is_accepted=_stands(project, outcome),
        without=_verdict(before),
        with_it=_verdict(after),
        contribution=part.contribution,
        effect=part.effect,
        grade=part.grade,
        silenced=silenced,
        weight=weight_in_words(part.effect, part.grade, silenced),
        contradicts=disagrees,
        wrong=list(would_be_wrong(before, project, side_of(outcome))) if disagrees else [],
        pairs_looked_at=pairs if pairs >= rulebook.decision.most_paired_flips else None,
    )


def of_milestone(milestone: Milestone, rulebook: Rulebook) -> PilotAdvice | None:
    """None where no pilot counted in it."""
    chosen = unwrapped(milestone.answers.get(QUESTION)).get("choice")
    outcome = next((each for each in get_args(Outcome) if each == chosen), None)
    if outcome is None:
        return None
    told = {"answers": milestone.answers, "weights": milestone.weights or None}
    return advise(rulebook, rulebook.read({**told, "measurements": milestone.measurements}), outcome)


def _without(project: Project) -> Project:
    answers = {name: answer for name, answer in project.answers.items() if name != QUESTION}
    return replace(project, answers=answers)


def _stands(project: Project, outcome: Outcome) -> bool:
    answer = project.answers.get(QUESTION)
    return answer is not None and answer.choice == outcome


def side_of(outcome: Outcome) -> str:
    return "sft" if outcome == "sft_ahead" else "grpo"


def _verdict(advice: Recommendation) -> Verdict:
    return Verdict(method=advice.method, plan=advice.plan.id, lean=advice.lean, headline=advice.headline)


def _silenced(before: Recommendation, after: Recommendation) -> Iterator[str]:
    effects = {part.question: part.effect for part in before.contributions}
    for part in after.contributions:
        if part.question in effects and effects[part.question] and not part.effect:
            yield part.title


def weight_in_words(effect: float, grade: str, silenced: list[str]) -> str:
    if not effect:
        return (
            f"It counts as an answer with no effect (grade {grade}): it pulls neither way, and the other "
            "answers weigh a little less."
        )
    sign = "+" if effect > 0 else "−"
    counted = f"It counts {sign}{abs(effect):g} on the scale from −3 (SFT) to +3 (GRPO), grade {grade}"
    why = "the figures are yours, the weight is our choice, smaller for SFT because a pilot is short"
    if not silenced:
        return f"{counted}: {why}."
    named = "; ".join(f"“{title}”" for title in silenced)
    return f"{counted}: {why}. What it measured, guesses no longer count against: {named}."


def would_be_wrong(told: Recommendation, project: Project, method: str) -> Iterator[str]:
    """Changes of told answers that turn the questionnaire to this method, the nearest first."""
    single = [each for each in (*(told.flips or ()), *(told.fixed_flips or ())) if _turns(each, method)]
    named: dict[str, list[Flip]] = {}
    for flip in sorted(single, key=lambda each: abs(each.lean_after - told.lean)):
        if _is_told(project, flip.question):
            named.setdefault(flip.question, []).append(flip)
    if named:
        yield from [_single(flips) for flips in named.values()][:MOST_NAMED]
        return
    pairs = [pair for pair in told.paired_flips or () if _turns(pair, method)]
    doubtful = [pair for pair in pairs if all(_is_told(project, each.question) for each in pair.changes)]
    yield from [_paired(pair) for pair in doubtful][:MOST_NAMED]


def _turns(flip: Flip | PairedFlip, method: str) -> bool:
    return flip.method_after == method and flip.plan_after != "not_yet"


def _is_told(project: Project, question: str) -> bool:
    """What was measured is not put in doubt by a short pilot."""
    answer = project.answers.get(question)
    return answer is not None and answer.state == "answered" and answer.basis == "told"


def _single(flips: list[Flip]) -> str:
    others = " or ".join(f"“{flip.to_label}”" for flip in flips[:3])
    return f"{flips[0].title}: not “{flips[0].from_label}” but {others}."


def _paired(pair: PairedFlip) -> str:
    changed = [f"{each.title}: not “{each.from_label}” but “{each.to_label}”" for each in pair.changes]
    return "; and ".join(changed) + "."


# As a suggestion


def because(reading: PilotReading, pilot: str) -> str:
    """The figures that the proposed answer rests on; `pilot` says which it was."""
    minutes = max((arm.minutes for arm in reading.arms), default=0.0)
    scores = ", ".join(
        f"{ARMS[arm.arm]} {percent(arm.after.value)} ({100 * arm.after.low:.1f}–{percent(arm.after.high)})"
        for arm in reading.arms
        if arm.after is not None
    )
    trained = duration(60 * minutes)
    return f"{pilot} {trained} of training each: {reading.sentence} Held out: {scores}."
