"""An exported decision brought in: its answers, and whether they give its result again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from app.advisor.decision_file import FORMAT, DecisionFile, Filed, Reproduced, reproduce
from app.advisor.rulebook import Rulebook
from app.errors import Conflict, InvalidInput, Malformed, Problem
from app.http_json import problems_of
from app.models import Assessment, Milestone, StoredRulebook
from app.protocol import Name
from app.rulebooks import Rulebooks
from app.strict_json import strict_loads
from app.web.assessing import answer, freeze
from app.web.records import STATUSES

UNNAMED = "Imported assessment"


class RulebookMissing(Conflict):
    """The rulebook this was decided under is not in store here."""


@dataclass(frozen=True)
class Imported:
    assessment: Assessment
    milestone: Milestone
    reproduced: bool | None
    """None where another rulebook was used, so that nothing was to be expected."""
    differing: tuple[str, ...]


def read_file(body: bytes) -> DecisionFile:
    """Raises InvalidInput naming every place and its fix."""
    if not body.strip():
        raise InvalidInput("There is nothing to import.", (_problem("file", "choose a file, or paste it"),))
    given = _read(body)
    if not isinstance(given, Mapping) or given.get("format") != FORMAT:
        what = (
            "this is no exported decision: take the file that “JSON” on the page of a decision record gives"
        )
        raise InvalidInput("The file cannot be imported.", (_problem("format", what),))
    try:
        return DecisionFile.model_validate(given)
    except ValidationError as error:
        raise InvalidInput("The file cannot be imported.", tuple(problems_of(error.errors()))) from None


def _read(body: bytes) -> Any:
    try:
        return strict_loads(body)
    except InvalidInput as error:
        told = tuple(_problem("file", each.what) for each in error.problems)
        raise InvalidInput("The file cannot be imported.", told) from None
    except Malformed as error:
        raise InvalidInput("The file cannot be imported.", (_problem("file", error.sentence),)) from None


def bring_in(session: Session, rulebooks: Rulebooks, file: DecisionFile, under_in_force: bool) -> Imported:
    """Raises RulebookMissing where the file's rulebook is not here and the one in force was not asked for."""
    rulebook = rulebooks.active if under_in_force else _its_rulebook(session, rulebooks, file)
    again = reproduce(file, rulebook)
    assessment = _begun(session, file, rulebook)
    milestone = freeze(session, assessment, rulebook)
    same_rules = rulebook.checksum == file.rulebook.checksum
    milestone.label = _label(file, again) if same_rules else _recomputed(file, rulebook)
    if same_rules and again.identical:
        _file_as_before(milestone, file.decision)
    return Imported(assessment, milestone, again.identical if same_rules else None, again.differing)


def _its_rulebook(session: Session, rulebooks: Rulebooks, file: DecisionFile) -> Rulebook:
    stamp = file.rulebook
    if stamp.checksum == rulebooks.active.checksum:
        return rulebooks.active
    if session.get(StoredRulebook, stamp.checksum) is None:
        raise RulebookMissing(
            f"Rulebook {stamp.version} with the checksum {stamp.checksum[:12]}… is not in store here, so the "
            f"result cannot be computed again. Its answers can be imported under {rulebooks.active.version}, "
            "which is in force; the result may then differ."
        )
    return rulebooks.of(session, stamp.checksum)


def _begun(session: Session, file: DecisionFile, rulebook: Rulebook) -> Assessment:
    try:
        name = TypeAdapter(Name).validate_python(file.name or UNNAMED)
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidInput("The file cannot be imported.", (_problem("name", what),)) from None
    assessment = Assessment(
        name=name,
        description=file.description,
        weights=file.weights or {},
        measurements=file.measurements,
        rulebook_version=rulebook.version,
        rulebook_checksum=rulebook.checksum,
        answers=[],
        milestones=[],
    )
    session.add(assessment)
    for question, given in file.answers.items():
        answer(assessment, question, given, why="imported")
    session.flush()
    return assessment


def _label(file: DecisionFile, again: Reproduced) -> str:
    if again.identical:
        return "Imported: the same result, byte for byte"
    if not again.differing:
        return "Imported: the same result, under a checksum that is not the file’s"
    differing = ", ".join(part.replace("_", " ") for part in again.differing)
    return f"Imported: computed again, the result differs in {differing}"


def _recomputed(file: DecisionFile, rulebook: Rulebook) -> str:
    return f"Imported from rulebook {file.rulebook.version}, computed again under {rulebook.version}"


def _file_as_before(milestone: Milestone, filed: Filed) -> None:
    """What cannot be read here is left at its default."""
    if filed.status in STATUSES:
        milestone.status = filed.status
    try:
        milestone.owner = TypeAdapter(Name).validate_python(filed.owner) if filed.owner else ""
        milestone.review_by = date.fromisoformat(filed.review_by) if filed.review_by else None
    except ValueError:
        return


def _problem(where: str, what: str) -> Problem:
    return Problem(where=where, what=what)
