"""What a probe's figures mean, in words: whether GRPO can learn, what comes first, which settings to use."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.protocol import DeadShare, Difference, ProbeReport
from app.web.evaluation_words import counted
from app.web.run_words import percent

USUAL_GROUP = 8
"""Completions per prompt of the recipes that are advised."""

MOST_DEAD, HALF_DEAD = 0.85, 0.5
"""Shares of dead groups that gate G4 blocks above, and warns above."""

MIXED = 0.25
"""Groups all right, and as many all wrong, from which on dead groups are of both kinds; our choice."""

ALIKE = 0.5
"""Different answers among all, below which the answers to a prompt hardly differ; our choice."""
MANY_CLIPPED = 0.1
"""From here on answers cut at the limit are a health finding in training (EVIDENCE's truncation rule)."""
MOST_CUT = 0.05
"""Share of cut answers above which G14 warns: the 95th percentile of all lengths is beyond the limit."""
MANY_FAILED = 0.1
"""Grader failures among all answers, above which they are critical (EVIDENCE's rule of grader failures)."""
FEW_READABLE = 0.5
"""Answers in the form that the grader reads, below which the form comes first; our choice."""

COOLEST, WARMEST, STEP = 0.7, 1.2, 0.2
"""Temperatures between which GRPO's rollouts are usually drawn, a little above them, and one change."""

BINS: Sequence[tuple[str, float, float]] = (
    ("under_2", 0.0, 0.02),
    ("2_to_10", 0.02, 0.10),
    ("10_to_30", 0.10, 0.30),
    ("30_to_70", 0.30, 0.70),
    ("70_to_90", 0.70, 0.90),
    ("90_to_95", 0.90, 0.95),
    ("over_95", 0.95, 1.0),
)
"""Choices of question D5, each from its lower border up to its upper."""


def bin_of(share: float) -> str:
    """The choice of D5 that a pass rate stands for; 95 % itself is not over 95 %."""
    if share > BINS[-1][1]:
        return BINS[-1][0]
    return next((choice for choice, _, high in BINS[:-1] if share < high), BINS[-2][0])


def borders_inside(low: float, high: float) -> list[float]:
    """Borders of D5's choices that an interval reaches over."""
    return [border for _, border, _ in BINS[1:] if low < border < high]


def fits(report: ProbeReport) -> bool:
    """Whether nineteen of twenty answers ended by themselves, so that their lengths are known."""
    return report.clipped <= MOST_CUT


def fails_often(report: ProbeReport) -> bool:
    """Whether so many scores are missing that those there are may be of another kind than the rest."""
    return _failed(report) > MANY_FAILED


def failures(report: ProbeReport) -> str:
    return f"the grader failed on {percent(_failed(report), 0)} of the answers"


def _failed(report: ProbeReport) -> float:
    return report.errors / sum(len(prompt.scores) for prompt in report.prompts)


def usual_group(report: ProbeReport) -> DeadShare:
    """Of the group sizes that were measured, the one nearest to the advised recipe's."""
    return min(report.dead, key=lambda each: (not each.is_measured, abs(each.group - USUAL_GROUP)))


@dataclass(frozen=True)
class Verdict:
    question: str
    word: str
    """Yes, No, or what lies between."""
    sentence: str


def verdicts(report: ProbeReport) -> list[Verdict]:
    return [
        _learns(report),
        _warm_start(report),
        _examples(report),
        Verdict("Which group size?", *_group_size(report)),
        Verdict("Which temperature?", *_temperature(report)),
    ]


def opening(report: ProbeReport) -> str:
    """For the top of the page: one sentence, after a warning where the grader failed often."""
    if fails_often(report):
        said = f"{failures(report)}: mend the grader and probe again, as all here rests on the others."
        return f"{said[:1].upper()}{said[1:]} {_found(report)}"
    return _found(report)


def _found(report: ProbeReport) -> str:
    right = f"{percent(report.passed.value)} of the answers are right ({counted(report.passed)})"
    if report.passed.value > BINS[-1][1]:
        return f"{right}: the model does this already, and training has little to add."
    verdict = {
        "Yes": "GRPO has something to learn from.",
        "Little": "GRPO would find little to learn from.",
        "No": "GRPO would find nothing to learn from.",
        "Not known": "Whether GRPO has something to learn from is not known.",
    }
    return f"{right}: {verdict[_learns(report).word]}"


# Can GRPO learn?


def _learns(report: ProbeReport) -> Verdict:
    question, usual = "Has GRPO anything to learn from?", usual_group(report)
    if fails_often(report):
        return Verdict(question, "Not known", _too_few(report))
    dead = f"{percent(usual.share, 0)} of groups of {usual.group}"
    if usual.share > MOST_DEAD:
        return Verdict(question, "No", f"In {dead} all answers score the same: {_why_dead(usual)}.")
    if usual.share > HALF_DEAD:
        kind = "all right" if usual.all_right > usual.all_wrong else "all wrong"
        said = (
            f"In {dead} all answers score the same, most of these {kind}, so much of the sampling is wasted."
        )
        return Verdict(question, "Little", said)
    said = (
        f"In {percent(1 - usual.share, 0)} of groups of {usual.group} some answers score better than others, "
    )
    return Verdict(question, "Yes", f"{said}which is what GRPO learns from.")


def _too_few(report: ProbeReport) -> str:
    return f"Too few scores to compare inside a group: {failures(report)}."


def _why_dead(usual: DeadShare) -> str:
    if min(usual.all_right, usual.all_wrong) > MIXED:
        return "a prompt is solved always or never, and nothing lies between"
    if usual.all_right > usual.all_wrong:
        return "the model is right already, and no answer is better than the others"
    return "hardly an answer is right, and there is nothing to reinforce"


def _warm_start(report: ProbeReport) -> Verdict:
    question, share = "Must SFT come first?", report.passed.value
    right = f"{percent(share)} of the answers are right"
    if share > BINS[-1][1]:
        return Verdict(question, "No", f"{right}: neither method has much left to teach.")
    if _learns(report).word == "No" and share < BINS[0][2]:
        said = "Practice starts from success: SFT on demonstrations, easier prompts or partial credit first."
        return Verdict(question, "Yes", f"{right}. {said}")
    if share < BINS[1][2]:
        return Verdict(
            question, "Yes", f"{right}: a short SFT on 50 demonstrations or more lifts that first."
        )
    if report.format_valid is not None and report.format_valid < FEW_READABLE:
        said = f"Only {percent(report.format_valid, 0)} of the answers have the form that the grader reads"
        return Verdict(question, "Better", f"{said}: a short SFT teaches that faster than practice does.")
    return Verdict(question, "No", f"{right}, which is enough to start from.")


def _examples(report: ProbeReport) -> Verdict:
    question = "Are the examples better than the model?"
    shown, difference = report.demonstrations, report.difference
    if shown is None or difference is None:
        return Verdict(question, "Not known", "The rows hold no answers of their own that could be scored.")
    scores = (
        f"The examples score {percent(shown.mean)} on average, the model’s answers {percent(report.mean)}: a "
        f"difference of {points(difference.value)}, {between(difference)}."
    )
    if difference.low > 0:
        return Verdict(question, "Yes", f"{scores} There is something to copy.")
    if difference.high < 0:
        return Verdict(question, "No", f"{scores} Copying them would make the model worse; clean them first.")
    return Verdict(question, "Not clearly", f"{scores} That may be chance; more prompts would tell.")


def points(value: float) -> str:
    return f"{signed(value)} points"


def signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(100 * value):.1f}"


