"""How often answers were right, how sure that is, and an answer to look at."""

from typing import Annotated

from pydantic import Field

from app.protocol.graders import Outcome
from app.protocol.words import Message, ShareOfOne


class Interval(Message):
    low: ShareOfOne
    high: ShareOfOne


class Share(Message):
    """`right` of `n` answers passed; abstentions and grader errors are in neither number."""

    right: Annotated[int, Field(ge=0)]
    n: Annotated[int, Field(ge=0)]
    interval: Interval
    """Wilson, 95 %."""

    @property
    def value(self) -> float:
        return self.right / self.n if self.n else 0.0


class SampledAnswer(Message):
    item: int
    """Index into the held-out split."""
    prompt: str
    output_text: str
    reference: str | None = None
    outcome: Outcome
