"""What tests of graders share: a worker to try them on, graders good and bad, and rows."""

from typing import Any

EXACT = {"type": "string_check", "name": "exact", "reference": "{{ item.answer }}"}
GAMEABLE = {"type": "string_check", "name": "has valid", "reference": "valid", "operation": "like"}
RULING = {"type": "regex", "name": "ruling", "pattern": r"Ruling: (\w+)", "reference": "{{ item.answer }}"}

ROWS: list[dict[str, Any]] = [
    {"prompt": f"Is case {n} valid?", "item": {"answer": label}}
    for n, label in enumerate(("valid", "invalid", "void", "remanded"))
]
