"""Projects drawn at random, as their JSON form."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from app.advisor.rulebook import Rulebook

HARDWARE = st.fixed_dictionaries(
    {
        "parameters_b": st.sampled_from([0.1, 0.5, 1, 1.5, 3, 7, 14, 32, 70]),
        "gpus": st.sampled_from([0, 1, 2, 8, 32]),
        "gpu_memory_gb": st.sampled_from([8.0, 24.0, 80.0, 141.0]),
        "tuning": st.sampled_from(["any", "full", "lora", "qlora"]),
    }
)
BUDGET = st.fixed_dictionaries(
    {"gpu_hours": st.sampled_from([0, 1, 10, 100, 10_000])},
    optional={
        "days": st.sampled_from([0.5, 3, 30]),
        "tokens_per_demonstration": st.integers(1, 5000),
        "tokens_per_rollout": st.integers(1, 20_000),
        "completions_per_prompt": st.integers(2, 64),
        "rollout_share": st.floats(0, 0.95),
        "grader_seconds": st.floats(0, 100),
        "grader_concurrency": st.integers(1, 64),
    },
)


def answer(rulebook: Rulebook, question: str) -> st.SearchStrategy[Any]:
    """A known answer."""
    asked = rulebook.questions[question]
    if asked.kind == "hardware":
        return HARDWARE
    if asked.kind == "budget":
        return BUDGET
    return st.sampled_from([choice.id for choice in asked.choices])


@st.composite
def wires(draw: st.DrawFn, rulebook: Rulebook) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for question in rulebook.questions:
        state = draw(st.sampled_from(["answered", "answered", "answered", "unknown", "not_applicable"]))
        if state == "answered":
            answers[question] = draw(answer(rulebook, question))
        elif state == "not_applicable":
            answers[question] = "not_applicable"
    wire: dict[str, Any] = {"answers": answers}
    if draw(st.booleans()):
        wire["weights"] = draw(weights(rulebook))
    if draw(st.booleans()):
        wire["measurements"] = draw(measurements(rulebook))
    return wire


def weights(rulebook: Rulebook) -> st.SearchStrategy[Mapping[str, float]]:
    points = st.one_of(st.just(0.0), st.floats(0.01, 100))
    drawn = st.fixed_dictionaries({factor.id: points for factor in rulebook.factors})
    return drawn.filter(lambda given: any(given.values()))


def measurements(rulebook: Rulebook) -> st.SearchStrategy[Mapping[str, float]]:
    values = {name: st.floats(known.low, min(known.high, 2)) for name, known in rulebook.measurements.items()}
    return st.fixed_dictionaries({}, optional=values)
