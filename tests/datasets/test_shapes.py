"""The shapes that OpenAI and TRL write, each read as what it is."""

import json

import pytest

from app.datasets.formats import Row, Turn, read_rows
from app.datasets.gathering import kind_of
from app.datasets.shapes import as_given, row_of
from app.errors import InvalidInput


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


ASKED = [Turn(role="user", content="Why?")]
BETTER, WORSE = [Turn(role="assistant", content="Because.")], [Turn(role="assistant", content="No.")]

SHAPES = [
    ({"messages": [user("Why?"), assistant("Because.")]}, "demonstrations"),
    ({"messages": [user("Why?"), assistant("Because.") | {"weight": 1}]}, "demonstrations"),
    ({"messages": [user("Why?")], "answer": "Because."}, "prompts"),
    ({"prompt": "Why?", "completion": "Because."}, "demonstrations"),
    ({"prompt": [user("Why?")], "completion": [assistant("Because.")]}, "demonstrations"),
    ({"prompt": "Why?", "solution": "Because."}, "prompts"),
    ({"prompt": [user("Why?")]}, "prompts"),
    ({"text": "It was a dark and stormy night."}, "texts"),
    (
        {
            "input": {"messages": [user("Why?")]},
            "preferred_output": [assistant("Because.")],
            "non_preferred_output": [assistant("No.")],
        },
        "preferences",
    ),
    ({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}, "preferences"),
    (
        {"prompt": [user("Why?")], "chosen": [assistant("Because.")], "rejected": [assistant("No.")]},
        "preferences",
    ),
    (
        {"chosen": [user("Why?"), assistant("Because.")], "rejected": [user("Why?"), assistant("No.")]},
        "preferences",
    ),
    (
        {
            "chosen": "\n\nHuman: Why?\n\nAssistant: Because.",
            "rejected": "\n\nHuman: Why?\n\nAssistant: No.",
        },
        "preferences",
    ),
]


@pytest.mark.parametrize(("given", "kind"), SHAPES)
def test_a_shape_is_read_as_what_it_is(given, kind):
    row = row_of(given)
    assert isinstance(row, Row), row
    assert kind_of(row) == kind
    if kind == "texts":
        assert (row.text, row.prompt, row.is_demonstration) == (given["text"], [], False)
        return
    assert row.prompt == ASKED
    if kind == "preferences":
        assert (row.chosen, row.rejected, row.answer) == (BETTER, WORSE, None)
    if kind == "demonstrations":
        assert row.answer == "Because."


@pytest.mark.parametrize(("given", "kind"), SHAPES)
def test_a_row_that_is_written_out_reads_back_the_same(given, kind):
    row = row_of(given | {"topic": "reasons"})
    assert isinstance(row, Row)
    assert row.item["topic"] == "reasons"
    assert row_of(as_given(row)) == row


def test_the_prompt_that_two_texts_share_ends_between_words():
    row = row_of({"chosen": "The sky is blue today", "rejected": "The sky is black today"})
    assert isinstance(row, Row)
    assert row.prompt[0].content == "The sky is "
    assert row.chosen is not None
    assert row.chosen[0].content == "blue today"


def test_answers_that_begin_alike_do_not_become_part_of_the_prompt():
    """In a conversation the shared part ends with the user, whatever both answers begin with."""
    start = [user("Why?"), assistant("Well."), user("Go on.")]
    row = row_of({"chosen": [*start, assistant("So.")], "rejected": [*start, assistant("No.")]})
    assert isinstance(row, Row)
    assert [turn.role for turn in row.prompt] == ["user", "assistant", "user"]


def test_pairs_and_demonstrations_do_not_share_a_file(tmp_path):
    file = tmp_path / "mixed.jsonl"
    pair = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}
    rows = [*({"prompt": f"Why {n}?", "completion": "So."} for n in range(6)), pair]
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InvalidInput) as refused:
        read_rows(file, 1000)
    (problem,) = refused.value.problems
    assert problem.where == "line 7"
    assert "give each a file of its own" in problem.what
