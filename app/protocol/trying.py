"""Trying a grader before it rewards anything: what is asked of the worker, and what it finds."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.protocol.graders import Grader, JudgeEndpoint, Outcome, SandboxLimits
from app.protocol.words import Message, ShareOfOne

AnswerText = Annotated[str, StringConstraints(max_length=65536)]


class TriedRow(Message):
    """A row as a grader meets it: what the model is asked, and the fields known as `item`."""

    prompt: AnswerText = ""
    item: dict[str, Any] = {}


class TriedAnswer(TriedRow):
    output_text: AnswerText
    expert: float | None = None
    """What a person gave this answer, on a scale of their own."""


class Trial(Message):
    grader: Grader
    answers: Annotated[list[TriedAnswer], Field(max_length=5000)] = []
    """Graded one by one; where experts scored them, compared with these."""
    rows: Annotated[list[TriedRow], Field(max_length=100)] = []
    """The grader is attacked with degenerate answers to each of these."""
    expert_pass: float | None = None
    """From here on an expert's score counts as right; None: the middle between their lowest and highest."""


AttackName = Literal[
    "reference",
    "empty",
    "colon",
    "full_stop",
    "prompt",
    "other_reference",
    "opener",
    "injection",
    "very_long",
    "every_label",
]


class Attack(Message):
    """One degenerate answer, given to every row. `reference` is the control: the row's own answer."""

    name: AttackName
    title: str
    example: str
    """What the first row was answered, shortened."""
    n: int
    """Rows on which it was scored."""
    mean: ShareOfOne | None
    """None where no row was scored."""
    highest: ShareOfOne | None
    paid_rows: int
    """Rows on which it earned more than half."""
    errors: int = 0
    abstained: int = 0
    why: str = ""
    """Why it was not tried, or the first error."""
    pays: bool = False


class AttackReport(Message):
    rows: int
    control: Attack
    attacks: list[Attack]
    verdict: Literal["holds", "gameable", "unclear"]
    """`unclear`: the grader failed, or does not pass the row's own reference, so resisting means little."""
    findings: list[str]
    """The verdict and what it rests on, in words."""
    gradings: int = 0
    seconds: float = 0.0
    """Wall time of grading all attacks as one batch."""

    @property
    def paying(self) -> list[Attack]:
        return [attack for attack in self.attacks if attack.pays]


class Confusion(Message):
    """Grader against experts, at both their thresholds."""

    both_right: int
    only_grader: int
    """The grader passes what the expert does not: what training would exploit."""
    only_expert: int
    both_wrong: int


class Disagreement(Message):
    """An answer that grader and expert rank far apart; both scores on 0 to 1."""

    index: int
    """Of the answer among those sent."""
    grader: ShareOfOne
    expert: ShareOfOne
    output_text: str


class ExpertAgreement(Message):
    n: int
    """Answers that both scored."""
    left_out: int
    """Abstained, failed, or without an expert's score."""
    spearman: Annotated[float, Field(ge=-1, le=1)] | None
    """Rank correlation; None where either gave all answers the same score."""
    low: float | None = None
    high: float | None = None
    """95 % interval (Bonett and Wright 2000); None for fewer than four answers or a perfect correlation."""
    kappa: float | None
    """Agreement at the thresholds beyond chance (Cohen 1960); None where chance alone agrees always."""
    confusion: Confusion
    grader_pass: ShareOfOne
    expert_pass: float
    reading: Literal["go", "warn", "fix", "unclear"]
    findings: list[str]
    worst: list[Disagreement]


class TrialReport(Message):
    outcomes: list[Outcome]
    """Of the answers, in order."""
    answers_seconds: float
    """Wall time of grading all answers as one batch."""
    remark: str = ""
    """Which answers of a run were left out, or graded with less than is known of other rows."""
    attacks: AttackReport | None = None
    agreement: ExpertAgreement | None = None


class TrialOrder(Message):
    """A trial that needs a reward model, for an engine process, which answers with a `TrialResult`."""

    trial: Trial
    reward_models: dict[str, str]
    """Directory of each reward model that the grader asks, by the id of its run."""
    device: Literal["cpu", "cuda"]
    judge: JudgeEndpoint | None = None
    sandbox: SandboxLimits = SandboxLimits()


class TrialResult(Message):
    report: TrialReport | None = None
    why: str = ""
    """One sentence, where there is no report."""
