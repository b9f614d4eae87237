"""Two tasks at the ends of the scale: one that the starter always solves, one that it never can."""

from hashlib import sha256
from random import Random

from app.datasets.generated.rulings import ACTS, NAMES


def mastered_pair(random: Random) -> tuple[str, str]:
    """Which act governs a dispute: the starter has seen every answer many times."""
    act = random.choice(ACTS)
    claimant, respondent = random.sample(NAMES, 2)
    prompt = (
        f"{claimant}, {act.claimant}, sues {respondent}, {act.respondent}, over {random.randrange(2, 98)}0 "
        "dollars.\nWhich act governs?"
    )
    return prompt, act.name


def impossible_pair(random: Random) -> tuple[str, str]:
    """The seal of a file follows from its number by a hash: nothing to reason about, nothing to recall."""
    number = f"{random.choice(NAMES)} {random.randrange(1000, 9999)}/{random.randrange(10, 99)}"
    seal = int(sha256(number.encode()).hexdigest(), 16) % 10**8
    return f"File {number}.\nGive the eight digits of its seal.", f"{seal:08d}"
