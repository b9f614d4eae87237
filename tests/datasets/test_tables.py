"""CSV and Parquet as users bring them, and the columns that they name."""

import csv
import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.datasets.reading import look
from app.errors import InvalidInput
from app.protocol import BroughtFile, ColumnMapping, Reading
from tests.datasets.reading_here import rows_of, task

QUESTIONS = [(f"Is notice {n} valid?", "yes" if n % 2 else "no") for n in range(8)]


def as_csv(rows, header=("Question", "Gold answer"), delimiter=",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([header, *rows])
    return text.getvalue().encode()


def as_parquet(columns: dict, **options) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(pa.table(columns), packed, **options)
    return packed.getvalue()


NAMED = {"prompt": "Question", "answer": "Gold answer"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_the_delimiter_is_found_out(tmp_path, delimiter, start):
    rows = rows_of(tmp_path, start + as_csv(QUESTIONS, delimiter=delimiter), NAMED)
    assert [(row.prompt[0].content, row.answer) for row in rows] == QUESTIONS


def test_further_columns_become_fields_that_a_template_can_name(tmp_path):
    header = ("Question", "Gold answer", "court of", "text")
    content = as_csv([(*row, "Kiel", "long") for row in QUESTIONS], header)
    rows = rows_of(tmp_path, content, NAMED)
    assert rows[0].item == {"reference": "no", "court_of": "Kiel", "text_field": "long"}
    assert rows_of(tmp_path, content, {"prompt": "Question"})[1].item["Gold_answer"] == "yes"


def test_a_system_column_and_messages_in_a_cell_are_read(tmp_path):
    header = ("q", "a", "s")
    content = as_csv([(*row, "Be brief.") for row in QUESTIONS], header)
    rows = rows_of(tmp_path, content, {"prompt": "q", "answer": "a", "system": "s"})
    assert [turn.role for turn in rows[0].messages] == ["system", "user", "assistant"]
    said = [
        json.dumps([{"role": "user", "content": q}, {"role": "assistant", "content": a}])
        for q, a in QUESTIONS
    ]
    content = as_csv([(cell, n) for n, cell in enumerate(said)], ("said", "number"))
    assert rows_of(tmp_path, content, {"messages": "said"})[1].answer == "yes"


def test_a_table_whose_columns_have_the_usual_names_needs_no_mapping(tmp_path):
    rows = rows_of(tmp_path, as_csv(QUESTIONS, ("prompt", "completion")))
    assert rows[1].answer == "yes"
    pairs = {"prompt": ["a b", "c", "d", "e", "f"], "chosen": ["x"] * 5, "rejected": ["y"] * 5}
    assert all(row.is_pair for row in rows_of(tmp_path, as_parquet(pairs)))


def test_a_cell_may_hold_lines_and_the_next_row_keeps_its_line_number(tmp_path):
    rows = [("one\ntwo\nthree", "a"), *QUESTIONS, ("", "empty")]
    with pytest.raises(InvalidInput) as refused:
        rows_of(tmp_path, as_csv(rows), NAMED)
    (problem,) = refused.value.problems
    assert problem.where == "line 13"
    assert "`Question` is missing or empty" in problem.what


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Question,Gold answer\n", "there is no row"),
        (b"Question,Gold answer\nwhat,that\nwhat\n", "1 values, but the header names 2"),
        (b"Question,Gold answer\nwhat,that,more\n", "3 values, but the header names 2"),
        (b'Question,Gold answer\n"what,that\n' + b"a,b\n" * 9, "opens on line 2 is never closed"),
        (b"Question,Gold answer,Gold answer\na,b,c\n", "two columns are called `Gold answer`"),
        (b"Question,,Gold answer\na,b,c\n", "column 2 has no name"),
        (b"Question,Gold answer\nwh\xffat,that\n", "not UTF-8"),
        (b"Question,Gold answer\nwh\x00at,that\n", "NUL"),
        (b"Question,Gold answer\ra,b\rc,d\r", "carriage return"),
        (b"Question,Gold answer\n" + b"x" * 20_000 + b",b\n", "line 2 is longer than 10,000 bytes"),
        (",".join(f"c{n}" for n in range(10_000)).encode()[:9000] + b"\n", "at most 1,000 are read"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path, content, words):
    with pytest.raises(InvalidInput) as refused:
        rows_of(tmp_path, content, NAMED)
    assert any(words in problem.what for problem in refused.value.problems), refused.value.problems


def test_a_table_with_other_names_asks_which_column_is_what(tmp_path):
    with pytest.raises(InvalidInput) as refused:
        rows_of(tmp_path, as_csv(QUESTIONS))
    assert "`Question`, `Gold answer`" in refused.value.problems[0].what


def looked_at(tmp_path, content: bytes):
    file = tmp_path / "file"
    file.write_bytes(content)
    brought = BroughtFile(sha256="0" * 64, bytes=len(content), name="x", source="here")
    return look(file, task(tmp_path, file=brought, reading=Reading()))


def test_a_look_shows_the_first_rows_and_guesses_by_the_names(tmp_path):
    seen = looked_at(tmp_path, as_csv(QUESTIONS, delimiter=";"))
    assert (seen.format, seen.delimiter, seen.columns) == ("csv", ";", ["Question", "Gold answer"])
    assert len(seen.rows) == 5
    assert seen.suggestion == ColumnMapping(prompt="Question", answer="Gold answer")
    assert not seen.reads_plainly


def test_json_lines_with_other_names_can_be_mapped_too(tmp_path):
    content = b"\n".join(json.dumps({"instruction": q, "output": a}).encode() for q, a in QUESTIONS)
    seen = looked_at(tmp_path, content)
    assert seen.suggestion == ColumnMapping(prompt="instruction", answer="output")
    rows = rows_of(tmp_path, content, {"prompt": "instruction", "answer": "output"})
    assert rows[1].answer == "yes"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompt": ["a", "b", "c"], "completion": ["x", None, "y"]}, "row 2: `completion` is missing"),
        ({"prompt": ["a"], "completion": ["x"], "label": [float("nan")]}, "row 1: `label` is NaN"),
        ({"prompt": ["a"], "completion": ["x"], "raw": [b"\x00"]}, "row 1: `raw` holds bytes"),
        ({"prompt": ["a" * 20_000], "completion": ["x"]}, "row 1: longer than 10,000 bytes"),
        ({"prompt": ["a\x00"], "completion": ["x"]}, "row 1: `prompt` holds the character NUL"),
        ({f"c{n}": [1] for n in range(1001)}, "1,001 columns"),
        ({"prompt": ["a"] * 3000}, "claims 3,000 rows, and at most 2,000"),
    ],
)
def test_what_is_wrong_with_a_parquet_file_is_named(tmp_path, given, words):
    with pytest.raises(InvalidInput) as refused:
        rows_of(tmp_path, as_parquet(given))
    told = [f"{problem.where}: {problem.what}" for problem in refused.value.problems]
    assert any(words in each for each in told), told


def test_a_parquet_file_that_is_cut_is_named(tmp_path):
    whole = as_parquet({"prompt": list("abcdef")})
    for content in (whole[: len(whole) // 2], whole[:-4] + b"PAR2"):
        with pytest.raises(InvalidInput, match="1 problem") as refused:
            rows_of(tmp_path, content)
        assert "damaged or cut" in refused.value.problems[0].what
    with pytest.raises(InvalidInput) as refused:
        rows_of(tmp_path, b"PARE" + whole)
    assert "encrypted" in refused.value.problems[0].what


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "name the column"),
        ({"answer": "a"}, "needs its prompt"),
        ({"prompt": "a", "chosen": "b"}, "both chosen and rejected"),
        ({"prompt": "a", "answer": "b", "text": "c"}, "name one of"),
    ],
)
def test_a_mapping_that_makes_no_row_is_refused(given, word):
    with pytest.raises(ValueError, match=word):
        ColumnMapping(**given)
