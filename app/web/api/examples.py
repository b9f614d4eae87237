"""The examples in the API's documentation. Tests send every one of them."""

from typing import Any

from fastapi import FastAPI

from app.advisor.rulebook import Rulebook

Examples = dict[str, Any]

CLAUSES_RUN: dict[str, Any] = {
    "name": "Clauses to JSON",
    "model": {"kind": "starter"},
    "dataset": {"kind": "generated", "name": "clauses"},
    "grader": {
        "type": "json_schema",
        "name": "valid clause",
        "schema": {"type": "object", "required": ["type"]},
    },
    "recipe": {
        "kind": "sft",
        "learning_rate": 0.001,
        "batch_size": 16,
        "micro_batch_size": 16,
        "epochs": 3.0,
        "max_length": 256,
    },
}

RULINGS_GRADER: dict[str, Any] = {
    "type": "regex",
    "name": "ruling",
    "pattern": "Ruling: (\\w+)",
    "match": "last",
    "reference": "{{ item.answer }}",
}

WARM_START: dict[str, Any] = {
    "name": "Rulings: warm start",
    "model": {"kind": "starter"},
    "dataset": {"kind": "generated", "name": "rulings"},
    "grader": RULINGS_GRADER,
    "recipe": CLAUSES_RUN["recipe"] | {"epochs": 2.0, "max_demonstrations": 200},
}

REINFORCEMENT: dict[str, Any] = WARM_START | {
    "name": "Rulings: reinforcement",
    "recipe": {
        "kind": "grpo",
        "learning_rate": 0.0005,
        "batch_size": 64,
        "micro_batch_size": 64,
        "steps": 100,
        "num_generations": 8,
        "max_completion_length": 128,
    },
}

DECISIONS: Examples = {
    "accepted": {
        "summary": "Accepted, with somebody who answers for it and a day to look again",
        "value": {"status": "accepted", "owner": "Head of research", "review_by": "2027-06-30"},
    },
    "rejected": {"summary": "Rejected", "value": {"status": "rejected"}},
}

SHARES: Examples = {
    "for_a_review": {
        "summary": "For somebody outside, for two weeks, without notes",
        "value": {"label": "Review board", "days": 14, "with_notes": False},
    },
}

RUNS: Examples = {
    "one_run": {"summary": "One SFT run on the starter model", "value": CLAUSES_RUN},
    "two_stages": {
        "summary": "A warm start, then GRPO from the model it leaves",
        "value": {"plan": [WARM_START, REINFORCEMENT]},
    },
    "a_probe": {
        "summary": "The starter model answers 32 prompts 8 times; nothing is trained",
        "value": {**CLAUSES_RUN, "name": "Probe: clauses", "recipe": {"kind": "probe"}},
    },
}

SPECS: Examples = {"one_run": RUNS["one_run"]}

NEW_ASSESSMENT: Examples = {
    "empty": {"summary": "To be answered later", "value": {"name": "Legal reasoning"}},
    "answered": {
        "summary": "With first answers",
        "value": {"name": "Legal reasoning", "answers": {"O1": "multi_step_reasoning", "D3": None}},
    },
}

CHANGES: Examples = {"name": {"summary": "Another name", "value": {"name": "Legal reasoning, second try"}}}

ANSWERS: Examples = {
    "choice": {"summary": "A choice", "value": "multi_step_reasoning"},
    "noted": {
        "summary": "A choice with a note",
        "value": {"choice": "multi_step_reasoning", "note": "Agreed with the legal team."},
    },
    "not_applicable": {"summary": "Does not apply", "value": "not_applicable"},
}

QUESTIONS: Examples = {
    "own": {
        "summary": "A prompt of one's own, likeliest tokens only",
        "value": {"prompt": "May the tenant terminate early?", "temperature": 0.0, "max_tokens": 200},
    },
    "held_out": {"summary": "A held-out row, scored by the run's grader", "value": {"item": 0, "seed": 1}},
}

GRADES: Examples = {
    "regex": {
        "summary": "The last ruling named must be the right one",
        "value": {
            "grader": RULINGS_GRADER,
            "output_text": "Ruling: denied. On reflection: Ruling: granted",
            "item": {"answer": "granted"},
        },
    }
}


def document(app: FastAPI, rulebook: Rulebook) -> None:
    """The rulebook's own examples are those of the address that asks it."""
    undocumented = app.openapi

    def documented() -> dict[str, Any]:
        schema = undocumented()
        body = schema["paths"]["/api/v1/recommendations"]["post"]["requestBody"]
        body["content"]["application/json"]["examples"] = {
            example.id: {"summary": example.title, "value": {"answers": dict(example.answers)}}
            for example in rulebook.examples
        }
        return schema

    app.openapi = documented  # type: ignore[method-assign] # the framework's documented way
