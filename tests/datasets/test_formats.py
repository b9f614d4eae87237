"""Files of JSON lines, good and bad, as users bring them."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.formats import MOST_PROBLEMS_LISTED, Row, Turn, read_rows, split, summarise
from app.errors import InvalidInput, Problem
from app.protocol import DatasetKind, UploadedDataset

MAX_LINE = 2000

REF = UploadedDataset(sha256="0" * 64)


def asks(text: str = "question", **more: object) -> dict:
    return {"messages": [{"role": "user", "content": text}], **more}


def answers(text: str = "question", said: str = "said", **more: object) -> dict:
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": said}]
    return {"messages": turns, **more}


GOOD = [json.dumps(asks(f"question {n}")).encode() for n in range(6)]


@pytest.fixture
def file(tmp_path):
    def write(content: bytes) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def problems(file):
    def found(content: bytes) -> list[Problem]:
        with pytest.raises(InvalidInput) as refusal:
            read_rows(file(content), MAX_LINE)
        return list(refusal.value.problems)

    return found


def with_line(line: bytes | dict) -> bytes:
    """A good file whose third line is this one."""
    written = line if isinstance(line, bytes) else json.dumps(line).encode()
    return b"\n".join([*GOOD[:2], written, *GOOD[2:]])


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\n\n  \n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n"])
def test_line_ends_blank_lines_a_byte_order_mark_and_a_missing_last_line_end_do_no_harm(
    file, start, end, last
):
    rows = read_rows(file(start + end.join(GOOD) + last), MAX_LINE)
    assert [row.prompt[0].content for row in rows] == [f"question {n}" for n in range(6)]


def test_a_line_may_be_as_long_as_the_limit_and_no_longer(file, problems):
    line = json.dumps(asks("x" * (MAX_LINE - len(json.dumps(asks(""))))))
    assert len(line) == MAX_LINE
    for end in (b"\n", b"\r\n"):
        assert len(read_rows(file(end.join([*GOOD, line.encode(), b""])), MAX_LINE)) == 7
    (problem,) = problems(with_line(b" " + line.encode()))
    assert problem.where == "line 3"
    assert "2,000 bytes" in problem.what


def test_lines_after_an_over_long_one_keep_their_numbers(problems):
    found = problems(b"\n".join([GOOD[0], b'"' + b"x" * 5_000_000 + b'"', b"nonsense", *GOOD]))
    assert [problem.where for problem in found] == ["line 2", "line 3"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\n \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (json.dumps([asks()]).encode(), "JSON array"),
        (json.dumps([asks()], indent=2).encode(), "JSON array"),
        (json.dumps(asks(), indent=2).encode(), "several lines"),
        (b"\r".join(GOOD), "carriage return"),
        (b"prompt,answer\nwhat,that\n", "CSV"),
        (b"prompt;answer\nwhat;that\n", "CSV"),
        (b"prompt\tanswer\n", "CSV"),
        (gzip.compress(b"\n".join(GOOD)), "gzip"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\n".join(GOOD).decode().encode("utf-16"), "UTF-16"),
        (b"\x7fELF\x02", "program"),
        (b"MZ\x90\x00", "program"),
        (b"%PDF-1.7", "PDF"),
        (b"BZh91AY", "bzip2"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\x80\x04\x95\x10", "pickle"),
    ],
)
def test_a_file_of_another_kind_is_named_once(problems, content, word):
    (problem,) = problems(content)
    assert problem.where == "file"
    assert word in problem.what


def test_a_renamed_spreadsheet_is_recognised(problems):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    (problem,) = problems(packed.getvalue())
    assert "Excel" in problem.what


USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "c"}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"nonsense", "not JSON"),
        (b'{"messages": [', "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"messages": "\xff"}', "not UTF-8"),
        (b'{"a": "\x00"}', "NUL"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": 1, "a": 2}', "appears twice"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
        (b'{"a": ' + b"[" * 900, "JSON"),
        ({}, "no `messages`"),
        ({"instruction": "a", "output": "b"}, "`instruction`"),
        ({"completion": "a"}, "no `prompt`"),
        ({"text": "a"}, "a plain text, but line 1 is a demonstration or a prompt"),
        ({"text": ""}, "`text` is empty"),
        ({"text": 3}, "`text` must be a text"),
        ({"conversations": []}, "rename"),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "a preference pair, but line 1"),
        ({"chosen": "a", "rejected": "b"}, "begin differently"),
        ({"chosen": "a b"}, "without `rejected`"),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "`rejected` is empty"),
        ({"prompt": "a", "chosen": "b", "rejected": [{"role": "user", "content": "c"}]}, "must end with the"),
        ({"chosen": "a b", "rejected": ["c"]}, "`rejected`: message 1: not an object"),
        ({"chosen": "a long way", "rejected": "a long "}, "only the beginning"),
        ({"input": [], "preferred_output": [], "non_preferred_output": []}, "`input` must be an object"),
        ({"input": {"messages": []}, "preferred_output": []}, "`input.messages` must be a list"),
        ({"input": {"messages": [], "tools": []}, "preferred_output": []}, "`input`: tool calls"),
        ({"prompt": ""}, "`prompt` is empty"),
        ({"prompt": 3}, "`prompt` must be a text or a list"),
        ({"prompt": [ASSISTANT], "completion": "b"}, "ends with the assistant's message"),
        ({"prompt": "a", "completion": None}, "`completion` must be a text"),
        ({"prompt": "a", "completion": " "}, "`completion` is empty"),
        ({"messages": []}, "at least one"),
        ({"messages": {}}, "must be a list"),
        ({"messages": "hello"}, "must be a list"),
        ({"messages": ["hello"]}, "message 1: not an object"),
        ({"messages": [{"content": "a"}]}, "message 1: `role`"),
        ({"messages": [{"role": "human", "content": "a"}]}, "message 1: `role`"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "message 1: `role`"),
        ({"messages": [USER, {"role": "tool", "content": "a"}]}, "message 2: `role`"),
        ({"messages": [{"role": "user"}]}, "message 1: `content`"),
        ({"messages": [{"role": "user", "content": None}]}, "message 1: `content`"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
            "message 1: `content`",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "message 1: `content` is empty"),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "message 2: `content` is empty"),
        ({"messages": [{**USER, "name": "Ada"}]}, "message 1: `name`"),
        ({"messages": [USER, {**ASSISTANT, "weight": 0}]}, "message 2: `weight` 0"),
        ({"messages": [ASSISTANT]}, "first message is the assistant's"),
        ({"messages": [SYSTEM]}, "only a system message"),
        ({"messages": [SYSTEM, ASSISTANT]}, "message 2 is from assistant after one from system"),
        ({"messages": [USER, USER]}, "message 2 is from user after one from user"),
        ({"messages": [USER, ASSISTANT, ASSISTANT]}, "message 3 is from assistant"),
        ({"messages": [USER, SYSTEM]}, "message 2 is from system"),
        ({"messages": [USER], "tools": []}, "`tools`"),
    ],
)
def test_a_bad_row_is_named_by_its_line_with_what_to_change(problems, line, word):
    (problem,) = problems(with_line(line))
    assert problem.where == "line 3"
    assert word in problem.what


def test_a_field_keeps_its_type_through_the_file(problems, file):
    first = [json.dumps(asks(f"question {n}", answer="yes")).encode() for n in range(5)]
    (problem,) = problems(b"\n".join([*first, json.dumps(asks(answer=3)).encode()]))
    assert problem.where == "line 6"
    assert "`answer` is a number here but a text on line 1" in problem.what
    mixed_numbers = [
        json.dumps(asks(f"question {n}", weight=n / 2 if n % 2 else n)).encode() for n in range(6)
    ]
    assert len(read_rows(file(b"\n".join(mixed_numbers)), MAX_LINE)) == 6


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_prompts_to_keep_one_aside_are_refused(problems, count):
    (problem,) = problems(b"\n".join(GOOD[:count]))
    assert problem.where == "file"
    assert f"{count} different prompt" in problem.what


def test_the_same_prompt_over_and_over_is_too_few(problems):
    (problem,) = problems(b"\n".join([GOOD[0]] * 50))
    assert "1 different prompt;" in problem.what


def test_only_so_many_problems_are_listed_and_the_total_is_said(file):
    with pytest.raises(InvalidInput, match=r"500 problems. The first 200 are listed") as refusal:
        read_rows(file(b"nonsense\n" * 500), MAX_LINE)
    assert len(refusal.value.problems) == MOST_PROBLEMS_LISTED


def test_a_row_knows_its_prompt_its_answer_and_its_fields(file):
    given = [
        *(asks(f"q{n}", answer="x", place={"court": 3}) for n in range(4)),
        answers("asked", "said", answer="x"),
        {"messages": [SYSTEM, USER, ASSISTANT, USER], "answer": "x"},
        {"messages": [SYSTEM, USER, {**ASSISTANT, "weight": 1}], "answer": "x", "reference": "own"},
    ]
    rows = read_rows(file(b"\n".join(json.dumps(row).encode() for row in given)), MAX_LINE)
    assert rows[0].item == {"answer": "x", "place": {"court": 3}}
    assert rows[0].answer is None
    assert not rows[0].is_demonstration
    assert rows[4].is_demonstration
    assert rows[4].prompt == [Turn(role="user", content="asked")]
    assert rows[4].answer == "said"
    assert rows[4].item == {"answer": "x", "reference": "said"}
    assert len(rows[5].prompt) == 4
    assert rows[6].item["reference"] == "own"


PROMPTS = st.lists(st.sampled_from("abcdefghijkl"), min_size=0, max_size=60)


def made(prompts: list[str]) -> list[Row]:
    return [Row(messages=[Turn(role="user", content=text)], item={"n": n}) for n, text in enumerate(prompts)]


@given(PROMPTS, st.integers(0, 20))
def test_a_split_keeps_every_row_once_and_never_a_prompt_on_both_sides(prompts, items):
    rows = made(prompts)
    parts = split(rows, items)
    assert sorted(row.item["n"] for row in parts.train + parts.held_out) == list(range(len(rows)))
    assert len(parts.held_out) <= min(items, len(rows) // 5)
    assert not {row.prompt[0].content for row in parts.train} & {
        row.prompt[0].content for row in parts.held_out
    }


@given(PROMPTS, st.randoms(use_true_random=False))
def test_a_split_depends_on_what_the_rows_say_and_not_on_their_order(prompts, chance):
    shuffled = list(prompts)
    chance.shuffle(shuffled)
    held_out = [
        sorted(row.prompt[0].content for row in split(made(each), 5).held_out) for each in (prompts, shuffled)
    ]
    assert held_out[0] == held_out[1]


def test_asking_for_more_held_out_items_keeps_those_of_a_smaller_request():
    rows = made([f"prompt {n}" for n in range(500)])
    small, large = split(rows, 20).held_out, split(rows, 60).held_out
    assert (len(small), len(large)) == (20, 60)
    assert {row.item["n"] for row in small} < {row.item["n"] for row in large}


@pytest.mark.parametrize(
    ("given_rows", "kind", "demonstrations"),
    [
        ([asks(f"q{n}") for n in range(5)], DatasetKind.PROMPTS, 0),
        ([answers(f"q{n}") for n in range(5)], DatasetKind.DEMONSTRATIONS, 5),
        ([asks("q"), *(answers(f"q{n}") for n in range(5))], DatasetKind.MIXED, 5),
    ],
)
def test_a_summary_says_what_kind_of_rows_there_are(file, given_rows, kind, demonstrations):
    rows = read_rows(file(b"\n".join(json.dumps(row).encode() for row in given_rows)), MAX_LINE)
    summary = summarise(REF, rows, bytes=123)
    assert summary.kind is kind
    assert (summary.rows, summary.demonstrations, summary.bytes) == (len(given_rows), demonstrations, 123)
    assert summary.prompts == summary.rows - demonstrations
    assert summary.held_out == 1


def test_a_summary_lists_the_fields_that_every_row_has_and_a_template_can_name(file):
    given_rows = [
        {**asks(f"q{n}"), "answer": "x", "two words": 1, **({"odd": 1} if n % 2 else {})} for n in range(6)
    ]
    rows = read_rows(file(b"\n".join(json.dumps(row).encode() for row in given_rows)), MAX_LINE)
    assert summarise(REF, rows, bytes=1).item_fields == ["answer"]


def test_a_preview_is_short():
    rows = [Row(messages=[Turn(role="user", content="x" * 100_000)], item={"deep": [{"y": "z" * 9000}]})] * 9
    preview = summarise(REF, rows, bytes=1).preview
    assert len(preview) == 5
    assert len(json.dumps(preview)) < 5 * 4200
    assert preview[0]["messages"][0]["content"].endswith("…")
