"""Extracts a part of the answer by a pattern and compares it with the reference."""

from collections.abc import Mapping
from typing import Any

from app.graders.patterns import TooManyMatches, matches
from app.graders.template import fill
from app.protocol import GraderError, Regex, Score


def grade_regex(grader: Regex, output_text: str, item: Mapping[str, Any]) -> Score | GraderError:
    """The last match by default: an answer that lists every possibility must not win by one of them."""
    text = fill(grader.input, output_text, item)
    reference = None if grader.reference is None else fill(grader.reference, output_text, item).strip()
    try:
        found = [_extract(match) for match in matches(grader.pattern, text)]
    except TooManyMatches as error:
        return GraderError(why=str(error))
    if grader.match != "any":
        found = found[:1] if grader.match == "first" else found[-1:]
    passes = bool(found) if reference is None else reference in found
    return Score(value=float(passes))


def _extract(match: Any) -> str:
    text = match.group(1) if match.re.groups else match.group(0)
    return (text or "").strip()
