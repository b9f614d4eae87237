"""Experts' scores in a file: CSV with a header, or JSON lines; each row an answer and what it was given."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidInput, Problem, TooLarge, TuningForkError
from app.protocol import TriedAnswer
from app.settings import WebSettings
from app.strict_json import strict_loads

ANSWER = ("output_text", "output", "completion", "response", "answer")
"""In this order: beside one of the others, `answer` is the field that graders compare with."""
SCORE = ("score", "expert", "rating", "grade", "label")
PROMPT = ("prompt", "question", "input")

MOST_PROBLEMS = 50

Line = tuple[int, dict[str, Any]]


def read_scores(content: bytes, settings: WebSettings) -> list[TriedAnswer]:
    """Raises InvalidInput with every problem by line. Further columns become fields of `item`."""
    if len(content) > settings.max_expert_bytes:
        raise TooLarge(f"The file is larger than {settings.max_expert_bytes:,} bytes; send fewer answers.")
    if not content.strip():
        raise InvalidInput("The file is empty.", (Problem(where="line 1", what="there is nothing"),))
    text = _text(content)
    problems: list[Problem] = []
    found: list[TriedAnswer] = []
    for number, given in _lines(text, problems):
        if len(found) == settings.max_expert_answers:
            raise TooLarge(
                f"The file has over {settings.max_expert_answers:,} answers; send a sample of them."
            )
        answer = _answer(given)
        if isinstance(answer, str):
            problems.append(Problem(where=f"line {number}", what=answer))
        else:
            found.append(answer)
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InvalidInput(f"The file has {count}.", tuple(problems[:MOST_PROBLEMS]))
    if not found:
        raise InvalidInput(
            "The file has no rows below its header.", (Problem(where="line 1", what="no rows"),)
        )
    return found


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        what = "is not UTF-8; save the file as UTF-8"
        raise InvalidInput(f"Line {line} {what}.", (Problem(where=f"line {line}", what=what),)) from None
    if "\x00" in text:
        what = "holds the character NUL; the file may be a spreadsheet or UTF-16: save it as CSV in UTF-8"
        raise InvalidInput(f"The file {what}.", (Problem(where="line 1", what=what),))
    return text


def _lines(text: str, problems: list[Problem]) -> Iterator[Line]:
    is_json = text.lstrip()[:1] == "{"
    return _json_lines(text, problems) if is_json else _csv_lines(text)


def _json_lines(text: str, problems: list[Problem]) -> Iterator[Line]:
    # Not splitlines(): a text may hold further characters that it takes for line breaks.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            given = strict_loads(line.strip().encode())
        except TuningForkError as error:
            problems.append(Problem(where=f"line {number}", what=error.sentence))
            continue
        if isinstance(given, dict):
            yield number, given
        else:
            problems.append(
                Problem(where=f"line {number}", what='not an object, such as {"answer": "…", "score": 1}')
            )


def _csv_lines(text: str) -> Iterator[Line]:
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _refuse_header(columns)
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, _by_column(columns, row, reader.line_num)
    except csv.Error as error:
        where = f"line {reader.line_num}"
        what = f"{error}; put texts that hold quotes or line breaks in double quotes"
        raise InvalidInput(f"The CSV breaks off at {where}.", (Problem(where=where, what=what),)) from None


def _refuse_header(columns: list[str]) -> None:
    named = [name.lower() for name in columns]
    if not any(name in named for name in ANSWER) or not any(name in named for name in SCORE):
        what = (
            "the header must name a column “answer” and a column “score”; further columns become item fields"
        )
        raise InvalidInput(
            "The file has no columns “answer” and “score”.", (Problem(where="line 1", what=what),)
        )
    if len(set(named)) < len(named):
        what = "two columns have the same name; rename one"
        raise InvalidInput("Two columns have the same name.", (Problem(where="line 1", what=what),))


def _by_column(columns: list[str], row: list[str], line: int) -> dict[str, Any]:
    if len(row) != len(columns):
        counts = f"{len(row)} cells and the header {len(columns)}"
        what = f"it has {counts}; put texts that hold the separator in quotes"
        raise InvalidInput(
            f"Line {line} does not fit the header.", (Problem(where=f"line {line}", what=what),)
        )
    return dict(zip(columns, row, strict=True))


def _answer(given: Mapping[str, Any]) -> TriedAnswer | str:
    """The scored answer, or what is wrong with its line."""
    columns = {name.lower(): name for name in given}
    text, score, prompt = (
        next((columns[name] for name in known if name in columns), None) for known in (ANSWER, SCORE, PROMPT)
    )
    if text is None or not isinstance(given[text], str):
        return "needs a text as “answer”"
    number = _number(given[score]) if score else None
    if number is None:
        return "needs a number as “score”, with a point and not a comma"
    item = {name: value for name, value in given.items() if name not in (text, score, "item")}
    if isinstance(given.get("item"), dict):
        item |= given["item"]
    asked = given[prompt] if prompt and isinstance(given[prompt], str) else ""
    try:
        return TriedAnswer(output_text=given[text], expert=number, item=item, prompt=asked)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None


def read_rows(text: str, where: str) -> list[dict[str, Any]]:
    """Pasted JSON lines; raises InvalidInput that names the line."""
    problems: list[Problem] = []
    found = [given for _, given in _json_lines(text, problems)]
    if problems:
        first = problems[0]
        raise InvalidInput(
            f"{first.where.capitalize()}: {first.what}", (Problem(where=where, what=first.what),)
        )
    return found
