"""The decision record as Markdown: a file that stands by itself beside the code."""

import re
from collections.abc import Iterator
from json import dumps

from app.advisor.record import Block, Bullets, Filing, Line, Record, Settings, Source, Table

SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|"})

UNUSUAL = re.compile(r"~(?=~)|&(?=#?\w+;)")
"""Harmless alone, and too common to be escaped everywhere."""


def markdown(record: Record) -> str:
    lines = [*_front(record.filing), f"# {plain(record.title)}", "", f"> **{plain(record.verdict)}**", ">"]
    lines += [f"> {plain(record.firmness)}", ""]
    for part in record.parts:
        lines += [f"{'#' * part.level} {part.title}", ""]
        for block in part.blocks:
            lines += [*_block(block), ""]
    if record.project:
        lines += ["The project as JSON, for that import or for `tuning-fork recommend`:", "", "```json"]
        # A backtick inside a note must not close the fence.
        lines += [record.project.replace("`", "\\u0060"), "```", ""]
    lines += ["### Sources", "", *[_source(source) for source in record.sources]]
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
    """Words on one line, without effect on the page around them."""
    return UNUSUAL.sub(r"\\\g<0>", " ".join(text.split()).translate(SPECIAL))


def _front(filing: Filing) -> Iterator[str]:
    """YAML, whose strings may be written as JSON's."""
    yield "---"
    yield f"status: {_status(filing)}"
    yield f"date: {filing.decided_on or '(date of the decision)'}"
    yield f"decision-makers: {dumps(filing.owner, ensure_ascii=False) if filing.owner else '(names)'}"
    for key, value in (("review-by", filing.review_by), ("supersedes", filing.supersedes)):
        if value:
            yield f"{key}: {dumps(value, ensure_ascii=False)}"
    yield "---"
    yield ""


def _status(filing: Filing) -> str:
    by = f"superseded by {filing.superseded_by}" if filing.superseded_by else filing.status
    return dumps(by, ensure_ascii=False) if by != filing.status else filing.status


def _block(block: Block) -> Iterator[str]:
    match block:
        case Line():
            yield _line(block)
        case Bullets(lines):
            yield from (f"- {_line(line)}" for line in lines)
        case Table():
            yield from _table(block)
        case Settings(_, rows):
            yield "| Setting | Suggested | Why |"
            yield "|---|---:|---|"
            yield from (f"| `{name}` | {plain(value)} | {_line(why)} |" for name, value, why in rows)


def _line(line: Line) -> str:
    said = "".join(plain_piece(text) + _refs(numbers) for text, numbers in line.pieces).strip()
    lead = f"**{plain(line.lead)}** " if line.lead else ""
    link = f" <{line.link}>" if line.link else ""
    return f"{lead}{said}{link}".strip()


def plain_piece(text: str) -> str:
    """Like `plain`, with the blanks that join it to its neighbours."""
    before = " " if text[:1].isspace() else ""
    after = " " if text.strip() and text[-1:].isspace() else ""
    return before + plain(text) + after


def _refs(numbers: tuple[int, ...]) -> str:
    return f" [{', '.join(map(str, numbers))}]" if numbers else ""


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.head)} |"
    yield f"|{'|'.join('---:' if column in table.numbers else '---' for column in range(len(table.head)))}|"
    links = table.links or ("",) * len(table.rows)
    for row, link in zip(table.rows, links, strict=True):
        first = f"[{plain(row[0])}]({link})" if link else plain(row[0])
        yield f"| {' | '.join([first, *map(plain, row[1:])])} |"
    if table.foot:
        yield f"| {' | '.join(f'**{plain(cell)}**' if cell else '' for cell in table.foot)} |"


def _source(source: Source) -> str:
    evidence = source.evidence
    where = f" <{evidence.link}>" if evidence.link else ""
    return f"{source.number}. {plain(evidence.citation)} ({evidence.year}).{where} {plain(evidence.finding)}"
