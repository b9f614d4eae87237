"""A dataset's profile as a page shows it: pictures of lengths, findings by line, graders that are ready."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from app.protocol import Checkable, DatasetSummary, Finding, Lengths, Profile

KIND_WORDS = {
    "demonstrations": "Demonstrations",
    "prompts": "Prompts without answers",
    "mixed": "Demonstrations and prompts",
    "preferences": "Preference pairs",
    "texts": "Whole texts",
}
FORMATS = {"jsonl": "JSON lines", "csv": "CSV", "parquet": "Parquet"}
PARTS = {"prompt": "Prompts", "answer": "Answers", "text": "Texts"}
ROLES = {"system": "system", "user": "user", "assistant": "assistant"}

TALLEST = 60
"""Of a bar, in units of the picture."""


@dataclass(frozen=True)
class Bar:
    label: str
    count: int
    x: float
    height: float


@dataclass(frozen=True)
class Picture:
    """Token lengths of one part of the rows."""

    part: str
    lengths: Lengths
    bars: Sequence[Bar]
    sentence: str


def pictures(profile: Profile) -> list[Picture]:
    parts = {"prompt": profile.prompt, "answer": profile.answer, "text": profile.text}
    return [_picture(PARTS[name], lengths) for name, lengths in parts.items() if lengths]


def _picture(part: str, lengths: Lengths) -> Picture:
    most = max((each.count for each in lengths.bins), default=1) or 1
    bars, below = [], lengths.bins[0].up_to // 2 if lengths.bins else 0
    for number, each in enumerate(lengths.bins):
        label = f"{below + 1:,} to {each.up_to:,}" if number else f"up to {each.up_to:,}"
        bars.append(Bar(label, each.count, number * 40.0, TALLEST * each.count / most))
        below = each.up_to
    sentence = (
        f"{part}: half have at most {lengths.p50:,} tokens, nine in ten at most {lengths.p90:,}, "
        f"the longest {lengths.longest:,}."
    )
    return Picture(part, lengths, bars, sentence)


def counted_by(profile: Profile, rows: int) -> str:
    by = f"Counted by the tokenizer of {profile.tokenizer}" if profile.exact_tokens else profile.tokenizer
    some = f", on an even sample of {profile.measured_rows:,} rows and the longest"
    return f"{by[0].upper()}{by[1:]}{some if profile.measured_rows < rows else ''}."


def where(finding: Finding, unit: str) -> str:
    """`lines 3, 8 and 12`, `lines 3, 8, 12 and 40 more`."""
    shown, more = finding.lines[:12], finding.rows - len(finding.lines[:12])
    if not shown:
        return ""
    numbers = ", ".join(f"{line:,}" for line in shown)
    if more > 0:
        return f"{unit}s {numbers} and {more:,} more"
    return f"{unit}{'s' if len(shown) > 1 else ''} {numbers}"


def unit(summary: DatasetSummary) -> str:
    return "row" if summary.format == "parquet" else "line"


def grader_json(checkable: Checkable) -> str | None:
    if checkable.grader is None:
        return None
    return json.dumps(
        checkable.grader.model_dump(mode="json", by_alias=True, exclude_defaults=False), indent=2
    )


def roles(profile: Profile) -> str:
    counts: Mapping[str, int] = profile.roles
    return ", ".join(f"{counts[role]:,} {word}" for role, word in ROLES.items() if counts.get(role))


def coded(sentence: str) -> Markup:
    """What stands between backticks, as code."""
    parts = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts)
    )


def of_profile(summary: DatasetSummary) -> dict[str, Any]:
    profile = summary.profile
    return {
        "profile": profile,
        "pictures": pictures(profile) if profile else [],
        "counted_by": counted_by(profile, summary.rows) if profile else "",
        "where": where,
        "coded": coded,
        "unit": unit(summary),
        "grader_json": grader_json,
        "roles": roles(profile) if profile else "",
        "mendable": bool(profile and any(each.mended for each in profile.findings)),
        "format_words": FORMATS.get(summary.format, summary.format),
    }
