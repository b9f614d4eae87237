"""The charts of a run's page: the metric that matters, held-out ones beside it, findings at their steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.run_view import Point, RunView
from app.web import charts
from app.web.run_words import quantity


@dataclass(frozen=True)
class Beside:
    """A held-out metric on the chart of a training metric."""

    key: str
    """A trailing slash: all metrics that begin so, one line each."""
    label: str


@dataclass(frozen=True)
class Series:
    key: str
    """TRL's name of the metric."""
    title: str
    hint: str
    unit: str = ""
    bounds: str = ""
    """Lowest and highest value of the axis; empty: as the values go."""
    beside: tuple[Beside, ...] = ()
    also: tuple[str, ...] = ()
    """Further metrics whose findings are drawn here."""


BY_KIND: Mapping[str, tuple[Series, ...]] = {
    "sft": (
        Series(
            "loss",
            "Loss",
            "How surprised the model is by the demonstrations: falls, then levels off.",
            beside=(Beside("held_out/loss", "held out"),),
            also=("held_out/loss",),
        ),
        Series(
            "mean_token_accuracy",
            "Token accuracy",
            "Share of the demonstrations’ tokens that the model would have written itself.",
            "%",
        ),
        Series(
            "held_out/right",
            "Held-out answers right",
            "Short measurements during training, on items that it does not learn from.",
            "%",
            "0 1",
            beside=(Beside("held_out/independent/", ""),),
            also=("held_out/score",),
        ),
        Series(
            "held_out/length_ratio",
            "Held-out answer length",
            "Against the references’ own length: 100 % is as long. Growing away from it is a warning.",
            "%",
            also=("held_out/mean_tokens",),
        ),
        Series(
            "held_out/deference",
            "Deference",
            "Share of held-out answers that open by agreeing, thanking or apologising.",
            "%",
            "0 1",
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
            beside=(
                Beside("held_out/score", "held out"),
                Beside("held_out/independent/", ""),
                Beside("rewards/", ""),
            ),
            also=("held_out/score", "held_out/right", "held_out/independent", "rewards"),
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
            beside=(Beside("held_out/mean_tokens", "held out"),),
            also=("held_out/mean_tokens", "held_out/length_ratio"),
        ),
        Series(
            "completions/clipped_ratio",
            "Completions cut at the limit",
            "A cut completion rarely holds its answer.",
            "%",
            "0 1",
            beside=(Beside("held_out/clipped", "held out"),),
            also=("held_out/clipped",),
        ),
        Series("kl", "KL divergence", "How far the model has moved from its start (Kullback-Leibler)."),
        Series("grad_norm", "Gradient norm", "Sudden leaps mean unstable training."),
    ),
    "reward_model": (
        Series(
            "accuracy",
            "Agreement in training",
            "Share of pairs whose preferred answer scores higher.",
            "%",
            "0 1",
            beside=(Beside("held_out/agreement", "held out"),),
            also=("held_out/agreement",),
        ),
        Series(
            "loss",
            "Loss",
            "How surprised the model is by people’s preferences.",
            beside=(Beside("held_out/loss", "held out"),),
            also=("held_out/loss",),
        ),
        Series("margin", "Margin", "Mean difference of the preferred and the other answer’s score."),
        Series("grad_norm", "Gradient norm", "Sudden leaps mean unstable training."),
    ),
    "starter": (Series("loss", "Loss", "The starter model learns its tasks from nothing: the loss falls."),),
}

ON_DEMAND: Mapping[str, Series] = {
    each.key: each
    for each in (
        Series("grader/errors", "Grader failures", "Completions that the grader failed on.", "%", "0 1"),
        Series(
            "held_out/abstention",
            "Abstention",
            "Unanswerable questions that are met by saying so.",
            "%",
            "0 1",
        ),
        Series("held_out/loss", "Held-out loss", "On rows that it does not learn from."),
        Series(
            "held_out/deference",
            "Deference",
            "Held-out answers that open by agreeing or thanking.",
            "%",
            "0 1",
        ),
        Series("completions/mean_length_wrong", "Length of wrong completions", "", "tokens"),
        Series("sampling/importance_sampling_ratio/mean", "Sampler and trainer", "Near 1 they agree."),
    )
}
"""Drawn only where a finding is about them."""

ROWS_PER_PAGE = 25

