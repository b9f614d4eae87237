"""The quick check: only the deciding questions, in the order that settles soonest, and no longer than needed.

    check = quick_check(rulebook, project, asked)    # project: what was answered so far
    check.next        the question to ask now; None when nothing more is to be asked
    check.settled     whether that is because nothing left can change method or plan
    check.sentence    why it stops, or what is still open
    quick_recommendation(rulebook, project)          # the recommendation to show when it stops

`asked` names questions already put to the user, so that "I don't know" is not asked again; an
answered question need not be named. Nothing is kept between calls: the same answers always lead
to the same next question.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from app.advisor.advice import PlanId, Recommendation, trusted
from app.advisor.answers import Answer, Project
from app.advisor.completions import Completions, Facts, Kind, open_facts
from app.advisor.conditions import NOT_APPLICABLE, UNKNOWN
from app.advisor.recommendation import NOTHING_MORE, recommend, weights_of
from app.advisor.recommendation import outcome_of as advised
from app.advisor.robustness import Outcome
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Question


class QuickCheck(NamedTuple):
    outcome: Outcome
    """Method, plan and lean as they stand now."""
    next: Question | None
    settled: bool
    remaining: tuple[Question, ...]
    """Deciding questions not asked yet, in the rulebook's order."""
    open: tuple[Question, ...]
    """Deciding questions that were asked, are not known, and could still change method or plan."""
    sentence: str


def deciding(rulebook: Rulebook) -> tuple[Question, ...]:
    """The questions of the quick check."""
    return tuple(question for question in rulebook.questions.values() if question.deciding)


def quick_project(rulebook: Rulebook, project: Project) -> Project:
    """What is not asked in a quick check counts as not applicable; answers given beyond it stay."""
    aside = {
        question.id: _ASIDE
        for question in rulebook.questions.values()
        if not question.deciding and question.id not in project.answers
    }
    return replace(project, answers={**project.answers, **aside})


_ASIDE = Answer(state="not_applicable")


def quick_recommendation(
    rulebook: Rulebook, project: Project, include: frozenset[str] = NOTHING_MORE
) -> Recommendation:
    """Never firmer than moderate, however strong the few answers are."""
    advice = recommend(quick_project(rulebook, project), rulebook, include)
    if advice.lean_band != "strong":
        return advice
    capped = {"lean_band": "moderate"}
    if advice.band == "strong":
        reason = f"{advice.band_reason} A quick check asks too little for more than a moderate verdict."
        capped |= {"band": "moderate", "band_reason": reason}
    return trusted(Recommendation, advice.__dict__ | capped)


def quick_check(rulebook: Rulebook, project: Project, asked: Collection[str] = ()) -> QuickCheck:
    """`settled` is exact: no way to answer the remaining deciding questions changes method or plan.

    That some do not apply or stay unknown are ways to answer them too.
    """
    whole = quick_project(rulebook, project)
    state = _State(rulebook, whole)
    outcome = advised(rulebook, whole)
    unanswered = [
        question
        for question in deciding(rulebook)
        if (answer := project.answers.get(question.id)) is None or answer.state == "unknown"
    ]
    known = {question for question in project.answers if project.answers[question].state == "unknown"}
    remaining = tuple(q for q in unanswered if q.id not in asked and q.id not in known)
    undecided = tuple(q for q in unanswered if q not in remaining)
    settled = state.settled(remaining)
    turning = state.turning(undecided) if settled else ()
    return QuickCheck(
        outcome=outcome,
        next=None if settled else state.soonest(remaining),
        settled=settled,
        remaining=remaining,
        open=turning,
        sentence=_sentence(outcome, settled, remaining, turning),
    )


_CHOSEN, _UNKNOWN, _NOT_APPLICABLE = _MODES = ("chosen", UNKNOWN, NOT_APPLICABLE)
"""How a question can be answered; what most often differs comes first."""


def _missing(modes: Sequence[str], remaining: Sequence[Question]) -> dict[str, Sequence[str]]:
    """What those of the questions leave open that get one of their choices."""
    missing: dict[str, Sequence[str]] = {}
    for mode, question in zip(modes, remaining, strict=True):
        if mode == _CHOSEN:
            missing |= open_facts(question)
    return missing


