"""A run put into words and figures for its page: what happens now, its charts, before against after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.graders.comparison import mcnemar
from app.protocol import DatasetRef, Evaluation, Interval, ModelRef, RunState, SampledAnswer, Share
from app.run_view import Point, RunView
from app.web import charts

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float | None) -> str:
    """As the live page writes it: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole >= HOUR:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // MINUTE} min {whole % MINUTE} s" if whole >= MINUTE else f"{whole} s"


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}\u00a0%"


def size(count: int) -> str:
    """Bytes as people read them."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def quantity(value: float | None, unit: str) -> str:
    """A metric's value, written exactly as the script of the live page writes it."""
    if value is None:
        return "no value"
    if unit == "%":
        return percent(value, 1 if value and abs(value) < 0.1 else 0)
    magnitude = abs(value)
    if magnitude and magnitude < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent):+d}"
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text}\u00a0{unit}" if unit else text


def sentence(words: str) -> str:
    """Reports of the engine are notes; on a page they are sentences."""
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


# What happens now


def opening(view: RunView) -> str:
    match view.state:
        case RunState.SUCCEEDED:
            return _verdict(view)
        case RunState.FAILED:
            return view.failure.reason if view.failure else "The run failed."
        case RunState.CANCELLED:
            return f"Stopped on request after {_steps(view)}."
        case RunState.RUNNING:
            return _course(view)
        case RunState.EVALUATING:
            when = "before training" if view.before is None else "after training"
            return f"Measuring the model on held-out items, {when}."
    return view.words + ("" if view.words.endswith(".") else ".")


def _verdict(view: RunView) -> str:
    if view.kind == "starter":
        return "The starter model is ready: runs can begin from it."
    if view.before is None or view.after is None:
        return f"Succeeded after {_steps(view)}."
    return (
        f"{percent(view.after.sampled.value)} of the held-out answers are right, "
        f"{percent(view.before.sampled.value)} were before training."
    )


def _steps(view: RunView) -> str:
    return f"step {view.step} of {view.total_steps}" if view.total_steps else f"step {view.step}"


SETTLED = 5
"""Steps that are averaged before a metric is quoted in a sentence."""