MOST_BESIDE = 4
"""Lines on one chart beside its own: as many as there are dash patterns."""


@dataclass(frozen=True)
class Mark:
    """A step that a chart points to."""

    step: int
    sign: str
    """A finding's number, or ↻ where the run went on."""
    words: str
    href: str = ""


@dataclass(frozen=True)
class Line:
    key: str
    label: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Row:
    step: int
    values: tuple[float | None, ...]
    marks: str


@dataclass(frozen=True)
class Figure:
    series: Series
    headline: bool
    points: Sequence[Point]
    beside: Sequence[Line]
    marks: Sequence[Mark]
    rows: Sequence[Row]
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
        said = (
            f"{self.series.title}: {quantity(last.value, self.series.unit)} at step {last.step}, "
            f"{quantity(first.value, self.series.unit)} at step {first.step}"
        )
        others = (f"{line.label} {self.shown(line.points[-1].value)}" for line in self.beside)
        marked = (f"{mark.words} at step {mark.step}" for mark in self.marks)
        return "; ".join([said, *others, *marked])

    @property
    def still(self) -> Markup:
        lines = [self.points, *(line.points for line in self.beside)]
        drawn = [([p.step for p in points], [p.value for p in points]) for points in lines]
        return charts.lines(drawn, [(mark.step, mark.sign) for mark in self.marks])

    def shown(self, value: float | None) -> str:
        return quantity(value, self.series.unit) if value is not None else ""


def figures(view: RunView, table: str = "", page: int = 1) -> list[Figure]:
    found: list[Figure] = []
    for series in _series(view):
        points = view.metrics.get(series.key, [])
        if not points and (found or view.is_over or view.metrics):
            continue
        beside = list(_beside(series, view.metrics))[:MOST_BESIDE]
        marks = [*marks_of(series, view), *_resumed(view)]
        values = [{p.step: p.value for p in line} for line in (points, *(each.points for each in beside))]
        steps = sorted({mark.step for mark in marks}.union(*values), reverse=True)
        pages = max(1, -(-len(steps) // ROWS_PER_PAGE))
        number = min(max(1, page), pages) if table == series.key else 1
        shown = steps[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]
        rows = [_row(step, values, marks) for step in shown]
        found.append(Figure(series, not found, points, beside, marks, rows, number, pages))
    return found


def _series(view: RunView) -> Iterator[Series]:
    """The charts of the method, and of what a finding is about that stands on none of them."""
    usual = BY_KIND.get(view.kind, ())
    yield from usual
    told = dict.fromkeys(f.metric for f in view.findings if f.metric in view.metrics)
    for key in told:
        if key and not any(_draws(series, key) for series in usual):
            yield ON_DEMAND.get(key, Series(key, key, ""))


def _draws(series: Series, metric: str) -> bool:
    drawn = (series.key, *series.also)
    return metric in drawn or metric.startswith(tuple(f"{each}/" for each in drawn))


def _beside(series: Series, metrics: Mapping[str, list[Point]]) -> Iterator[Line]:
    for other in series.beside:
        if other.key.endswith("/"):
            for key in sorted(metrics):
                # Under rewards/ TRL also tells each reward function's own mean and spread.
                if key.startswith(other.key) and not key.endswith(("/mean", "/std")):
                    yield Line(key, key.removeprefix(other.key), metrics[key])
        elif other.key in metrics:
            yield Line(other.key, other.label, metrics[other.key])


def marks_of(series: Series, view: RunView) -> list[Mark]:
    """Findings are numbered in the order in which they came; each is drawn where its metric is."""
    return [
        Mark(finding.step, str(number), f"finding {number}", f"#finding-{number}")
        for number, finding in enumerate(view.findings, 1)
        if finding.metric and _draws(series, finding.metric)
    ]


def is_drawn(number: int, shown: Sequence[Figure]) -> Figure | None:
    """The chart on which a finding stands."""
    return next((each for each in shown if any(mark.sign == str(number) for mark in each.marks)), None)


def _resumed(view: RunView) -> list[Mark]:
    return [Mark(each.from_step, "↻", "went on", "#attempts") for each in view.resumes]


def _row(step: int, values: Sequence[Mapping[int, float]], marks: Sequence[Mark]) -> Row:
    told = ", ".join(mark.words for mark in marks if mark.step == step)
    return Row(step, tuple(each.get(step) for each in values), told)
