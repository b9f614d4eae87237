"""Contract clauses: one clause in, a record in JSON out."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from app.datasets.generated.rulings import NAMES

KINDS = ("payment", "delivery", "termination", "confidentiality", "warranty")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": list(KINDS)},
        "party": {"enum": list(NAMES)},
        "days": {"type": "integer", "minimum": 1, "maximum": 99},
        "penalty": {"type": "boolean"},
    },
    "required": ["kind", "party", "days", "penalty"],
    "additionalProperties": False,
}

QUESTION = "Give the clause as JSON."

WORDINGS = {
    "payment": (
        "{party} shall pay the agreed price within {days} days.",
        "Invoices fall due on {party} after {days} days.",
    ),
    "delivery": (
        "{party} shall deliver the goods within {days} days.",
        "Shipment by {party} takes place within {days} days.",
    ),
    "termination": (
        "{party} may end this contract on {days} days of notice.",
        "Notice by {party} takes effect after {days} days.",
    ),
    "confidentiality": (
        "{party} shall keep the papers secret for {days} days.",
        "Disclosure by {party} is barred for {days} days.",
    ),
    "warranty": (
        "{party} shall mend any defect within {days} days.",
        "{party} warrants the goods for {days} days.",
    ),
}

PENALTIES = ("A penalty applies to any delay.", "No penalty applies.")


@dataclass(frozen=True)
class Clause:
    text: str
    record: dict[str, Any]

    @property
    def prompt(self) -> str:
        return f"{self.text}\n{QUESTION}"

    @property
    def answer(self) -> str:
        return json.dumps(self.record)


def draw_clause(random: Random) -> Clause:
    kind = random.choice(KINDS)
    party, days, penalty = random.choice(NAMES), random.randrange(2, 99), random.random() < 0.5
    number = f"{random.randrange(1, 30)}.{random.randrange(1, 10)}"
    wording = random.choice(WORDINGS[kind]).format(party=party, days=days)
    text = f"Clause {number}: {wording} {PENALTIES[0 if penalty else 1]}"
    return Clause(text, {"kind": kind, "party": party, "days": days, "penalty": penalty})


def other_formats(clause: Clause) -> tuple[str, ...]:
    """How people note clauses who were never asked for JSON."""
    record = clause.record
    penalty = "with penalty" if record["penalty"] else "no penalty"
    return (
        f"{record['kind']}: {record['party']}, {record['days']} days, {penalty}",
        f"kind={record['kind']} party={record['party']} days={record['days']}",
        f"- {record['kind']}\n- {record['party']}\n- {record['days']} days",
        json.dumps({"clause": record["kind"], "who": record["party"]}),
    )
