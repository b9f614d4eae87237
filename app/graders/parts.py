"""What a grader is made of and asks for. The web reads it, and has none of the graders' libraries."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from app.protocol import Grader, Multi, RewardModelGrader, ScoreModel, SelfCorrection


def inner(grader: Grader) -> dict[str, Grader]:
    """The graders directly inside this one, by their place in it."""
    if isinstance(grader, Multi):
        return {f"graders.{name}": each for name, each in grader.graders.items()}
    if isinstance(grader, SelfCorrection):
        return {"draft": grader.draft, "final": grader.final}
    return {}


def parts(grader: Grader) -> Iterator[Grader]:
    """The grader itself and every grader inside it."""
    yield grader
    for each in inner(grader).values():
        yield from parts(each)


def reward_model_runs(graders: Iterable[Grader]) -> list[UUID]:
    """The runs whose reward models these ask, each once."""
    asked = (part for grader in graders for part in parts(grader))
    return list(dict.fromkeys(part.run for part in asked if isinstance(part, RewardModelGrader)))


def asks_judge(grader: Grader) -> bool:
    return any(isinstance(part, ScoreModel) for part in parts(grader))