def between(difference: Difference) -> str:
    return f"between {signed(difference.low)} and {points(difference.high)}"


# Settings


def group_size(report: ProbeReport) -> int | None:
    """The smallest measured one with at most half of the groups dead; smaller groups cost less."""
    able = (each.group for each in report.dead if each.is_measured and each.share <= HALF_DEAD)
    return next(able, None)


def _group_size(report: ProbeReport) -> tuple[str, str]:
    if fails_often(report):
        return "Not known", _too_few(report)
    chosen = group_size(report)
    if chosen is not None:
        share = next(each.share for each in report.dead if each.group == chosen)
        return str(chosen), (
            f"The smallest that was measured with at most half of the groups dead ({percent(share, 0)}): "
            "larger groups cost more for each prompt."
        )
    least = min(report.dead, key=lambda each: each.share)
    dead = f"{percent(least.share, 0)} {'are' if least.is_measured else 'are expected to be'} dead"
    return "None of these", (
        f"Even of groups of {least.group}, {dead}. Change the difficulty of the prompts, or give partial "
        "credit, before anything else."
    )


def _temperature(report: ProbeReport) -> tuple[str, str]:
    now, length = f"{report.temperature:g}", f"{report.max_completion_length:,} tokens"
    if report.clipped > MANY_CLIPPED:
        said = f"{percent(report.clipped, 0)} of the answers were cut at {length}"
        return _changed(report, -STEP), f"{said}: lower it, or raise the length limit, whichever helps more."
    if report.format_valid is not None and report.format_valid < FEW_READABLE:
        said = f"Only {percent(report.format_valid, 0)} of the answers can be read by the grader"
        return _changed(report, -STEP), f"{said}; cooler answers keep their form more often."
    if report.passed.value > BINS[-1][1]:
        return now, "The model is right already, which no temperature changes."
    if report.distinct < ALIKE:
        said = f"Of the answers to a prompt only {percent(report.distinct, 0)} differ from each other"
        return _changed(report, STEP), f"{said}; warmer ones try more ways."
    differ = f"Answers differ ({percent(report.distinct, 0)} are distinct)"
    if not fits(report):
        return (
            now,
            f"{differ}, but {percent(report.clipped, 0)} were cut at {length}: raise the length limit.",
        )
    return now, f"{differ} and fit the limit: leave it."


def _changed(report: ProbeReport, by: float) -> str:
    wanted = round(min(WARMEST, max(COOLEST, report.temperature + by)), 2)
    if (wanted - report.temperature) * by <= 0:
        return f"{report.temperature:g}"
    return f"{wanted:g} instead of {report.temperature:g}"
