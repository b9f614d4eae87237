"""What happened. One JSON object a line in events.jsonl."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.protocol.probing import ProbeReport
from app.protocol.runs import LimitName, RunState, RunStatus, State
from app.protocol.shares import SampledAnswer, Share
from app.protocol.words import Message, ShareOfOne


class DraftCounts(Message):
    """Self-correction on the sampled answers: what became of right and wrong drafts."""

    wrong: int
    mended: int
    right: int
    spoiled: int
    undecided: int
    """Answers without a gradable draft."""


class GraderScores(Message):
    """What one grader gave each held-out answer; None where it abstained or failed."""

    grader: str
    """Its name."""
    role: Literal["reward", "independent"]
    pass_threshold: ShareOfOne = 1.0
    sampled: list[ShareOfOne | None]
    greedy: list[ShareOfOne | None]
    errors: int = 0


class Agreement(Message):
    """How often a reward model prefers what people preferred, on held-out pairs."""

    share: Share
    bins: list["CalibrationBin"]
    """Ten equal steps of the predicted chance from 0.5 to 1: how often it was right there."""
    expected_calibration_error: ShareOfOne
    """Mean distance between predicted chance and frequency, weighted by pairs (Naeini et al. 2015)."""
    margin: float
    """Mean difference of chosen and rejected reward."""


class CalibrationBin(Message):
    low: ShareOfOne
    high: ShareOfOne
    pairs: int
    predicted: ShareOfOne
    observed: ShareOfOne


class Evaluation(Message):
    when: Literal["before", "after"]
    task: Literal["main", "guard"] = "main"
    sampled: Share
    """One answer per item at the rollouts' temperature."""
    greedy: Share
    sampled_outcomes: str
    """One character per held-out item: 1 right, 0 wrong, - abstained or grader error."""
    greedy_outcomes: str
    scores: list[GraderScores] = []
    """Per grader: the reward's first, then the independent ones."""
    abstained: int
    errors: int
    mean_tokens: float
    sampled_tokens: list[int] = []
    """Length of each sampled answer."""
    reference_tokens: float | None = None
    """Mean length of the items' reference answers, where there are any: what a grader compares whole answers
    with, the field `reference`, or the demonstration's own answer."""
    deference: ShareOfOne | None = None
    """Share of sampled answers that open by agreeing, thanking, apologising or flattering."""
    abstention: ShareOfOne | None = None
    """Of the answers to rows with a true field `unanswerable`, the share that says so."""
    loss: float | None = None
    """Mean cross-entropy on the held-out demonstrations or texts, in nats a token."""
    agreement: Agreement | None = None
    """Of a reward model."""
    clipped: ShareOfOne
    """Share of sampled answers cut at the length limit."""
    drafts: DraftCounts | None = None
    samples: list[SampledAnswer]
    seconds: float
    is_remembered: bool = False
    """Measured by an earlier run on the same model, items, grader and sampling."""


Agreement.model_rebuild()


class StateEvent(Message):
    kind: Literal["state"] = "state"
    state: State
    detail: str | None = None
    limit: LimitName | None = None
    """Of a pause that a limit of the run brought about."""


class ResumeEvent(Message):
    """Training goes on after a pause or a lost process; later steps that were told before are told again."""

    kind: Literal["resume"] = "resume"
    from_step: Annotated[int, Field(ge=0)]
    attempt: int = 1
    why: str


class MetricEvent(Message):
    """One logging step; names are TRL's own. A value that was not finite arrives as null.

    Short measurements during training carry names of ours: `held_out/score`, `held_out/right`,
    `held_out/independent/<grader>`, `held_out/loss`, `held_out/mean_tokens`, `held_out/length_ratio` (to the
    references), `held_out/clipped`, `held_out/deference`, `held_out/abstention`. At step 0 they are those of
    the evaluation before training. Parts of a GRPO reward are `rewards/<part>`, and the lengths of right and
    wrong completions `completions/mean_length_right` and `completions/mean_length_wrong`.
    """

    kind: Literal["metric"] = "metric"
    step: Annotated[int, Field(ge=0)]
    total_steps: Annotated[int, Field(ge=1)]
    values: Mapping[str, float | None]


class SampleEvent(Message):
    """A few completions of one training step, with their scores."""

    kind: Literal["sample"] = "sample"
    step: int
    prompt: str
    completions: list[str]
    rewards: list[float | None]
    advantages: list[float | None]
    parts: dict[str, list[float | None]] = {}
    """Where the grader is made of parts: what each gave each completion."""


class EvaluationEvent(Message):
    kind: Literal["evaluation"] = "evaluation"
    evaluation: Evaluation


class ProbeEvent(Message):
    """What a probe found, once it is through."""

    kind: Literal["probe"] = "probe"
    report: ProbeReport


class ProgressEvent(Message):
    """How far a phase without training steps has come (evaluation, preparing)."""

    kind: Literal["progress"] = "progress"
    phase: str
    done: int
    total: int


class HealthEvent(Message):
    """A health finding: a known failure that a rule over the metrics recognised."""

    kind: Literal["health"] = "health"
    rule: str
    level: Literal["info", "warn", "stop"]
    step: int
    sentence: str
    metric: str | None = None
    """The metric on whose chart it is drawn."""
    value: float | None = None
    """Where that metric stood."""
    advice: str = ""
    """What to do, where the sentence does not say it."""
    sources: list[str] = []
    """Ids of the rulebook's evidence."""

    @property
    def in_words(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()


class CheckpointEvent(Message):
    """A checkpoint is on disk, complete and verified by its manifest."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    score: float | None = None
    """Of the held-out check at this step; None where there was none."""
    is_best: bool = False
    bytes: int = 0


class LogEvent(Message):
    kind: Literal["log"] = "log"
    line: Annotated[str, StringConstraints(max_length=8192)]


class EndEvent(Message):
    """The verdict, always the last event. Success is judged by steps done, never by an exit code."""

    kind: Literal["end"] = "end"
    state: Literal[RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]
    steps_done: int
    total_steps: int | None = None
    reason: str | None = None
    """One sentence for a failed run."""
    log_tail: str | None = None
    kept_step: int | None = None
    """Step that the kept model is from; None: the last one, or no model was kept."""
    device: str = ""
    """What it ran on, as the driver names it; empty: not known."""


Happening = Annotated[
    StateEvent
    | ResumeEvent
    | MetricEvent
    | SampleEvent
    | EvaluationEvent
    | ProbeEvent
    | ProgressEvent
    | HealthEvent
    | CheckpointEvent
    | LogEvent
    | EndEvent,
    Field(discriminator="kind"),
]


def told_once(happenings: Iterable[Happening]) -> list[MetricEvent]:
    """The metrics without those that a lost process had told and that were told again after it."""
    metrics: list[MetricEvent] = []
    for what in happenings:
        if isinstance(what, ResumeEvent):
            metrics = [metric for metric in metrics if metric.step <= what.from_step]
        elif isinstance(what, MetricEvent):
            metrics.append(what)
    return metrics


class RunEvent(Message):
    seq: Annotated[int, Field(ge=1)]
    at: float
    """Unix seconds by the engine's clock."""
    what: Happening


class EventPage(Message):
    status: RunStatus
    events: list[RunEvent]