def _course(view: RunView) -> str:
    """Where the metric that matters stands, against where it began; single steps are too noisy to quote."""
    series = next(iter(BY_KIND.get(view.kind, ())), None)
    points = view.metrics.get(series.key, []) if series else []
    if series is None or len(points) < 2:
        return "Training has begun."
    few = max(1, min(SETTLED, len(points) // 2))
    now = sum(point.value for point in points[-few:]) / few
    first = sum(point.value for point in points[:few]) / few
    way = "up from" if now > first else "down from" if now < first else "as"
    return (
        f"Training: the {series.title.lower()} is about {quantity(now, series.unit)}, "
        f"{way} {quantity(first, series.unit)} at first."
    )


# The charts that matter


@dataclass(frozen=True)
class Series:
    key: str
    """TRL's name of the metric."""
    title: str
    hint: str
    unit: str = ""
    bounds: str = ""
    """Lowest and highest value of the axis; empty: as the values go."""


BY_KIND: Mapping[str, tuple[Series, ...]] = {
    "sft": (
        Series("loss", "Loss", "How surprised the model is by the demonstrations: falls, then levels off."),
        Series(
            "mean_token_accuracy",
            "Token accuracy",
            "Share of the demonstrations’ tokens that the model would have written itself.",
            "%",
        ),
        Series("entropy", "Entropy", "How undecided the model is about the next token.", "nats"),
        Series("grad_norm", "Gradient norm", "Sudden leaps mean unstable training."),
    ),
    "grpo": (
        Series(
            "reward",
            "Reward",
            "Mean score of the completions drawn in training: what GRPO raises.",
            "%",
            "0 1",
        ),
        Series(
            "frac_reward_zero_std",
            "Groups without differences",
            "Groups whose completions all got the same reward: they teach nothing.",
            "%",
            "0 1",
        ),
        Series(
            "entropy",
            "Entropy",
            "How varied the completions are. Near zero the model has stopped exploring.",
            "nats",
        ),
        Series(
            "completions/mean_length",
            "Completion length",
            "Growing length without growing reward is a warning.",
            "tokens",
        ),
        Series(
            "completions/clipped_ratio",
            "Completions cut at the limit",
            "A cut completion rarely holds its answer.",
            "%",
            "0 1",
        ),
    ),
    "starter": (Series("loss", "Loss", "The starter model learns its tasks from nothing: the loss falls."),),
}  # fmt: skip

ROWS_PER_PAGE = 25


@dataclass(frozen=True)
class Figure:
    series: Series
    headline: bool
    points: Sequence[Point]
    rows: Sequence[Point]
    """The page of the data table, newest first."""
    page: int
    pages: int

    @property
    def id(self) -> str:
        return "chart-" + self.series.key.replace("/", "-").replace("_", "-")

    @property
    def now(self) -> str:
        return quantity(self.points[-1].value, self.series.unit) if self.points else "no value yet"

    @property
    def name(self) -> str:
        """What a screen reader hears in the picture's place."""
        if not self.points:
            return f"{self.series.title}: no value yet"
        first, last = self.points[0], self.points[-1]
        return (
            f"{self.series.title}: {quantity(last.value, self.series.unit)} at step {last.step}, "
            f"{quantity(first.value, self.series.unit)} at step {first.step}"
        )

    @property
    def still(self) -> Markup:
        return charts.line([p.step for p in self.points], [p.value for p in self.points])

    def shown(self, point: Point) -> str:
        return quantity(point.value, self.series.unit)


def figures(view: RunView, table: str = "", page: int = 1) -> list[Figure]:
    found = []
    for position, series in enumerate(BY_KIND.get(view.kind, ())):
        points = view.metrics.get(series.key, [])
        if not points and (view.is_over or view.metrics):
            continue
        pages = max(1, -(-len(points) // ROWS_PER_PAGE))
        number = min(max(1, page), pages) if table == series.key else 1
        newest = list(reversed(points))[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]
        found.append(Figure(series, position == 0, points, newest, number, pages))
    return found


# Before against after


@dataclass(frozen=True)
class Measure:
    """One way of answering, before and after."""

    title: str
    before: Share
    after: Share | None
    p: float | None
    pictures: tuple[tuple[str, Share, Markup], ...]

    @property
    def gain(self) -> str:
        return points_gained(self.before, self.after) if self.after else ""

    @property
    def verdict(self) -> str:
        return significance(self.p)


def points_gained(before: Share, after: Share) -> str:
    gain = 100 * (after.value - before.value)
    sign = "−" if gain < 0 else "+"
    return f"{sign}{abs(gain):.1f} points"


def significance(p: float | None) -> str:
    if p is None:
        return ""
    written = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"{written}, {'more than chance' if p < 0.05 else 'could be chance'}"


def counted(share: Share) -> str:
    return f"{share.right} of {share.n}"


def reach(interval: Interval) -> str:
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}\u00a0%"


def measures(before: Evaluation | None, after: Evaluation | None) -> list[Measure]:
    if before is None:
        return []
    return [
        _measure("Sampled answers", "sampled", before, after),
        _measure("Greedy answers", "greedy", before, after),
    ]


def _measure(title: str, way: str, before: Evaluation, after: Evaluation | None) -> Measure:
    old: Share = getattr(before, way)
    new: Share | None = getattr(after, way) if after else None
    return Measure(title, old, new, _p(before, after, f"{way}_outcomes"), _pictures(old, new))


def _p(before: Evaluation, after: Evaluation | None, outcomes: str) -> float | None:
    if after is None:
        return None
    old, new = getattr(before, outcomes), getattr(after, outcomes)
    return mcnemar(old, new) if len(old) == len(new) else None


def _pictures(before: Share, after: Share | None) -> tuple[tuple[str, Share, Markup], ...]:
    rows = [picture("Before", before, hollow=True)]
    return (*rows, picture("After", after)) if after else tuple(rows)


def picture(label: str, share: Share, hollow: bool = False) -> tuple[str, Share, Markup]:
    span = charts.Span(label, share.interval.low, share.value, share.interval.high, hollow=hollow)
    return label, share, charts.interval(span)


@dataclass(frozen=True)
class Correction:
    """What became of the drafts inside the answers."""

    when: str
    mended: int
    wrong: int
    spoiled: int
    right: int
    undecided: int

    @property
    def mended_share(self) -> str:
        return percent(self.mended / self.wrong) if self.wrong else "none were wrong"

    @property
    def spoiled_share(self) -> str:
        return percent(self.spoiled / self.right) if self.right else "none were right"


def corrections(before: Evaluation | None, after: Evaluation | None) -> list[Correction]:
    return [
        Correction(
            when, e.drafts.mended, e.drafts.wrong, e.drafts.spoiled, e.drafts.right, e.drafts.undecided
        )
        for when, e in (("Before", before), ("After", after))
        if e is not None and e.drafts is not None
    ]


@dataclass(frozen=True)
class Pair:
    """One held-out item answered before and after."""

    item: int
    prompt: str
    reference: str | None
    before: SampledAnswer | None
    after: SampledAnswer | None

    @property
    def id(self) -> str:
        return f"answer-{self.item}"

    @property
    def course(self) -> str:
        words = (
            f"{outcome_word(answer)[1].lower()} {when}"
            for answer, when in ((self.before, "before"), (self.after, "after"))
            if answer
        )
        return ", ".join(words)


@dataclass(frozen=True)
class Answers:
    """What was answered: one item of each course first, answers that became wrong before all others."""

    first: Sequence[Pair]
    rest: Sequence[Pair]


COURSES = ("right before, wrong after", "wrong before, right after", "wrong before, wrong after")


def answers(before: Evaluation | None, after: Evaluation | None) -> Answers:
    old = {answer.item: answer for answer in (before.samples if before else [])}
    new = {answer.item: answer for answer in (after.samples if after else [])}
    found = [
        Pair(item, either.prompt, either.reference, old.get(item), new.get(item))
        for item in sorted(old | new)
        if (either := old.get(item) or new[item])
    ]
    telling = [pair for course in COURSES for pair in found if pair.course == course]
    first = [pair for n, pair in enumerate(telling) if n == 0 or telling[n - 1].course != pair.course]
    first = first or found[:3]
    return Answers(first, [pair for pair in found if pair not in first])


def outcome_word(answer: SampledAnswer) -> tuple[str, str]:
    """(state class, word) of a graded answer."""
    match answer.outcome.kind:
        case "abstain":
            return "idle", "Not gradable"
        case "error":
            return "bad", "The grader failed"
        case "score":
            value = answer.outcome.value
    if value == 1:
        return "ok", "Right"
    return ("bad", "Wrong") if value == 0 else ("idle", f"Scored {value:.2f}")


# What a run is made of


def model_words(model: ModelRef) -> str:
    match model.kind:
        case "starter":
            return "the starter model"
        case "hub":
            return f"{model.id} from the Hugging Face hub" + (
                f" at {model.revision}" if model.revision else ""
            )
        case "local":
            return f"the worker’s local model {model.name}"


def dataset_words(dataset: DatasetRef | None, names: Mapping[str, str]) -> str:
    """`names`: what uploaded datasets are called, by content hash."""
    if dataset is None:
        return "no dataset"
    if dataset.kind == "generated":
        return f"the generated task “{dataset.name}”"
    return f"your dataset “{names.get(dataset.sha256, dataset.sha256[:12])}”"
