"""Specs of runs for tests: any model will do, the engine only replays."""

from typing import Any

Spec = dict[str, Any]

RULING: Spec = {
    "type": "regex",
    "name": "ruling",
    "pattern": r"Ruling: (\w+)",
    "reference": "{{ item.answer }}",
}
DRAFT: Spec = RULING | {"name": "draft", "pattern": r"Draft: (\w+)", "match": "first"}


def sft(name: str, **more: Any) -> Spec:
    recipe = {
        "kind": "sft",
        "learning_rate": 2e-3,
        "batch_size": 16,
        "micro_batch_size": 16,
        "epochs": 3.0,
        "max_length": 256,
    }
    return {
        "name": name,
        "model": {"kind": "hub", "id": "somebody/some-model"},
        "dataset": {"kind": "generated", "name": "rulings"},
        "grader": RULING,
        "draft_grader": DRAFT,
        "recipe": recipe,
        "evaluation": {"items": 100, "samples_shown": 6},
    } | more


def grpo(name: str, steps: int = 60, **more: Any) -> Spec:
    recipe = {
        "kind": "grpo",
        "learning_rate": 5e-4,
        "batch_size": 64,
        "micro_batch_size": 64,
        "steps": steps,
        "num_generations": 8,
        "max_completion_length": 96,
    }
    return sft(name) | {"recipe": recipe} | more


STRICT: Spec = {"type": "string_check", "name": "strict", "reference": "{{ item.answer }}"}
GUARD: Spec = {
    "dataset": {"kind": "generated", "name": "clauses"},
    "grader": {"type": "json_schema", "name": "record", "schema": {"type": "object"}},
    "items": 80,
}


def preferred(name: str, **more: Any) -> Spec:
    """A reward model; its dataset would hold preference pairs."""
    recipe = {
        "kind": "reward_model",
        "learning_rate": 1e-4,
        "batch_size": 16,
        "micro_batch_size": 16,
        "epochs": 1.0,
        "max_length": 256,
    }
    found = sft(name) | {"recipe": recipe}
    return {key: value for key, value in found.items() if "grader" not in key} | more
