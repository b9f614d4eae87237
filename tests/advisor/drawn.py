"""Projects drawn by a seeded generator: a thousand a second, the same ones on every machine."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from app.advisor.rulebook import Rulebook
from app.advisor.vocabulary import Question

Wire = dict[str, Any]


def projects(rulebook: Rulebook, count: int, seed: int = 20) -> Iterator[Wire]:
    """From nearly nothing known to everything known, some with weights or measurements of their own."""
    random = Random(seed)
    for _ in range(count):
        yield project(rulebook, random)


def project(rulebook: Rulebook, random: Random) -> Wire:
    known, aside = random.choice([(0.3, 0.1), (0.7, 0.15), (0.9, 0.05), (1.0, 0.0)])
    answers: Wire = {}
    for question in rulebook.questions.values():
        state = random.random()
        if state < aside:
            answers[question.id] = "not_applicable"
        elif state < aside + known:
            answers[question.id] = answer(question, random)
    wire: Wire = {"answers": answers}
    if random.random() < 0.3:
        wire["weights"] = weights(rulebook, random)
    if random.random() < 0.3:
        wire["measurements"] = measurements(rulebook, random)
    return wire


def answer(question: Question, random: Random) -> Any:
    """A known answer."""
    if question.kind == "hardware":
        return hardware(random)
    if question.kind == "budget":
        return {"gpu_hours": random.choice([0, 1, 10, 100, 1_000, 10_000])} | random.choice(
            [{}, {"days": 0.5}, {"days": 30.0}, {"tokens_per_rollout": random.randint(10, 20_000)}]
        )
    return random.choice(question.choices).id


def hardware(random: Random) -> Wire:
    return {
        "parameters_b": random.choice([0.1, 0.5, 1, 1.5, 3, 7, 14, 32, 70]),
        "gpus": random.choice([0, 1, 2, 8, 32]),
        "gpu_memory_gb": random.choice([8.0, 24.0, 80.0, 141.0]),
        "tuning": random.choice(["any", "full", "lora", "qlora"]),
    }


def weights(rulebook: Rulebook, random: Random) -> Mapping[str, float]:
    points = {factor.id: random.choice([0.0, random.uniform(0.01, 100)]) for factor in rulebook.factors}
    return points if any(points.values()) else weights(rulebook, random)


def measurements(rulebook: Rulebook, random: Random) -> Mapping[str, float]:
    found = rulebook.measurements.values()
    return {each.id: random.uniform(each.low, min(each.high, 2)) for each in found if random.random() < 0.3}
