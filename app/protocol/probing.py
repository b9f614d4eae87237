"""A probe: the starting model answers each of some prompts several times, and the grader scores it."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from app.protocol.shares import SampledAnswer, Share
from app.protocol.words import Message, ShareOfOne


class AnswerLengths(Message):
    """Tokens of the answers."""

    median: float
    p95: float
    longest: int


class DeadShare(Message):
    """Groups in which all answers score the same, so that GRPO learns nothing from them."""

    group: Annotated[int, Field(ge=2)]
    """Answers to each prompt."""
    share: ShareOfOne
    is_measured: bool
    """False where it follows from each prompt's own share of right answers, for groups larger than drawn
    or than most prompts have scores."""
    all_right: ShareOfOne
    """Of all groups, the dead ones in which every answer passes."""
    all_wrong: ShareOfOne
    """Of all groups, the dead ones in which none passes."""


class ProbedPrompt(Message):
    """One prompt and what its answers were worth."""

    row: Annotated[int, Field(ge=0)]
    """Index into the rows that were drawn from."""
    prompt: str
    """Its beginning."""
    scores: list[ShareOfOne | None]
    """None where the grader abstained or failed."""
    tokens: list[int]
    clipped: int
    """Of its answers, cut at the length limit."""
    distinct: int
    """Different answers among them."""


class DemonstrationScores(Message):
    """The rows' own answers under the same grader."""

    passed: Share
    mean: ShareOfOne
    errors: int


class Difference(Message):
    """Of two mean scores, with its 95 % interval."""

    value: float
    low: float
    high: float
    is_paired: bool = True
    """Both on the same rows; else the demonstrations are other rows than those that were probed."""


class ProbeReport(Message):
    prompts: list[ProbedPrompt]
    samples: Annotated[int, Field(ge=1)]
    """Answers to each prompt."""
    temperature: float
    max_completion_length: int
    passed: Share
    """Over all answers; the interval allows for answers to one prompt being alike."""
    mean: ShareOfOne
    """Mean score."""
    pass_at: Mapping[int, ShareOfOne]
    """Chance that at least one of k answers passes: the unbiased estimator of Chen et al. 2021."""
    dead: list[DeadShare]
    """For several group sizes, smallest first."""
    clipped: ShareOfOne
    lengths: AnswerLengths
    format_valid: ShareOfOne | None = None
    """Share of answers that have the form the grader reads; None where it reads any text."""
    distinct: ShareOfOne
    """Mean over prompts of different answers among all."""
    abstained: int
    errors: int
    first_error: str = ""
    grader_seconds: float
    """Of grading all answers."""
    seconds: float
    """Of answering and grading."""
    demonstrations: DemonstrationScores | None = None
    difference: Difference | None = None
    """The demonstrations' mean score minus the model's."""
    shown: list[SampledAnswer]
