"""Known failures recognised by rules over the trainer's own metrics. Pure: numbers in, findings out."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from app.protocol import HealthEvent

Values = Mapping[str, float | None]


class Series:
    """Every metric of the run so far, one value a logging step; what was not finite is None."""

    def __init__(self) -> None:
        self._values: dict[str, list[float | None]] = defaultdict(list)

    def add(self, values: Values) -> None:
        for name, value in values.items():
            self._values[name].append(value)

    def all(self, name: str) -> list[float]:
        return [value for value in self._values[name] if value is not None]

    def newest_is_not_finite(self, name: str) -> bool:
        return bool(self._values[name]) and self._values[name][-1] is None

    def first(self, name: str, n: int) -> list[float]:
        return self.all(name)[:n]

    def last(self, name: str, n: int) -> list[float]:
        """The last n, or nothing before there are n."""
        values = self.all(name)
        return values[-n:] if len(values) >= n else []


@dataclass(frozen=True)
class Rule:
    name: str
    level: Literal["warn", "stop"]
    sources: tuple[str, ...]
    """Ids of the rulebook's evidence; `monitors.toml` says the rest."""
    find: Callable[[Series], str | None]
    """A sentence for the user when the failure is there, with the figures that show it."""


class Monitor:
    """Every rule speaks up once a run."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._series = Series()
        self._found: set[str] = set()

    def observe(self, step: int, values: Values) -> list[HealthEvent]:
        self._series.add(values)
        return [
            HealthEvent(rule=rule.name, level=rule.level, step=step, sentence=sentence)
            for rule in self._rules
            if rule.name not in self._found and (sentence := self._judge(rule))
        ]

    def _judge(self, rule: Rule) -> str | None:
        sentence = rule.find(self._series)
        if sentence:
            self._found.add(rule.name)
        return sentence


# Both methods

GRADIENTS_RISEN, GRADIENTS_AT_THE_END, GRADIENTS_LOGS = 3, 10, 20
"""Times the usual gradient on three logs running, times it on the last, and logs before there is a usual."""


def _not_finite(series: Series) -> str | None:
    names = [name for name in ("loss", "grad_norm") if series.newest_is_not_finite(name)]
    if not names:
        return None
    return (
        f"The training diverged: {' and '.join(names)} stopped being a number. Start again with a learning "
        "rate at least three times lower."
    )


def _gradients_explode(series: Series) -> str | None:
    """Thrice the usual on three logs running, and ten times it at the end; early steps are no measure."""
    norms = series.all("grad_norm")
    if len(norms) < GRADIENTS_LOGS:
        return None
    usual, now = median(norms[:-3]), norms[-3:]
    if usual <= 0 or min(now) < GRADIENTS_RISEN * usual or now[-1] < GRADIENTS_AT_THE_END * usual:
        return None
    return (
        f"Gradients grew to {now[-1]:.3g}, {now[-1] / usual:.0f} times the run's usual {usual:.3g}: the "
        "training may be diverging. If it does not settle, lower the learning rate."
    )


# SFT

LOSS_RISEN, LOSS_RISEN_BY = 1.5, 0.5
"""Times the best loss, and how far above it at least."""

LOSS_LEFT, LOSS_LOGS = 0.95, 40
"""Share of the first loss that is hardly a fall, and logs before it is judged."""


def _loss_climbs(series: Series) -> str | None:
    losses = series.all("loss")
    if len(losses) < 10:
        return None
    start, now = fmean(losses[:3]), fmean(losses[-5:])
    best = min(fmean(losses[place : place + 5]) for place in range(len(losses) - 4))
    if now < LOSS_RISEN * best or now < best + LOSS_RISEN_BY or now < start:
        return None
    return (
        f"The loss rose to {now:.2f}, above where it began ({start:.2f}) and its best ({best:.2f}): the "
        "learning rate is too high. Start again with a third of it."
    )


def _loss_stands(series: Series) -> str | None:
    """Needs forty logs: shorter runs show too little to tell."""
    losses = series.all("loss")
    if len(losses) < LOSS_LOGS:
        return None
    start, now = fmean(losses[:5]), fmean(losses[-10:])
    if now <= LOSS_LEFT * start:
        return None
    return (
        f"After {len(losses)} steps the loss is {now:.2f}, hardly below the {start:.2f} it began with: "
        "little is being learned. Raise the learning rate, or check that the demonstrations answer their "
        "prompts."
    )


# GRPO

MASTERED = 0.9
"""Mean reward at which groups agree because there is little left to learn."""

UNTOUCHED = 2
"""The first steps' answers come from the model before, or nearly before, its first update."""

