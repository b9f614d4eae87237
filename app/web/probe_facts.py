"""A probe's figures as facts: what gates make of them, what an assessment can take over, all in a table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.advisor.advice import GateOutcome
from app.advisor.answers import Project
from app.advisor.difference import carried
from app.advisor.estimate import grading_share
from app.advisor.rulebook import Rulebook
from app.protocol import Difference, ProbeReport
from app.web.evaluation_words import counted, reach
from app.web.probe_words import between, bin_of, fails_often, failures, fits, points, usual_group
from app.web.run_words import percent

# Gates as measured facts


@dataclass(frozen=True)
class GateFact:
    id: str
    title: str
    figure: str
    threshold: str
    state: str
    """In words: it blocks, warns, is clear, or could not be told."""
    sentence: str
    stops: bool


def measurements(report: ProbeReport, project: Project, rulebook: Rulebook) -> dict[str, float]:
    """By the names that the rulebook's gates use; of the project its hardware and budget.

    A cut answer would have been longer than the limit by nobody knows how much: where more than one in twenty
    were cut, the 95th percentile of the lengths is not known, and the share of cut answers speaks alone.
    Demonstrations that score lower by no more than chance may bring count as no worse. Groups count where
    they were measured, by a grader that seldom failed.
    """
    found = {"clipped_share": report.clipped}
    if usual_group(report).is_measured and not fails_often(report):
        found["dead_groups"] = usual_group(report).share
    if fits(report):
        found["answer_length_share"] = report.lengths.p95 / report.max_completion_length
    if (difference := report.difference) is not None:
        is_worse = difference.high < 0
        found["demonstrations_minus_base"] = difference.value if is_worse else max(0.0, difference.value)
    share, kept = grading_share(rulebook.tables, project, grading_seconds(report)), "grader_cost_share"
    if share is not None and kept in rulebook.measurements:
        found[kept] = min(share, rulebook.measurements[kept].high)
    return {name: round(value, 4) for name, value in found.items()}


def grading_seconds(report: ProbeReport) -> float:
    """For one answer, with as many graded at once as the probe did."""
    return report.grader_seconds / sum(len(prompt.scores) for prompt in report.prompts)


def gate_facts(
    report: ProbeReport, rulebook: Rulebook, answers: Mapping[str, object] | None = None
) -> list[GateFact]:
    """Those that a probe settles, each judged by its own figure.

    G2 and G3 go by the pass rate, and count only until groups are measured; then G4 takes their place. Those
    by the pass rate look at other answers as well: `answers` are those of the assessment that the probe
    belongs to, None where it belongs to none and so nobody asked what must improve.
    """
    others = {"O1": "not_applicable"} if answers is None else answers
    project = _read({"answers": {**others, "D5": bin_of(report.passed.value)}}, rulebook)
    found = measurements(report, project, rulebook)
    told = _outcomes(rulebook, project)
    measured = _outcomes(rulebook, _read({"measurements": found}, rulebook))
    right = f"{percent(report.passed.value)} right, {reach(report.passed.interval)}"
    figures = {
        "G2": (told, right),
        "G3": (told, right),
        "N2": (told, right),
        "N7": (told, right),
        "G4": (measured, _grouped(report)),
        "SG2": (measured, _compared(report.difference)),
        "G14": (measured, f"{percent(report.clipped)} cut at {report.max_completion_length:,} tokens"),
    }
    if (share := found.get("grader_cost_share")) is not None:
        figures["G12"] = measured, f"{_each(report)}, {percent(share)} of the budget"
    return list(_facts(rulebook, figures))


def _grouped(report: ProbeReport) -> str:
    usual = usual_group(report)
    if fails_often(report):
        return failures(report)
    return f"{percent(usual.share)} of groups of {usual.group}{'' if usual.is_measured else ', expected'}"


def _compared(difference: Difference | None) -> str:
    return f"{points(difference.value)}, {between(difference)}" if difference else "not measured"


def _facts(
    rulebook: Rulebook, figures: Mapping[str, tuple[Mapping[str, GateOutcome], str]]
) -> Iterator[GateFact]:
    thresholds = {gate.id: gate.threshold for gate in rulebook.gates}
    for gate, (outcomes, figure) in figures.items():
        if (outcome := outcomes.get(gate)) is None:
            continue
        stops = outcome.state == "holds"
        word = EFFECTS.get(outcome.effect, "Holds") if stops else "Clear"
        word = "Not known" if outcome.state == "unknown" else word
        yield GateFact(gate, outcome.title, figure, thresholds[gate], word, outcome.sentence, stops)


EFFECTS = {"block": "Blocks", "defer": "Something first", "warn": "Warns"}


def _read(wire: Mapping[str, object], rulebook: Rulebook) -> Project:
    """What this rulebook takes of it: the assessment may have been answered under another one."""
    return rulebook.read(carried(wire, rulebook)[0])


def _outcomes(rulebook: Rulebook, project: Project) -> dict[str, GateOutcome]:
    return {ruled.outcome.id: ruled.outcome for ruled in rulebook.gating.rule(rulebook.facts(project))}


# All figures


@dataclass(frozen=True)
class Figure:
    title: str
    value: str
    note: str = ""


def figures(report: ProbeReport) -> list[Figure]:
    passed, lengths = report.passed, report.lengths
    count = f"{len(report.prompts)} prompts, {report.samples} answers each"
    return [
        Figure("Right", percent(passed.value), f"{counted(passed)}, {reach(passed.interval)}; {count}"),
        Figure("Mean score", percent(report.mean)),
        *_chances(report),
        Figure(
            "Cut at the length limit", percent(report.clipped), f"at {report.max_completion_length:,} tokens"
        ),
        Figure("Length", f"{lengths.median:g} tokens", f"median; {_long_ones(report)}"),
        Figure(
            "In the form the grader reads",
            "any text will do" if report.format_valid is None else percent(report.format_valid),
        ),
        Figure("Different answers to a prompt", percent(report.distinct), "mean share of all its answers"),
        Figure("Not gradable", f"{report.abstained:,}", "the grader abstained; neither right nor wrong"),
        Figure("Grader failures", f"{report.errors:,}", report.first_error or "never counted as wrong"),
        Figure("Grading took", f"{report.grader_seconds:.1f} s", _each(report)),
        *_of_demonstrations(report),
    ]


def _chances(report: ProbeReport) -> Iterator[Figure]:
    for k, chance in report.pass_at.items():
        if k > 1:
            yield Figure(f"At least one of {k} right", percent(chance), f"pass@{k}, unbiased")


def _long_ones(report: ProbeReport) -> str:
    if fits(report):
        return f"nineteen in twenty up to {report.lengths.p95:g}, the longest {report.lengths.longest:,}"
    return "how long those would be that were cut is not known"


def _each(report: ProbeReport) -> str:
    return f"{1000 * grading_seconds(report):.1f} ms an answer"


def _of_demonstrations(report: ProbeReport) -> Iterator[Figure]:
    if (shown := report.demonstrations) is not None:
        note = f"{counted(shown.passed)}, {reach(shown.passed.interval)}"
        yield Figure("Examples right", percent(shown.passed.value), note)
    if (difference := report.difference) is not None:
        rows = "the same rows" if difference.is_paired else "other rows than those probed"
        note = f"{between(difference)}; {rows}"
        yield Figure("Examples less the model", points(difference.value), note)
