"""Two to four runs side by side: curves on common axes, settings that differ, what each gained and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.errors import NotFound
from app.models import Report, Run
from app.protocol import MetricEvent
from app.run_view import RunView
from app.web import charts, evaluation_words, named_datasets, run_life
from app.web.evaluation_words import GraderResult
from app.web.run_charts import BY_KIND, Series
from app.web.run_setup import NOT_SET, setting_rows
from app.web.run_words import METHODS, dataset_words, duration, model_words, quantity

FEWEST, MOST = 2, 4
LETTERS = "ABCD"


@dataclass(frozen=True)
class Column:
    letter: str
    run: Run
    view: RunView
    results: Sequence[GraderResult]
    settings: Mapping[tuple[str, str], str]

    @property
    def result(self) -> GraderResult | None:
        return self.results[0] if self.results else None

    @property
    def cost(self) -> str:
        return run_life.cost(self.view, runs.limits_in_force(self.run))

    @property
    def took(self) -> str:
        return duration(self.view.elapsed_seconds)


def columns(session: Session, ids: Sequence[UUID]) -> list[Column]:
    """In the order asked for; raises NotFound where one of them is gone."""
    names = named_datasets.names(session)
    return [_column(session, letter, run_id, names) for letter, run_id in zip(LETTERS, ids, strict=False)]


def _column(session: Session, letter: str, run_id: UUID, names: Mapping[str, str]) -> Column:
    run = session.get(Run, run_id)
    if run is None:
        raise NotFound("One of these runs is not here: it may have been deleted.")
    view = runs.view(session, run)
    results = evaluation_words.grader_results(view.spec, view.before, view.after)
    return Column(letter, run, view, results, settings_of(view, names))


# Settings


def settings_of(view: RunView, names: Mapping[str, str]) -> dict[tuple[str, str], str]:
    spec = view.spec
    told = {
        ("Start", "Method"): METHODS.get(view.kind, "Starter model"),
        ("Start", "Model"): model_words(spec.model)
        + (f", after run {spec.starts_from}" if spec.starts_from else ""),
        ("Start", "Dataset"): dataset_words(spec.dataset, names),
        ("Start", "Seed"): str(spec.seed),
    }
    return told | {(title, label): value for title, rows in setting_rows(spec) for label, value in rows}


@dataclass(frozen=True)
class SettingRow:
    group: str
    label: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def setting_table(found: Sequence[Column]) -> list[SettingRow]:
    keys = dict.fromkeys(key for column in found for key in column.settings)
    return [SettingRow(*key, tuple(column.settings.get(key, NOT_SET) for column in found)) for key in keys]


# Curves


@dataclass(frozen=True)
class Overlay:
    """One metric of several runs on common axes."""

    series: Series
    drawn: Markup
    now: Sequence[tuple[str, str]]
    """Letter and latest value of each run that has the metric."""
    low: str
    high: str
    last: str
    """Ends of the axes, in words."""


def overlays(session: Session, found: Sequence[Column], by_time: bool) -> list[Overlay]:
    """Charts of the metrics that at least two of the runs have."""
    drawn = []
    for series in _common_series(found):
        lines = {c.letter: _points(session, c, series.key, by_time) for c in found}
        have = {letter: points for letter, points in lines.items() if points}
        if len(have) > 1:
            drawn.append(_overlay(series, have, by_time))
    return drawn


def _common_series(found: Sequence[Column]) -> list[Series]:
    series = (each for column in found for each in BY_KIND.get(column.view.kind, ()))
    return list({each.key: each for each in series}.values())


Points = Sequence[tuple[float, float]]


def _points(session: Session, column: Column, key: str, by_time: bool) -> Points:
    if not by_time:
        return [(point.step, point.value) for point in column.view.metrics.get(key, [])]
    at = _times(session, column.run)
    return [(at[p.step], p.value) for p in column.view.metrics.get(key, []) if p.step in at]


def _times(session: Session, run: Run) -> dict[int, float]:
    """Minutes since the first logged step, by step; a step that was told twice counts as told last."""
    told = list(session.scalars(select(Report).where(Report.run_id == run.id, Report.kind == "metric")))
    begun = min((report.at for report in told), default=0.0)
    in_order = sorted(told, key=lambda report: report.seq)
    return {r.what.step: (r.at - begun) / 60 for r in in_order if isinstance(r.what, MetricEvent)}


def _overlay(series: Series, lines: Mapping[str, Points], by_time: bool) -> Overlay:
    values = [value for points in lines.values() for _, value in points]
    last = max(x for points in lines.values() for x, _ in points)
    drawn = [([x for x, _ in points], [y for _, y in points]) for points in lines.values()]
    return Overlay(
        series,
        charts.lines(drawn, ends=list(lines)),
        [(letter, quantity(points[-1][1], series.unit)) for letter, points in lines.items()],
        quantity(min(values), series.unit),
        quantity(max(values), series.unit),
        f"{quantity(last, '')} min" if by_time else f"step {last:g}",
    )


# As a table for a spreadsheet


def as_rows(found: Sequence[Column]) -> list[Sequence[object]]:
    results = [column.result for column in found]
    return [
        ("", "", *(column.view.name for column in found)),
        ("Result", "State", *(column.view.state.value for column in found)),
        ("Result", "Steps", *(column.view.step for column in found)),
        ("Result", "GPU-hours", *(f"{column.view.spent.gpu_hours:.4f}" for column in found)),
        ("Result", "Score before", *(each.before.value if each and each.before else "" for each in results)),
        ("Result", "Score after", *(each.after.value if each and each.after else "" for each in results)),
        ("Result", "Change", *(each.change.value if each and each.change else "" for each in results)),
        ("Result", "Change, low", *(each.change.low if each and each.change else "" for each in results)),
        ("Result", "Change, high", *(each.change.high if each and each.change else "" for each in results)),
        ("Result", "Findings", *("; ".join(f.sentence for f in c.view.findings) for c in found)),
        *((row.group, row.label, *row.values) for row in setting_table(found)),
    ]
