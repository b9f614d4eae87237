"""A decision as files: JSON that decides again, and CSV of what each answer added."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps, loads
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.advisor.advice import Recommendation, RulebookStamp
from app.advisor.answers import Project, wire_of
from app.advisor.recommendation import EVERYTHING, recommend
from app.advisor.record import checksum
from app.advisor.rulebook import Rulebook
from app.protocol import Message, Sha256

FORMAT = "tuning-fork-decision"

MOST_ANSWERS = 100

Words = Annotated[str, StringConstraints(max_length=4000)]


class Filed(Message):
    """What people decided about it where it was exported."""

    number: int | None = None
    date: Words = ""
    status: Words = "proposed"
    owner: Words = ""
    review_by: Words = ""
    supersedes: Words = ""
    superseded_by: Words = ""


class DecisionFile(Message):
    """What decides again under the same rulebook; the rulebook itself is named by its checksum only."""

    format: Literal["tuning-fork-decision"]
    format_version: Literal[1]
    program: Words = ""
    """Version of the program that exported it."""
    name: Words = ""
    description: Words = ""
    answers: Annotated[dict[str, Any], Field(max_length=MOST_ANSWERS)]
    weights: Annotated[dict[str, float], Field(max_length=20)] | None = None
    measurements: Annotated[dict[str, float], Field(max_length=50, default_factory=dict)]
    decision: Filed = Filed()
    confirmations: Annotated[list[dict[str, Any]], Field(max_length=1000)] = []
    """What full runs showed about it; told, and not needed to decide again."""
    rulebook: RulebookStamp
    result_sha256: Sha256
    """Over the recommendation's JSON, byte for byte as it stands below."""
    recommendation: dict[str, Any]

    def wire(self) -> dict[str, Any]:
        """For `Rulebook.read`."""
        told = {"answers": self.answers, "weights": self.weights, "measurements": self.measurements}
        return told | {"name": self.name, "description": self.description}


def to_json(
    project: Project,
    advice: Recommendation,
    filed: Filed,
    program: str,
    confirmations: Sequence[dict[str, Any]] = (),
) -> bytes:
    """The recommendation comes last and in one piece, so that its checksum can be taken from the file."""
    head = {
        "format": FORMAT,
        "format_version": 1,
        "program": program,
        "name": "",
        "description": "",
        "weights": None,
        "measurements": {},
        **wire_of(project),
        "decision": filed.model_dump(),
        **({"confirmations": list(confirmations)} if confirmations else {}),
        "rulebook": advice.rulebook.model_dump(),
        "result_sha256": checksum(advice),
    }
    text = dumps(head, indent=2, ensure_ascii=False).removesuffix("\n}")
    return f'{text},\n  "recommendation": {advice.model_dump_json()}\n}}\n'.encode()


@dataclass(frozen=True)
class Reproduced:
    advice: Recommendation
    identical: bool
    differing: tuple[str, ...]
    """Parts of the result that came out otherwise, or that were changed in the file."""


def reproduce(file: DecisionFile, rulebook: Rulebook) -> Reproduced:
    """Raises InvalidInput where the answers do not fit the rulebook."""
    advice = recommend(rulebook.read(file.wire()), rulebook, EVERYTHING)
    fresh = loads(advice.model_dump_json())
    parts = [*fresh, *(name for name in file.recommendation if name not in fresh)]
    differing = tuple(p for p in parts if fresh.get(p, ...) != file.recommendation.get(p, ...))
    identical = not differing and checksum(advice) == file.result_sha256
    return Reproduced(advice, identical, differing)


# CSV

COLUMNS = (
    "question",
    "factor",
    "title",
    "answer",
    "state",
    "basis",
    "effect",
    "contribution",
    "grade",
    "sources",
    "note",
    "evidence",
)

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def to_csv(project: Project, advice: Recommendation) -> str:
    """One row a question; the contributions add up to the lean."""
    text = io.StringIO(newline="")
    sheet = csv.writer(text)
    sheet.writerow(COLUMNS)
    for part in advice.contributions:
        answer = project.answers.get(part.question)
        words = (part.question, part.factor, part.title, part.answer_label, part.state, part.basis or "")
        beside = (answer.note, answer.evidence or "") if answer else ("", "")
        after = (part.grade, " ".join(part.sources), *beside)
        sheet.writerow([*map(unarmed, words), part.effect, part.contribution, *map(unarmed, after)])
    return text.getvalue()


def unarmed(text: str) -> str:
    """A cell that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text