LEARNT = 0.1
"""Rise of the mean reward since the start that shows the run at work, whatever else it does."""

NEVER_STEPS = 20
DEAD_SHARE, DEAD_STEPS = 0.8, 10
REWARD_LEFT = 0.5
"""Share of the first mean reward below which a model is broken."""

ENTROPY_LEFT = 1 / 3
CLIPPED_SHARE, CLIPPED_AT_FIRST, CLIPPED_RISE = 0.5, 0.25, 0.25
LENGTH_LEFT = 0.2
PROGRESS_STEPS = 100
GAIN_LOST = 0.5
ERRORS_STOP, ERRORS_WARN = 0.1, 0.01


def _never_any_signal(series: Series) -> str | None:
    dead = series.all("frac_reward_zero_std")
    if len(dead) != NEVER_STEPS or min(dead) < 1.0:
        return None
    rewards = series.all("reward")
    level = fmean(rewards) if rewards else 0.0
    hint = (
        "the model already scores full marks, so this task has nothing left to teach it"
        if level >= MASTERED
        else "start from a model that sometimes succeeds: a short SFT first, easier prompts, or a grader "
        "that gives partial credit"
    )
    return (
        "In each of the first 20 steps all answers of every group scored the same "
        f"(mean reward {level:.2f}), and GRPO learns only from differences: {hint}."
    )


def _dead_groups(series: Series) -> str | None:
    dead, rewards = series.last("frac_reward_zero_std", DEAD_STEPS), series.last("reward", DEAD_STEPS)
    if not dead or not rewards or min(dead) <= DEAD_SHARE or _has_fallen(series):
        return None
    if fmean(rewards) >= MASTERED or (_gain(series) or 0.0) >= LEARNT:
        return None
    return (
        f"For 10 steps more than four groups in five had answers that all scored the same "
        f"(mean reward {fmean(rewards):.2f}), so most of the work teaches nothing. Use prompts of medium "
        "difficulty, or more completions a group."
    )


def _signal_lost(series: Series) -> str | None:
    """Without differences every gradient is nil, so a model that broke stays broken."""
    dead = series.last("frac_reward_zero_std", DEAD_STEPS)
    if not dead or min(dead) < 1.0 or not _has_fallen(series):
        return None
    start, now = fmean(series.first("reward", UNTOUCHED)), fmean(series.last("reward", 10))
    return (
        f"The model broke: its mean reward fell from {start:.2f} to {now:.2f}, and for 10 steps no group's "
        "answers differed in score, so it can no longer learn. Start again with a learning rate at "
        "least three times lower."
    )


def _has_fallen(series: Series) -> bool:
    start, now = series.first("reward", UNTOUCHED), series.last("reward", 10)
    return bool(now) and fmean(start) >= 0.05 and fmean(now) < REWARD_LEFT * fmean(start)


def _entropy_collapses(series: Series) -> str | None:
    """A fall alone is normal while the reward rises; collapse is a fall that buys nothing."""
    start, now = series.first("entropy", 5), series.last("entropy", 10)
    if len(series.all("entropy")) < 20 or fmean(now) > ENTROPY_LEFT * fmean(start):
        return None
    gain = _gain(series)
    if gain is None or gain >= LEARNT or fmean(series.last("reward", 10)) >= MASTERED:
        return None
    return (
        f"The answers have become nearly all alike (entropy {fmean(now):.3f}, {fmean(start):.3f} at the "
        "start) without the reward rising. Lower the learning rate, or raise the temperature or epsilon_high."
    )


def _truncation(series: Series) -> str | None:
    start, now = _clipped(series)
    if now <= CLIPPED_SHARE or start <= CLIPPED_AT_FIRST:
        return None
    return (
        f"{now:.0%} of the answers are cut off at the length limit, so they are graded unfinished. "
        "Raise max_completion_length, or warm the model up on shorter demonstrations."
    )


def _truncation_grows(series: Series) -> str | None:
    start, now = _clipped(series)
    if now < start + CLIPPED_RISE:
        return None
    return (
        f"The share of answers cut off at the length limit grew from {start:.0%} to {now:.0%}: the model has "
        "begun to ramble. Lower the learning rate; if the longer answers are good ones, raise "
        "max_completion_length."
    )