def _setting_aside(modes: Sequence[str], remaining: Sequence[Question]) -> Facts:
    """The facts of those that get none; what is left unknown is unknown already."""
    facts: Facts = {}
    for mode, question in zip(modes, remaining, strict=True):
        if mode == _NOT_APPLICABLE:
            facts |= dict.fromkeys(open_facts(question), NOT_APPLICABLE)
    return facts


class _State:
    """What the answers so far leave open."""

    def __init__(self, rulebook: Rulebook, project: Project) -> None:
        self.facts: Facts = rulebook.facts(project)
        self.completions = Completions(rulebook, weights_of(project, rulebook))

    def settled(self, remaining: Sequence[Question]) -> bool:
        """Whatever is answered: one of the choices, “I don’t know yet” or “Does not apply”."""
        kind = self.completions.kind(self.facts)
        return all(
            self.completions.always(kind, self.facts | _setting_aside(modes, remaining), missing)
            for modes in product(_MODES, repeat=len(remaining))
            for missing in [_missing(modes, remaining)]
        )

    def _settled_by_choices(self, facts: Facts, remaining: Sequence[Question]) -> bool:
        missing = _missing([_CHOSEN] * len(remaining), remaining)
        return self.completions.always(self.completions.kind(facts), facts, missing)

    def turning(self, questions: Sequence[Question]) -> tuple[Question, ...]:
        """Those that can change method or plan by themselves; all of them where only together they can."""
        alone = tuple(question for question in questions if not self.settled((question,)))
        return alone or (() if self.settled(questions) else tuple(questions))

    def soonest(self, remaining: Sequence[Question]) -> Question:
        """The question after which, over its answers alike, fewest others are expected to matter still.

        Of equals the one that changes the verdict most often, then the first.
        """
        now = self.completions.kind(self.facts)
        return min(remaining, key=lambda question: self._expected(question, remaining, now))

    def _expected(self, question: Question, remaining: Sequence[Question], now: Kind) -> tuple[float, float]:
        others = [other for other in remaining if other is not question]
        afterwards = [self.facts | {question.id: choice.id} for choice in question.choices]
        left = [self._mattering(facts, others) for facts in afterwards]
        changed = [self.completions.kind(facts) != now for facts in afterwards]
        return sum(left) / len(left), -sum(changed) / len(changed)

    def _mattering(self, facts: Facts, others: Sequence[Question]) -> int:
        """How many of the others can still change the verdict; one where only several together can."""
        kind = self.completions.kind(facts)
        alone = sum(any(self._changes(facts, other, kind)) for other in others)
        return alone or int(not self._settled_by_choices(facts, others))

    def _changes(self, facts: Facts, question: Question, kind: Kind) -> Iterator[bool]:
        for choice in question.choices:
            yield self.completions.kind(facts | {question.id: choice.id}) != kind


# In words

_LEADS_TO: Mapping[PlanId, str] = {
    "sft": "SFT",
    "grpo": "GRPO",
    "sft_then_grpo": "GRPO after a short SFT warm start",
    "reward_model_then_grpo": "a reward model first and GRPO against it",
    "not_yet": "no training yet",
}


def _sentence(
    outcome: Outcome, settled: bool, remaining: Sequence[Question], turning: Sequence[Question]
) -> str:
    advice = _LEADS_TO[outcome.plan]
    if not settled:
        count = (
            f"{len(remaining)} deciding questions are" if len(remaining) > 1 else "One deciding question is"
        )
        return f"{count} still to ask, and the answers can change the advice, which is {advice} so far."
    if turning:
        *others, last = (f"“{question.title}”" for question in turning)
        names = f"{', '.join(others)} and {last}" if others else last
        return f"The advice is {advice}. What you do not know could still change it: {names}."
    if not remaining:
        return f"Every deciding question is asked, and the advice is {advice}."
    last = "The one question left" if len(remaining) == 1 else f"The {len(remaining)} questions left"
    return f"{last} cannot change this any more: whatever you would answer, the advice stays {advice}."


__all__ = ["QuickCheck", "deciding", "quick_check", "quick_project", "quick_recommendation"]
