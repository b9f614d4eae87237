"""What differs between two sets of answers and weights, in words."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from app.advisor.answers import Project
from app.advisor.rulebook import Rulebook
from app.models import Change
from app.web.answer_form import in_words, unwrapped
from app.web.proposals_shown import in_words as measured_in_words
from app.web.weighing import own_points, shares_of

Answers = Mapping[str, Any]
"""By question id, in the wire form."""

NOT_KNOWN = "Not known"


class Difference(BaseModel):
    what: str
    """A question id, or `weights`."""
    title: str
    before: str
    after: str


def told(wire: object) -> str | None:
    """What an answer says to the advisor, comparable; None where it is unknown or was never given."""
    given = unwrapped(wire)
    if given.get("quantity"):
        return json.dumps(given["quantity"], sort_keys=True)
    choice = given.get("choice")
    return None if choice is None else str(choice)


def answer_in_words(wire: object, question_id: str, rulebook: Rulebook) -> str:
    """Readable even where it was given under another rulebook or by an earlier version."""
    question = rulebook.questions.get(question_id)
    if told(wire) is None:
        return NOT_KNOWN
    labels = {choice.id: choice.label for choice in question.choices} if question else {}
    kind = question.kind if question else "choice"
    try:
        return in_words(wire, kind, labels).replace("_", " ")
    except (ValidationError, KeyError):
        quantity = unwrapped(wire)["quantity"]
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in quantity.items())


def title_of(question_id: str, rulebook: Rulebook) -> str:
    question = rulebook.questions.get(question_id)
    return question.title if question else f"A question of another rulebook ({question_id})"


def weights_in_words(points: Mapping[str, float], rulebook: Rulebook) -> str:
    """Empty stands for the rulebook's own."""
    titles = {factor.id: factor.title for factor in rulebook.factors}
    shares = shares_of(points or own_points(rulebook))
    words = ", ".join(f"{titles.get(factor, factor)} {part}" for factor, part in shares.items())
    return words if points else f"The rulebook’s own: {words}"


def differences(before: Answers, after: Answers, rulebook: Rulebook) -> list[Difference]:
    """In the order in which they are asked; notes do not count."""
    every = [*rulebook.questions, *sorted({*before, *after} - rulebook.questions.keys())]
    return [
        Difference(
            what=question,
            title=title_of(question, rulebook),
            before=answer_in_words(before.get(question), question, rulebook),
            after=answer_in_words(after.get(question), question, rulebook),
        )
        for question in every
        if told(before.get(question)) != told(after.get(question))
    ]


def weights_differ(
    before: Mapping[str, float], after: Mapping[str, float], rulebook: Rulebook
) -> list[Difference]:
    if (before or own_points(rulebook)) == (after or own_points(rulebook)):
        return []
    old, new = (weights_in_words(points, rulebook) for points in (before, after))
    return [Difference(what="weights", title="Weights", before=old, after=new)]


FIELDS = {
    "weights": "Weights",
    "name": "Name",
    "description": "Description",
    "measurements": "Measurements",
    "rulebook": "Rulebook",
    "dataset": "Dataset",
}


def change_in_words(change: Change, rulebook: Rulebook) -> Difference:
    """One entry of an assessment's history."""
    if change.what == "weights":
        before, after = (weights_in_words(each or {}, rulebook) for each in (change.before, change.after))
    elif change.what == "measurements":
        old, new = change.before or {}, change.after or {}
        before, after = (measured_otherwise(*each, rulebook) for each in ((old, new), (new, old)))
    elif change.what in FIELDS:
        before, after = (str(each or "nothing") for each in (change.before, change.after))
    else:
        before, after = (
            answer_in_words(each, change.what, rulebook) for each in (change.before, change.after)
        )
        if told(change.before) == told(change.after):
            after = f"{after} (what changed is its note, link or basis)"
    title = FIELDS.get(change.what) or title_of(change.what, rulebook)
    return Difference(what=change.what, title=title, before=before, after=after)


def measured_otherwise(these: Mapping[str, float], those: Mapping[str, float], rulebook: Rulebook) -> str:
    """Of `these` what `those` lack or have otherwise; by its id what this rulebook does not know."""
    said = []
    for name, value in these.items():
        if value != those.get(name):
            known = rulebook.measurements.get(name)
            said.append(
                f"{known.title}: {measured_in_words(known, value)}" if known else f"{name}: {value:g}"
            )
    return "; ".join(said) or "nothing"


def project_of(
    answers: Answers,
    weights: Mapping[str, float],
    rulebook: Rulebook,
    name: str = "",
    description: str = "",
    measurements: Mapping[str, float] | None = None,
) -> Project:
    """Raises InvalidInput naming each answer that the rulebook does not take."""
    return rulebook.read(
        {
            "answers": answers,
            "weights": weights or None,
            "measurements": measurements or {},
            "name": name,
            "description": description,
        }
    )