def _clipped(series: Series) -> tuple[float, float]:
    """At the start and over the last five of at least ten steps."""
    name = "completions/clipped_ratio"
    if len(series.all(name)) < 10:
        return 0.0, 0.0
    return fmean(series.first(name, UNTOUCHED)), fmean(series.last(name, 5))


def _length_collapses(series: Series) -> str | None:
    name = "completions/mean_length"
    if len(series.all(name)) < 30:
        return None
    start, now = fmean(series.first(name, 20)), fmean(series.last(name, 10))
    if now >= LENGTH_LEFT * start:
        return None
    return (
        f"Answers shrank from {start:.0f} to {now:.0f} tokens: the model may have found a short answer that "
        "the grader lets pass. Read some samples."
    )


def _no_progress(series: Series) -> str | None:
    rewards = series.all("reward")
    if len(rewards) < PROGRESS_STEPS:
        return None
    start, now = fmean(rewards[:20]), fmean(rewards[-20:])
    if now > start or now >= MASTERED:
        return None
    return (
        f"After {len(rewards)} steps the mean reward is {now:.2f}, no better than the {start:.2f} it began "
        "with. More steps are unlikely to help; change the learning rate, the prompts or the grader."
    )


def _reward_falls_back(series: Series) -> str | None:
    smooth = _smoothed(series.all("reward"))
    if len(smooth) < 20:
        return None
    start, best, now = smooth[4], max(smooth[4:]), smooth[-1]
    if best - start < LEARNT or best - now < GAIN_LOST * (best - start):
        return None
    return (
        f"The mean reward fell back from {best:.2f} to {now:.2f}, more than half of what it had gained. "
        "Lower the learning rate."
    )


def _grader_fails(series: Series) -> str | None:
    errors = series.last("grader/errors", 10)
    if not errors or fmean(errors) <= ERRORS_STOP:
        return None
    return (
        f"The grader failed on {fmean(errors):.0%} of the answers of the last 10 steps, more than one in "
        "ten, so the reward says little about the model. Try the grader on the rows it fails on."
    )


def _grader_sometimes_fails(series: Series) -> str | None:
    errors = series.last("grader/errors", 5)
    if not errors or fmean(errors) <= ERRORS_WARN:
        return None
    return (
        f"The grader failed on {fmean(errors):.1%} of the answers of the last 5 steps; they are left out. "
        "Try it on such rows."
    )


def _gain(series: Series) -> float | None:
    rewards = series.all("reward")
    if len(rewards) < 20:
        return None
    return fmean(rewards[-10:]) - fmean(rewards[:5])


def _smoothed(values: Sequence[float], share: float = 0.2) -> list[float]:
    """Exponential moving average."""
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else smooth[-1] + share * (value - smooth[-1]))
    return smooth


BOTH_RULES = (
    Rule("not_finite", "stop", ("trl-1.16",), _not_finite),
    Rule("gradients_explode", "warn", ("axolotl", "own"), _gradients_explode),
)

SFT_RULES = (
    *BOTH_RULES,
    Rule("loss_climbs", "warn", ("ms-azure", "own"), _loss_climbs),
    Rule("loss_stands", "warn", ("ms-azure", "own"), _loss_stands),
)

GRPO_RULES = (
    *BOTH_RULES,
    Rule("never_any_signal", "stop", ("axolotl", "vllora"), _never_any_signal),
    Rule("signal_lost", "stop", ("own",), _signal_lost),
    Rule("dead_groups", "warn", ("axolotl", "vllora", "yu2025"), _dead_groups),
    Rule("entropy_collapses", "warn", ("cui2025", "own"), _entropy_collapses),
    Rule("truncation", "warn", ("axolotl", "vllora"), _truncation),
    Rule("truncation_grows", "warn", ("liu2025", "own"), _truncation_grows),
    Rule("length_collapses", "warn", ("vllora", "own"), _length_collapses),
    Rule("no_progress", "warn", ("unsloth", "own"), _no_progress),
    Rule("reward_falls_back", "warn", ("dang2025", "own"), _reward_falls_back),
    Rule("grader_fails", "stop", ("ms-azure", "own"), _grader_fails),
    Rule("grader_sometimes_fails", "warn", ("ms-azure", "own"), _grader_sometimes_fails),
)
