"""Run specs as a client sends them; the names make the fake engine behave (tests/fake_engine.py)."""

from typing import Any

SPEC: dict[str, Any] = {
    "name": "steps 3",
    "model": {"kind": "hub", "id": "some/model"},
    "dataset": {"kind": "generated", "name": "clauses"},
    "grader": {"type": "string_check", "name": "exact", "reference": "{{ item.reference }}"},
    "recipe": {
        "kind": "sft",
        "learning_rate": 0.001,
        "batch_size": 4,
        "micro_batch_size": 4,
        "epochs": 1.0,
        "max_length": 128,
    },
}


def named(name: str, **more: Any) -> dict[str, Any]:
    return SPEC | {"name": name} | more
