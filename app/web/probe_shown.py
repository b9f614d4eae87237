"""A probe's page: verdicts first, then pictures of the same figures, then all of these as tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.advisor.rulebook import Rulebook
from app.protocol import DeadShare, ProbeReport, RunSpec, SampledAnswer, pass_threshold
from app.run_view import RunView
from app.web import charts, probe_facts, probe_words
from app.web.answer_pairs import outcome_word
from app.web.probe_facts import Figure, GateFact
from app.web.probe_words import Verdict
from app.web.run_words import percent

MOST_COLUMNS = 16
"""Answers to a prompt of which each number of right ones has a column of its own; of more, tenths have."""


@dataclass(frozen=True)
class DeadRow:
    label: str
    picture: Markup
    share: str
    all_wrong: str
    all_right: str
    how: str


@dataclass(frozen=True)
class PromptRow:
    number: int
    prompt: str
    right: str
    tokens: str
    clipped: int
    distinct: int


@dataclass(frozen=True)
class Shown:
    verdicts: Sequence[Verdict]
    gates: Sequence[GateFact]
    histogram: Markup
    axis: str
    """What the labels below the columns count."""
    counts: Sequence[tuple[str, int]]
    dead: Sequence[DeadRow]
    figures: Sequence[Figure]
    prompts: Sequence[PromptRow]
    samples: Sequence[tuple[SampledAnswer, str, str]]
    """With class and word of what became of it."""


def shown(view: RunView, rulebook: Rulebook, answers: Mapping[str, object] | None) -> Shown | None:
    """`answers` are those of the assessment that the probe belongs to, None where there is none."""
    report = view.probe
    if report is None:
        return None
    counts, axis = histogram(report, view.spec)
    named = ", ".join(f"{label}: {count}" for label, count in counts if count)
    return Shown(
        verdicts=probe_words.verdicts(report),
        gates=probe_facts.gate_facts(report, rulebook, answers),
        histogram=charts.columns(counts, f"Prompts by {axis}. {named}"),
        axis=axis,
        counts=counts,
        dead=[_dead(each) for each in report.dead],
        figures=probe_facts.figures(report),
        prompts=list(_prompts(report, view.spec)),
        samples=[(answer, *outcome_word(answer)) for answer in report.shown],
    )


def histogram(report: ProbeReport, spec: RunSpec) -> tuple[list[tuple[str, int]], str]:
    """Prompts by how many of their answers are right; those without any score are in no column."""
    shares = [right / scored for right, scored in _rights(report, spec) if scored]
    if report.samples <= MOST_COLUMNS:
        by_number = Counter(round(share * report.samples) for share in shares)
        labels = [(str(right), by_number[right]) for right in range(report.samples + 1)]
        return labels, f"right answers of {report.samples}"
    by_tenth = Counter(min(9, int(share * 10)) for share in shares)
    return [(f"{10 * tenth}+", by_tenth[tenth]) for tenth in range(10)], "right answers, in per cent"


def _rights(report: ProbeReport, spec: RunSpec) -> list[tuple[int, int]]:
    """Of each prompt the answers that pass, and those that have a score."""
    least = pass_threshold(spec.grader) if spec.grader else 1.0
    known = [[score for score in prompt.scores if score is not None] for prompt in report.prompts]
    return [(sum(score >= least for score in scores), len(scores)) for scores in known]


def _dead(each: DeadShare) -> DeadRow:
    name = f"{percent(each.share)} of groups of {each.group}"
    parts = [("all-wrong", each.all_wrong), ("all-right", each.all_right)]
    return DeadRow(
        label=f"Groups of {each.group}",
        picture=charts.parts_of_whole(parts, name, "" if each.is_measured else "expected"),
        share=percent(each.share),
        all_wrong=percent(each.all_wrong),
        all_right=percent(each.all_right),
        how="measured" if each.is_measured else "expected",
    )


def _prompts(report: ProbeReport, spec: RunSpec) -> list[PromptRow]:
    return [
        PromptRow(
            number=prompt.row + 1,
            prompt=prompt.prompt,
            right=f"{right} of {scored}" if scored else "not gradable",
            tokens=f"{sum(prompt.tokens) / len(prompt.tokens):.0f}",
            clipped=prompt.clipped,
            distinct=prompt.distinct,
        )
        for prompt, (right, scored) in zip(report.prompts, _rights(report, spec), strict=True)
    ]
