"""Two edits of one answer: the later one sees both and decides, and nothing that was typed is lost."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.advisor.vocabulary import Question
from app.models import StoredAnswer
from app.web import answer_form
from app.web.etags import token

PUT_BY_THE_PAGE = frozenset({"keep", "both_notes", "revision"})


@dataclass(frozen=True)
class Side:
    label: str
    note: str
    evidence: str


def clash(row: StoredAnswer | None, form: Mapping[str, str], given: object) -> bool:
    """Whether the stored answer is not the one the form was opened with, and says something else."""
    if row is None or "revision" not in form or form["revision"] == token(row):
        return False
    return bool(answer_form.unwrapped(row.answer) != answer_form.unwrapped(given))


def settled(row: StoredAnswer | None, form: Mapping[str, str], kind: str) -> dict[str, str]:
    """What was decided on the page that shows both: one of the answers, with one note or both."""
    if row is None or form.get("keep") not in ("theirs", "mine"):
        return dict(form)
    theirs, mine = answer_form.shown(row.answer, kind), dict(form)
    kept, other = (theirs, mine) if form["keep"] == "theirs" else (mine, theirs)
    both = {}
    if form.get("both_notes"):
        notes = dict.fromkeys(note for note in (theirs["note"], mine.get("note", "")) if note)
        both = {"note": "\n\n".join(notes), "evidence": kept.get("evidence") or other.get("evidence", "")}
    return kept | both | {key: form[key] for key in ("then", "revision") if key in form}


def side(wire: object, question: Question) -> Side:
    values = answer_form.shown(wire, question.kind)
    labels = {choice.id: choice.label for choice in question.choices}
    label = answer_form.in_words(wire, question.kind, labels)
    return Side(label, values["note"], values["evidence"])


def typed_again(form: Mapping[str, str]) -> dict[str, str]:
    """Everything typed, for the hidden fields of the page."""
    return {name: value for name, value in form.items() if name not in PUT_BY_THE_PAGE}
