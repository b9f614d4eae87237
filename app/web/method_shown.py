"""The rulebook in words for the page about the method: conditions, defaults, one contribution worked out."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.advisor.advice import Recommendation
from app.advisor.conditions import Threshold, When
from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Claim

Labels = Mapping[str, tuple[str, Mapping[str, str]]]
"""What a condition looks at, by id: its title and the labels of its values."""

BOUNDS = {"above": "above", "at_least": "at least", "below": "below"}

SIZES = {
    "under_0_5b": "under 0.5 billion parameters",
    "0_5b_to_1_5b": "0.5 to 1.5 billion",
    "1_5b_to_3b": "1.5 to 3 billion",
    "3b_to_14b": "3 to 14 billion",
    "over_14b": "over 14 billion",
}
FITS = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA", "none": "nothing"}
NOT_ANSWERED = {"unknown": "not known", "not_applicable": "does not apply"}

GROUPS = {
    "sft": "SFT",
    "sft_warm_start": "A short SFT warm start",
    "grpo": "GRPO",
    "reward_model": "A reward model",
    "launch": "Whatever the answers are",
}


def labels(rulebook: Rulebook) -> Labels:
    asked = {
        question.id: (question.title, {choice.id: choice.label for choice in question.choices})
        for question in rulebook.questions.values()
    }
    measured = {each.id: (each.title, dict[str, str]()) for each in rulebook.measurements.values()}
    return {**asked, **measured, "C1.size": ("Model size", SIZES), "C1.sft": ("What SFT has room for", FITS)}


def in_words(when: When, known: Labels) -> str:
    return "; or ".join(
        " and ".join(_clause(key, wanted, known) for key, wanted in each.items()) for each in when
    )


def _clause(key: str, wanted: tuple[str, ...] | Threshold, known: Labels) -> str:
    title, values = known.get(key, (key, {}))
    if isinstance(wanted, Threshold):
        bound, cut = next(iter(wanted.model_dump(exclude_none=True).items()))
        return f"“{title}” is {BOUNDS[bound]} {cut:g}"
    named = [values.get(token) or NOT_ANSWERED.get(token) or token.replace("_", " ") for token in wanted]
    return f"“{title}” is “{'” or “'.join(named)}”"


def value_in_words(value: object) -> str:
    """A setting's value; None leaves the setting out."""
    if value is None:
        return "left out"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def acting(claim: Claim, rulebook: Rulebook) -> list[tuple[str, str]]:
    """Title and anchor of each rule that acts on a claim."""
    titles = {each.id: (each.title, f"question-{each.id}") for each in rulebook.questions.values()}
    titles |= {each.id: (each.title, f"gate-{each.id}") for each in rulebook.gates}
    titles |= {each.id: (each.title, f"rule-{each.id}") for each in rulebook.decision.interactions}
    titles |= {each.id: (each.title, f"monitor-{each.id}") for each in rulebook.monitors}
    return [titles.get(name, (name.replace("_", " ").capitalize(), "defaults")) for name in claim.rules]


@dataclass(frozen=True)
class Share:
    """One answer of the worked example: what it adds is weight × effect / most."""

    title: str
    answer: str
    factor: str
    weight: float
    effect: float
    most: float
    """Largest effects of all the factor's questions that apply, added up."""
    contribution: float


def largest_share(advice: Recommendation, rulebook: Rulebook) -> Share:
    part = max(advice.contributions, key=lambda each: abs(each.contribution))
    factor = next(each for each in advice.factors if each.id == part.factor)
    applying = {each.question for each in advice.contributions if each.state != "not_applicable"}
    questions = next(each for each in rulebook.factors if each.id == part.factor).questions
    return Share(
        title=part.title,
        answer=part.answer_label,
        factor=factor.title,
        weight=factor.weight,
        effect=part.effect,
        most=sum(question.largest_effect for question in questions if question.id in applying),
        contribution=part.contribution,
    )
