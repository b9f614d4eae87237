"""What a rule is, what it looks at, and who asks it. Pure: numbers in, findings out."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from app.protocol import HealthEvent

Values = Mapping[str, float | None]
Level = Literal["info", "warn", "stop"]
OnFinding = Literal["as_ruled", "warn", "stop"]

HELD_OUT = "held_out/"
"""Names of the checks during training begin so."""

ALL_JUDGED, JUDGED_OFTEN = 200, 100
"""Logs of which each is judged, and how often the logs so far have been judged after those: a rule may look
back over the whole run, and a long run must not pay for that at each step."""


class Series:
    """Every metric of the run so far, one value a logging step; what was not finite is left out."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._newest: dict[str, float | None] = {}
        self.is_at_check = False
        """What was told last is a check, so that it can be held against the steps just before it."""

    def add(self, values: Values) -> None:
        self._newest.update(values)
        self.is_at_check = any(name.startswith(HELD_OUT) for name in values)
        for name, value in values.items():
            if value is not None:
                self._values[name].append(value)

    def all(self, name: str) -> Sequence[float]:
        return self._values.get(name, ())

    def newest_is_not_finite(self, name: str) -> bool:
        return self._newest.get(name, 0.0) is None

    def first(self, name: str, n: int) -> Sequence[float]:
        return self.all(name)[:n]

    def last(self, name: str, n: int) -> Sequence[float]:
        """The last n, or nothing before there are n."""
        values = self.all(name)
        return values[-n:] if len(values) >= n else ()

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self._values if name.startswith(prefix))


@dataclass(frozen=True)
class Found:
    sentence: str
    """What is there, with the figures that show it."""
    advice: str
    value: float | None = None
    """Where the rule's metric stands."""


@dataclass(frozen=True)
class Rule:
    name: str
    level: Level
    metric: str
    """On whose chart the finding is drawn; empty where it has none."""
    sources: tuple[str, ...]
    """Ids of the rulebook's evidence; `monitors.toml` says the rest."""
    find: Callable[[Series], Found | None]


class Monitor:
    """Every rule speaks up once a run."""

    def __init__(self, rules: Sequence[Rule], on_finding: OnFinding = "as_ruled") -> None:
        self._waiting = list(rules)
        self._on_finding = on_finding
        self._series = Series()
        self._logs = 0

    def observe(self, step: int, values: Values) -> list[HealthEvent]:
        """Raises nothing and keeps what it is told; `values` are those of one log or of one check."""
        self._series.add(values)
        self._logs += 1
        if not self._is_due(values):
            return []
        found = [(rule, finding) for rule in self._waiting if (finding := rule.find(self._series))]
        for rule, _ in found:
            self._waiting.remove(rule)
        return [told(rule, step, finding, self._on_finding) for rule, finding in found]

    def _is_due(self, values: Values) -> bool:
        if self._logs <= ALL_JUDGED or self._logs % (self._logs // JUDGED_OFTEN) == 0:
            return True
        return any(value is None or name.startswith(HELD_OUT) for name, value in values.items())


def told(rule: Rule, step: int, found: Found, on_finding: OnFinding = "as_ruled") -> HealthEvent:
    """What is only for information stays that, whatever findings are to do."""
    level = rule.level if on_finding == "as_ruled" or rule.level == "info" else on_finding
    return HealthEvent(
        rule=rule.name,
        level=level,
        step=step,
        sentence=found.sentence,
        metric=rule.metric or None,
        value=found.value,
        advice=found.advice,
        sources=list(rule.sources),
    )


def mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def gain(series: Series) -> float | None:
    """How far the mean reward has risen since the run began; None before there is enough to tell."""
    rewards = series.all("reward")
    if len(rewards) < 20:
        return None
    return fmean(rewards[-10:]) - fmean(rewards[:5])


def smoothed(values: Sequence[float], share: float = 0.2) -> list[float]:
    """Exponential moving average."""
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else smooth[-1] + share * (value - smooth[-1]))
    return smooth
